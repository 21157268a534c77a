"""Curves of a score while pixels are replaced in the order of a map."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.errors import BenchError, require_integer, require_number
from bench.metrics.auc import auc as areas_under
from bench.metrics.baseline import Baseline
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.perturbation import curves
from bench.metrics.statistic import Statistic

_MOST_STEPS = 10**6
"""More than any network's input has pixels."""


@dataclass(frozen=True)
class PixelCurve(Metric):
    """What insertion, deletion and their kin share: a curve between the image and a baseline.

    Attributes:
        baseline: What a removed pixel is.
        steps: Number of equal intervals (Xplique's `steps`); -1 is one pixel a step; or None.
        rows_per_step: Image rows' worth of pixels a step (RISE's `step`, in rows), or None.
        max_fraction: Fraction of the pixels that the last step reaches (Xplique's
            `max_percentage_perturbed`).

    Raises:
        BenchError: A setting is out of range, or not exactly one of `steps` and `rows_per_step`
            given.

    Example:
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> from bench.metrics.deletion import Deletion
        >>> deletion = Deletion(ZeroBaseline(), steps=4, max_fraction=0.5)  # one of its subclasses
        >>> deletion.counts(4, 4).tolist(), deletion.passes_per_map((4, 4)), deletion.curve
        ([0, 2, 4, 6, 8], 4, 'deletion_curve')
    """

    uses_order: ClassVar[bool] = True
    starts_from_image: ClassVar[bool] = False
    """Whether the curve leads from the image to the baseline; else the other way round."""
    pixels_are: ClassVar[str]
    """What happens to pixels along the curve, for the axis of a figure."""
    higher_is_better: ClassVar[bool]
    """Whether a higher curve speaks for the map."""
    draws: ClassVar[bool] = False

    baseline: Baseline
    steps: int | None = None
    rows_per_step: int | None = None
    max_fraction: float = 1

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.rows_per_step is None):
            raise BenchError(
                "expected either steps or rows_per_step, "
                f"found steps={self.steps} and rows_per_step={self.rows_per_step}"
            )
        for setting in ("steps", "rows_per_step"):
            value = getattr(self, setting)
            if value is not None and (setting, value) != ("steps", -1):
                require_integer(setting, value, 1, _MOST_STEPS)
        require_number("max_fraction", self.max_fraction, 0, 1)

    @property
    def title(self) -> str:
        """Insertion; of one called `insertion_blur` Insertion blur."""
        return self.name.replace("_", " ").capitalize()

    @property
    def curve(self) -> str:
        """The column of its curve."""
        return f"{self.name}_curve"

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """See `Metric`."""
        return (self.baseline,)

    def counts(self, height: int, width: int) -> NDArray[np.int32]:
        """Number of changed pixels at each point of the curve, from 0 on.

        Equal intervals are truncated to whole pixels as Xplique does
        (`np.linspace(0, last, steps + 1, dtype=np.int32)`); with rows, the last step is shorter
        where they do not divide evenly, as in RISE.

        Returns:
            (S+1,) int32, not decreasing.
        """
        last = math.floor(height * width * self.max_fraction)
        if self.steps is not None:
            steps = last if self.steps == -1 else self.steps
            return np.linspace(0, last, steps + 1, dtype=np.int32)
        assert self.rows_per_step is not None
        each = self.rows_per_step * width
        return np.minimum(np.arange(0, last + each, each), last).astype(np.int32)

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`."""
        return {self.curve: len(self.counts(*size))}

    def passes_per_map(self, size: tuple[int, int]) -> int:
        """See `Metric`; the curve's ends are the image's and the baseline's own scores."""
        counts = self.counts(*size)
        return int(np.count_nonzero((counts > 0) & (counts < size[0] * size[1])))

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Scores the curves (N, points)."""
        x = block.inputs.x
        counts = self.counts(*x.shape[2:])
        ends = [block.score_baseline(self.baseline), (x, block.clean_scores)]
        (start, start_scores), (end, end_scores) = ends[::-1] if self.starts_from_image else ends
        batch_size = block.scorer.batch_size_for(len(maps) * len(counts))
        found = self._score(
            block,
            maps,
            start=start,
            end=end,
            start_scores=start_scores,
            end_scores=end_scores,
            batch_size=batch_size,
        )
        scores = found.cpu().numpy()

        def point(number: int) -> str:
            at = f"point {number} of {len(counts) - 1} ({counts[number]:,} pixels)"
            return f"{self.name} score at {at}"

        maps.check(scores, point)
        return {self.curve: scores}

    def _score(self, block: Block, maps: Maps, **ends: Any) -> Tensor:
        """Curves (N, points) from one end to the other; see `bench.metrics.perturbation.curves`."""
        counts = torch.from_numpy(self.counts(*block.inputs.x.shape[2:]))
        return curves(
            block.scorer,
            targets=block.targets,
            order=maps.order,
            images=maps.images,
            counts=counts,
            **ends,
        )

    def steps_in_words(self) -> str:
        """How far one point of the curve is from the next."""
        words = f"in {self.steps} equal steps"
        if self.steps == -1:
            words = "one pixel a step"
        elif self.steps is None:
            plural = "s" * (self.rows_per_step != 1)
            words = f"by the pixels of {self.rows_per_step} image row{plural} a step"
        if self.max_fraction < 1:
            words += f", up to {self.max_fraction:.0%} of the pixels"
        return words


@dataclass(frozen=True)
class AreaUnderCurve(PixelCurve):
    """A curve whose area is what counts.

    Example:
        >>> import pandas as pd
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> from bench.metrics.insertion import Insertion
        >>> insertion = Insertion(ZeroBaseline(), steps=4)  # one of its subclasses
        >>> curve = [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> rows = pd.DataFrame({"insertion_curve": [curve], "clean_score": [1.0]})
        >>> insertion.values(insertion.statistics[0], rows, auc="trapezoid").tolist()
        [0.5]
    """

    short: ClassVar[str]
    """Its name where there is little room."""

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        area = Statistic(
            self.name,
            self.title,
            self.higher_is_better,
            column=f"{self.name}_auc",
            short=self.short if self.name == type(self).name else "",
            quantity=f"{self.title.lower()} AUC",
            published=f"{self.name}_auc",
            is_area=True,
        )
        return (area,)

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """See `Metric`: areas (n,) under the stored curves."""
        if not len(rows):
            return np.empty(0)
        stored = np.stack(rows[self.curve].tolist())
        return areas_under(stored, auc, rows["clean_score"].to_numpy())
