"""What users have in notebooks as networks: torch modules, and names."""

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import nn

from bench.backbones.backbone import AUTO, Backbone, Preprocessing, convolutions
from bench.backbones.bare import BareModel, is_training
from bench.backbones.given import GivenInputs
from bench.backbones.naming import settings_of
from bench.backbones.network import device_of
from bench.config.building import build
from bench.config.by_name import component
from bench.config.choices import choices
from bench.errors import BenchError, require_known, require_number, require_text
from bench.notebook.data import Given
from bench.notebook.fingerprint import NotIdentifiedError, code_of, fingerprint
from bench.notebook.packages import is_ours

Colours = float | tuple[float, ...] | list[float]
"""A number, or one a channel."""


_AS_LOADED: WeakKeyDictionary[Backbone, str] = WeakKeyDictionary()
"""What `load_backbone` gave does, by its hash: so that a user's change to it is seen."""


@dataclass(frozen=True)
class NetworkSettings:
    """What a user says of a torch module.

    Attributes:
        name: In tables; None: its class's.
        output_kind: One of `bench.score.OUTPUT_KINDS`.
        preprocessing: How photos become its inputs, or settings of that.
        mean: That was taken off inputs in 0..1, as torchvision's `Normalize` takes it.
        std: That they were divided by.
        cam_layer: A submodule, `auto` or None.
        cam_layout: See `bench.backbones.backbone.Backbone`.
        feature_layer: A submodule or None.

    Example:
        >>> from torch import nn
        >>> from bench.notebook.data import as_data
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval()
        >>> settings = NetworkSettings(name="tiny", mean=0.5, std=0.25)
        >>> with as_network(net, as_data(torch.rand(2, 3, 8, 8)), settings) as network:
        ...     print(network.name, network.preprocessing.mean)
        tiny (127.5, 127.5, 127.5)
    """

    name: str | None = None
    output_kind: str = "logits"
    preprocessing: Preprocessing | Mapping[str, Any] | None = None
    mean: Colours | None = None
    std: Colours | None = None
    cam_layer: str | None = AUTO
    cam_layout: str | Mapping[str, Any] = AUTO
    feature_layer: str | None = None


def load_backbone(name: str, /, **settings: Any) -> Backbone:
    """A shipped network, or one of timm or torchvision, for `bench.explain` and `bench.evaluate`.

    Args:
        name: One of `bench list backbones`, or what a library calls a network, as `resnet50` or
            `vit_small_patch16_224`: then the library's weights are loaded.
        **settings: Of its file in `conf/backbone`, as `weights="random"`, `cam_layer="layer4"`,
            `preprocessing={"size": 256}`.

    Returns:
        Inputs (B, C, H, W) to outputs (B, K), in eval mode with frozen parameters.

    Raises:
        BenchError: The name or a setting is unknown, or the weights cannot be had.

    Example:
        >>> load_backbone("resnet18", weights="random").num_classes
        1000
    """
    require_text("model", name)
    known = choices("backbone")
    if name not in known:
        choice, _, of_library = (settings_of(name) or "").partition(" ")
        if not of_library:
            require_known("model", name, known)
        key, _, value = of_library.removeprefix("backbone.").partition("=")
        if key != "name":
            raise BenchError(f"model: '{name}' is a class: give an object of it, in eval mode")
        settings = {"name": value, "weights": "pretrained", **settings}
        name = choice
    network: Backbone = build(component("backbone", name, settings))
    _AS_LOADED[network] = _state(network)
    return network


@contextmanager
def as_network(model: Any, given: Given, settings: NetworkSettings) -> Iterator[Backbone]:
    """A network of what a user gave, for the time of a `with` block.

    Args:
        model: A torch module in eval mode, a `Backbone`, or a name for `load_backbone`.
        given: What it will be asked about.
        settings: What the user says of a module; of others nothing may be said.

    Yields:
        The network, which takes what the data set reads. A module is afterwards as it was.

    Raises:
        BenchError: It is none of these, or does not go with the data.

    Example:
        >>> from torch import nn
        >>> from bench.notebook.data import as_data
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)).eval()
        >>> with as_network(net, as_data(torch.rand(2, 3, 8, 8)), NetworkSettings()) as network:
        ...     print(network.name, network.num_classes, network.cam_layer)
        Sequential 5 0
        >>> net[0].weight.requires_grad  # as it was
        True
    """
    if isinstance(model, str):
        model = load_backbone(model)
    if isinstance(model, Backbone):
        if settings != NetworkSettings():
            raise BenchError(
                "model: a backbone has its settings: give them to bench.load_backbone, as "
                "bench.load_backbone(name, cam_layer=...)"
            )
        if is_training(model.module):
            raise BenchError("model: expected it in eval mode; call model.module.eval() first")
        with _left_as_it_was(model.module), _known_by_code(model), _taking(model, given):
            yield model
        return
    bare = BareModel(model, settings.output_kind)
    preprocessing = _preprocessing(given, settings)
    if given.shape is not None:
        first = preprocessing([given.dataset.samples[0].read()])
        with torch.no_grad():
            bare.outputs(first.to(bare.device))
    with _left_as_it_was(model):
        code = code_of(f"model {type(model).__name__}", _without_ours(model, preprocessing))
        backbone = Backbone(
            settings.name or type(model).__name__,
            model,
            preprocessing,
            settings.output_kind,
            cam_layer=None if settings.cam_layer == AUTO else settings.cam_layer,
            cam_layout=settings.cam_layout,
            feature_layer=settings.feature_layer,
        )
        backbone.code = code
        if isinstance(model, torch.jit.ScriptModule) and settings.cam_layer == AUTO:
            backbone.no_cam_layer = "TorchScript takes no hooks"
        else:
            backbone.settle_cam_layer(settings.cam_layer, convolutions(model))
        yield backbone


def home_of(backbone: Backbone) -> torch.device:
    """Where a network lives; one without parameters on the CPU.

    Args:
        backbone: The network.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> prepared = Preprocessing(8, mean=(0.0,) * 3, std=(1.0,) * 3)
        >>> home_of(Backbone("flat", nn.Flatten(), prepared, "logits"))
        device(type='cpu')
    """
    return device_of(backbone.module) or torch.device("cpu")


@contextmanager
def _known_by_code(backbone: Backbone) -> Iterator[None]:
    """A backbone that is not as `load_backbone` gave it is known by its code, too, for a while."""
    before = backbone.code
    if _AS_LOADED.get(backbone) != _state(backbone):
        backbone.code = code_of(f"backbone '{backbone.name}'", _code(backbone))
    try:
        yield
    finally:
        backbone.code = before


def _state(backbone: Backbone) -> str:
    """A hash over what a backbone does; nothing if that cannot be told."""
    try:
        return fingerprint(_code(backbone))
    except NotIdentifiedError:
        return ""


def _code(backbone: Backbone) -> list[Any]:
    """What decides a backbone's outputs beside the settings that its identity has."""
    return [type(backbone), _without_ours(backbone.module, backbone.preprocessing)]


def _without_ours(module: nn.Module, preprocessing: Preprocessing) -> Any:
    """A module, and a preprocessing if a user wrote it: fields are all that others differ in."""
    return module if is_ours(type(preprocessing).__module__) else [module, preprocessing]


@contextmanager
def _taking(backbone: Backbone, given: Given) -> Iterator[None]:
    """A backbone takes photos, or for a while inputs that were made for it."""
    made = backbone.preprocessing
    if given.shape is None:
        yield
        return
    expected = (made.channels, *made.shape)
    if given.shape != expected:
        raise BenchError(
            f"data: expected inputs {expected} of backbone '{backbone.name}', found {given.shape}"
        )
    backbone.preprocessing = GivenInputs(
        size=made.size, mean=made.mean, std=made.std, channel_order=made.channel_order
    )
    try:
        yield
    finally:
        backbone.preprocessing = made


def _preprocessing(given: Given, settings: NetworkSettings) -> Preprocessing:
    """How what the data set reads becomes inputs of a module."""
    said = settings.preprocessing
    if given.shape is None:
        if said is None:
            raise BenchError(
                "preprocessing: the data are photos, so say how the model gets them, as "
                "preprocessing={'size': 224, 'mean': [123.675, 116.28, 103.53], "
                "'std': [58.395, 57.12, 57.375]} (RGB in 0..255)"
            )
        return said if isinstance(said, Preprocessing) else _made(said)
    if said is not None:
        raise BenchError("preprocessing: the data are inputs already; expected none, or photos")
    channels, *size = given.shape
    if channels not in (1, 3):
        mend = "for maps that you have a function does it (docs/how-to/notebooks.md)"
        if size[1] in (1, 3):
            mend = "are they (N, H, W, C)? give x.permute(0, 3, 1, 2)"
        raise BenchError(f"data: expected inputs of 1 or 3 channels, found {channels}: {mend}")
    if (settings.mean is None) != (settings.std is None):
        raise BenchError("mean, std: expected both or neither")
    if settings.mean is not None and settings.std is not None:
        mean = _of_channels("mean", settings.mean, channels)
        std = _of_channels("std", settings.std, channels)
        return GivenInputs(size=(size[0], size[1]), mean=mean, std=std)
    low, high = given.values
    return GivenInputs(
        size=(size[0], size[1]),
        mean=(0.0,) * channels,
        std=(1.0,) * channels,
        shown=(low, high if high > low else low + 1),
    )


def _made(settings: Mapping[str, Any]) -> Preprocessing:
    known = Preprocessing.__dataclass_fields__
    for key in settings:
        require_known(f"preprocessing.{key}", key, known)
    missing = [key for key in ("size", "mean", "std") if key not in settings]
    if missing:
        raise BenchError(f"preprocessing: expected size, mean and std, found no {missing[0]}")
    return Preprocessing(**settings)


def _of_channels(name: str, values: Colours, channels: int) -> tuple[float, ...]:
    """Numbers in 0..1, one or one a channel, in 0..255, one a channel."""
    several = list(values) if isinstance(values, list | tuple) else [values] * channels
    if len(several) != channels:
        raise BenchError(f"{name}: expected {channels} numbers or one, found {len(several)}")
    for value in several:
        require_number(name, value, -math.inf, math.inf)
    return tuple(255 * float(value) for value in several)


@contextmanager
def _left_as_it_was(module: nn.Module) -> Iterator[None]:
    """Puts back what makes a module a backbone: frozen parameters, memory format, device."""
    needed = {name: each.requires_grad for name, each in module.named_parameters()}
    are_plain = all(each.is_contiguous() for each in module.parameters())
    home = device_of(module)
    try:
        yield
    finally:
        for name, parameter in module.named_parameters():
            parameter.requires_grad_(needed.get(name, parameter.requires_grad))
        if device_of(module) != home:
            module.to(home)
        if are_plain:
            module.to(memory_format=torch.contiguous_format)
