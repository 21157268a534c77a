"""Golden values of Quantus's MPRT, RandomLogit and MaxSensitivity, and scikit-image's SSIM.

In the environment of scripts/peers/requirements.txt:

    .venv-peers/bin/python scripts/peers/quantus_again.py tests/golden/quantus_again.npz

The networks that MPRT randomised are in the file, stage by stage, and so are the classes and the
noise that were drawn: ours are given the same.
"""

import sys
from importlib import metadata

import numpy as np
import quantus
import torch
from quantus.functions.similarity_func import correlation_spearman
from skimage.metrics import structural_similarity
from torch import nn

SIZE = (11, 13)


class Network(nn.Module):
    """Two convolutions and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.last = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Inputs (B, 2, H, W) to logits (B, 5)."""
        x = torch.tanh(self.first(x))
        return self.head(torch.tanh(self.last(x)).mean(dim=(2, 3)))


def explain(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: object) -> np.ndarray:
    """Input times gradient, summed over the channels; signed."""
    x = torch.as_tensor(np.asarray(inputs, np.float32)).requires_grad_()
    scores = model(x).gather(1, torch.as_tensor(np.asarray(targets))[:, None]).sum()
    (gradient,) = torch.autograd.grad(scores, x)
    return (gradient * x).sum(dim=1, keepdim=True).detach().numpy()


def given_draws(draws: np.ndarray) -> object:
    """A perturbation that takes one array (N, C, H, W) after the other."""
    left = iter(draws)

    def perturb(arr: np.ndarray, **_: object) -> np.ndarray:
        return arr + next(left).reshape(arr.shape)

    return perturb


def main() -> None:
    """Makes the file."""
    torch.manual_seed(0)
    draws = np.random.default_rng(0)
    model = Network().eval()
    x = draws.standard_normal((3, 2, *SIZE)).astype(np.float32)
    y = np.array([0, 4, 2])
    plain = {"abs": False, "normalise": False, "disable_warnings": True}
    arrays = {"x": x, "y": y, "maps": explain(model, x, y)[:, 0]}
    arrays |= {f"trained/{name}": value.numpy() for name, value in model.state_dict().items()}
    given = {"model": model, "x_batch": x, "y_batch": y, "device": "cpu", "explain_func": explain}

    for order in ("top_down", "independent"):
        interface = quantus.helpers.utils.get_wrapped_model(
            model, channel_first=True, softmax=False
        )
        for number, (name, network) in enumerate(interface.get_random_layer_generator(order, 42)):
            prefix = f"{order}/{number}/{name}/"
            arrays |= {
                prefix + key: each.numpy().copy() for key, each in network.state_dict().items()
            }
        found = quantus.MPRT(layer_order=order, seed=42, **plain)(**given)
        arrays[f"MPRT/{order}"] = np.array([found[name] for name in found if name != "original"])

    others = []

    def keep(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **_: object) -> np.ndarray:
        others.append(np.asarray(targets))
        return explain(model, inputs, targets)

    metric = quantus.RandomLogit(similarity_func=correlation_spearman, num_classes=5, **plain)
    arrays["RandomLogit"] = metric(
        **given | {"explain_func": keep, "a_batch": arrays["maps"][:, None]}
    )
    arrays["RandomLogit/classes"] = others[-1]

    noise = draws.uniform(-0.3, 0.3, (4, *x.shape)).astype(np.float32)
    metric = quantus.MaxSensitivity(nr_samples=4, perturb_func=given_draws(noise), **plain)
    arrays["MaxSensitivity"] = metric(**given)
    arrays["MaxSensitivity/noise"] = noise

    pairs = draws.standard_normal((4, 2, 17, 22))
    pairs[1, 1] = pairs[1, 0] + 0.1 * pairs[1, 1]
    pairs[2, 1] = 0
    pairs[3] = np.round(pairs[3]) ** 2  # ties, none below zero
    arrays["pairs"] = pairs.astype(np.float32)
    arrays["ssim"] = np.array([ssim(*pair) for pair in arrays["pairs"].astype(np.float64)])
    arrays["versions"] = np.array(
        [f"{name} {metadata.version(name)}" for name in ("quantus", "scikit-image", "torch")]
    )
    np.savez_compressed(sys.argv[1], **arrays)


def ssim(first: np.ndarray, second: np.ndarray) -> float:
    """Of maps that are divided by their largest magnitude."""
    first, second = (each / max(np.abs(each).max(), 1e-300) for each in (first, second))
    both = np.stack([first, second])
    return structural_similarity(first, second, data_range=both.max() - both.min())


main()
