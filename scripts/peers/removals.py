r"""Golden values of IDSDS and infidelity, of their authors' code and of captum.

In the environment of scripts/peers/requirements.txt, with the repositories visinf/idsds (at
8e84200) and chihkuanyeh/saliency_evaluation (at 8eb0955) beside:

    .venv-peers/bin/python scripts/peers/removals.py IDSDS SALIENCY_EVALUATION \
        tests/golden/removals.npz
"""

import sys
from argparse import Namespace
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from captum.metrics import infidelity
from linear import Linear

sys.path[:0] = sys.argv[1:3]
torch.Tensor.cuda = lambda self, *_, **__: self  # the authors' code asks for a GPU

import infid_sen_utils  # noqa: E402
from single_deletion import single_deletion_protocol  # noqa: E402

infid_sen_utils.nCr = lambda *_: 1  # overflows; only in a kernel that they then set to ones


class Given:
    """Stands for their explainer: gives a map that there is already."""

    def __init__(self, one: np.ndarray) -> None:
        self._map = torch.from_numpy(one)[None, None]

    def explain(self, images: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The map (1, 1, H, W)."""
        return self._map


class OneImage(list):
    """Stands for their loader; its data set has one image."""

    dataset = (0,)


def network(channels: int, side: int, draws: np.random.Generator) -> tuple[np.ndarray, ...]:
    """Weights (4, C, side, side), inputs (5, C, side, side) and maps (5, side, side)."""
    weight = 0.1 * draws.standard_normal((4, channels, side, side)).astype(np.float32)
    x = draws.standard_normal((5, channels, side, side)).astype(np.float32)
    maps = draws.standard_normal((5, side, side)).astype(np.float32)
    maps[1] = (x[1] * weight[1]).sum(axis=0)  # what speaks for class 1
    maps[2] = -(x[2] * weight[2]).sum(axis=0)  # and against class 2
    maps[3] = np.maximum(maps[3], 0)
    return weight, x, maps


def single_deletion(draws: np.random.Generator) -> dict[str, np.ndarray]:
    """Correlations of their protocol, image by image, as it gives the mean alone."""
    weight, x, maps = network(3, 20, draws)
    model = Linear(weight)
    args = Namespace(grid_rows_and_cols=4, nr_images=-1, batch_size=1, sd_baseline="zeros")
    found = [
        single_deletion_protocol(
            model, Given(maps[number]),
            OneImage([(torch.from_numpy(x[number : number + 1]), torch.tensor([number % 4]), [0])]),
            args, torch.device("cpu"),
        )
        for number in range(len(x))
    ]  # fmt: skip
    return {"cell_weight": weight, "cell_x": x, "cell_maps": maps, "idsds": np.array(found)}


def squares(draws: np.random.Generator) -> dict[str, np.ndarray]:
    """Infidelity of all squares of up to 10 x 10 of 28 x 28, and captum's of some squares."""
    weight, x, maps = network(1, 28, draws)
    model = Linear(weight)
    authors, captums = [], []
    sides = draws.integers(1, 11, 40)
    chosen = np.stack([draws.integers(0, 29 - sides), draws.integers(0, 29 - sides), sides], axis=1)
    masks = np.zeros((40, 1, 28, 28), np.float32)
    for mask, (top, left, side) in zip(masks, chosen, strict=True):
        mask[0, top : top + side, left : left + side] = 1
    for number in range(len(x)):
        image, label = torch.from_numpy(x[number : number + 1]), number % 4
        clean = model(image)[:, label].detach().numpy()
        explanation = maps[number : number + 1, None]
        authors.append(
            infid_sen_utils.get_exp_infid(image, model, explanation, label, clean, True, "Square")
        )

        def perturb(inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            gone = torch.from_numpy(masks)
            return gone, inputs * (1 - gone)

        attributions = torch.from_numpy(explanation)
        captums.append(
            infidelity(
                model, perturb, image, attributions, target=label, n_perturb_samples=40,
                normalize=True,
            ).item()
        )  # fmt: skip
    return {
        "square_weight": weight, "square_x": x, "square_maps": maps, "squares": chosen,
        "infidelity": np.array(authors), "captum": np.array(captums),
    }  # fmt: skip


def main() -> None:
    """Makes the file."""
    draws = np.random.default_rng(0)
    versions = np.array([f"captum {metadata.version('captum')}"])
    arrays = single_deletion(draws) | squares(draws) | {"versions": versions}
    np.savez_compressed(Path(sys.argv[3]), **arrays)


main()
