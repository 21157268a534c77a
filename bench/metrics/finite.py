"""Which scores are not finite, in words: a curve with NaN or infinity in it has no area."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray


def not_finite(scores: NDArray[np.floating], name: Callable[[int], str]) -> dict[int, str]:
    """Finds the rows that hold NaN or infinity.

    Args:
        scores: (N, P) P scores of each of N images or maps.
        name: A column 0..P-1 to what its score is called.

    Returns:
        Row -> its first score that is not finite, as "insertion score at point 3 of 28 is NaN".

    Example:
        >>> scores = np.array([[0.1, 0.2], [0.3, np.nan], [-np.inf, 0.5]])
        >>> not_finite(scores, lambda column: f"score at point {column}")
        {1: 'score at point 1 is NaN', 2: 'score at point 0 is -infinity'}
    """
    broken = ~np.isfinite(scores)
    first = broken.argmax(axis=1)
    return {
        row: f"{name(first[row])} is {_named(scores[row, first[row]])}"
        for row in broken.any(axis=1).nonzero()[0].tolist()
    }


def expected_finite(score: str) -> str:
    """What a message on a score that is not finite adds: what was expected, what may be wrong.

    Args:
        score: A key of `bench.score.SCORES`.

    Example:
        >>> print(expected_finite("log_probability"))
        expected finite scores (the logarithm of a probability of 0 is -infinity: score
        `probability` instead)
    """
    reason = "a network that divides by an image's norm or deviation gives NaN for a blank one"
    if score == "log_probability":
        reason = "the logarithm of a probability of 0 is -infinity: score `probability` instead"
    return f"expected finite scores ({reason})"


def _named(value: np.floating) -> str:
    return "NaN" if np.isnan(value) else f"{'-' * bool(value < 0)}infinity"
