"""Means over images with their intervals, as the table has them."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.statistics import bootstrap_interval


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
    return {method: _mean(own) for method, own in finite_values(comparison, metric).items()}


def _mean(values: pd.Series) -> Mean:
    return Mean(float(values.mean()), *_interval(values.to_numpy(np.float64).tobytes()))


@lru_cache(maxsize=4096)  # several figures show the same intervals
def _interval(values: bytes) -> tuple[float, float]:
    return bootstrap_interval(np.frombuffer(values, np.float64))
