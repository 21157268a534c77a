"""Means over images with their intervals, as the table has them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.statistics import bootstrap_intervals
from bench.metrics.statistic import Statistic


class Mean(NamedTuple):
    """A mean and its 95 % bootstrap interval, which is NaN for a single image."""

    value: float
    low: float
    high: float


def means_of(comparison: Comparison, statistic: Statistic) -> dict[str, Mean]:
    """By method, its mean over the images.

    Args:
        comparison: Whose methods.
        statistic: One of its `statistics`.
    """
    values = comparison.finite_values(statistic)
    intervals = _intervals(values.to_numpy(np.float64).tobytes(), values.shape)
    means = zip(values.mean(), intervals, strict=True)
    return {
        str(method): Mean(float(mean), *map(float, ends))
        for method, (mean, ends) in zip(values, means, strict=True)
    }


@lru_cache(maxsize=64)  # several figures show the same intervals
def _intervals(values: bytes, shape: tuple[int, int]) -> NDArray[np.float64]:
    return bootstrap_intervals(np.frombuffer(values, np.float64).reshape(shape))
