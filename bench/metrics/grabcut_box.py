"""Boxes by GraphCut from a map's highest and lowest pixels: Simonyan et al.'s localisation."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import BenchError, require_number
from bench.metrics.box_accuracy import box_iou
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic

_LEAST = 5
"""Pixels that a colour model needs: OpenCV's have five Gaussians each."""


@dataclass(frozen=True)
class GrabCutBox(Metric):
    """Share of images whose object is found by colours of a map's highest and lowest pixels.

    Simonyan et al. 2013, arXiv 1312.6034, section 4: the colours of the pixels above a high
    quantile of the map make the model of the foreground, those below a low quantile that of the
    background; GraphCut divides the image by both, and the box around the largest connected part of
    the foreground is right if its IoU with any box is large enough. Colour models and GraphCut are
    OpenCV's (five Gaussians, gamma 50), whose random start has a fixed seed.

    A pixel that both quantiles claim, as where most of a map is 0, counts as background. Where one
    of the models has less than five pixels, the box is the whole image.

    Attributes:
        foreground: The quantile above which pixels show the foreground's colours.
        background: The quantile up to which they show the background's.
        iou: The least IoU.

    Raises:
        BenchError: A setting is out of range, or `background` not below `foreground`.

    Example:
        >>> image = np.zeros((32, 32, 3), np.uint8)
        >>> image[8:24, 8:20] = 255  # a white object on black
        >>> GrabCutBox().box(image, image.mean(axis=2)).tolist()
        [8, 8, 20, 24]
    """

    citation: ClassVar[str] = "Simonyan et al. 2013, arXiv 1312.6034"
    seconds_per_map: ClassVar[float] = 0.2
    question: ClassVar[str] = "localised"
    uses_scores: ClassVar[bool] = False
    needs: ClassVar[str] = "boxes"
    draws: ClassVar[bool] = False
    foreground: float = 0.95
    background: float = 0.3
    iou: float = 0.5
    name: str = field(default="grabcut_box", kw_only=True)

    def __post_init__(self) -> None:
        for setting in ("foreground", "background", "iou"):
            require_number(setting, getattr(self, setting), 0, 1)
        if self.background >= self.foreground:
            raise BenchError(
                f"background: expected less than foreground, {self.foreground}, found "
                f"{self.background}"
            )

    @property
    def column(self) -> str:
        """The stored number: the IoU of the box that was found with the best one that was drawn."""
        return f"{self.name}_iou"

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        title, quantity = "GrabCut box", "share of objects found"
        return (Statistic(self.name, title, True, short="grabcut", quantity=quantity),)

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`."""
        return {self.column: None}

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`: IoU (N,) float64."""
        values = maps.values.double().cpu().numpy()
        overlaps = []
        for value, image in zip(values, maps.images.tolist(), strict=True):
            region = block.regions[image]
            found = self.box(region.shown, value)
            overlaps.append(box_iou(found[None], region.boxes, edge=0).max())
        return {self.column: np.array(overlaps)}

    def box(self, image: NDArray[np.uint8], saliency_map: NDArray[np.float64]) -> NDArray[np.int64]:
        """The box (4,) that a map finds: left, top, and the edges behind the last pixels.

        Args:
            image: RGB (H, W, 3).
            saliency_map: (H, W).
        """
        low, high = np.quantile(saliency_map, [self.background, self.foreground])
        back = saliency_map <= low
        front = (saliency_map >= high) & ~back
        height, width = saliency_map.shape
        if min(front.sum(), back.sum()) < _LEAST:
            return np.array([0, 0, width, height])
        # OpenCV's generator belongs to a thread: in another one ours stays as it is.
        with ThreadPoolExecutor(1) as pool:
            object_ = pool.submit(_cut, np.ascontiguousarray(image), front, back).result()
        count, _, parts, _ = cv2.connectedComponentsWithStats(object_, connectivity=8)
        if count < 2:
            return np.array([0, 0, width, height])
        largest = parts[1 + parts[1:, cv2.CC_STAT_AREA].argmax()]
        left, top = largest[cv2.CC_STAT_LEFT], largest[cv2.CC_STAT_TOP]
        across, down = largest[cv2.CC_STAT_WIDTH], largest[cv2.CC_STAT_HEIGHT]
        return np.array([left, top, left + across, top + down], np.int64)

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """See `Metric`: 1 where the object is found, else 0."""
        overlaps = rows[self.column].to_numpy(np.float64)
        return np.where(np.isnan(overlaps), np.nan, overlaps >= self.iou)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"A GrabCut box is found where GraphCut, by colours of the highest "
            f"{1 - self.foreground:.0%} and the lowest {self.background:.0%} of a map's pixels, "
            f"gives a box whose IoU with the object's is {self.iou:g} at least."
        ]


def _cut(
    image: NDArray[np.uint8], front: NDArray[np.bool_], back: NDArray[np.bool_]
) -> NDArray[np.uint8]:
    """The foreground (H, W) of an image, 1 or 0, by the colours of some of its pixels."""
    cv2.setRNGSeed(0)
    shown = image[front | back][None]  # the models are of these alone
    marks = np.where(front, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    of_back, of_front = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(
        shown, marks[front | back][None], (0, 0, 0, 0), of_back, of_front, 0, cv2.GC_INIT_WITH_MASK
    )
    cv2.grabCut(image, marks, (0, 0, 0, 0), of_back, of_front, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return np.isin(marks, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
