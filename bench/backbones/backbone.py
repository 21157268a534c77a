"""The backbone contract: a frozen network, its preprocessing, and what its outputs are."""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bench.backbones.cam_layer import LayerTrace
from bench.backbones.layout import AUTO, Layout, LayoutReader, layout_setting
from bench.backbones.network import device_of, first_call, float_dtype, require_outputs
from bench.errors import BenchError, require_integer, require_known, require_number
from bench.score import OUTPUT_KINDS, class_kind, class_outputs

PRECISIONS = ("fp32", "tf32", "bf16")
"""What networks may compute in."""


def _cv2_resize(
    image: NDArray[np.uint8], size: tuple[int, int], interpolation: int
) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, size, interpolation=interpolation), np.uint8)


def _pil_resize(
    image: NDArray[np.uint8], size: tuple[int, int], filter_: Image.Resampling
) -> NDArray[np.uint8]:
    return np.asarray(Image.fromarray(image).resize(size, filter_))


RESIZES: dict[str, Callable[[NDArray[np.uint8], tuple[int, int]], NDArray[np.uint8]]] = {
    "cv2_linear": partial(_cv2_resize, interpolation=cv2.INTER_LINEAR),
    "cv2_cubic": partial(_cv2_resize, interpolation=cv2.INTER_CUBIC),
    "cv2_area": partial(_cv2_resize, interpolation=cv2.INTER_AREA),
    "pil_bilinear": partial(_pil_resize, filter_=Image.Resampling.BILINEAR),
    "pil_bicubic": partial(_pil_resize, filter_=Image.Resampling.BICUBIC),
}
"""Ways to resize uint8 images to (width, height); Pillow's filters have an antialias."""


@dataclass(frozen=True)
class Preprocessing:
    """RGB images to model inputs: resize, then (pixel - mean) / std.

    By default straight to the input's size by `cv2.resize` with INTER_LINEAR: no crop, no
    antialias, the aspect ratio is not kept. The published numbers were made this way.

    Attributes:
        size: Of the input in pixels: its side, or its height and width.
        mean: The mean of red, green, blue, in units of 0..255. One number makes inputs of one
            channel, the luminance 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601).
        std: The standard deviation of red, green, blue, in units of 0..255, or one number.
        channel_order: `rgb` or `bgr`: the order of the input's channels.
        resize: A key of `RESIZES`.
        crop: If given, the aspect ratio is kept: the image is resized until it covers
            round(side / crop) pixels of each side, of a square so that its shorter side has that
            many, and the centre of that is taken. ImageNet's usual value is 0.875.

    Example:
        >>> grey = Preprocessing(size=(28, 20), mean=(0,), std=(255,))
        >>> grey([np.full((40, 40, 3), 51, np.uint8)]).shape
        torch.Size([1, 1, 28, 20])
    """

    size: int | tuple[int, int]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    channel_order: str = "rgb"
    resize: str = "cv2_linear"
    crop: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "size", _square_or_shape("size", self.size))
        for name in ("mean", "std"):
            object.__setattr__(self, name, _of_channels(name, getattr(self, name)))
        if len(self.mean) != len(self.std):
            raise BenchError(
                f"std: expected as many numbers as mean has, {len(self.mean)}, found "
                f"{len(self.std)}: three for an input of three channels, one for a grey one"
            )
        if min(map(abs, self.std)) == 0:
            raise BenchError(f"std: expected no zero, found {self.std}")
        require_known("channel_order", self.channel_order, ("rgb", "bgr"))
        if self.channel_order == "bgr" and self.channels == 1:
            raise BenchError("channel_order: expected rgb where mean is one number, found bgr")
        require_known("resize", self.resize, RESIZES)
        if self.crop is not None:
            require_number("crop", self.crop, 0.01, 1)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the input in pixels."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def channels(self) -> int:
        """C: 3, or 1 for a grey input."""
        return len(self.mean)

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Prepares a batch on the CPU.

        Args:
            images: RGB uint8, each (height, width, 3), of any and differing sizes.

        Returns:
            (B, C, H, W) float32 in channels-last memory order.
        """
        pixels = torch.from_numpy(np.stack([self.to_size(image) for image in images])).float()
        return self.to_input(pixels).permute(0, 3, 1, 2)

    def to_size(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Resizes, and crops if asked to: an image (height, width, 3) to (H, W, 3)."""
        (height, width), (top, left) = self._geometry(image.shape[:2])
        resized = RESIZES[self.resize](image, (width, height))
        rows, columns = self.shape
        return resized[top : top + rows, left : left + columns]

    def to_photo(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """What people, and methods that look at photos, see of what a data set reads: itself."""
        return image

    def to_input_boxes(
        self, boxes: NDArray[np.float64], size: tuple[int, int]
    ) -> NDArray[np.float64]:
        """Boxes in an image to where its pixels lie in the input, which they may reach beyond.

        Args:
            boxes: (N, 4) left, top, right, bottom in pixels of the image; right and bottom are the
                edges behind the last pixel.
            size: Height and width of the image.

        Returns:
            (N, 4) float64 in pixels of the input.

        Example:
            >>> half = Preprocessing(size=(4, 8), mean=(0,), std=(255,))
            >>> half.to_input_boxes(np.array([[2.0, 2.0, 10.0, 8.0]]), (8, 16)).tolist()
            [[1.0, 1.0, 5.0, 4.0]]
        """
        (height, width), (top, left) = self._geometry(size)
        scale = np.array([width / size[1], height / size[0]] * 2)
        return np.asarray(boxes, np.float64).reshape(-1, 4) * scale - [left, top, left, top]

    def to_input_mask(self, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """A mask of an image to one of the input: that of the pixel under each pixel's centre.

        Args:
            mask: (height, width) bool.

        Returns:
            (H, W) bool.
        """
        resized, starts = self._geometry(mask.shape)
        rows, columns = (
            ((np.arange(side) + start + 0.5) * found // full).astype(np.intp)
            for side, start, found, full in zip(
                self.shape, starts, mask.shape, resized, strict=True
            )
        )
        return mask[np.ix_(rows, columns)]

    def _geometry(self, size: Sequence[int]) -> tuple[tuple[int, int], tuple[int, int]]:
        """Height and width that an image is resized to, and what is cut off at top and left."""
        if self.crop is None:
            return self.shape, (0, 0)
        scale = max(
            round(side / self.crop) / found for side, found in zip(self.shape, size, strict=True)
        )
        height, width = round(size[0] * scale), round(size[1] * scale)
        return (height, width), ((height - self.shape[0]) // 2, (width - self.shape[1]) // 2)

    def to_input(self, rgb: Tensor) -> Tensor:
        """Returns the input values (..., C) of colours (..., 3) given as RGB in 0..255."""
        values = _luminance(rgb) if self.channels == 1 else rgb
        values = (values - torch.tensor(self.mean)) / torch.tensor(self.std)
        return values.flip(-1) if self.channel_order == "bgr" else values

    def to_rgb(self, x: Tensor) -> Tensor:
        """Returns the RGB values (..., 3) in 0..255 of inputs (..., C).

        The inverse of `to_input`, but for colours that a grey input does not hold.
        """
        x = x.flip(-1) if self.channel_order == "bgr" else x
        rgb = x * torch.tensor(self.std).to(x) + torch.tensor(self.mean).to(x)
        return rgb.expand(*rgb.shape[:-1], 3)


def height_and_width(name: str, given: int | Sequence[int]) -> tuple[int, int]:
    """Both sides, of a number for a square, or of two.

    Args:
        name: The setting, for messages.
        given: What a user gave.

    Returns:
        Height and width in pixels.

    Raises:
        BenchError: They are neither.

    Example:
        >>> height_and_width("img_size", 224), height_and_width("img_size", [112, 96])
        ((224, 224), (112, 96))
    """
    sides: Sequence[Any] = given if isinstance(given, list | tuple) else [given] * 2
    if len(sides) != 2:
        raise BenchError(f"{name}: expected a side, or height and width, found {list(sides)}")
    for side in sides:
        require_integer(name, side, 1)
    return sides[0], sides[1]


def _square_or_shape(name: str, given: int | Sequence[int]) -> int | tuple[int, int]:
    """Of a square the side, however it was given, so that one size has one hash."""
    height, width = height_and_width(name, given)
    return height if height == width else (height, width)


def _of_channels(name: str, given: Any) -> tuple[float, ...]:
    """A number for each channel."""
    values = [given] if isinstance(given, int | float) else given
    if isinstance(values, str) or not isinstance(values, Sequence) or len(values) not in (1, 3):
        raise BenchError(f"{name}: expected three numbers, or one for grey inputs, found {given!r}")
    for value in values:
        require_number(name, value, -math.inf, math.inf)
    return tuple(map(float, values))


def _luminance(rgb: Tensor) -> Tensor:
    """RGB (..., 3) to (..., 1); of grey the very value that the three channels have."""
    red, green, blue = rgb.split(1, dim=-1)
    return green + 0.299 * (red - green) + 0.114 * (blue - green)


_CHECKED_LAYERS: WeakKeyDictionary["Backbone", dict[str, Layout]] = WeakKeyDictionary()
"""No attribute: a method's call may add to it, and must leave the backbone as it was."""


class Backbone:
    """A network in eval mode with frozen parameters.

    A network with one output is a binary classifier: its `outputs` are those of classes 0 and 1,
    as `bench.score.class_outputs` makes them.

    Attributes:
        name: Name in tables.
        module: Inputs (B, C, H, W) to outputs (B, K), of any floating point dtype.
        preprocessing: Images to inputs.
        output_kind: What `outputs` are: one of `bench.score.OUTPUT_KINDS`, or `BINARY`.
        num_classes: K; 2 if the network has one output.
        memory_format: The memory format of inputs: channels-last, unless the network cannot take
            that. One pass of a blank image decides.
        dtype: What the network computes in.
        cam_layer: Name of the submodule whose output class activation maps use, or None.
        cam_layout: How that output holds maps: `auto`, which reads it off the network, or what
            `bench.backbones.layout.layout_setting` takes.
        no_cam_layer: Why `auto` found no such submodule, where it did not.
        feature_layer: Name of the submodule whose output `features` gives, or None.
        file_sha256: Hash over the checkpoint file that the weights come from, or None.
        enrolled: Hashes of the images that its class vectors were made of
            (`reading.pixels_sha256`); empty if they came from a checkpoint.
        class_names: Name of each class as the enrolled images have them, or None.
        precision: `fp32`, `tf32` or `bf16`; see `set_speed`.
        citation: Where it comes from, as "Author et al. 2020, arXiv 2001.00001".
        code: Hash over what its code does, where weights and settings do not tell that; or None.

    Args:
        name: Name in tables.
        module: Is put into eval mode, its parameters are frozen, and its memory format may change.
        preprocessing: Makes the blank image of the pass that is tried.
        output_kind: One of `bench.score.OUTPUT_KINDS`.
        num_classes: How many outputs are expected; None: as many as there are.
        cam_layer: A submodule, or None.
        cam_layout: How its output holds maps.
        feature_layer: A submodule, or None.
        file_sha256: Of the checkpoint file, or None.

    Raises:
        BenchError: The output kind or a submodule is unknown, the network fails on a blank image,
            or its outputs are not (B, K) with the expected K.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5))
        >>> prepared = Preprocessing(size=8, mean=(127.5,) * 3, std=(127.5,) * 3)
        >>> network = Backbone("tiny", net, prepared, "logits", cam_layer="0")
        >>> x = network.preprocess([np.zeros((20, 30, 3), np.uint8)])
        >>> x.shape, network.outputs(x).shape, network.num_classes
        (torch.Size([1, 3, 8, 8]), torch.Size([1, 5]), 5)
    """

    citation: str = ""
    code: str | None = None

    def __init__(
        self,
        name: str,
        module: nn.Module,
        preprocessing: Preprocessing,
        output_kind: str,
        num_classes: int | None = None,
        *,
        cam_layer: str | None = None,
        cam_layout: str | Mapping[str, Any] = AUTO,
        feature_layer: str | None = None,
        file_sha256: str | None = None,
    ) -> None:
        require_known("backbone.output_kind", output_kind, OUTPUT_KINDS)
        submodules = _submodule_names(module)
        for key, layer in (("cam_layer", cam_layer), ("feature_layer", feature_layer)):
            if layer is not None:
                require_known(f"backbone.{key}", layer, submodules)
        self.name = name
        self.module = module
        with suppress(NotImplementedError):  # torch.export has fixed the mode
            module.eval()
        for parameter in module.parameters():  # TorchScript has no requires_grad_ of modules
            parameter.requires_grad_(False)
        self.preprocessing = preprocessing
        self.dtype = float_dtype(module)
        self.module.to(memory_format=torch.contiguous_format)  # else the plain format is not tried
        self.memory_format, num_outputs = self._try()
        self.module.to(memory_format=self.memory_format)
        if num_classes not in (None, num_outputs) and not (num_classes, num_outputs) == (2, 1):
            raise BenchError(
                f"backbone '{name}': expected {num_classes} outputs, its num_classes, found "
                f"{num_outputs}"
            )
        self._stated_kind = output_kind
        self.output_kind = class_kind(output_kind, num_outputs)
        self.is_binary = num_outputs == 1
        self.num_classes = max(num_outputs, 2)
        self.cam_layer = cam_layer
        self.cam_layout = cam_layout
        self._layout_setting = layout_setting(cam_layout)
        self.no_cam_layer = ""
        self.feature_layer = feature_layer
        self.file_sha256 = file_sha256
        self.enrolled: frozenset[str] = frozenset()
        self.class_names: list[str] | None = None
        self.precision = "fp32"
        self._compiled: Callable[[Tensor], Tensor] | None = None

    @property
    def notes(self) -> list[str]:
        """What a run has to say of the network, one line each."""
        notes = []
        if self.is_binary:
            notes.append(
                f"Backbone {self.name} has one output: a binary classifier of classes 0 and 1"
            )
        if self.memory_format == torch.contiguous_format:
            notes.append(
                f"Backbone {self.name} cannot take channels-last inputs (it calls view on the "
                "output of a convolution; reshape or flatten could), so it gets plain ones"
            )
        if self.dtype in (torch.float16, torch.bfloat16):
            notes.append(
                f"Backbone {self.name} computes in {str(self.dtype).removeprefix('torch.')}; "
                "scores and curves are float32"
            )
        return notes

    @property
    def is_compiled(self) -> bool:
        """Whether scores come from the compiled network."""
        return self._compiled is not None

    def to(self, device: torch.device) -> "Backbone":
        """Moves the network to a device and returns self."""
        self.module.to(device)
        return self

    def set_speed(self, precision: str, compile: bool) -> "Backbone":
        """Trades exactness for speed, and returns self.

        Args:
            precision: `fp32`; `tf32`, the same with TensorFloat-32 matrix products and
                convolutions on GPUs that have them; `bf16`, bfloat16 autocast. Sets torch's
                process-wide TF32 switches, whose default is not exact.
            compile: Score with the network compiled by torch.compile. Gradients are always taken
                through the network as it is.

        Raises:
            BenchError: The precision is unknown.
        """
        require_known("precision", precision, PRECISIONS)
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        self.precision = precision
        self._compiled = torch.compile(self.module, dynamic=False) if compile else None
        return self

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Images to inputs (B, C, H, W) float32, on the CPU; see `Preprocessing`."""
        return self.preprocessing(images)

    def to_input(self, rgb: Tensor) -> Tensor:
        """RGB in 0..255 (..., 3) to input values (..., C)."""
        return self.preprocessing.to_input(rgb)

    def outputs(self, x: Tensor) -> Tensor:
        """Inputs (B, C, H, W) to outputs (B, K) of kind `output_kind`; differentiable in x.

        They are float32 whatever the network computes in; of a float64 network, float64.
        """
        module: Callable[[Tensor], Tensor] = self.module
        if self._compiled is not None and torch.is_inference_mode_enabled():
            module = self._compiled
        x = self._as_taken(x)
        if self.precision != "bf16":
            return self.as_outputs(module(x))
        with torch.autocast(x.device.type, torch.bfloat16):
            outputs = module(x).float()
        return self.as_outputs(outputs)

    def as_outputs(self, outputs: Tensor) -> Tensor:
        """What the module, or its classifier, gives as outputs (B, K) of kind `output_kind`."""
        return class_outputs(outputs, self._stated_kind)

    def require_feature_layer(self) -> str:
        """Name of the feature layer.

        Raises:
            BenchError: The backbone names none.
        """
        if self.feature_layer is None:
            raise BenchError(
                f"backbone '{self.name}' names no feature layer: set backbone.feature_layer to "
                "one of its submodules"
            )
        return self.feature_layer

    def features(self, x: Tensor) -> Tensor:
        """Inputs (B, C, H, W) to the outputs (B, D) of the feature layer; differentiable in x.

        Raises:
            BenchError: The backbone names no feature layer.
        """
        found: list[Tensor] = []
        layer = self.module.get_submodule(self.require_feature_layer())
        handle = layer.register_forward_hook(lambda *call: found.append(call[2]))
        try:
            with torch.autocast(x.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                self.module(self._as_taken(x))
        finally:
            handle.remove()
        return found[0].flatten(1).float()

    @torch.no_grad()
    def output_shape(self, layer: str) -> tuple[int, ...]:
        """Shape of what a submodule gives for one image, without the batch dimension.

        Args:
            layer: Its name.

        Raises:
            BenchError: A forward pass never calls it.
        """
        found: list[tuple[int, ...]] = []
        module = self.module.get_submodule(layer)
        handle = module.register_forward_hook(lambda *call: found.append(tuple(call[2].shape[1:])))
        try:
            self.module(self._as_taken(self._blank()))
        finally:
            handle.remove()
        if not found:
            raise BenchError(f"backbone '{self.name}': its forward pass never calls '{layer}'")
        return found[0]

    def _blank(self) -> Tensor:
        """One input (1, C, H, W) of zeros, where the network lives."""
        shape = (1, self.preprocessing.channels, *self.preprocessing.shape)
        return torch.zeros(shape, dtype=self.dtype, device=device_of(self.module))

    @torch.no_grad()
    def _try(self) -> tuple[torch.memory_format, int]:
        """The memory format that the network takes, and how many outputs it has."""
        blank = self._blank()
        try:
            memory_format, outputs = first_call(self.module, blank)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a user's network may raise anything
            reason = " ".join(str(error).split())[:300]
            raise BenchError(
                f"backbone '{self.name}': fails on an input {tuple(blank.shape)}, as its "
                f"preprocessing makes it, with {type(error).__name__}: {reason}; check "
                "backbone.preprocessing: size, and mean and std (three numbers each for three "
                "channels, one for one)"
            ) from error
        return memory_format, require_outputs(f"backbone '{self.name}'", outputs, 1).shape[1]

    def _as_taken(self, x: Tensor) -> Tensor:
        """Inputs in the network's dtype and, if it cannot take channels-last, in plain order."""
        x = x.to(self.dtype)
        plain = self.memory_format == torch.contiguous_format
        return x.contiguous() if plain else x

    def settle_cam_layer(self, cam_layer: str | None, convolutions: Sequence[str]) -> None:
        """Finds the CAM layer if it is `auto`, and checks it if it has been named.

        Args:
            cam_layer: A submodule, `auto` or None.
            convolutions: Its convolutions, which `auto` prefers, see `LayerTrace.find`.

        Raises:
            BenchError: Class activation maps cannot be taken from the submodule.
        """
        if cam_layer == AUTO:
            self.cam_layer, self.no_cam_layer = self._trace().find(convolutions)
        elif cam_layer is not None:
            self.layer()

    def _trace(self) -> LayerTrace:
        return LayerTrace(self.module, self._as_taken(self.noise()), self._layout_setting)

    def noise(self) -> Tensor:
        """One input (1, C, H, W), the same each time: of a blank one some gradients are zero."""
        draws = torch.Generator().manual_seed(0)
        blank = self._blank()
        return torch.randn(blank.shape, generator=draws).to(blank)

    def layer(self, name: str | None = None, any_shape: bool = False) -> nn.Module:
        """Returns the CAM layer, or another submodule that maps are to be taken from.

        Args:
            name: The other submodule.
            any_shape: Whether its output may have any shape, because the caller reshapes it.

        Raises:
            BenchError: There is none, or class activation maps cannot be taken from it (see
                `bench.backbones.cam_layer`). The first call for a layer makes a forward pass.
        """
        setting = "backbone.cam_layer" if name is None else "layer"
        name = self.cam_layer if name is None else name
        if name is None:
            reason = f" ({self.no_cam_layer})" if self.no_cam_layer else ""
            raise BenchError(
                f"backbone '{self.name}' names no CAM layer{reason}: set backbone.cam_layer to one "
                "of its submodules, or leave out the CAM methods"
            )
        require_known(setting, name, _submodule_names(self.module))
        if not any_shape:
            self._checked_layout(setting, name)
        return self.module.get_submodule(name)

    def layout(self, name: str | None = None) -> Layout:
        """How the output of the CAM layer, or of another submodule, holds maps.

        Args:
            name: The other submodule.

        Raises:
            BenchError: As `layer` does.
        """
        self.layer(name)
        return _CHECKED_LAYERS[self][name or str(self.cam_layer)]

    def token_layout(self, name: str, tokens: int) -> Layout:
        """Where the tokens lie that a submodule is given.

        Args:
            name: The submodule.
            tokens: How many there are.

        Raises:
            BenchError: The network does not say it, nor does `backbone.cam_layout`.
        """
        height, width = self._blank().shape[-2:]
        reader = LayoutReader(self.module, (height, width), self._layout_setting)
        layout, problem = reader.read(name, (tokens, 1))
        if layout is None:
            raise BenchError(f"backbone '{self.name}': {name} {problem}")
        return layout

    def map_shape(self) -> tuple[int, int, int]:
        """Channels, rows and columns of the CAM layer's maps.

        Raises:
            BenchError: As `layer` does.
        """
        layout = self.layout()
        return layout.map_shape(self.output_shape(str(self.cam_layer)))

    def _checked_layout(self, setting: str, name: str) -> None:
        """Makes sure that a submodule gives maps, and keeps their layout."""
        checked = _CHECKED_LAYERS.setdefault(self, {})
        if name in checked:
            return
        trace = self._trace()
        layout, refusal = trace.layout(name)[0], trace.refusal(name)
        if refusal or layout is None:
            raise BenchError(f"{setting}: no maps can be taken from '{name}': {refusal}")
        checked[name] = layout

    def identity(self) -> dict[str, Any]:
        """What decides the outputs: name, hash over the weights, preprocessing, named layers."""
        extra: dict[str, Any] = {"classes_of_one_output": [0, 1]} if self.is_binary else {}
        if self.cam_layout != AUTO:
            extra["cam_layout"] = self._layout_setting.as_json()
        if self.code is not None:
            extra["code"] = self.code
        return extra | {
            "name": self.name,
            "weights_sha256": state_sha256(self.module),
            "preprocessing": asdict(self.preprocessing),
            "output_kind": self.output_kind,
            "cam_layer": self.cam_layer,
            "feature_layer": self.feature_layer,
        }


def convolutions(module: nn.Module) -> list[str]:
    """Names of the convolutions in the order of registration; Xplique takes the last for CAMs.

    Args:
        module: The network.

    Returns:
        Names as `get_submodule` takes them.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten())
        >>> convolutions(net)
        ['0', '2']
    """
    return [name for name, layer in module.named_modules() if isinstance(layer, nn.Conv2d)]


def _submodule_names(module: nn.Module) -> set[str]:
    """Names of all submodules, as `get_submodule` takes them."""
    return {name for name, _ in module.named_modules() if name}


def state_sha256(module: nn.Module) -> str:
    """Hash over names and values of parameters and buffers, whatever file they came from.

    Args:
        module: The network; it may lie on any device.

    Returns:
        64 hexadecimal digits.

    Example:
        >>> from torch import nn
        >>> net, other = nn.Linear(2, 2), nn.Linear(2, 2)
        >>> state_sha256(net) == state_sha256(other)
        False
        >>> _ = other.load_state_dict(net.state_dict())
        >>> state_sha256(net) == state_sha256(other)
        True
    """
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
