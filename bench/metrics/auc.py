"""Rules that turn a stored curve into one number.

The published rule is `trapezoid`. The others are conventions of other tools, to compare
their numbers with ours on one and the same curve; none needs a second run.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bench.errors import require_known

Floats = NDArray[np.float64]
"""An array of float64."""


def trapezoid(curves: Floats, clean: Floats) -> Floats:
    """Plain trapezoid over equal steps of an x axis in [0, 1], both end points included.

    The rule of Xplique (`CausalFidelity.evaluate`), of RISE (`auc`) and of torch-cam. Steps count
    as equal even where truncation makes them differ by a pixel.

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image; not used.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 0.75, 1.0])  # y = x
        >>> trapezoid(curve, clean=np.array(1.0)).item(), trapezoid(curve**2, np.array(1.0)).item()
        (0.5, 0.34375)
    """
    return _area(curves) / (curves.shape[-1] - 1)


def mean(curves: Floats, clean: Floats) -> Floats:
    """Mean of all points (InterpretDL; attribench).

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image; not used.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        >>> mean(curve, clean=np.array(1.0)).item(), mean(curve**2, np.array(1.0)).item()
        (0.5, 0.375)
    """
    return curves.mean(axis=-1)


def mean_without_end(curves: Floats, clean: Floats) -> Floats:
    """Mean of all points but the last (idsds: `linspace` without its end point).

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image; not used.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        >>> mean_without_end(curve, clean=np.array(1.0)).item()
        0.375
    """
    return curves[..., :-1].mean(axis=-1)


def mean_without_last_but_one(curves: Floats, clean: Floats) -> Floats:
    """Mean of all points but the last but one (pnpxai: its last step jumps to 100 %).

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image; not used.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 1.0])
        >>> round(mean_without_last_but_one(curve, clean=np.array(1.0)).item(), 4)  # 1.25 / 3
        0.4167
    """
    return np.delete(curves, -2, axis=-1).mean(axis=-1)


def inner_trapezoid(curves: Floats, clean: Floats) -> Floats:
    """Trapezoid without 0 % and 100 %, spacing 1 / number of points (LATEC).

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image; not used.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        >>> round(inner_trapezoid(curve, clean=np.array(1.0)).item(), 4)  # 2 / 3 of the area
        0.3333
    """
    inner = curves[..., 1:-1]
    return _area(inner) / inner.shape[-1]


def relative_trapezoid(curves: Floats, clean: Floats) -> Floats:
    """Trapezoid of score / clean score without 0 %, divided by the number of points.

    ExplainableAIImageMeasures.

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        >>> relative_trapezoid(curve, clean=np.array(0.5)).item()
        0.9375
    """
    with np.errstate(divide="ignore", invalid="ignore"):  # a clean score of 0 has no such area
        later = curves[..., 1:] / clean[..., None]
    return _area(later) / later.shape[-1]


def quantus(curves: Floats, clean: Floats) -> Floats:
    """Trapezoid with spacing 1 and without 0 %: grows with the number of steps (Quantus).

    Args:
        curves: (..., S+1) float64 scores from the first point to the last.
        clean: (...) float64 score of the clean image; not used.

    Returns:
        Areas (...) float64.

    Example:
        >>> curve = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
        >>> quantus(curve, clean=np.array(1.0)).item()
        1.875
    """
    return _area(curves[..., 1:])


def _area(curves: Floats) -> Floats:
    return ((curves[..., :-1] + curves[..., 1:]) / 2).sum(axis=-1)


AUC_RULES: dict[str, Callable[[Floats, Floats], Floats]] = {
    rule.__name__: rule
    for rule in (
        trapezoid,
        mean,
        mean_without_end,
        mean_without_last_but_one,
        inner_trapezoid,
        relative_trapezoid,
        quantus,
    )
}
"""Each takes curves (..., S+1), from the first point to the last, and the score (...) of the clean
image, and gives areas (...)."""


def auc(curves: ArrayLike, rule: str = "trapezoid", clean: ArrayLike = 1.0) -> Floats:
    """Areas under curves by a named rule.

    Args:
        curves: (..., S+1) scores from the first point to the last.
        rule: A key of `AUC_RULES`.
        clean: (...) score of the clean image, for rules that divide by it.

    Returns:
        Areas (...) float64.

    Raises:
        BenchError: The rule is unknown.

    Example:
        >>> curve = [0.0, 0.25, 0.5, 0.75, 1.0]
        >>> rules = ("trapezoid", "inner_trapezoid", "quantus")
        >>> {rule: round(auc(curve, rule).item(), 4) for rule in rules}
        {'trapezoid': 0.5, 'inner_trapezoid': 0.3333, 'quantus': 1.875}
    """
    require_known("auc", rule, AUC_RULES)
    curves = np.asarray(curves, dtype=np.float64)
    clean = np.broadcast_to(np.asarray(clean, dtype=np.float64), curves.shape[:-1])
    return AUC_RULES[rule](curves, clean)
