"""Mean curves."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from bench.leaderboard.comparison import Comparison
from bench.report.figures.style import Mark, add_legend, marks_of, new_figure, styled

_PANELS = {
    "insertion": ("Insertion: higher is better", "pixels inserted"),
    "deletion": ("Deletion: lower is better", "pixels deleted"),
    "confidence": ("Confidence: higher is better", "pixels revealed on black"),
}


@styled()
def draw_curves(comparison: Comparison) -> Figure:
    """Mean insertion and deletion curve of each method with a 95 % band.

    The curve of confidence is a third panel, where the protocol has it. Bands are pointwise
    Student-t intervals of the mean over images, cut at the range of the method's scores.

    Args:
        comparison: Whose curves.
    """
    directions = [own for own in _PANELS if own in comparison.metrics]
    methods, protocol = marks_of(comparison), comparison.identity["protocol"]
    figure = new_figure(2.9)
    figure.get_layout_engine().set(wspace=0.04)
    panels: list[Axes] = list(figure.subplots(1, len(directions), sharey=True))
    gap = " " if len(directions) < 3 else "\n"  # narrow panels
    for axes, direction in zip(panels, directions, strict=True):
        reach = protocol[direction].get("max_fraction", 1)
        for number, (method, mark) in enumerate(methods.items()):
            scores = comparison.curves(method, direction)
            _draw_band(axes, scores, reach, method, mark, number, min(0.12, 0.9 / len(methods)))
        title, label = _PANELS[direction]
        axes.set_title(title)
        axes.set_xlabel(f"{label},{gap}most important first")
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.set_xlim(0, reach)
        axes.grid()
    panels[0].set_ylabel(protocol["score"].replace("_", " "))
    add_legend(figure, methods)
    return figure


def _draw_band(
    axes: Axes,
    scores: NDArray[np.float32],
    reach: float,
    method: str,
    mark: Mark,
    number: int,
    alpha: float,
) -> None:
    fraction = np.linspace(0, reach, scores.shape[1])
    mean = scores.mean(axis=0)
    every = max(len(fraction) // 5, 1)  # markers of different methods at different points
    style = {**mark.line, **mark.point, "markevery": (number * 2 % every, every)}
    axes.plot(fraction, mean, label=method, clip_on=False, **style)
    if len(scores) > 1:
        half = stats.sem(scores, axis=0) * stats.t.ppf(0.975, len(scores) - 1)
        # With a handful of images a symmetric band would leave the range that scores can have.
        low, high = np.clip([mean - half, mean + half], scores.min(), scores.max())
        axes.fill_between(fraction, low, high, color=mark.colour, alpha=alpha, lw=0)
