"""Numbers of rows that are the mean of several draws.

Means are taken of what is read off each draw, and not of stored columns: the highest score of a
mean curve, say, is not the mean of the highest scores.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.protocol import Protocol
from bench.metrics.statistic import Statistic


def values_of_draws(
    protocol: Protocol, statistic: Statistic, draws: Sequence[pd.DataFrame], rule: str | None
) -> NDArray[np.float64]:
    """A statistic's value (n,) of each image: the mean of its values in all draws.

    Args:
        protocol: Has the statistic.
        statistic: See `Protocol.values`.
        draws: The n rows of each draw, of the same images in the same order.
        rule: See `Protocol.values`.

    Returns:
        Not finite where that of any draw is not.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = example_comparison()
        >>> insertion = found.statistic("insertion")
        >>> draws = [found.rows["rise"], found.rows["grad_cam"]]  # as if they were of one method
        >>> values_of_draws(found.protocol, insertion, draws, "trapezoid").round(3).tolist()[:3]
        [0.675, 0.63, 0.64]
    """
    return np.mean([protocol.values(statistic, rows, rule) for rows in draws], axis=0)


def pooled_of_draws(
    protocol: Protocol,
    statistic: Statistic,
    draws: Sequence[pd.DataFrame],
    rule: str | None,
    counts: NDArray[np.float64],
) -> NDArray[np.float64]:
    """A statistic of resamples of the images: the mean of what it is in all draws.

    Args:
        protocol: Has the statistic.
        statistic: See `Protocol.pooled`.
        draws: See `values_of_draws`.
        rule: See `Protocol.pooled`.
        counts: (resamples, n) how often an image is in a resample, whichever draw.

    Returns:
        (resamples,).

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = example_comparison()
        >>> draws = [found.rows["rise"], found.rows["grad_cam"]]
        >>> counts = np.ones((2, 8))  # two resamples, in which each image is once
        >>> insertion = found.statistic("insertion")
        >>> pooled_of_draws(found.protocol, insertion, draws, None, counts).round(3).tolist()
        [0.63, 0.63]
    """
    return np.mean([protocol.pooled(statistic, rows, rule, counts) for rows in draws], axis=0)


def spread_of_draws(summaries: Sequence[float]) -> float:
    """The standard deviation between draws (n - 1), of a statistic of all images in each of them.

    Args:
        summaries: Of each draw; two at least.

    Returns:
        In the unit of the statistic.

    Example:
        >>> round(spread_of_draws([0.61, 0.63, 0.65]), 6)
        0.02
    """
    return float(np.std(summaries, ddof=1))
