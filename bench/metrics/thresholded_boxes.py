"""Metrics that draw boxes around the bright parts of maps, at one threshold for a set of images."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.metric import Metric


class ThresholdedBoxes(Metric):
    """What is left of a map above a threshold has boxes, whose best IoU at each is stored.

    An image is found if that IoU is large enough, at the threshold at which most images are.

    Attributes:
        iou: The least IoU, one or several.
        thresholds: How many there are: 0, 1/n, 2/n, ... of a map's largest value.

    Example:
        >>> import pandas as pd
        >>> from bench.metrics.box_accuracy import MaxBoxAcc
        >>> metric = MaxBoxAcc(thresholds=3)  # one of its subclasses
        >>> rows = pd.DataFrame({"max_box_acc_iou": [[0.2, 0.6, 0.1], [0.3, 0.7, 0.9]]})
        >>> metric.success(rows, [0.5, 0.8]).tolist(), metric.best_threshold(rows, 0.5)
        ([1.0, 0.5], 1)
    """

    draws: ClassVar[bool] = False
    iou: Sequence[float]
    thresholds: int

    @abstractmethod
    def overlaps(self, rows: pd.DataFrame) -> NDArray[np.float32]:
        """The stored IoU (n, thresholds) of n rows; NaN where the image has no box."""

    @abstractmethod
    def box_at(
        self, saliency_map: NDArray[np.floating], drawn: NDArray[np.float64], threshold: int
    ) -> NDArray[np.int64]:
        """Of a map's boxes at a threshold the one (4,) that overlaps a drawn one most.

        Args:
            saliency_map: (H, W).
            drawn: (k, 4) left, top, right, bottom, in pixels of the map; one at least.
            threshold: 0..thresholds-1.
        """

    def has_box(self, rows: pd.DataFrame) -> NDArray[np.bool_]:
        """Whether someone drew a box in the image of each row (n,)."""
        return np.asarray(~np.isnan(self.overlaps(rows)).any(axis=1))

    def success(self, rows: pd.DataFrame, levels: Sequence[float]) -> NDArray[np.float64]:
        """The share of the images that are found at each IoU, at the best threshold of each.

        Args:
            rows: n stored rows; those of images without a box are left out, one at least has one.
            levels: IoU in 0..1. At one of `iou` it is what tables show of that IoU.

        Returns:
            (levels,).
        """
        overlaps = self.overlaps(rows[self.has_box(rows)])
        return np.array([_share_found(overlaps, level).max() for level in levels])

    def best_threshold(self, rows: pd.DataFrame, level: float) -> int:
        """The threshold at which most images are found at an IoU; of several the lowest.

        Args:
            rows: See `success`.
            level: IoU in 0..1.
        """
        return int(_share_found(self.overlaps(rows[self.has_box(rows)]), level).argmax())


def _share_found(overlaps: NDArray[np.float32], level: float) -> NDArray[np.float64]:
    """The share of images found at each threshold (thresholds,), of IoU (n, thresholds)."""
    # The stored IoU are float32, in which 0.3 is another number than in float64.
    return (overlaps >= np.float32(level)).mean(axis=0)
