"""timm's classifiers, with the preprocessing that timm declares."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Unpack

import timm
from timm.data import resolve_model_data_config
from torch import nn

from bench.backbones.backbone import Backbone, height_and_width
from bench.backbones.declared import chosen, declared
from bench.backbones.headless import Enrolment, prototype_network
from bench.backbones.offline import require_timm_cached
from bench.backbones.torch_module import (
    ModuleSettings,
    checkpoint_file,
    seeded,
    timm_citation,
    torch_module,
)
from bench.datasets.dataset import Dataset
from bench.errors import BenchError, require_integer, require_known

_CHANNELS = (1, 3)


def timm_network(
    name: str,
    weights: str,
    preprocessing: Mapping[str, Any],
    *,
    img_size: int | Sequence[int] | None = None,
    num_classes: int | None = None,
    in_chans: int = 3,
    output_kind: str = "logits",
    gallery: Dataset | None = None,
    cache: str = "results/prototypes",
    device: str = "auto",
    **settings: Unpack[ModuleSettings],
) -> Backbone:
    """Any image classifier of timm, with timm's preprocessing: size, mean, std, filter and crop.

    With a gallery the network's classifier is left out, so that files without one (DINO, MoCo)
    serve, too: outputs are the cosines of its features with the mean features of each class.

    Args:
        name: As timm lists it, `resnet18` or with a tag of weights, `resnet18.a1_in1k`.
        weights: `pretrained` (timm's, downloaded once), `random` (the same each time), or a
            checkpoint file.
        preprocessing: Settings of `Preprocessing` in place of timm's; see `declared.chosen`.
        img_size: Side of the input, or height and width; None: the size in `preprocessing`, or
            timm's. A network of fixed size (ViT, Swin) is made for it.
        num_classes: Outputs; None: as many as timm's.
        in_chans: Channels of the input, 3 or 1 (grey).
        output_kind: What the outputs are; with a gallery they are cosines.
        gallery: Images of every class; see `bench.backbones.prototypes`.
        cache: Folder of prototypes that were made before.
        device: `auto`, `cpu`, `cuda`, ...; for prototypes.
        **settings: See `bench.backbones.torch_module.ModuleSettings`.

    Returns:
        Inputs (B, C, H, W) to outputs (B, K); with a gallery K is its number of classes.

    Raises:
        BenchError: The name is unknown, the weights cannot be had or do not fit, or timm declares
            a preprocessing that cannot be repeated.

    Example:
        >>> network = timm_network("test_resnet", "random", {}, img_size=64, num_classes=5)
        >>> network.num_classes, network.preprocessing.shape, network.cam_layer
        (5, (64, 64), 'layer4.0.conv2')
    """
    _require_name(name)
    if num_classes is not None:
        require_integer("num_classes", num_classes, 1)
    if in_chans not in _CHANNELS:
        raise BenchError(f"in_chans: expected 3, or 1 for grey inputs, found {in_chans}")
    prepared = preprocessing.get("size")
    _require_sizes(img_size, prepared)
    if img_size is None:
        img_size = prepared
    if gallery is not None and num_classes is not None:
        raise BenchError("num_classes: expected none beside a gallery, whose classes are counted")
    file = checkpoint_file(weights, ("pretrained", "random"))
    classes = num_classes if gallery is None else 0
    arguments = {"num_classes": classes, "in_chans": in_chans}
    with seeded():
        module = _create(name, weights == "pretrained", arguments, img_size)
    given = chosen(_declared(module, img_size, in_chans, preprocessing), preprocessing)
    if gallery is None:
        backbone = torch_module(module, name, given, output_kind, weights=file, **settings)
    else:
        backbone = prototype_network(
            module, name, given, Enrolment(gallery, cache, device), weights=file, **settings
        )
    backbone.citation = timm_citation(name)
    return backbone


def _require_name(name: str) -> None:
    architecture, _, tag = name.partition(".")
    require_known("name", architecture, timm.list_models())
    if tag:
        require_known("name", name, timm.list_pretrained(f"{architecture}.*"))


def _require_sizes(
    img_size: int | Sequence[int] | None, prepared: int | Sequence[int] | None
) -> None:
    """Raises `BenchError` unless what a network is made for and given fit each other, if set."""
    made = None if img_size is None else height_and_width("img_size", img_size)
    given = None if prepared is None else height_and_width("preprocessing.size", prepared)
    if made and given and made != given:
        raise BenchError(
            f"img_size: expected that of preprocessing.size, {prepared}, found {img_size}: one of "
            "the two is enough"
        )


def _create(
    name: str, pretrained: bool, arguments: dict[str, Any], img_size: int | Sequence[int] | None
) -> nn.Module:
    """The network; where its class takes no `img_size`, it takes inputs of any size."""
    sized = arguments | {"img_size": img_size} if img_size is not None else arguments
    try:
        if pretrained:
            require_timm_cached(name)
        try:
            return timm.create_model(name, pretrained=pretrained, **sized)
        except TypeError as error:
            if "img_size" not in str(error):
                raise
            return timm.create_model(name, pretrained=pretrained, **arguments)
    except (RuntimeError, OSError, TypeError, ValueError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BenchError(
            f"timm cannot make '{name}' {'with its own' if pretrained else 'without'} weights: "
            f"{reason}; backbone.weights=FILE takes a checkpoint that you have"
        ) from None


def _declared(
    module: nn.Module,
    img_size: int | Sequence[int] | None,
    channels: int,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """The settings of `Preprocessing` that timm declares for a network."""
    config = resolve_model_data_config(module)
    size = tuple(config["input_size"][1:])
    if img_size is not None:
        size = (img_size, img_size) if isinstance(img_size, int) else tuple(img_size)
    crop, mode = config["crop_pct"], config["crop_mode"]
    if given.get("crop") is None and (mode == "border" or (mode == "squash" and crop != 1)):
        raise BenchError(
            f"preprocessing: timm declares crop_mode={mode} with crop_pct={crop}, which is not one "
            "of ours: choose backbone.preprocessing.crop=squash (straight to the input's size) or "
            "a share, as 0.875"
        )
    mean, std = (
        values if channels == len(values) else [sum(values) / len(values)] * channels
        for values in (config["mean"], config["std"])
    )
    resized = None if mode == "squash" else math.floor(min(size) / crop)
    return declared(size, mean, std, filter_=config["interpolation"], resized=resized)
