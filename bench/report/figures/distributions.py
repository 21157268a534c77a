"""Values of single images, by method."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.leaderboard.comparison import Comparison
from bench.report.figures.means import Mean, means_of
from bench.report.figures.style import (
    Mark,
    axis_title,
    marks_of,
    name_rows,
    panel_grid,
    styled,
)

_MANY = 300
"""More points than these are drawn as pixels: as shapes they would make an SVG of megabytes."""


@styled()
def draw_distributions(comparison: Comparison) -> Figure:
    """The values of single images: a row a method, in the order of the table.

    Boxes go from quartile to quartile, their whiskers to the farthest image within 1.5 times that
    length; the methods' markers are the means, with the bootstrap intervals of the table.

    Args:
        comparison: Whose values; a panel for each of its `statistics`.
    """
    methods = marks_of(comparison)
    figure, panels = panel_grid(len(comparison.statistics), 0.65 + 0.3 * len(methods), sharey=True)
    for number, (axes, statistic) in enumerate(zip(panels, comparison.statistics, strict=True)):
        values, means = comparison.finite_values(statistic), means_of(comparison, statistic)
        _draw_rows(axes, values, means, methods)
        axes.set_xlabel(axis_title(statistic))
        axes.grid(axis="x")
        axes.set_ylim(len(methods) - 0.4, -0.6)
        if number % 2:
            axes.tick_params(axis="y", length=0)
        else:
            name_rows(axes, list(methods), comparison.controls)
    return figure


def _draw_rows(
    axes: Axes, values: pd.DataFrame, means: Mapping[str, Mean], methods: Mapping[str, Mark]
) -> None:
    thin: dict[str, Any] = {"linewidth": 0.7, "color": "#444444"}
    axes.boxplot(
        values.to_numpy(),
        orientation="horizontal",
        positions=range(len(methods)),
        widths=0.62,
        showfliers=False,
        manage_ticks=False,
        boxprops=thin,
        whiskerprops=thin,
        capprops=thin,
        medianprops=thin,
    )
    scatter = np.random.default_rng(0).uniform(-0.24, 0.24, len(values))
    many = len(values) > _MANY
    size, alpha = (1.2, 0.25) if many else (2.4, 0.5)
    for row, (method, mark) in enumerate(methods.items()):
        axes.plot(
            values[method],
            row + scatter,
            "o",
            markersize=size,
            color=mark.colour,
            alpha=alpha,
            markeredgewidth=0,
            rasterized=many,
            zorder=1,
        )
        mean, low, high = means[method]
        axes.plot([low, high], [row, row], color="black", linewidth=2.2, zorder=4)
        axes.plot(mean, row, **{**mark.point, "markeredgewidth": 0.9}, markersize=6, zorder=5)
