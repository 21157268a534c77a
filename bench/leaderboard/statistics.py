"""Uncertainty of a mean over images."""

import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats


def bootstrap_interval(
    values: ArrayLike, confidence: float = 0.95, resamples: int = 9999, seed: int = 0
) -> tuple[float, float]:
    """Bootstrap interval (BCa) of the mean over images.

    Args:
        values: (n,) one value an image.
        confidence: Coverage.
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        Low and high end; NaN for fewer than two values, the value itself if all are equal.
    """
    values = np.asarray(values, dtype=np.float64)
    if len(values) < 2:
        return np.nan, np.nan
    if np.ptp(values) == 0:
        return float(values[0]), float(values[0])
    with warnings.catch_warnings():
        # With almost no spread BCa is undefined; scipy warns and gives NaN, which we show.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        interval = stats.bootstrap(
            (values,),
            np.mean,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=1000,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(interval.low), float(interval.high)
