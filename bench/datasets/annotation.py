"""What people marked in an image: boxes around objects, and masks of their pixels."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.errors import BenchError

Size = tuple[int, int]
"""Height and width of an image in pixels."""

NEEDS = {"boxes": "box", "mask": "mask", "region": "box or mask"}
"""What a metric may ask an annotation for, in words: see `Annotation.gives`."""


def without(need: str) -> str:
    """What is told where no image has what a metric needs.

    Args:
        need: A key of `NEEDS`.

    Example:
        >>> without("mask").partition(":")[0]
        'no image has a mask, which is needed'
    """
    settings = "dataset.masks=FOLDER gives masks"
    if need != "mask":
        settings = f"dataset.boxes=FILE gives boxes (.csv, .json or a folder of .xml), {settings}"
    return (
        f"no image has a {NEEDS[need]}, which is needed: {settings} of dataset=folder and "
        "dataset=list (docs/how-to/data-sets.md)"
    )


def _no_boxes() -> NDArray[np.float64]:
    return np.empty((0, 4))


@dataclass(frozen=True, eq=False)
class Annotation:
    """Boxes and a mask of one image, in pixels of the image as `Sample.read` gives it.

    Attributes:
        boxes: (N, 4) float64: left, top, right, bottom. Right and bottom are the edges behind the
            last pixel, so that a box is right - left wide.
        mask: Height and width of the image to its mask (H, W) bool; None: it has none. Called when
            it is needed.
        source: Where it was read, for messages: "'boxes.csv', line 3".

    Example:
        >>> square = Annotation(np.array([[2.0, 3.0, 6.0, 7.0]]))
        >>> square.gives("boxes"), square.gives("mask")
        (True, False)
    """

    boxes: NDArray[np.float64] = field(default_factory=_no_boxes)
    mask: Callable[[Size], NDArray[np.bool_]] | None = None
    source: str = ""

    def gives(self, need: str) -> bool:
        """Whether it has what a metric needs.

        Args:
            need: `boxes` or `region`, which a mask gives, too; or `mask`.
        """
        return self.mask is not None or (need != "mask" and len(self.boxes) > 0)

    def digest(self, need: str, size: Size) -> bytes:
        """Hash over what a metric that needs `boxes`, `mask` or `region` reads of it.

        Args:
            need: See `gives`.
            size: Height and width of the image.

        Raises:
            BenchError: The mask cannot be read.
        """
        if self.mask is None or (need == "boxes" and len(self.boxes)):
            return hashlib.sha256(b"boxes" + np.ascontiguousarray(self.boxes).tobytes()).digest()
        mask = self.mask(size)
        content = str(mask.shape).encode() + np.packbits(mask).tobytes()
        if need == "region":  # boxes are read where the input shows nothing of the mask
            content += np.ascontiguousarray(self.boxes).tobytes()
        return hashlib.sha256(b"mask" + content).digest()

    def outside(self, size: Size) -> tuple[int, int]:
        """How many boxes lie wholly outside an image, and how many reach beyond its edge.

        Args:
            size: Height and width of the image.
        """
        height, width = size
        left, top, right, bottom = self.boxes.T
        wholly = (left >= width) | (top >= height) | (right <= 0) | (bottom <= 0)
        partly = (left < 0) | (top < 0) | (right > width) | (bottom > height)
        return int(wholly.sum()), int((partly & ~wholly).sum())


@dataclass(frozen=True)
class MaskFile:
    """A mask that is an image file: what is brighter than a grey level belongs to the object.

    Attributes:
        path: The file. Of a palette the index counts, of colours the brightest channel; alpha does
            not count.
        above: The grey level.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Image.fromarray(np.array([[0, 100, 200]], np.uint8)).save("mask.png")
        >>> MaskFile(Path("mask.png"), above=127)((1, 3)).tolist()
        [[False, False, True]]
    """

    path: Path
    above: int = 0

    def __call__(self, size: Size) -> NDArray[np.bool_]:
        """The mask (H, W).

        Args:
            size: Height and width that it must have.

        Raises:
            BenchError: It cannot be read, or has another size.
        """
        try:
            with Image.open(self.path) as opened:
                has_alpha = opened.mode in ("LA", "PA", "RGBA")
                values = np.asarray(opened)
        except OSError as error:
            reason = error.strerror or "no image, or a damaged one"
            if isinstance(error, UnidentifiedImageError):
                reason = "it is no image file"
            raise BenchError(f"mask '{self.path}' cannot be read: {reason}") from None
        except (Image.DecompressionBombError, SyntaxError, ValueError) as error:
            raise BenchError(f"mask '{self.path}' cannot be read: {error}") from None
        if values.ndim == 3:
            values = values[..., : values.shape[2] - has_alpha].max(axis=2)
        _require_size(f"mask '{self.path}'", values.shape, size)
        return np.asarray(values > self.above)


@dataclass(frozen=True)
class Outlines:
    """A mask that is drawn: the pixels whose centres lie in any of its parts.

    Attributes:
        polygons: Corners (n, 2) in pixels, x before y. Lines that cross leave holes (even-odd).
        runs: Lengths of runs of pixels outside and inside by turns, column by column, each with the
            height and width that it is of (COCO's uncompressed run-length code).
        source: Where they were read, for messages.

    Example:
        >>> triangle = np.array([[0.0, 0.0], [4.0, 0.0], [0.0, 4.0]])
        >>> Outlines([triangle])((4, 4)).sum(axis=1).tolist()  # pixels of each row
        [3, 2, 1, 0]
    """

    polygons: Sequence[NDArray[np.float64]] = ()
    runs: Sequence[tuple[Sequence[int], Size]] = ()
    source: str = ""

    def __call__(self, size: Size) -> NDArray[np.bool_]:
        """The mask (H, W).

        Args:
            size: Height and width.

        Raises:
            BenchError: It is of an image of another size.
        """
        mask = np.zeros(size, bool)
        for corners in self.polygons:
            mask |= _inside(corners, size)
        for lengths, of_size in self.runs:
            _require_size(self.source, of_size, size)
            values = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
            mask |= values.reshape(size[::-1]).T
        return mask


def _inside(corners: NDArray[np.float64], size: Size) -> NDArray[np.bool_]:
    """The pixels (H, W) whose centres have an odd number of a polygon's edges to their left."""
    height, width = size
    crossings = np.zeros((height, width + 1), np.int64)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        upper, lower = sorted((y0, y1))
        first, last = (int(np.clip(np.ceil(y - 0.5), 0, height)) for y in (upper, lower))
        rows = np.arange(first, last)
        x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
        crossings[rows, np.clip(np.ceil(x - 0.5), 0, width).astype(int)] += 1
    return np.asarray(crossings[:, :width].cumsum(axis=1) % 2 == 1)


def _require_size(what: str, found: Sequence[int], expected: Size) -> None:
    if tuple(found) != expected:
        raise BenchError(
            f"{what}: expected the photo's size, {expected[1]} x {expected[0]} pixels, found "
            f"{' x '.join(map(str, tuple(found)[::-1]))}: masks must not be resized or rotated"
        )
