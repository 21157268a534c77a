"""Keras layers in PyTorch: a table from Keras's class name to what builds the layer.

Tensors of rank 4 are (B, C, H, W) here and (B, H, W, C) in Keras; all others are alike. What each
layer computes was checked against Keras 2.15 and 3.15 (scripts/oracle/backbones.py).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial, reduce
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from bench.errors import BenchError, require_known

Pair = tuple[int, int]
"""Two numbers, of height and width."""


class Layer:
    """A layer as a file holds it: settings and arrays, each to be read by its name.

    `finish` refuses what nobody has read: a setting that we do not know, or an array that is left
    over, might change what the layer computes.

    Attributes:
        name: As in Keras.
        kind: Keras's class name.

    Args:
        config: The layer's `config`.
        arrays: Its weights by their last name, such as `kernel`.

    Raises:
        BenchError: The layer computes in a precision that we do not have.

    Example:
        >>> layer = Layer("conv", "Conv2D", {"kernel_size": 3, "filters": 8, "groups": 2}, {})
        >>> layer.pair("kernel_size"), layer.require("filters"), layer.read("use_bias", True)
        ((3, 3), 8, True)
        >>> layer.finish()  # nobody has read `groups`
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: layer 'conv' (Conv2D): setting groups=2 is not supported
    """

    _HARMLESS = ("name", "trainable", "dtype", "batch_input_shape", "batch_shape")
    _HARMLESS_ENDINGS = ("_initializer", "_regularizer", "_constraint")

    def __init__(
        self,
        name: str,
        kind: str,
        config: Mapping[str, Any],
        arrays: Mapping[str, NDArray[np.generic]],
    ) -> None:
        self.name = name
        self.kind = kind
        self._config = dict(config)
        self._arrays = dict(arrays)
        _check_dtype(self.error, config.get("dtype"))

    def error(self, message: str) -> BenchError:
        """An error that names the layer."""
        return BenchError(f"layer '{self.name}' ({self.kind}): {message}")

    def read(self, key: str, default: Any) -> Any:
        """Reads a setting; older files lack some, for which `default` is what Keras did then."""
        return self._config.pop(key, default)

    def require(self, key: str) -> Any:
        """Reads a setting that every version of Keras writes."""
        if key not in self._config:
            raise self.error(f"setting '{key}' is missing: save the model again with model.save")
        return self._config.pop(key)

    def absent(self, key: str) -> bool:
        """Whether a setting is missing or null."""
        return self._config.get(key) is None

    def pair(self, key: str, default: int | None = None) -> Pair:
        """Reads one or two whole numbers (height, width)."""
        value = self.require(key) if default is None else self.read(key, default)
        pair = (value, value) if isinstance(value, int) else value
        if not isinstance(pair, Sequence) or [type(side) for side in pair] != [int, int]:
            raise self.error(f"{key}: expected one or two whole numbers, found {value!r}")
        return tuple(pair)

    def expect(self, key: str, *values: Any) -> None:
        """Reads a setting of which only the first of `values`, or one like it, is supported."""
        found = self.read(key, values[0])
        if found not in values:
            raise self.error(
                f"{key}: expected {values[0]!r}, found {found!r}, which is not supported"
            )

    def array(self, names: str, shape: Sequence[int]) -> Tensor:
        """Reads a weight.

        Args:
            names: Its name, or several divided by spaces of which the file has one.
            shape: What the settings and the layer's input ask for.

        Returns:
            float32 of that shape.
        """
        name = next((name for name in names.split() if name in self._arrays), None)
        if name is None:
            found = ", ".join(self._arrays) or "none"
            raise self.error(
                f"expected an array '{names.split()[0]}' of shape {tuple(shape)}, found {found}: "
                "save the model again with model.save"
            )
        array = self._arrays.pop(name)
        if array.shape != tuple(shape) or array.dtype != np.float32:
            raise self.error(
                f"array '{name}': expected float32 of shape {tuple(shape)}, found {array.dtype} "
                f"of shape {array.shape}: arrays and settings do not belong together"
            )
        return torch.from_numpy(np.ascontiguousarray(array))

    def ignore(self, *names: str) -> None:
        """Passes over settings and arrays that do not matter once the network is trained."""
        for name in names:
            self._config.pop(name, None)
            self._arrays.pop(name, None)

    def finish(self) -> None:
        """Raises `BenchError` if something is left unread, unless it cannot matter."""
        for key, value in self._config.items():
            harmless = key in self._HARMLESS or key.endswith(self._HARMLESS_ENDINGS)
            if not harmless and value is not None and value is not False:
                raise self.error(f"setting {key}={value!r} is not supported")
        if self._arrays:
            raise self.error(
                f"array '{next(iter(self._arrays))}' is in the file, but its settings ask for none"
            )


def _check_dtype(error: Callable[[str], BenchError], policy: object) -> None:
    """Raises `error` unless a layer's weights are float32.

    Mixed precision keeps float32 weights; here it computes in float32, too.
    """
    name = policy.get("config", {}).get("name") if isinstance(policy, Mapping) else policy
    if name not in (None, "float32", "mixed_float16", "mixed_bfloat16"):
        raise error(f"dtype: expected float32 or a mixed precision, found {name!r}")


def _torch_axis(axis: int | Sequence[int], rank: int) -> int:
    """Our number of the axis that Keras numbers `axis`, in a tensor of this rank."""
    if not isinstance(axis, int):
        (axis,) = axis
    return (0, 2, 3, 1)[axis] if rank == 4 else range(rank)[axis]


def to_keras(x: Tensor) -> Tensor:
    """One of our tensors in Keras's order of axes, a view.

    Args:
        x: (B, C, H, W), or of another rank.

    Returns:
        (B, H, W, C), or x itself.

    Example:
        >>> to_keras(torch.zeros(2, 3, 5, 7)).shape, to_keras(torch.zeros(2, 3)).shape
        (torch.Size([2, 5, 7, 3]), torch.Size([2, 3]))
    """
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def from_keras(x: Tensor) -> Tensor:
    """One of Keras's tensors in our order of axes, a view.

    Args:
        x: (B, H, W, C), or of another rank.

    Returns:
        (B, C, H, W), or x itself.

    Example:
        >>> from_keras(torch.zeros(2, 5, 7, 3)).shape, from_keras(torch.zeros(2, 3)).shape
        (torch.Size([2, 3, 5, 7]), torch.Size([2, 3]))
    """
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def _frozen(value: Tensor) -> nn.Parameter:
    return nn.Parameter(value.contiguous(), requires_grad=False)


# Activations


ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "swish": nn.SiLU,
    "silu": nn.SiLU,
}
"""Keras's name of an activation -> the module; `softmax` needs an axis beside these."""


class BentReLU(nn.Module):
    """Keras's ReLU in full: x above `threshold`, cut at `top`; `slope` * (x - threshold) below.

    Args:
        slope: Of what lies below the threshold.
        threshold: Where the function bends.
        top: The largest output; None: there is none.

    Example:
        >>> bent = BentReLU(slope=0.5, threshold=1.0, top=6.0)
        >>> bent(torch.tensor([-1.0, 0.5, 2.0, 9.0])).tolist()
        [-1.0, -0.25, 2.0, 6.0]
    """

    def __init__(self, slope: float, threshold: float, top: float | None) -> None:
        super().__init__()
        self.slope, self.threshold, self.top = slope, threshold, top

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        above = torch.where(x > self.threshold, x, 0)
        above = above if self.top is None else above.clamp(max=self.top)
        return above - self.slope * (self.threshold - x).relu()


class PReLU(nn.Module):
    """A slope for each element, as Keras has it without `shared_axes`.

    Args:
        alpha: Slopes below zero, in a shape that broadcasts against inputs.

    Example:
        >>> PReLU(torch.tensor([0.5, 0.1]))(torch.tensor([[-2.0, 3.0], [4.0, -10.0]])).tolist()
        [[-1.0, 3.0], [4.0, -1.0]]
    """

    def __init__(self, alpha: Tensor) -> None:
        super().__init__()
        self.alpha = _frozen(alpha)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return torch.where(x > 0, x, self.alpha * x)


def _activation_named(layer: Layer, name: object, rank: int) -> nn.Module:
    if name == "softmax":
        return nn.Softmax(_torch_axis(-1, rank))
    if name is None:
        return nn.Identity()
    key = name if isinstance(name, str) else repr(name)
    try:
        require_known("activation", key, ACTIVATIONS)
    except BenchError as error:
        raise layer.error(str(error)) from None
    return ACTIVATIONS[key]()


def _activation(layer: Layer, x: Tensor) -> nn.Module:
    return _activation_named(layer, layer.read("activation", None), x.dim())


def _softmax(layer: Layer, x: Tensor) -> nn.Module:
    return nn.Softmax(_torch_axis(layer.read("axis", -1), x.dim()))


def _relu(layer: Layer, x: Tensor) -> nn.Module:
    slope, threshold = layer.read("negative_slope", 0) or 0, layer.read("threshold", 0) or 0
    top = layer.read("max_value", None)
    if threshold or (top is not None and (slope or top != 6)):
        return BentReLU(slope, threshold, top)
    if slope:
        return nn.LeakyReLU(slope)
    return nn.ReLU() if top is None else nn.ReLU6()


def _leaky_relu(layer: Layer, x: Tensor) -> nn.Module:
    return nn.LeakyReLU(layer.read("negative_slope", layer.read("alpha", 0.3)))


def _prelu(layer: Layer, x: Tensor) -> nn.Module:
    shape = list(to_keras(x).shape)
    for axis in layer.read("shared_axes", None) or ():
        shape[axis] = 1
    alpha = layer.array("alpha", shape[1:])
    if alpha.numel() == alpha.shape[-1] == x.shape[1]:
        prelu = nn.PReLU(x.shape[1])
        prelu.weight = _frozen(alpha.flatten())
        return prelu
    return PReLU(from_keras(alpha[None]))


# Convolutions, Dense, pooling


def same_padding(size: int, kernel: int, stride: int, dilation: int = 1) -> Pair:
    """Zeros before and after one axis under TensorFlow's padding 'same'; odd ones go after.

    Args:
        size: Of the input along the axis.
        kernel: Of the window, in elements.
        stride: Of the window.
        dilation: Distance of the window's elements.

    Returns:
        Zeros before, and after.

    Example:
        >>> same_padding(size=224, kernel=3, stride=2), same_padding(size=224, kernel=3, stride=1)
        ((0, 1), (1, 1))
    """
    steps = -(-size // stride) - 1
    total = max(steps * stride + (kernel - 1) * dilation + 1 - size, 0)
    return total // 2, total - total // 2


@dataclass(frozen=True)
class Window:
    """A sliding window, each number for height and width.

    Attributes:
        kernel: Its size.
        stride: Its steps.
        dilation: Its elements' distance.
        same: Whether zeros are added so that there are size / stride steps, rounded up.

    Example:
        >>> x, left = Window(kernel=(3, 3), stride=(2, 2), same=True).pad(torch.ones(1, 1, 4, 4))
        >>> x.shape, left  # padded here, below and to the right alone
        (torch.Size([1, 1, 5, 5]), (0, 0))
        >>> x, left = Window(kernel=(3, 3), same=True).pad(torch.ones(1, 1, 4, 4))
        >>> x.shape, left  # torch can pad all sides alike
        (torch.Size([1, 1, 4, 4]), (1, 1))
    """

    kernel: Pair
    stride: Pair = (1, 1)
    dilation: Pair = (1, 1)
    same: bool = False

    def pad(self, x: Tensor, value: float = 0) -> tuple[Tensor, Pair]:
        """Pads x (B, C, H, W) as far as torch's operations cannot: they pad both sides alike.

        Returns:
            x, padded where it must be, and the padding that is left to the operation.
        """
        if not self.same:
            return x, (0, 0)
        sides = zip(x.shape[2:], self.kernel, self.stride, self.dilation, strict=True)
        (top, bottom), (left, right) = (same_padding(*side) for side in sides)
        if (top, left) == (bottom, right):
            return x, (top, left)
        return functional.pad(x, (left, right, top, bottom), value=value), (0, 0)


def _window(layer: Layer, size_key: str) -> Window:
    kernel = layer.pair(size_key)
    stride = kernel if layer.absent("strides") else layer.pair("strides")
    padding = layer.read("padding", "valid")
    if str(padding).lower() not in ("same", "valid"):
        raise layer.error(f"padding: expected 'same' or 'valid', found {padding!r}")
    _require_channels_last(layer)
    return Window(kernel, stride, layer.pair("dilation_rate", 1), str(padding).lower() == "same")


def _require_channels_last(layer: Layer) -> None:
    layout = layer.read("data_format", None) or "channels_last"
    if layout != "channels_last":
        raise layer.error(
            f"data_format: expected 'channels_last', found {layout!r}: build the model for "
            "channels_last, load its weights and save it again"
        )


class Convolution(nn.Module):
    """A convolution with its activation.

    Args:
        window: Size, steps and padding.
        weight: (D, C / groups, kernel height, kernel width) float32.
        bias: (D,), or None.
        activation: What follows.
        groups: In how many parts channels are divided.

    Example:
        >>> from torch import nn
        >>> window = Window(kernel=(3, 3), stride=(2, 2), same=True)
        >>> sums = Convolution(window, torch.ones(1, 1, 3, 3), bias=None, activation=nn.ReLU())
        >>> sums(torch.ones(1, 1, 4, 4)).tolist()
        [[[[9.0, 6.0], [6.0, 4.0]]]]
    """

    def __init__(
        self,
        window: Window,
        weight: Tensor,
        bias: Tensor | None,
        activation: nn.Module,
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.window = window
        self.groups = groups
        self.weight = _frozen(weight)
        self.bias = None if bias is None else _frozen(bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, D, h, w)."""
        x, padding = self.window.pad(x)
        stride, dilation = self.window.stride, self.window.dilation
        x = functional.conv2d(x, self.weight, self.bias, stride, padding, dilation, self.groups)
        return self.activation(x)


def _bias(layer: Layer, size: int) -> Tensor | None:
    return layer.array("bias", (size,)) if layer.read("use_bias", True) else None


def _conv2d(layer: Layer, x: Tensor) -> nn.Module:
    window = _window(layer, "kernel_size")
    filters, groups = layer.require("filters"), layer.read("groups", 1)
    kernel = layer.array("kernel", (*window.kernel, x.shape[1] // groups, filters))
    return Convolution(
        window, kernel.permute(3, 2, 0, 1), _bias(layer, filters), _activation(layer, x), groups
    )


def _depthwise_kernel(layer: Layer, window: Window, channels: int) -> Tensor:
    multiplier = layer.read("depth_multiplier", 1)
    # Keras 3 calls that of DepthwiseConv2D `kernel`.
    kernel = layer.array("depthwise_kernel kernel", (*window.kernel, channels, multiplier))
    return kernel.permute(2, 3, 0, 1).reshape(channels * multiplier, 1, *window.kernel)


def _depthwise_conv2d(layer: Layer, x: Tensor) -> nn.Module:
    window = _window(layer, "kernel_size")
    kernel = _depthwise_kernel(layer, window, x.shape[1])
    layer.ignore("filters", "groups")  # Keras 2 writes those of its base class
    return Convolution(
        window, kernel, _bias(layer, len(kernel)), _activation(layer, x), groups=x.shape[1]
    )


def _separable_conv2d(layer: Layer, x: Tensor) -> nn.Module:
    window = _window(layer, "kernel_size")
    filters = layer.require("filters")
    depthwise = _depthwise_kernel(layer, window, x.shape[1])
    pointwise = layer.array("pointwise_kernel", (1, 1, len(depthwise), filters))
    layer.expect("groups", 1)
    return nn.Sequential(
        Convolution(window, depthwise, None, nn.Identity(), groups=x.shape[1]),
        Convolution(
            Window((1, 1)), pointwise.permute(3, 2, 0, 1), _bias(layer, filters),
            _activation(layer, x),
        ),
    )  # fmt: skip


class Dense(nn.Module):
    """A linear map of Keras's last axis, with its activation.

    Args:
        weight: (K, D) float32.
        bias: (K,), or None.
        activation: What follows.

    Example:
        >>> from torch import nn
        >>> weight, bias = torch.tensor([[1.0, 2.0]]), torch.tensor([0.5])
        >>> Dense(weight, bias, nn.Identity())(torch.tensor([[3.0, 4.0]])).tolist()
        [[11.5]]
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: nn.Module) -> None:
        super().__init__()
        self.weight = _frozen(weight)
        self.bias = None if bias is None else _frozen(bias)
        self.activation = activation

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, D) to (B, K), or (B, D, H, W) to (B, K, H, W)."""
        x = functional.linear(to_keras(x), self.weight, self.bias)
        return self.activation(from_keras(x))


def _dense(layer: Layer, x: Tensor) -> nn.Module:
    units = layer.require("units")
    kernel = layer.array("kernel", (to_keras(x).shape[-1], units))
    return Dense(kernel.T, _bias(layer, units), _activation(layer, x))


class NormDense(nn.Module):
    """Cosines of the input and each class vector: the last layer of Keras_insightface's training.

    Args:
        weight: (D, K), a column for each class.

    Example:
        >>> cosines = NormDense(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        >>> cosines(torch.tensor([[3.0, 4.0]]))
        tensor([[0.6000, 0.8000]])
    """

    _EPSILON = 1e-5
    """Least squared length that a vector is divided by, as in tf.math.l2_normalize there."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = _frozen(self._normalise(weight.T))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, D) to (B, K)."""
        return functional.linear(self._normalise(x), self.weight)

    def _normalise(self, rows: Tensor) -> Tensor:
        squares = rows.square().sum(dim=1, keepdim=True)
        return rows * squares.clamp(min=self._EPSILON).rsqrt()


def _norm_dense(layer: Layer, x: Tensor) -> nn.Module:
    layer.expect("loss_top_k", 1)
    layer.expect("append_norm", False)
    layer.expect("partial_fc_split", 0, 1)
    return NormDense(layer.array("norm_dense_w", (x.shape[1], layer.require("units"))))


class MaxPooling(nn.Module):
    """The largest value in each window; padding never wins.

    Args:
        window: Size, steps and padding.

    Example:
        >>> x = torch.arange(9.0).view(1, 1, 3, 3)
        >>> MaxPooling(Window(kernel=(2, 2), stride=(2, 2), same=True))(x).tolist()
        [[[[4.0, 5.0], [7.0, 8.0]]]]
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C, h, w)."""
        x, padding = self.window.pad(x, -torch.inf)
        return functional.max_pool2d(x, self.window.kernel, self.window.stride, padding)


class AveragePooling(nn.Module):
    """The mean of each window, padding left out.

    Args:
        window: Size, steps and padding.

    Example:
        >>> x = torch.arange(9.0).view(1, 1, 3, 3)
        >>> AveragePooling(Window(kernel=(2, 2), stride=(2, 2), same=True))(x).tolist()
        [[[[2.0, 3.5], [6.5, 8.0]]]]
    """

    def __init__(self, window: Window) -> None:
        super().__init__()
        self.window = window

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C, h, w)."""
        if not self.window.same:
            return self._mean(x)
        inside = x.new_ones(1, 1, *x.shape[2:])
        return self._mean(x) / self._mean(inside)

    def _mean(self, x: Tensor) -> Tensor:
        """Means with padded zeros counted."""
        x, padding = self.window.pad(x)
        return functional.avg_pool2d(x, self.window.kernel, self.window.stride, padding)


def _pooling(module: Callable[[Window], nn.Module], layer: Layer, x: Tensor) -> nn.Module:
    return module(_window(layer, "pool_size"))


class GlobalPooling(nn.Module):
    """One value a channel.

    Args:
        pool: Called with `dim` and `keepdim`, as `torch.mean` is.
        keepdims: Whether height and width stay, as 1.

    Example:
        >>> x = torch.arange(8.0).view(1, 2, 2, 2)
        >>> GlobalPooling(torch.mean, keepdims=False)(x).tolist()
        [[1.5, 5.5]]
        >>> GlobalPooling(torch.amax, keepdims=True)(x).shape
        torch.Size([1, 2, 1, 1])
    """

    def __init__(self, pool: Callable[..., Tensor], keepdims: bool) -> None:
        super().__init__()
        self.pool = pool
        self.keepdims = keepdims

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C), or to (B, C, 1, 1) with `keepdims`."""
        return self.pool(x, dim=(2, 3), keepdim=self.keepdims)


def _global_pooling(pool: Callable[..., Tensor], layer: Layer, x: Tensor) -> nn.Module:
    _require_channels_last(layer)
    return GlobalPooling(pool, layer.read("keepdims", False))


# Normalisation


def _batch_normalization(layer: Layer, x: Tensor) -> nn.Module:
    axis = layer.read("axis", -1)
    if x.dim() not in (2, 4) or _torch_axis(axis, x.dim()) != 1:
        raise layer.error(f"axis: expected that of the channels, found {axis}")
    size = x.shape[1]
    norm = (nn.BatchNorm2d if x.dim() == 4 else nn.BatchNorm1d)(size, layer.read("epsilon", 1e-3))
    if layer.read("scale", True):
        norm.weight.data = layer.array("gamma", (size,))
    if layer.read("center", True):
        norm.bias.data = layer.array("beta", (size,))
    norm.running_mean = layer.array("moving_mean", (size,))
    norm.running_var = layer.array("moving_variance", (size,))
    layer.ignore("momentum", "renorm_momentum", "synchronized", "fused")
    return norm


class Rescaling(nn.Module):
    """Multiplies by a scale and adds an offset.

    Attributes:
        scale: A number, or one a channel.
        offset: A number, or one a channel.

    Args:
        scale: Broadcasts against inputs, as offset does.
        offset: Is added afterwards.

    Example:
        >>> to_unit = Rescaling(scale=torch.tensor(1 / 127.5), offset=torch.tensor(-1.0))
        >>> to_unit(torch.tensor([0.0, 127.5, 255.0])).tolist()
        [-1.0, 0.0, 1.0]
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, scale: Tensor, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("offset", offset)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return x * self.scale + self.offset


class Normalization(nn.Module):
    """Subtracts a mean and divides by a standard deviation.

    Attributes:
        mean: A number, or one a channel.
        std: A number, or one a channel.

    Args:
        mean: Broadcasts against inputs, as std does.
        std: Above zero.

    Example:
        >>> norm = Normalization(mean=torch.tensor(120.0), std=torch.tensor(60.0))
        >>> norm(torch.tensor([0.0, 120.0, 180.0])).tolist()
        [-2.0, 0.0, 1.0]
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Tensor, std: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x: Tensor) -> Tensor:
        """Any shape to the same."""
        return (x - self.mean) / self.std


def _by_channel(layer: Layer, key: str, value: object, x: Tensor) -> Tensor:
    """A number, or one a channel, in a shape that broadcasts against x."""
    try:
        values = torch.tensor(np.array(value, np.float32)).flatten()
    except (TypeError, ValueError):
        values = torch.empty(0)
    if len(values) not in (1, x.shape[1]):
        raise layer.error(f"{key}: expected one number, or one a channel, found {value!r}")
    return values.view(1, -1, 1, 1) if x.dim() == 4 else values


def _rescaling(layer: Layer, x: Tensor) -> nn.Module:
    values = ((key, layer.read(key, default)) for key, default in (("scale", 1), ("offset", 0)))
    return Rescaling(*(_by_channel(layer, key, value, x) for key, value in values))


def _normalization(layer: Layer, x: Tensor) -> nn.Module:
    layer.expect("invert", False)
    axis = layer.read("axis", -1)
    scalar = axis is None or axis == []
    if not scalar and _torch_axis(axis, x.dim()) != 1:
        raise layer.error(f"axis: expected that of the channels, found {axis}")
    values = []
    for key in ("mean", "variance"):
        value = layer.read(key, None)
        # Statistics that were learned by `adapt` lie among the arrays, given ones in the settings.
        if value is None:
            value = layer.array(key, () if scalar else (x.shape[1],)).numpy()
        values.append(_by_channel(layer, key, value, x))
    layer.ignore("count", "mean", "variance")
    return Normalization(values[0], values[1].sqrt().clamp(min=1e-7))


# Shapes


class Flatten(nn.Module):
    """Rows in Keras's order: height, width, channels.

    Example:
        >>> two_channels = torch.tensor([[1.0, 2.0], [10.0, 20.0]]).view(1, 2, 1, 2)
        >>> Flatten()(two_channels).tolist()
        [[1.0, 10.0, 2.0, 20.0]]
    """

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, ...) to (B, D)."""
        return to_keras(x).flatten(1)


class Reshape(nn.Module):
    """Another shape, read and written in Keras's order of axes.

    Args:
        shape: Without the batch dimension, in Keras's order of axes.

    Example:
        >>> Reshape((2, 2, 3))(torch.arange(12.0).view(1, 12))[0, 0].tolist()  # the first channel
        [[0.0, 3.0], [6.0, 9.0]]
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, ...) to (B, *shape), the latter in Keras's order."""
        return from_keras(to_keras(x).reshape(len(x), *self.shape))


class ZeroPadding(nn.Module):
    """Zeros around height and width.

    Args:
        top: Rows above.
        bottom: Rows below.
        left: Columns before.
        right: Columns behind.

    Example:
        >>> ZeroPadding(top=0, bottom=1, left=0, right=1)(torch.ones(1, 1, 2, 2))[0, 0].tolist()
        [[1.0, 1.0, 0.0], [1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, top: int, bottom: int, left: int, right: int) -> None:
        super().__init__()
        self.sides = (left, right, top, bottom)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, C, h, w)."""
        return functional.pad(x, self.sides)


def _flatten(layer: Layer, x: Tensor) -> nn.Module:
    _require_channels_last(layer)
    return Flatten()


def _reshape(layer: Layer, x: Tensor) -> nn.Module:
    return Reshape(layer.require("target_shape"))


def _zero_padding2d(layer: Layer, x: Tensor) -> nn.Module:
    _require_channels_last(layer)
    (top, bottom), (left, right) = layer.require("padding")
    return ZeroPadding(top, bottom, left, right)


def _identity(layer: Layer, x: Tensor) -> nn.Module:
    layer.ignore("rate", "noise_shape", "seed", "stddev", "l1", "l2")
    return nn.Identity()


# Several inputs


class Merge(nn.Module):
    """Folds its inputs into one, elementwise.

    Args:
        operation: Two tensors to one, as `torch.add`.

    Example:
        >>> one, two = torch.tensor([1.0, 2.0]), torch.tensor([10.0, 20.0])
        >>> Merge(torch.add)(one, two, two).tolist()
        [21.0, 42.0]
    """

    def __init__(self, operation: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, *inputs: Tensor) -> Tensor:
        """Maps shapes that broadcast to the shape that they broadcast to."""
        return reduce(self.operation, inputs)


class Concatenate(nn.Module):
    """Joins its inputs along one of our axes.

    Args:
        axis: In torch's order of axes.

    Example:
        >>> Concatenate(axis=1)(torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 4, 4)).shape
        torch.Size([2, 8, 4, 4])
    """

    def __init__(self, axis: int) -> None:
        super().__init__()
        self.axis = axis

    def forward(self, *inputs: Tensor) -> Tensor:
        """Maps shapes that are equal but for one axis to the joint one."""
        return torch.cat(inputs, dim=self.axis)


def _merge(operation: Callable[[Tensor, Tensor], Tensor], layer: Layer, *inputs: Tensor) -> Merge:
    if len({x.dim() for x in inputs}) != 1:
        raise layer.error(f"expected inputs of one rank, found {[tuple(x.shape) for x in inputs]}")
    return Merge(operation)


def _concatenate(layer: Layer, *inputs: Tensor) -> Concatenate:
    return Concatenate(_torch_axis(layer.read("axis", -1), inputs[0].dim()))


LAYERS: dict[str, Callable[[Layer, Tensor], nn.Module]] = {
    "Activation": _activation,
    "ActivityRegularization": _identity,
    "AveragePooling2D": partial(_pooling, AveragePooling),
    "BatchNormalization": _batch_normalization,
    "Conv2D": _conv2d,
    "Dense": _dense,
    "DepthwiseConv2D": _depthwise_conv2d,
    "Dropout": _identity,
    "Flatten": _flatten,
    "GaussianNoise": _identity,
    "GlobalAveragePooling2D": partial(_global_pooling, torch.mean),
    "GlobalMaxPooling2D": partial(_global_pooling, torch.amax),
    "LeakyReLU": _leaky_relu,
    "MaxPooling2D": partial(_pooling, MaxPooling),
    "NormDense": _norm_dense,
    "Normalization": _normalization,
    "PReLU": _prelu,
    "ReLU": _relu,
    "Rescaling": _rescaling,
    "Reshape": _reshape,
    "SeparableConv2D": _separable_conv2d,
    "Softmax": _softmax,
    "SpatialDropout2D": _identity,
    "ZeroPadding2D": _zero_padding2d,
    "keras_insightface>NormDense": _norm_dense,
}
"""Keras's class name -> what builds the layer for one input."""

MERGES: dict[str, Callable[..., nn.Module]] = {
    "Add": partial(_merge, torch.add),
    "Concatenate": _concatenate,
    "Multiply": partial(_merge, torch.mul),
}
"""Keras's class name -> what builds the layer for several inputs."""

CONVOLUTIONS = frozenset({"Conv2D", "DepthwiseConv2D", "SeparableConv2D"})
"""The layers that have an attribute `filters` in Keras 2, of which Xplique takes the last."""


def build_layer(layer: Layer, inputs: Sequence[Tensor]) -> nn.Module:
    """Builds a layer for inputs of these shapes.

    Args:
        layer: What the file holds of it.
        inputs: Examples of what it will be given.

    Returns:
        The module in eval mode, frozen.

    Raises:
        BenchError: The layer is unknown or holds code; a setting is unknown or not supported; an
            array is missing, left over or of another shape.

    Example:
        >>> arrays = {"kernel": np.ones((3, 1), np.float32), "bias": np.ones(1, np.float32)}
        >>> layer = Layer("fc", "Dense", {"units": 1, "activation": "relu"}, arrays)
        >>> dense = build_layer(layer, [torch.zeros(1, 3)])
        >>> dense(torch.tensor([[1.0, 2.0, 3.0], [-9.0, 0.0, 0.0]])).tolist()
        [[7.0], [0.0]]
    """
    if layer.kind == "Lambda":
        raise layer.error(
            "holds Python code, which is never run: save the model with a layer in its place"
        )
    if layer.kind not in LAYERS | MERGES:
        known = ", ".join(sorted(LAYERS | MERGES))
        raise layer.error(f"unknown layer; known: {known}")
    if layer.kind in LAYERS and len(inputs) != 1:
        raise layer.error(f"expected one input, found {len(inputs)}")
    build = LAYERS.get(layer.kind) or MERGES[layer.kind]
    module = build(layer, *inputs)
    layer.finish()
    return module.eval().requires_grad_(False)
