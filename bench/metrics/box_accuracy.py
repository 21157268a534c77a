"""MaxBoxAcc: boxes around the bright parts of a map, against those that people drew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import BenchError, require_integer, require_known, require_number
from bench.metrics.metric import Block, Maps
from bench.metrics.statistic import Statistic
from bench.metrics.thresholded_boxes import ThresholdedBoxes

CONTOURS = ("largest", "all")
"""Which contours of a thresholded map become boxes."""


@dataclass(frozen=True)
class MaxBoxAcc(ThresholdedBoxes):
    """Share of images that a box around a map's bright part finds, at the best threshold for all.

    Choe et al. 2020, arXiv 2001.07437, in the form of their code: the map is scaled to 0..255 and
    cut at each threshold; a box around a contour of what is left finds the object if its IoU with
    any box is large enough. The threshold is the one at which most images of the set are found.
    `max_box_acc` is their first form (the largest contour, IoU 0.5), `max_box_acc_v2` the second
    (all contours; the mean over IoU 0.3, 0.5 and 0.7 of the best threshold of each).

    Their code resizes maps to 224 x 224 first; here they have the size of the network's input.

    Attributes:
        contours: `largest`, or `all`: of several boxes the best one counts.
        iou: The least IoU, one or several.
        thresholds: How many there are: 0, 1/n, 2/n, ...

    Raises:
        BenchError: A setting is unknown or out of range.

    Example:
        >>> saliency_map = np.zeros((8, 8))
        >>> saliency_map[2:6, 2:6] = 0.5  # the object
        >>> saliency_map[3:5, 3:5] = 1.0
        >>> found = MaxBoxAcc(thresholds=2).boxes(saliency_map)
        >>> MaxBoxAcc.best_iou(found, np.array([[2.0, 2.0, 6.0, 6.0]])).round(2).tolist()
        [1.0, 0.36]
    """

    citation: ClassVar[str] = "Choe et al. 2020, arXiv 2001.07437"
    seconds_per_map: ClassVar[float] = 0.2
    question: ClassVar[str] = "localised"
    uses_scores: ClassVar[bool] = False
    needs: ClassVar[str] = "boxes"
    contours: str = "largest"
    iou: Sequence[float] = (0.5,)
    thresholds: int = 100
    name: str = field(default="max_box_acc", kw_only=True)

    def __post_init__(self) -> None:
        require_known("contours", self.contours, CONTOURS)
        require_integer("thresholds", self.thresholds, 1, 1000)
        levels = [self.iou] if isinstance(self.iou, int | float) else self.iou
        if not levels:
            raise BenchError("iou: expected at least one number in (0, 1], found none")
        for level in levels:
            require_number("iou", level, 0, 1)
        object.__setattr__(self, "iou", tuple(levels))

    @property
    def column(self) -> str:
        """The stored curve: the best IoU at each threshold."""
        return f"{self.name}_iou"

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        title = "MaxBoxAcc" if self.contours == "largest" else "MaxBoxAccV2"
        return (
            Statistic(
                self.name, title, True, quantity="share of objects found", is_pooled=True,
                published=self.name,
            ),
        )  # fmt: skip

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`."""
        return {self.column: self.thresholds}

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`: IoU (N, thresholds) float32."""
        values = maps.values.double().cpu().numpy()
        pairs = zip(values, maps.images.tolist(), strict=True)
        found = [
            self.best_iou(self.boxes(value), block.regions[image].boxes) for value, image in pairs
        ]
        return {self.column: np.stack(found).astype(np.float32)}

    def boxes(self, saliency_map: NDArray[np.float64]) -> list[NDArray[np.int64]]:
        """The boxes (k, 4) around a map's bright parts at each threshold.

        Args:
            saliency_map: (H, W).
        """
        grey = (scaled(saliency_map) * 255).astype(np.uint8)
        shares = np.arange(self.thresholds) / self.thresholds
        levels = (shares * grey.max()).astype(int)
        by_level = {level: self._boxes_above(grey, level) for level in np.unique(levels).tolist()}
        return [by_level[level] for level in levels.tolist()]

    @staticmethod
    def best_iou(
        found: Sequence[NDArray[np.int64]], drawn: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """The best IoU of a map's boxes with those of an object, at each threshold.

        Args:
            found: What `boxes` gives.
            drawn: (n, 4) left, top, right, bottom, in pixels of the map. Fractions are cut off, as
                their code does.

        Returns:
            (thresholds,) float64.
        """
        counts = [len(boxes) for boxes in found]
        best = box_iou(np.concatenate(found), drawn.astype(int)).max(axis=1)
        return np.maximum.reduceat(best, np.cumsum([0, *counts[:-1]]))

    def _boxes_above(self, grey: NDArray[np.uint8], level: int) -> NDArray[np.int64]:
        """Boxes (k, 4) around the contours of what is brighter than a level; of nothing, (0, 0)."""
        bright = (grey > level).astype(np.uint8)
        contours, _ = cv2.findContours(bright, cv2.RETR_TREE, cv2.CHAIN_APPROX_SIMPLE)
        if not contours:
            return np.zeros((1, 4), np.int64)
        if self.contours == "largest":
            contours = [max(contours, key=cv2.contourArea)]
        left, top, width, height = np.array([cv2.boundingRect(each) for each in contours]).T
        last_row, last_column = grey.shape[0] - 1, grey.shape[1] - 1
        right, bottom = np.minimum(left + width, last_column), np.minimum(top + height, last_row)
        return np.stack([left, top, right, bottom], axis=1)

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """See `Metric`: whether an image is found at the threshold that is best for these rows.

        Of several IoU the mean; their mean over images is what tables show.
        """
        if not len(rows):
            return np.empty(0)
        found = self._found(rows)
        having = found[:, ~np.isnan(found).any(axis=(0, 2))]
        best = having.sum(axis=1).argmax(axis=1)
        hits = np.stack([of_level[:, at] for of_level, at in zip(found, best, strict=True)])
        return hits.mean(axis=0)

    def pooled(
        self, statistic: Statistic, rows: pd.DataFrame, auc: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """See `Metric`: the threshold is chosen anew for each draw."""
        hits = self._found(rows)
        best = np.stack([(counts @ of_level).max(axis=1) for of_level in hits])
        return best.mean(axis=0) / counts.sum(axis=1)

    def overlaps(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        """See `ThresholdedBoxes`."""
        return np.stack(rows[self.column].tolist()).astype(np.float32)

    def box_at(
        self, saliency_map: NDArray[np.floating], drawn: NDArray[np.float64], threshold: int
    ) -> NDArray[np.int64]:
        """See `ThresholdedBoxes`."""
        found = self.boxes(saliency_map.astype(np.float64))[threshold]
        best = box_iou(found, drawn.astype(int)).max(axis=1).argmax()
        return np.asarray(found[best])

    def _found(self, rows: pd.DataFrame) -> NDArray[np.float64]:
        """Whether each image is found (levels, n, thresholds): 1 or 0; NaN without a box."""
        overlaps = self.overlaps(rows)
        found = np.stack([overlaps >= np.float32(level) for level in self.iou]).astype(np.float64)
        found[:, np.isnan(overlaps).any(axis=1)] = np.nan
        return found

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        which = "the largest contour" if self.contours == "largest" else "any contour"
        levels = " and ".join(f"{level:g}" for level in self.iou)
        return [
            f"{self.statistics[0].title} is the share of images in which a box around {which} of "
            f"the map overlaps the object's box with an IoU of {levels} at least"
            f"{', in the mean' if len(self.iou) > 1 else ''}, at the threshold that is best for "
            "all images."
        ]


def scaled(saliency_map: NDArray[np.float64]) -> NDArray[np.float64]:
    """A map, with 0 for its smallest and 1 for its largest value; 0 if it is constant.

    Args:
        saliency_map: (H, W) float64.

    Returns:
        (H, W) float64 in 0..1.

    Example:
        >>> scaled(np.array([[-1.0, 0.0], [1.0, 3.0]])).tolist()
        [[0.0, 0.25], [0.5, 1.0]]
    """
    low, high = saliency_map.min(), saliency_map.max()
    return (saliency_map - low) / (high - low) if high > low else np.zeros_like(saliency_map)


def box_iou(ours: NDArray[Any], theirs: NDArray[Any], edge: int = 1) -> NDArray[np.float64]:
    """Intersection over union of boxes with boxes.

    Args:
        ours: (k, 4) left, top, right, bottom.
        theirs: (n, 4).
        edge: 1: right and bottom are the last pixels; 0: the edges behind them.

    Returns:
        (k, n).

    Example:
        >>> ours, theirs = np.array([[0, 0, 4, 4]]), np.array([[2, 0, 6, 4], [0, 0, 4, 4]])
        >>> box_iou(ours, theirs, edge=0).round(4).tolist()  # 8 of 24 pixels, and all
        [[0.3333, 1.0]]
    """
    low = np.maximum(ours[:, None, :2], theirs[None, :, :2])
    high = np.minimum(ours[:, None, 2:], theirs[None, :, 2:])
    shared = (high - low + edge).clip(min=0).prod(axis=2)
    areas = [(boxes[:, 2:] - boxes[:, :2] + edge).prod(axis=1) for boxes in (ours, theirs)]
    return np.asarray(shared / (areas[0][:, None] + areas[1] - shared), np.float64)
