"""The highest score that an image reaches while its most important pixels are revealed."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import BenchError, require_integer
from bench.metrics.baseline import Baseline, ConstantBaseline
from bench.metrics.pixel_curve import PixelCurve
from bench.metrics.statistic import Statistic

SHARES = (25, 50, 75, 100)
"""Percentages of the points of which the highest is taken."""


@dataclass(frozen=True)
class HighestConfidence(PixelCurve):
    """A curve of its own: pixels are revealed on black, whatever the insertion's baseline is.

    "Average highest confidence" of arXiv 2402.09164's error understanding, in the form of the
    authors' script (baseline_attribution/debug_org_attribution_method_cub.py): of `steps` points,
    point i reveals int(pixels * i / steps) pixels. The script of the submission leaves out the
    whole image (steps 25, 24 points), the later one does not (steps 50).

    Attributes:
        baseline: What a pixel is before it is revealed; black by default.
        steps: Equal intervals of the curve.
        whole_image: Whether the last point, the image itself, counts.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> metric = HighestConfidence(steps=5)
        >>> metric.counts(4, 4).tolist()
        [0, 3, 6, 9, 12, 16]
        >>> curves = np.array([[0.1, 0.2, 0.6, 0.8, 0.7, 0.9]])  # the image itself does not count
        >>> [metric.highest(curves, share).item() for share in SHARES]
        [0.2, 0.6, 0.8, 0.8]
    """

    citation: ClassVar[str] = "Chen et al. 2024, arXiv 2402.09164"
    higher_is_better: ClassVar[bool] = True
    pixels_are: ClassVar[str] = "revealed"
    baseline: Baseline = field(default_factory=lambda: ConstantBaseline((0, 0, 0)))
    steps: int = 25
    whole_image: bool = False
    name: str = field(default="confidence", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        least = 4 if self.whole_image else 5  # so that a quarter of the points holds one
        require_integer("steps", self.steps, least)
        if self.max_fraction != 1:
            raise BenchError(f"max_fraction: expected 1, found {self.max_fraction}")

    def counts(self, height: int, width: int) -> NDArray[np.int32]:
        """Revealed pixels at each point, (steps+1,) int32, from none to all."""
        return (height * width * np.arange(self.steps + 1) // self.steps).astype(np.int32)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`: the highest of each share of the points; that of all is the main one."""
        return tuple(
            Statistic(
                self.name if share == 100 else f"{self.name}_{share}",
                "Confidence" if share == 100 else f"Confidence {share} %",
                self.higher_is_better,
                column=f"{self.name}_{share}",
                short="conf" if share == 100 else f"conf {share} %",
                quantity="highest confidence",
                is_main=share == 100,
                published="avg_highest_conf" if share == 100 else "",
            )
            for share in SHARES
        )

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """See `Metric`."""
        if not len(rows):
            return np.empty(0)
        share = int(statistic.column.rpartition("_")[2])
        return self.highest(np.stack(rows[self.curve].tolist()), share)

    def highest(self, curves: NDArray[np.float32], share: int) -> NDArray[np.float64]:
        """The highest scores (n,) among the first `share` percent of the points that count.

        Args:
            curves: (n, steps+1), nothing revealed first; that point never counts.
            share: One of `SHARES`.
        """
        counting = curves[:, 1:] if self.whole_image else curves[:, 1:-1]
        return counting[:, : counting.shape[1] * share // 100].max(axis=1).astype(np.float64)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        counted = "counts" if self.whole_image else "does not count"
        return [
            f"{self.title} is the highest score while pixels are revealed on "
            f"{self.baseline.in_words()}, in {self.steps} steps; the whole image {counted}."
        ]
