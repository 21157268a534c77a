"""Networks that are plain torch modules: timm's models by name, and yours by dotted path."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

import timm
import torch
from timm.data import resolve_model_data_config
from torch import nn

from bench.backbones.backbone import AUTO, Backbone, Preprocessing, convolutions
from bench.backbones.loading import load_file
from bench.backbones.offline import require_timm_cached
from bench.errors import BenchError, require_integer, require_known

_TIMM = "Wightman 2019, github.com/huggingface/pytorch-image-models"
_RESNET = "He et al. 2016, arXiv 1512.03385"


class ModuleSettings(TypedDict, total=False):
    """Arguments of `torch_module` that all networks of libraries have.

    Attributes:
        sha256: The sha256 of the checkpoint file, if it is to be verified.
        key: Which entry of the checkpoint file (see `bench.backbones.checkpoint.read_state`).
        cam_layer: A submodule, `auto` or None.
        cam_layout: See `Backbone`.
        feature_layer: A submodule or None.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
        >>> prepared = {"size": 8, "mean": (127.5,) * 3, "std": (127.5,) * 3}
        >>> settings: ModuleSettings = {"cam_layer": "1", "feature_layer": "2"}
        >>> torch_module(net, "tiny", prepared, "logits", **settings).cam_layer
        '1'
    """

    sha256: str | None
    key: str | None
    cam_layer: str | None
    cam_layout: str | Mapping[str, Any]
    feature_layer: str | None


def timm_model(
    name: str,
    weights: str,
    preprocessing: Mapping[str, Any],
    num_classes: int | None = None,
    *,
    sha256: str | None = None,
    key: str | None = None,
    output_kind: str = "logits",
    cam_layer: str | None = AUTO,
    cam_layout: str | Mapping[str, Any] = AUTO,
    feature_layer: str | None = None,
) -> Backbone:
    """Any image classifier of timm.

    Args:
        name: As timm lists it (`timm.list_models()`).
        weights: A checkpoint file (see `bench.backbones.checkpoint.read_state`), `pretrained` for
            those that timm downloads once, or `random`, the same each time.
        preprocessing: Settings of `Preprocessing`; size, mean and std that are None are timm's.
        num_classes: Outputs; None: as many as timm's default.
        sha256: The sha256 of the checkpoint file, if it is to be verified.
        key: Which entry of the checkpoint file (see `bench.backbones.checkpoint.read_state`).
        output_kind: What the outputs are.
        cam_layer: A submodule, `auto` or None.
        cam_layout: See `Backbone`.
        feature_layer: A submodule or None.

    Returns:
        Inputs (B, 3, H, W) to outputs (B, K).

    Raises:
        BenchError: The name is unknown, or the weights cannot be had or do not fit.

    Example:
        >>> given = {"size": 64, "mean": None, "std": None}
        >>> network = timm_model("test_resnet", "random", given, num_classes=5)
        >>> network.num_classes, network.preprocessing.shape
        (5, (64, 64))
    """
    if num_classes is not None:
        require_integer("num_classes", num_classes, 1)
    require_known("name", name.split(".")[0], timm.list_models())  # the rest is a tag of weights
    with seeded():
        module = _create(name, weights == "pretrained", num_classes)
    given = {key: value for key, value in preprocessing.items() if value is not None}
    file = checkpoint_file(weights, ("pretrained", "random"))
    backbone = torch_module(
        module,
        name,
        _preprocessing_of(module) | given,
        output_kind,
        weights=file,
        sha256=sha256,
        key=key,
        cam_layer=cam_layer,
        cam_layout=cam_layout,
        feature_layer=feature_layer,
    )
    backbone.citation = timm_citation(name)
    return backbone


def torch_module(
    module: nn.Module,
    name: str,
    preprocessing: Mapping[str, Any],
    output_kind: str,
    *,
    weights: str | None = None,
    sha256: str | None = None,
    key: str | None = None,
    cam_layer: str | None = AUTO,
    cam_layout: str | Mapping[str, Any] = AUTO,
    feature_layer: str | None = None,
) -> Backbone:
    """Any torch module: inputs (B, C, H, W) to outputs (B, K).

    Args:
        module: The network.
        name: In tables.
        preprocessing: Settings of `Preprocessing`.
        output_kind: What the outputs are.
        weights: Checkpoint file; None: the module has its weights already.
        sha256: The sha256 of the checkpoint file, if it is to be verified.
        key: Which entry of the checkpoint file (see `bench.backbones.checkpoint.read_state`).
        cam_layer: A submodule, `auto` (see `LayerTrace.find`) or None.
        cam_layout: See `Backbone`.
        feature_layer: A submodule or None.

    Returns:
        The module in eval mode with frozen parameters.

    Raises:
        BenchError: It is no module, its outputs are not (B, K), the weights do not fit, or no maps
            can be taken from the CAM layer that is named.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))
        >>> prepared = {"size": 8, "mean": (127.5,) * 3, "std": (127.5,) * 3}
        >>> network = torch_module(net, "tiny", prepared, "logits")
        >>> network.num_classes, network.cam_layer
        (5, '0')
    """
    if not isinstance(module, nn.Module):
        raise BenchError(
            f"module: expected a torch.nn.Module, found {type(module).__name__}: give "
            "backbone.module._target_ the dotted path of its class"
        )
    digest = None
    if weights is not None:
        digest = load_file(module, Path(weights).expanduser(), name, sha256=sha256, key=key)
    elif sha256 is not None or key is not None:
        setting = "key" if sha256 is None else "sha256"
        raise BenchError(f"{setting}: expected weights=FILE beside it, found none")
    backbone = Backbone(
        name=name,
        module=module,
        preprocessing=Preprocessing(**preprocessing),
        output_kind=output_kind,
        cam_layer=None if cam_layer == AUTO else cam_layer,
        cam_layout=cam_layout,
        feature_layer=feature_layer,
        file_sha256=digest,
    )
    backbone.settle_cam_layer(cam_layer, convolutions(module))
    return backbone


@contextmanager
def seeded() -> Iterator[None]:
    """Random weights that are made in a `with` block are the same each time.

    Example:
        >>> from torch import nn
        >>> with seeded():
        ...     first = nn.Linear(2, 2)
        >>> with seeded():
        ...     second = nn.Linear(2, 2)
        >>> torch.equal(first.weight, second.weight)
        True
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def checkpoint_file(weights: str, words: Sequence[str]) -> str | None:
    """The checkpoint file that `weights=` names; None if it is one of the words.

    Args:
        weights: What the user says.
        words: What else it may be.

    Returns:
        The file's path, `~` expanded.

    Raises:
        BenchError: It is neither.

    Example:
        >>> from pathlib import Path
        >>> Path("mine.pth").touch()
        >>> words = ["pretrained", "random"]
        >>> checkpoint_file("mine.pth", words), checkpoint_file("random", words)
        ('mine.pth', None)
    """
    if weights in words:
        return None
    path = Path(weights).expanduser()
    if not path.exists():
        raise BenchError(
            f"weights: '{weights}' is missing: expected {', '.join(words)} or a checkpoint file"
        )
    return str(path)


def timm_citation(name: str) -> str:
    """Whom a network of timm cites.

    Args:
        name: As timm lists it.

    Example:
        >>> timm_citation("resnet18.a1_in1k").partition(";")[0]
        'He et al. 2016, arXiv 1512.03385'
    """
    is_resnet = re.match(r"resnet\d+(\.|$)", name)  # what follows is a tag of weights
    return f"{_RESNET}; {_TIMM}" if is_resnet else _TIMM


def _preprocessing_of(module: nn.Module) -> dict[str, Any]:
    """The settings of `Preprocessing` that a network of timm was trained with."""
    config = resolve_model_data_config(module)
    return {
        "size": config["input_size"][1],
        "mean": tuple(255 * value for value in config["mean"]),
        "std": tuple(255 * value for value in config["std"]),
    }


def _create(name: str, pretrained: bool, num_classes: int | None) -> nn.Module:
    try:
        if pretrained:
            require_timm_cached(name)
        return timm.create_model(name, pretrained=pretrained, num_classes=num_classes)
    except (RuntimeError, OSError) as error:  # timm and the hub raise many kinds of these two
        reason = " ".join(str(error).split())[:200]
        raise BenchError(
            f"timm cannot make '{name}' {'with its own' if pretrained else 'without'} weights: "
            f"{reason}; backbone.weights=FILE takes a checkpoint that you have"
        ) from None
