"""torchvision's classifiers, with the preprocessing of their weights."""

import pickle
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import torch
import torchvision
from torch import Tensor, nn

from bench.backbones.backbone import Backbone
from bench.backbones.checkpoint import read_state, verify
from bench.backbones.declared import chosen, declared
from bench.backbones.loading import load_strictly
from bench.backbones.offline import require_cached
from bench.backbones.torch_module import ModuleSettings, checkpoint_file, seeded, torch_module
from bench.errors import BenchError, require_integer, require_known

_AUXILIARY = {"inception_v3": ("AuxLogits.",), "googlenet": ("aux1.", "aux2.")}
"""What the names of heads begin with that serve training alone."""


def torchvision_network(
    name: str,
    weights: str,
    preprocessing: Mapping[str, Any],
    *,
    num_classes: int | None = None,
    output_kind: str = "logits",
    normalise_inside: bool = False,
    **settings: Unpack[ModuleSettings],
) -> Backbone:
    """Any image classifier of torchvision, with the preprocessing of its weights.

    Args:
        name: As torchvision lists it, `resnet50`.
        weights: A name of its weights' enum (`IMAGENET1K_V2`, downloaded once), `random` (the same
            each time), or a checkpoint file.
        preprocessing: Settings of `Preprocessing` in place of those of the weights (see
            `declared.chosen`); of a file and of random weights, those of IMAGENET1K_V1.
        num_classes: Outputs; None: 1000.
        output_kind: What the outputs are.
        normalise_inside: Whether inputs are 0..1 and the network takes off mean and deviation
            itself, so that zero is black and methods explain the colours. It decides where a
            baseline of zero lies, and gradients by a factor for each channel.
        **settings: See `bench.backbones.torch_module.ModuleSettings`.

    Returns:
        Inputs (B, 3, H, W) to outputs (B, K).

    Raises:
        BenchError: The name is unknown, or the weights cannot be had or do not fit.

    Example:
        >>> given = {"size": 64, "crop": "squash"}
        >>> network = torchvision_network("squeezenet1_1", "random", given, num_classes=5)
        >>> network.num_classes, network.preprocessing.shape, network.preprocessing.crop
        (5, (64, 64), None)
    """
    models = torchvision.models
    require_known("name", name, models.list_models(module=models))
    if num_classes is not None:
        require_integer("num_classes", num_classes, 1)
    entries = dict(models.get_model_weights(name).__members__)
    file = checkpoint_file(weights, ("random", *entries))
    entry = entries.get(weights, entries.get("IMAGENET1K_V1", next(iter(entries.values()))))
    with seeded():
        module = _create(name, num_classes or 1000, entry, is_random=weights == "random")
    digest = None
    if file is not None:
        digest = verify(Path(file), settings.pop("sha256", None))
        state = read_state(Path(file), key=settings.pop("key", None))
        load_strictly(module, _renamed(name, state), Path(file), name)
    elif weights != "random":
        load_strictly(module, _renamed(name, _downloaded(entry)), Path(entry.url).name, name)
    made = chosen(_declared(entry), preprocessing)
    if normalise_inside:
        normalise = Normalise(made["mean"], made["std"])
        module = nn.Sequential(OrderedDict(normalise=normalise, network=module))
        made |= {"mean": (0, 0, 0), "std": (255, 255, 255)}
    backbone = torch_module(module, name, made, output_kind, **settings)
    backbone.file_sha256 = digest
    return backbone


class Normalise(nn.Module):
    """Inputs 0..1 to what a network was trained on.

    Args:
        mean: The mean of each channel, in units of 0..255.
        std: The standard deviation of each channel, in units of 0..255.

    Example:
        >>> Normalise(mean=[51.0], std=[102.0])(torch.ones(1, 1, 1, 1)).item()
        2.0
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean)[:, None, None] / 255)
        self.register_buffer("std", torch.tensor(std)[:, None, None] / 255)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) in 0..1 to (B, C, H, W)."""
        return (x - self.mean) / self.std


def _create(name: str, num_classes: int, entry: Any, *, is_random: bool) -> nn.Module:
    """The network as the weights want it, without heads for training."""
    options: dict[str, Any] = {}
    if name in _AUXILIARY:
        # torchvision's weights of these two want inputs in -1..1, and they see to that themselves.
        options = {"aux_logits": False, "init_weights": is_random, "transform_input": True}
    if name.startswith("vit_"):
        options["image_size"] = entry.transforms().crop_size[0]
    network: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=num_classes, **options
    )
    return network


def _downloaded(entry: Any) -> Mapping[str, Tensor]:
    require_cached(entry.url)
    try:
        state: Mapping[str, Tensor] = entry.get_state_dict(
            progress=False, check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BenchError(
            f"weights: cannot download {entry.url} ({reason}): download it elsewhere, and choose "
            "backbone.weights=FILE"
        ) from None
    return state


def _renamed(name: str, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Without heads for training; DenseNet's old names, `norm.1`, as they are today, `norm1`."""
    auxiliary = _AUXILIARY.get(name, ())
    return {
        re.sub(r"(denselayer\d+\.(?:norm|conv))\.([12])\.", r"\1\2.", key): value
        for key, value in state.items()
        if not key.startswith(auxiliary)
    }


def _declared(entry: Any) -> dict[str, Any]:
    """The settings of `Preprocessing` that weights of torchvision declare."""
    transforms = entry.transforms()
    side = transforms.crop_size[0]
    return declared(
        (side, side),
        transforms.mean,
        transforms.std,
        filter_=transforms.interpolation.value,
        resized=transforms.resize_size[0],
    )
