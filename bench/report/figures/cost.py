"""Means against passes and seconds."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.leaderboard.comparison import Comparison
from bench.report.figures.labels import Point, label_points
from bench.report.figures.means import Mean, means_of
from bench.report.figures.style import (
    Mark,
    add_legend,
    axis_title,
    marks_of,
    panel_grid,
    shown,
    styled,
)

Measure = Literal["passes", "seconds"]
_LABELLED = 10
"""More methods than these are named beneath: names beside points would hide each other."""
_TITLES = {
    "passes": "forward and backward passes for a map",
    "seconds": "seconds an image, map and curves (median)",
}


@styled()
def draw_cost(comparison: Comparison, measure: Measure = "passes") -> Figure:
    """Means against cost, on a logarithmic axis that may begin with nothing.

    Methods of equal cost stand side by side.

    Args:
        comparison: Whose methods; those of unknown cost are named beneath. A panel for each of
            its `statistics`.
        measure: `passes`, the same everywhere, or `seconds`, those of the machine that ran.
    """
    methods, costs = marks_of(comparison), _costs(comparison, measure)
    known = {name: mark for name, mark in methods.items() if name in costs}
    figure, panels = panel_grid(len(comparison.statistics), 3.4)
    labelled = []
    for axes, statistic in zip(panels, comparison.statistics, strict=True):
        _scale(axes, list(costs.values()), measure)
        labelled.append((axes, *_draw_means(axes, means_of(comparison, statistic), known, costs)))
        axes.set_ylabel(axis_title(statistic))
        axes.set_xlabel(_TITLES[measure])
        axes.grid()
    unknown = [shown(method) for method in methods if method not in costs]
    if unknown:
        figure.supxlabel(f"cost not known: {', '.join(unknown)}", fontsize="medium", wrap=True)
    if len(known) > _LABELLED:
        add_legend(figure, known, lines=False)
        return figure
    for axes, points, lines in labelled:
        label_points(figure, axes, points, lines, limit=22)
    return figure


def _draw_means(
    axes: Axes, means: Mapping[str, Mean], methods: Mapping[str, Mark], costs: Mapping[str, float]
) -> tuple[dict[str, Point], list[tuple[Point, Point]]]:
    """Draws means with their intervals; returns the points, and lines that names keep off."""
    places = _side_by_side(axes, costs)
    axes.set_xlim(right=max([axes.get_xlim()[1], *(1.2 * place for place in places)]))
    points: dict[str, Point] = {}
    lines: list[tuple[Point, Point]] = []
    for (method, mark), x in zip(methods.items(), places, strict=True):
        mean = means[method]
        points[method] = (x, mean.value)
        axes.plot([x, x], [mean.low, mean.high], **mark.line, linewidth=0.8, alpha=0.7)
        axes.plot(x, mean.value, **mark.point, markersize=6, label=method, linestyle="")
        lines += [((x, mean.low), (x, mean.high))] if np.isfinite(mean.low) else []
    return points, lines


def _costs(comparison: Comparison, measure: Measure) -> dict[str, float]:
    """By method, what one image costs, where that is known."""
    if measure == "seconds":
        found = {name: float(rows["seconds"].median()) for name, rows in comparison.rows.items()}
    else:
        passes = {name: run.passes for name, run in comparison.runs.items()}
        found = {name: sum(counts.values()) for name, counts in passes.items() if counts}
    return {name: cost for name, cost in found.items() if np.isfinite(cost)}


def _scale(axes: Axes, costs: list[float], measure: Measure) -> None:
    """Powers of ten; nothing, which has no logarithm, stands a step left of the first of them."""
    above = [cost for cost in costs if cost > 0] or [1]
    first = 1 if measure == "passes" else 10.0 ** np.floor(np.log10(min(above)))
    last = 10.0 ** np.ceil(np.log10(max(*above, first * 1.001)))
    powers = first * 10.0 ** np.arange(round(np.log10(last / first)) + 1)
    has_nothing = min(costs, default=1) <= 0
    axes.set_xscale("symlog", linthresh=first)
    axes.set_xlim(-first / 2 if has_nothing else first * 0.7, last * 1.5)
    axes.xaxis.set_major_locator(FixedLocator([0.0, *powers] if has_nothing else list(powers)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _side_by_side(axes: Axes, costs: Mapping[str, float]) -> list[float]:
    """Costs, equal ones moved apart; all of them together take a twelfth of the axis at most."""
    scale = axes.xaxis.get_transform()
    width = np.ptp(scale.transform(np.array(axes.get_xlim())))
    every = pd.Series(costs)
    same = every.groupby(every)
    others = same.transform("size") - 1
    moves = (same.cumcount() - others / 2) * width / np.maximum(50, 12 * others)
    return scale.inverted().transform(scale.transform(every.to_numpy()) + moves).tolist()
