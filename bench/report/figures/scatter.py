"""Insertion against deletion."""

import numpy as np
from matplotlib.figure import Figure

from bench.leaderboard.comparison import Comparison
from bench.report.figures.labels import label_points
from bench.report.figures.means import means_of
from bench.report.figures.style import marks_of, metric_title, new_figure, styled


@styled()
def draw_scatter(comparison: Comparison) -> Figure:
    """Mean insertion AUC against mean deletion AUC; the best corner is the upper left.

    Crosses are the bootstrap intervals of the table. Controls are hollow and dashed.

    Args:
        comparison: Whose methods.
    """
    methods = marks_of(comparison)
    insertion, deletion = (means_of(comparison, own) for own in ("insertion", "deletion"))
    figure = new_figure(4.4, 6.0)
    axes = figure.subplots()
    lines, points = [], {}
    for method, mark in methods.items():
        x, y = deletion[method], insertion[method]
        points[method] = (x.value, y.value)
        cross = [((x.low, y.value), (x.high, y.value)), ((x.value, y.low), (x.value, y.high))]
        for (x0, y0), (x1, y1) in cross:
            axes.plot([x0, x1], [y0, y1], **mark.line, linewidth=0.8, alpha=0.7, zorder=1)
        axes.plot(*points[method], **mark.point, markersize=7, label=method, linestyle="", zorder=5)
        lines += cross if np.isfinite(x.low) else []  # a single image has no interval
    axes.set_xlabel(metric_title("deletion"))
    axes.set_ylabel(metric_title("insertion"))
    axes.margins(0.08)
    axes.grid()
    axes.text(
        0.012, 0.988, "↖ better", transform=axes.transAxes, ha="left", va="top", weight="bold"
    )
    label_points(figure, axes, points, lines)
    return figure
