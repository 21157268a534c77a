"""What a removed pixel becomes. Baselines live in the model's input space."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import scipy.ndimage
import torch
from torch import Tensor
from torch.nn import functional

from bench.errors import BenchError, require_integer, require_known, require_number


@dataclass(frozen=True)
class ZeroBaseline:
    """Zero in the model's input space: the colour that preprocessing maps to zero."""

    depends_on_image: ClassVar[bool] = False

    def __call__(self, x: Tensor) -> Tensor:
        """Returns (1, C, 1, 1): one colour for all images and pixels."""
        return x.new_zeros(1, x.shape[1], 1, 1)


@dataclass(frozen=True)
class BlurBaseline:
    """RISE's blurred image (`gkern` in its `evaluation.py`).

    The kernel is scipy's Gaussian filter of a unit impulse on a kernel_size x kernel_size grid.
    scipy reflects at the grid's border, so the tails fold back: for 11 and 5 it is nearly a box
    and not the truncated Gaussian of OpenCV or torchvision. The image is padded with zeros.
    """

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

    def __call__(self, x: Tensor) -> Tensor:
        """Returns (B, C, H, W): each image blurred, channel by channel."""
        channels = x.shape[1]
        kernel = self.kernel().to(x).expand(channels, 1, -1, -1)
        return functional.conv2d(x, kernel, padding=self.kernel_size // 2, groups=channels)


Baseline = ZeroBaseline | BlurBaseline
"""(B, C, H, W) inputs to something that broadcasts against them: (1, C, 1, 1) where the baseline
does not depend on the image."""

BASELINES: dict[str, type] = {"zero": ZeroBaseline, "blur": BlurBaseline}


def make_baseline(kind: str, **settings: object) -> Baseline:
    """Builds a baseline from its name and settings.

    Raises:
        BenchError: The kind or a setting is unknown, or a setting is out of range.
    """
    require_known("baseline.kind", kind, BASELINES)
    known = BASELINES[kind].__dataclass_fields__
    for setting in settings:
        require_known(f"baseline '{kind}'", setting, known)
    return BASELINES[kind](**settings)
