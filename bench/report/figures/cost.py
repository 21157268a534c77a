"""What a method gives for what it costs."""

from collections.abc import Mapping
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.leaderboard.comparison import Comparison
from bench.report.figures.labels import label_points
from bench.report.figures.means import means_of
from bench.report.figures.style import (
    add_legend,
    marks_of,
    metric_title,
    new_figure,
    shown,
    styled,
)

Measure = Literal["passes", "seconds"]
_LABELLED = 10
"""More methods than these are named beneath: names beside points would hide each other."""
_TITLES = {
    "passes": "forward and backward passes for a map",
    "seconds": "seconds for an image's map and curves (median)",
}


@styled()
def draw_cost(comparison: Comparison, measure: Measure = "passes") -> Figure:
    """Mean AUC against cost, on a logarithmic axis that may begin with nothing.

    Methods of equal cost stand side by side.

    Args:
        comparison: Whose methods; those of unknown cost are named beneath.
        measure: `passes`, the same everywhere, or `seconds`, those of the machine that ran.
    """
    methods, costs = marks_of(comparison), _costs(comparison, measure)
    known = {name: mark for name, mark in methods.items() if name in costs}
    figure = new_figure(3.4)
    panels: list[Axes] = list(figure.subplots(1, 2))
    labelled = []
    for axes, metric in zip(panels, ("insertion", "deletion"), strict=True):
        means, points, lines = means_of(comparison, metric), {}, []
        _scale(axes, list(costs.values()), measure)
        places = _side_by_side(axes, costs)
        axes.set_xlim(right=max([axes.get_xlim()[1], *(1.2 * place for place in places)]))
        for (method, mark), x in zip(known.items(), places, strict=True):
            mean = means[method]
            points[method] = (x, mean.value)
            axes.plot([x, x], [mean.low, mean.high], **mark.line, linewidth=0.8, alpha=0.7)
            axes.plot(x, mean.value, **mark.point, markersize=6, label=method, linestyle="")
            lines += [((x, mean.low), (x, mean.high))] if np.isfinite(mean.low) else []
        axes.set_ylabel(metric_title(metric))
        axes.set_xlabel(_TITLES[measure])
        axes.grid()
        labelled.append((axes, points, lines))
    unknown = [shown(method) for method in methods if method not in costs]
    if unknown:
        figure.supxlabel(f"cost not known: {', '.join(unknown)}", fontsize="medium", wrap=True)
    if len(known) > _LABELLED:
        add_legend(figure, known, lines=False)
        return figure
    for axes, points, lines in labelled:
        label_points(figure, axes, points, lines, limit=22)
    return figure


def _costs(comparison: Comparison, measure: Measure) -> dict[str, float]:
    """By method, what one image costs, where that is known."""
    if measure == "seconds":
        found = {name: float(rows["seconds"].median()) for name, rows in comparison.rows.items()}
    else:
        passes = {name: run.passes for name, run in comparison.runs.items()}
        found = {name: sum(own.values()) for name, own in passes.items() if own}
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
    axes.xaxis.set_major_locator(FixedLocator([0, *powers] if has_nothing else powers))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))


def _side_by_side(axes: Axes, costs: Mapping[str, float]) -> list[float]:
    """Costs, equal ones moved apart; all of them together take a twelfth of the axis at most."""
    scale = axes.xaxis.get_transform()
    width = np.ptp(scale.transform(np.array(axes.get_xlim())))
    own = pd.Series(costs)
    same = own.groupby(own)
    others = same.transform("size") - 1
    moves = (same.cumcount() - others / 2) * width / np.maximum(50, 12 * others)
    return scale.inverted().transform(scale.transform(own.to_numpy()) + moves).tolist()
