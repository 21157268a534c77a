"""Inputs that were made elsewhere, in the place of a preprocessing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.backbones.backbone import Preprocessing


@dataclass(frozen=True)
class GivenInputs(Preprocessing):
    """Takes inputs of the network where others take photos.

    A data set then reads (H, W, C) floating point arrays, and only what removed pixels become and
    what people see go through a mean and a standard deviation.

    Attributes:
        shown: The input values that people, and methods that look at photos, see as black and as
            white. None: as mean and std say.

    Example:
        >>> given = GivenInputs(size=(1, 2), mean=(0,), std=(1,), shown=(-1.0, 1.0))
        >>> given([np.array([[[-1.0], [1.0]]])]).shape
        torch.Size([1, 1, 1, 2])
        >>> given.to_photo(np.array([[[-1.0], [1.0]]])).tolist()
        [[[0, 0, 0], [255, 255, 255]]]
    """

    shown: tuple[float, float] | None = None

    def __call__(self, images: Sequence[NDArray[Any]]) -> Tensor:
        """Inputs (B, C, H, W) float32 in channels-last memory order, of arrays (H, W, C)."""
        return torch.from_numpy(np.stack(images)).float().permute(0, 3, 1, 2)

    def to_size(self, image: NDArray[Any]) -> NDArray[Any]:
        """Inputs have their size."""
        return image

    def to_photo(self, image: NDArray[Any]) -> NDArray[np.uint8]:
        """RGB uint8 (H, W, 3) of an input (H, W, C)."""
        rgb = self.to_rgb(torch.from_numpy(image).float())
        return rgb.round().clamp(0, 255).byte().numpy()

    def to_rgb(self, x: Tensor) -> Tensor:
        """See `Preprocessing`; where `shown` is given, that range becomes 0..255."""
        if self.shown is None:
            return super().to_rgb(x)
        low, high = self.shown
        rgb = (x - low) / (high - low) * 255
        return rgb.expand(*rgb.shape[:-1], 3)
