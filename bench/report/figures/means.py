"""Means over images with their intervals, as the table has them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.statistics import bootstrap_intervals


class Mean(NamedTuple):
    """A mean and its 95 % bootstrap interval, which is NaN for a single image."""

    value: float
    low: float
    high: float


def finite_values(comparison: Comparison, metric: str) -> pd.DataFrame:
    """As `Comparison.values`, of the images that every method has a finite value of.

    An area relative to a clean score of zero is not finite.
    """
    values = comparison.values(metric)
    return values[np.isfinite(values).all(axis=1)]


def means_of(comparison: Comparison, metric: str) -> dict[str, Mean]:
    """By method, its mean over the images.

    Args:
        comparison: Whose methods.
        metric: One of its `metrics`.
    """
    values = finite_values(comparison, metric)
    intervals = _intervals(values.to_numpy(np.float64).tobytes(), values.shape)
    means = zip(values.mean(), intervals, strict=True)
    return {
        method: Mean(float(mean), *map(float, ends))
        for method, (mean, ends) in zip(values, means, strict=True)
    }


@lru_cache(maxsize=64)  # several figures show the same intervals
def _intervals(values: bytes, shape: tuple[int, int]) -> NDArray[np.float64]:
    return bootstrap_intervals(np.frombuffer(values, np.float64).reshape(shape))
