"""One statistic against another."""

import numpy as np
from matplotlib.figure import Figure

from bench.leaderboard.comparison import Comparison
from bench.report.figures.labels import label_points
from bench.report.figures.means import means_of
from bench.report.figures.style import axis_title, marks_of, new_figure, styled

_BETTER: dict[tuple[bool | None, bool | None], tuple[str, float, float, str, str]] = {
    (True, False): ("↖ better", 0.012, 0.988, "left", "top"),
    (True, True): ("better ↗", 0.988, 0.988, "right", "top"),
    (False, False): ("↙ better", 0.012, 0.012, "left", "bottom"),
    (False, True): ("better ↘", 0.988, 0.012, "right", "bottom"),
}
"""By whether up and whether right is better, the best corner."""


@styled()
def draw_scatter(comparison: Comparison) -> Figure:
    """Means of the first statistic against those of the second; the best corner says so.

    Crosses are the bootstrap intervals of the table. Controls are hollow and dashed.

    Args:
        comparison: Whose methods; it has two statistics at least.
    """
    methods = marks_of(comparison)
    vertical, horizontal = comparison.statistics[:2]
    above, right = (means_of(comparison, one) for one in (vertical, horizontal))
    figure = new_figure(4.4, 6.0)
    axes = figure.subplots()
    lines, points = [], {}
    for method, mark in methods.items():
        x, y = right[method], above[method]
        points[method] = (x.value, y.value)
        cross = [((x.low, y.value), (x.high, y.value)), ((x.value, y.low), (x.value, y.high))]
        for (x0, y0), (x1, y1) in cross:
            axes.plot([x0, x1], [y0, y1], **mark.line, linewidth=0.8, alpha=0.7, zorder=1)
        axes.plot(*points[method], **mark.point, markersize=7, label=method, linestyle="", zorder=5)
        lines += cross if np.isfinite(x.low) else []  # a single image has no interval
    axes.set_xlabel(axis_title(horizontal))
    axes.set_ylabel(axis_title(vertical))
    axes.margins(0.08)
    axes.grid()
    corner = _BETTER.get((vertical.higher_is_better, horizontal.higher_is_better))
    if corner is not None:
        words, left, bottom, ha, va = corner
        axes.text(left, bottom, words, transform=axes.transAxes, ha=ha, va=va, weight="bold")
    label_points(figure, axes, points, lines)
    return figure
