"""What a removed pixel becomes. Baselines live in the model's input space."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, ClassVar

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor
from torch.nn import functional

from bench.errors import BenchError, require_integer, require_known, require_number
from bench.seeding import generator


@dataclass(frozen=True)
class Inputs:
    """What a baseline may look at.

    Attributes:
        x: (B, C, H, W) model inputs.
        image_ids: B ids, to key noise.
        seed: The run's seed.
        to_input: RGB in 0..255 (..., 3) to model input values (..., C).

    Example:
        >>> inputs = Inputs(torch.rand(2, 3, 4, 4), ["a", "b"], to_input=lambda rgb: rgb / 255)
        >>> inputs.to_input(torch.tensor([255.0, 0.0, 51.0]))
        tensor([1.0000, 0.0000, 0.2000])
    """

    x: Tensor
    image_ids: Sequence[str] = ()
    seed: int = 0
    to_input: Callable[[Tensor], Tensor] = field(default=lambda rgb: rgb)


@dataclass(frozen=True)
class Baseline(ABC):
    """What removed pixels become; a frozen dataclass whose fields are its settings.

    Attributes:
        kind: Its name in protocols: a key of `BASELINES`.
        depends_on_image: Whether the result differs from image to image; where it does not, its
            first dimension is 1.
        draws: Whether it depends on the run's seed.

    Example:
        >>> from dataclasses import dataclass
        >>> @dataclass(frozen=True)
        ... class Darkest(Baseline):
        ...     kind = "darkest"
        ...     depends_on_image = True
        ...     def __call__(self, inputs):
        ...         return inputs.x.amin(dim=(2, 3), keepdim=True)
        ...     def in_words(self):
        ...         return "the least value of each channel"
        >>> Darkest()(Inputs(torch.arange(8.0).view(1, 2, 2, 2))).flatten().tolist()
        [0.0, 4.0]
    """

    kind: ClassVar[str]
    depends_on_image: ClassVar[bool]
    draws: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns what broadcasts against the inputs (B, C, H, W)."""

    @abstractmethod
    def in_words(self) -> str:
        """What a removed pixel is, as in "a removed pixel is zero"."""

    def settings(self) -> dict[str, Any]:
        """Its kind and its fields, ready for JSON; `make_baseline` takes them."""
        return {"kind": self.kind, **asdict(self)}


@dataclass(frozen=True)
class ZeroBaseline(Baseline):
    """Zero in the model's input space: the colour that preprocessing maps to zero.

    Example:
        >>> ZeroBaseline()(Inputs(torch.rand(5, 3, 4, 4))).shape
        torch.Size([1, 3, 1, 1])
    """

    kind: ClassVar[str] = "zero"
    depends_on_image: ClassVar[bool] = False

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns (1, C, 1, 1): one colour for all images and pixels."""
        return inputs.x.new_zeros(1, inputs.x.shape[1], 1, 1)

    def in_words(self) -> str:
        """See `Baseline`."""
        return "zero in the network's input space"


@dataclass(frozen=True)
class ConstantBaseline(Baseline):
    """One colour for all images.

    Attributes:
        rgb: In 0..255; goes through the backbone's preprocessing.

    Raises:
        BenchError: `rgb` is not three numbers in 0..255.

    Example:
        >>> black = ConstantBaseline((0, 0, 0))
        >>> inputs = Inputs(torch.rand(5, 3, 4, 4), to_input=lambda rgb: rgb / 127.5 - 1)
        >>> black(inputs).flatten().tolist()
        [-1.0, -1.0, -1.0]
    """

    kind: ClassVar[str] = "constant"
    depends_on_image: ClassVar[bool] = False
    rgb: tuple[float, float, float]

    def __post_init__(self) -> None:
        colour = tuple(self.rgb) if isinstance(self.rgb, Sequence) else ()
        if len(colour) != 3:
            raise BenchError(f"baseline.rgb: expected three numbers, found {self.rgb!r}")
        for value in colour:
            require_number("baseline.rgb", value, -1, 255)
        object.__setattr__(self, "rgb", colour)

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns (1, C, 1, 1): the colour as input values."""
        colour = inputs.to_input(torch.tensor(self.rgb, dtype=torch.float32))
        _require_channels("constant", colour, inputs.x)
        return colour.to(inputs.x).view(1, -1, 1, 1)

    def in_words(self) -> str:
        """See `Baseline`."""
        return f"the colour RGB ({', '.join(f'{value:g}' for value in self.rgb)})"


@dataclass(frozen=True)
class MeanBaseline(Baseline):
    """Each image's mean colour.

    Example:
        >>> MeanBaseline()(Inputs(torch.arange(8.0).view(1, 2, 2, 2))).flatten().tolist()
        [1.5, 5.5]
    """

    kind: ClassVar[str] = "mean"
    depends_on_image: ClassVar[bool] = True

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns (B, C, 1, 1)."""
        return inputs.x.mean(dim=(2, 3), keepdim=True)

    def in_words(self) -> str:
        """See `Baseline`."""
        return "the image's mean colour"


@dataclass(frozen=True)
class BlurBaseline(Baseline):
    """RISE's blurred image (`gkern` in its `evaluation.py`).

    The kernel is scipy's Gaussian filter of a unit impulse on a kernel_size x kernel_size grid.
    scipy reflects at the grid's border, so the tails fold back: for 11 and 5 it is nearly a box
    and not the truncated Gaussian of OpenCV or torchvision. The image is padded with zeros.

    Attributes:
        kernel_size: Side of the kernel in pixels, an odd number.
        sigma: Standard deviation of the Gaussian in pixels.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> x = torch.ones(1, 3, 5, 5)
        >>> blurred = BlurBaseline(kernel_size=3, sigma=100)(Inputs(x))  # so wide a kernel is a box
        >>> [[round(value, 3) for value in row] for row in blurred[0, 0, :3, :3].tolist()]
        [[0.444, 0.667, 0.667], [0.667, 1.0, 1.0], [0.667, 1.0, 1.0]]
    """

    kind: ClassVar[str] = "blur"
    depends_on_image: ClassVar[bool] = True
    kernel_size: int = 11
    sigma: float = 5

    def __post_init__(self) -> None:
        require_integer("baseline.kernel_size", self.kernel_size, 1)
        require_number("baseline.sigma", self.sigma, 0, 1000)
        if self.kernel_size % 2 == 0:
            raise BenchError(
                f"baseline.kernel_size: expected an odd number, found {self.kernel_size}"
            )

    def kernel(self) -> Tensor:
        """Returns the kernel (kernel_size, kernel_size) float32; it sums to 1."""
        impulse = np.zeros((self.kernel_size, self.kernel_size))
        impulse[self.kernel_size // 2, self.kernel_size // 2] = 1
        return torch.from_numpy(scipy.ndimage.gaussian_filter(impulse, self.sigma)).float()

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns (B, C, H, W): each image blurred, channel by channel."""
        channels = inputs.x.shape[1]
        kernel = self.kernel().to(inputs.x).expand(channels, 1, -1, -1)
        padding = self.kernel_size // 2
        return functional.conv2d(inputs.x, kernel, padding=padding, groups=channels)

    def in_words(self) -> str:
        """See `Baseline`."""
        size = self.kernel_size
        return f"the image blurred by a {size} by {size} kernel (sigma {self.sigma:g})"


@dataclass(frozen=True)
class UniformBaseline(Baseline):
    """Uniform noise over RGB, keyed by seed and image, so all methods meet the same noise.

    Example:
        >>> inputs = Inputs(torch.zeros(2, 3, 4, 4), ["a", "b"], seed=0)
        >>> noise, again = UniformBaseline()(inputs), UniformBaseline()(inputs)
        >>> noise.shape, torch.equal(noise, again), bool((0 <= noise).all() and (noise < 255).all())
        (torch.Size([2, 3, 4, 4]), True, True)
    """

    kind: ClassVar[str] = "uniform"
    depends_on_image: ClassVar[bool] = True
    draws: ClassVar[bool] = True

    def __call__(self, inputs: Inputs) -> Tensor:
        """Returns (B, C, H, W)."""
        shape = (*inputs.x.shape[2:], 3)
        noise = [
            torch.rand(shape, generator=generator(inputs.seed, "UniformBaseline", image_id)) * 255
            for image_id in inputs.image_ids
        ]
        values = inputs.to_input(torch.stack(noise))
        _require_channels("uniform", values, inputs.x)
        return values.permute(0, 3, 1, 2).to(inputs.x)

    def in_words(self) -> str:
        """See `Baseline`."""
        return "uniform noise, the same for all methods"


def _require_channels(kind: str, values: Tensor, x: Tensor) -> None:
    """Refuses colours (..., 3) where nobody says what they are in inputs (B, C, H, W)."""
    if values.shape[-1] != x.shape[1]:
        raise BenchError(
            f"baseline '{kind}': expected inputs of 3 channels, red, green and blue, found "
            f"{x.shape[1]}: choose a protocol whose baseline is zero, mean or blur"
        )


BASELINES: dict[str, type[Baseline]] = {
    kind.kind: kind
    for kind in (ZeroBaseline, ConstantBaseline, MeanBaseline, BlurBaseline, UniformBaseline)
}
"""The baselines that a protocol can name, by `kind`."""


def make_baseline(kind: str, **settings: object) -> Baseline:
    """Builds a baseline from its name and settings.

    Args:
        kind: A key of `BASELINES`.
        **settings: The fields of its class.

    Raises:
        BenchError: The kind or a setting is unknown or missing, or a setting is out of range.

    Example:
        >>> make_baseline("constant", rgb=[0, 0, 0])
        ConstantBaseline(rgb=(0, 0, 0))
        >>> make_baseline("black")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: baseline.kind: unknown name 'black'. Known: blur, constant,
        mean, uniform, zero
    """
    require_known("baseline.kind", kind, BASELINES)
    known = [setting.name for setting in fields(BASELINES[kind])]
    for setting in settings:
        require_known(f"baseline '{kind}'", setting, known)
    try:
        return BASELINES[kind](**settings)
    except TypeError:
        raise BenchError(f"baseline '{kind}': expected the settings {', '.join(known)}") from None
