"""What an annotation marks in a network's input: boxes and a mask that followed its photo there."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bench.backbones.backbone import Preprocessing
from bench.datasets.annotation import Annotation, Size


@dataclass(frozen=True, eq=False)
class Region:
    """The annotation of one image, in pixels of the network's input.

    Attributes:
        annotation: In pixels of the photo; None: the image has none.
        photo: Height and width of the photo.
        preprocessing: What makes the photo an input.
        image: The photo, RGB uint8 (height, width, 3), for metrics that look at colours.

    Example:
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.annotation import Annotation
        >>> whole = Annotation(np.array([[0.0, 0.0, 10.0, 20.0]]))
        >>> Region(whole, (20, 10), Preprocessing((4, 6), (0,), (255,))).boxes.tolist()
        [[0.0, 0.0, 6.0, 4.0]]
    """

    annotation: Annotation | None
    photo: Size
    preprocessing: Preprocessing
    image: NDArray[np.uint8] | None = field(default=None, repr=False)

    @cached_property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4) left, top, right, bottom, cut at the input's edges; boxes outside it are left out.

        Where there is a mask and no box, the box around the mask's pixels.
        """
        if self.annotation is None:
            return np.empty((0, 4))
        if len(self.annotation.boxes):
            height, width = self.preprocessing.shape
            boxes = self.preprocessing.to_input_boxes(self.annotation.boxes, self.photo)
            boxes = boxes.clip(0, [width, height, width, height])
            return boxes[(boxes[:, 2] > boxes[:, 0]) & (boxes[:, 3] > boxes[:, 1])]
        return np.empty((0, 4)) if self.mask is None else _around(self.mask)

    @property
    def shown(self) -> NDArray[np.uint8]:
        """What the network is shown of the photo, RGB uint8 (H, W, 3).

        Raises:
            ValueError: The photo is not at hand.
        """
        if self.image is None:
            raise ValueError("the region was made without its photo")
        return self.preprocessing.to_size(self.image)

    @cached_property
    def mask(self) -> NDArray[np.bool_] | None:
        """(H, W) bool; None: there is no mask, or nothing of it is in the input."""
        if self.annotation is None or self.annotation.mask is None:
            return None
        mask = self.preprocessing.to_input_mask(self.annotation.mask(self.photo))
        return mask if mask.any() else None

    @cached_property
    def boxed(self) -> NDArray[np.bool_] | None:
        """(H, W) bool: the pixels whose centres lie in any box; None: there is no box.

        A box that is too small to hold a centre has the pixel that the box's centre lies in.
        """
        if not len(self.boxes):
            return None
        boxed = np.zeros(self.preprocessing.shape, bool)
        first = np.ceil(self.boxes[:, :2] - 0.5).astype(int)
        last = np.ceil(self.boxes[:, 2:] - 0.5).astype(int)
        centre = ((self.boxes[:, :2] + self.boxes[:, 2:]) / 2).astype(int)
        is_small = last <= first
        first[is_small], last[is_small] = centre[is_small], centre[is_small] + 1
        for (left, top), (right, bottom) in zip(first, last, strict=True):
            boxed[top:bottom, left:right] = True
        return boxed

    @property
    def pixels(self) -> NDArray[np.bool_] | None:
        """(H, W) bool: the mask, or where there is none, the pixels in the boxes; None: neither."""
        return self.boxed if self.mask is None else self.mask

    def gives(self, need: str) -> bool:
        """Whether it has what a metric needs: `boxes`, a `mask`, or a `region`, which is either."""
        if need == "boxes":
            return len(self.boxes) > 0
        return (self.mask if need == "mask" else self.pixels) is not None


def _around(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The box (1, 4) around a mask's pixels."""
    rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
    return np.array([[columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]], np.float64)
