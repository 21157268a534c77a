"""Rules that turn a stored curve into one number."""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import require_known


def trapezoid(curves: NDArray[np.float64]) -> NDArray[np.float64]:
    """Plain trapezoid over equal steps of an x axis in [0, 1], both end points included.

    The rule of Xplique (`CausalFidelity.evaluate`) and of RISE (`auc`). Steps count as equal even
    where truncation makes them differ by a pixel.

    Args:
        curves: (..., S+1).

    Returns:
        Areas (...).
    """
    return (curves[..., :-1] + curves[..., 1:]).mean(axis=-1) / 2


AUC_RULES: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
    "trapezoid": trapezoid,
}


def auc(curves: ArrayLike, rule: str = "trapezoid") -> NDArray[np.float64]:
    """Areas under curves by a named rule.

    Args:
        curves: (..., S+1) scores from the first point to the last.
        rule: A key of `AUC_RULES`.

    Returns:
        Areas (...) float64.

    Raises:
        BenchError: The rule is unknown.
    """
    require_known("auc", rule, AUC_RULES)
    return AUC_RULES[rule](np.asarray(curves, dtype=np.float64))
