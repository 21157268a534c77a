"""How the output of a layer holds a map: where its channels, rows and columns lie."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from bench.errors import BenchError, require_integer, require_known

AUTO = "auto"
"""As `cam_layer` the last layer that maps can be taken from (see `bench.backbones.cam_layer`): of
convolutional networks the last convolution, as a rule Xplique's choice, of ViTs the first norm of
the last block. As `cam_layout` what the network says."""

KINDS = ("bchw", "bhwc", "tokens")
"""How a layer's maps may lie in its output: batch, channels, rows and columns, or tokens."""
ASK = (
    "set backbone.cam_layout to bchw, bhwc or {kind: tokens, extra: NUMBER, grid: [ROWS, COLUMNS]}"
)
"""What to do where the layout cannot be found."""

_EXTRA_TOKENS = re.compile(r"(^|[._])(cls|class|dist|distillation|reg|register)_tokens?$")
"""How the parameters are named that are put before the tokens of an image."""

_CLASS_TOKEN = re.compile(r"(^|\.)class_embedding$")
"""What CLIP calls its class token, a parameter (D,): open_clip, OpenAI and transformers."""


@dataclass(frozen=True)
class Layout:
    """Where a layer's output holds channels, rows and columns.

    Attributes:
        kind: `bchw`, (B, D, h, w); `bhwc`, (B, h, w, D); or `tokens`, (B, extra + h * w, D), the
            rows of the grid one after the other.
        extra: Leading tokens that stand for no place, as a class token does.
        grid: Rows and columns of the tokens.

    Example:
        >>> import torch
        >>> Layout("tokens", extra=1, grid=(2, 3)).to_maps(torch.zeros(5, 7, 16)).shape
        torch.Size([5, 16, 2, 3])
    """

    kind: str = "bchw"
    extra: int = 0
    grid: tuple[int, int] | None = None

    def to_maps(self, values: Tensor) -> Tensor:
        """A layer's output, or something of its shape, as maps (B, D, h, w)."""
        if self.kind == "bhwc":
            return values.permute(0, 3, 1, 2)
        if self.grid is not None:
            return values[:, self.extra :].transpose(1, 2).unflatten(2, self.grid)
        return values

    def to_output(self, maps: Tensor, values: Tensor) -> Tensor:
        """The inverse of `to_maps`: maps (B, D, h, w) in the place of those in an output.

        Args:
            maps: New maps.
            values: An output (B, ...), whose extra tokens are kept.
        """
        if self.kind == "bhwc":
            return maps.permute(0, 2, 3, 1)
        if self.grid is not None:
            values = values.clone()
            values[:, self.extra :] = maps.flatten(2).transpose(1, 2)
            return values
        return maps

    def map_shape(self, shape: Sequence[int]) -> tuple[int, int, int]:
        """Channels, rows and columns of the maps in an output of this shape for one image."""
        if self.grid is not None:
            return (shape[1], *self.grid)
        first, second, third = shape
        return (third, first, second) if self.kind == "bhwc" else (first, second, third)

    def __str__(self) -> str:
        if self.grid is None:
            return self.kind
        return f"tokens, {self.extra} + {self.grid[0]} x {self.grid[1]}"


@dataclass(frozen=True)
class LayoutSetting:
    """What `backbone.cam_layout` says; what it leaves open is read off the network.

    Attributes:
        kind: One of `KINDS`; None: open.
        extra: See `Layout`.
        grid: See `Layout`.

    Example:
        >>> LayoutSetting("tokens", extra=1).as_json()
        {'kind': 'tokens', 'extra': 1}
    """

    kind: str | None = None
    extra: int | None = None
    grid: tuple[int, int] | None = None

    def as_json(self) -> dict[str, Any]:
        """What is set, for the identity of a network."""
        grid = None if self.grid is None else list(self.grid)
        stated = {"kind": self.kind, "extra": self.extra, "grid": grid}
        return {key: value for key, value in stated.items() if value is not None}


def layout_setting(value: Any) -> LayoutSetting:
    """Reads `backbone.cam_layout`.

    Args:
        value: `auto`, one of `KINDS`, or a mapping with a `kind` and, of tokens, `extra` and
            `grid`.

    Returns:
        What is set; of `auto` nothing is.

    Raises:
        BenchError: It is none of these.

    Example:
        >>> layout_setting("auto"), layout_setting("bhwc").kind
        (LayoutSetting(kind=None, extra=None, grid=None), 'bhwc')
        >>> layout_setting({"kind": "tokens", "extra": 1, "grid": [14, 14]}).grid
        (14, 14)
    """
    name = "backbone.cam_layout"
    if value == AUTO:
        return LayoutSetting()
    if isinstance(value, str):
        require_known(name, value, (AUTO, *KINDS))
        return LayoutSetting(value)
    if not isinstance(value, Mapping) or "kind" not in value:
        raise BenchError(
            f"{name}: expected auto, {', '.join(KINDS)} or {{kind: tokens, extra: 1, grid: "
            f"[14, 14]}}, found {value!r}"
        )
    for key in value:
        require_known(name, str(key), ("kind", "extra", "grid"))
    require_known(f"{name}.kind", value["kind"], KINDS)
    extra, grid = value.get("extra"), value.get("grid")
    if value["kind"] != "tokens" and (extra, grid) != (None, None):
        raise BenchError(f"{name}: {value['kind']} has neither extra nor grid: only tokens do")
    if extra is not None:
        require_integer(f"{name}.extra", extra, 0)
    if grid is None:
        return LayoutSetting(value["kind"], extra)
    if isinstance(grid, str) or not isinstance(grid, Sequence) or len(grid) != 2:
        raise BenchError(f"{name}.grid: expected rows and columns, found {grid!r}")
    for side in grid:
        require_integer(f"{name}.grid", side, 1)
    return LayoutSetting(value["kind"], extra, (grid[0], grid[1]))


class LayoutReader:
    """Reads layouts off a network.

    Args:
        network: Its modules say how many extra tokens there are, and how fine the grid is.
        size: Height and width of the input.
        setting: What the user says.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.Linear(6, 6))
        >>> reader = LayoutReader(net, size=(8, 8))
        >>> reader.read("0", (16, 6, 6))  # channels first, as of every convolution
        (Layout(kind='bchw', extra=0, grid=None), '')
        >>> reader.read("1", (6, 6, 16))[0].kind  # a linear layer has its channels last
        'bhwc'
    """

    def __init__(
        self, network: nn.Module, size: tuple[int, int], setting: LayoutSetting | None = None
    ) -> None:
        self._network = network
        self._size = size
        self._setting = setting or LayoutSetting()

    def read(self, name: str, shape: tuple[int, ...] | None) -> tuple[Layout | None, str]:
        """The layout of a layer's output.

        Args:
            name: The layer.
            shape: Of its output for one image; None if that is no single tensor.

        Returns:
            The layout and nothing; or None and the reason.
        """
        if shape is None:
            return None, "gives no single tensor"
        gives, kind = f"gives {shape} for one image", self._setting.kind
        if (kind or "tokens") == "tokens" and len(shape) == 2:
            return self._tokens(name, shape, gives)
        if len(shape) != 3 or kind == "tokens":
            return None, f"{gives}: {_expected(kind)}"
        layer = self._network.get_submodule(name)
        known = _kind_of(layer, shape)
        if kind and known and kind != known:
            return None, f"{gives}, {known} as a {type(layer).__name__} does, and not {kind}"
        kind = kind or self._spatial_kind(layer, shape)
        if kind is None:
            return None, f"{gives}, whose layout the network does not say: {ASK}"
        layout = Layout(kind)
        if min(layout.map_shape(shape)[1:]) < 2:
            return None, f"{gives}: {_expected(kind)}"
        return layout, ""

    def _spatial_kind(self, layer: nn.Module, shape: tuple[int, ...]) -> str | None:
        """`bchw` or `bhwc`, by what the layer is or, where that leaves it open, by the shape."""
        kind = _kind_of(layer, shape)
        if kind is not None:
            return kind
        first, last = self._is_grid(shape[1:]), self._is_grid(shape[:2])
        if first and last:
            says = str(getattr(self._network, "output_fmt", "NCHW"))
            return "bhwc" if says.endswith("NHWC") else "bchw"
        return "bchw" if first else "bhwc" if last else None

    def _is_grid(self, sides: Sequence[int]) -> bool:
        """Whether rows and columns are as many as the input's sides divided by one stride."""
        height, width = self._size
        rows, columns = sides
        if height == width:
            return rows == columns
        slack = max(height, width) / min(height, width)  # of rounding at every stride
        return abs(rows * width / height - columns) <= slack

    def _tokens(self, name: str, shape: tuple[int, ...], gives: str) -> tuple[Layout | None, str]:
        count = shape[0]
        if count < 4:
            return None, f"{gives}: {_expected(None)}"
        setting, ancestors = self._setting, list(self._ancestors(name))
        extras = [setting.extra] if setting.extra is not None else _extra_tokens(ancestors)
        grids = [setting.grid] if setting.grid is not None else self._grids(ancestors)
        if setting.extra is None and setting.grid is not None:
            extras = [count - math.prod(setting.grid)]
        fitting = {
            (extra, grid)
            for extra in extras
            for grid in grids
            if extra >= 0 and min(grid) > 1 and extra + math.prod(grid) == count
        }
        if len(fitting) == 1:
            return Layout("tokens", *fitting.pop()), ""
        if setting.grid is not None:
            rows, columns = setting.grid
            return None, (
                f"{gives}: expected {setting.extra or 0} + {rows} x {columns} tokens, as "
                "backbone.cam_layout says"
            )
        return None, f"{gives}, tokens whose grid the network does not say: {ASK}"

    def _ancestors(self, name: str) -> Iterator[nn.Module]:
        """The modules that a layer is a part of, from the nearest to the whole network."""
        parts = name.split(".")
        for length in range(len(parts) - 1, -1, -1):
            yield self._network.get_submodule(".".join(parts[:length]))

    def _grids(self, ancestors: Sequence[nn.Module]) -> list[tuple[int, int]]:
        """Grids of tokens that the network may have somewhere, as far as its attributes say."""
        found: set[tuple[int, int]] = set()
        for module in ancestors:
            grid = getattr(getattr(module, "patch_embed", None), "grid_size", None)
            if isinstance(grid, tuple) and len(grid) == 2:
                found.add((int(grid[0]), int(grid[1])))
            strides = _strides(module)
            found |= {self._divided(stride, math.floor) for stride in strides}
            found |= {self._divided(stride, math.ceil) for stride in strides}
            if strides and hasattr(module, "unroll"):
                # Hiera orders tokens by its windows until its last stage.
                return [self._divided(max(strides), math.floor)]
        return list(found)

    def _divided(self, stride: tuple[int, int], rounded: Any) -> tuple[int, int]:
        return rounded(self._size[0] / stride[0]), rounded(self._size[1] / stride[1])


def _kind_of(layer: nn.Module, shape: tuple[int, ...]) -> str | None:
    """What a layer that knows its channels says of its output."""
    if isinstance(layer, nn.Linear):
        return "bhwc"
    if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm):
        return "bchw"
    channels = getattr(layer, "normalized_shape", None)
    if isinstance(layer, nn.LayerNorm) and channels is not None and len(channels) == 1:
        is_first, is_last = shape[0] == channels[0], shape[2] == channels[0]
        if is_first != is_last:
            return "bchw" if is_first else "bhwc"
    return None


def _extra_tokens(ancestors: Sequence[nn.Module]) -> list[int]:
    """How many leading tokens stand for no place: none, or as many as the network says."""
    for module in ancestors:
        number = getattr(module, "num_prefix_tokens", None)
        if isinstance(number, int) and hasattr(module, "patch_embed"):
            return [0, number]
    named = list(ancestors[-1].named_parameters())
    tokens = [p.shape[-2] for name, p in named if _EXTRA_TOKENS.search(name) and p.ndim > 1]
    tokens += [1 for name, p in named if _CLASS_TOKEN.search(name) and p.ndim == 1]
    return [0, sum(tokens)]


def _strides(module: nn.Module) -> set[tuple[int, int]]:
    """Pixels from one token to the next, at each stage that a network tells of."""
    stages = getattr(module, "feature_info", None)
    found = [stage.get("reduction") for stage in stages] if isinstance(stages, list) else []
    found.append(getattr(module, "patch_size", None))
    found.append(getattr(getattr(module, "config", None), "patch_size", None))
    pairs = {
        value if isinstance(value, tuple | list) else (value, value) for value in map(_plain, found)
    }
    return {(a, b) for a, b in pairs if isinstance(a, int) and isinstance(b, int) and min(a, b) > 0}


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(value) if len(value) == 2 else None
    return value


def _expected(kind: str | None) -> str:
    if kind == "tokens":
        return "expected (tokens, channels)"
    axes = "(height, width, channels)" if kind == "bhwc" else "(channels, height, width)"
    return f"expected {axes} with height and width above 1"
