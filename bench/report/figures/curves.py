"""Mean curves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray
from scipy import stats

from bench.leaderboard.comparison import Comparison
from bench.report.figures.style import add_legend, marks_of, new_figure, styled


@styled()
def draw_curves(comparison: Comparison) -> Figure:
    """Mean curves of each method with a 95 % band, a panel for each metric that has a curve.

    Bands are pointwise Student-t intervals of the mean over images, cut at the range of the
    method's scores.

    Args:
        comparison: Whose curves; it has one at least.
    """
    curves, methods = comparison.protocol.curves, marks_of(comparison)
    figure = new_figure(2.9)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=0.04)
    panels: list[Axes] = list(figure.subplots(1, len(curves), sharey=True, squeeze=False)[0])
    gap = " " if len(curves) < 3 else "\n"  # narrow panels
    for axes, (name, curve) in zip(panels, curves.items(), strict=True):
        for number, (method, mark) in enumerate(methods.items()):
            scores = comparison.mean_curves(method, name)
            fraction = np.linspace(0, curve.max_fraction, scores.shape[1])
            every = max(len(fraction) // 5, 1)  # markers of different methods at different points
            style = {**mark.line, **mark.point, "markevery": (number * 2 % every, every)}
            axes.plot(fraction, scores.mean(axis=0), label=method, clip_on=False, **style)
            _draw_band(axes, fraction, scores, mark.colour, alpha=min(0.12, 0.9 / len(methods)))
        better = "higher" if curve.higher_is_better else "lower"
        axes.set_title(f"{curve.title}: {better} is better")
        axes.set_xlabel(f"pixels {curve.pixels_are},{gap}most important first")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.set_xlim(0, curve.max_fraction)
        axes.grid()
    panels[0].set_ylabel(comparison.protocol.score.replace("_", " "))
    add_legend(figure, methods)
    return figure


def _draw_band(
    axes: Axes,
    fraction: NDArray[np.float64],
    scores: NDArray[np.float32],
    colour: str,
    alpha: float,
) -> None:
    if len(scores) < 2:
        return
    mean = scores.mean(axis=0)
    half = stats.sem(scores, axis=0) * stats.t.ppf(0.975, len(scores) - 1)
    # With a handful of images a symmetric band would leave the range that scores can have.
    low, high = np.clip([mean - half, mean + half], scores.min(), scores.max())
    axes.fill_between(fraction, low, high, color=colour, alpha=alpha, lw=0)
