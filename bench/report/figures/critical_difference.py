"""Average ranks of methods, and which of them cannot be told apart."""

from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.leaderboard.significance import Significance
from bench.report.figures.style import (
    CONTROL,
    CONTROL_NAME,
    WIDTH,
    add_panel,
    letters_wide,
    metric_title,
    placed_figure,
    shown,
    styled,
)

_TOP, _LINE, _BAR = 0.85, 0.19, 0.09
"""Inches from the title to the axis, between names, and between bars."""


@styled()
def draw_critical_difference(
    significances: Sequence[Significance], controls: Collection[str] = ()
) -> Figure:
    """Critical-difference diagrams (Demsar 2006, JMLR 7:1-30, figure 1), the best at the left.

    A bar joins methods whose average ranks differ by less than the critical difference.

    Args:
        significances: A diagram each, one below the other.
        controls: Names that are written in grey italics, their lines dashed.
    """
    side = max(letters_wide(_labels(own.average_ranks)) for own in significances) + 0.3
    width = max(WIDTH, 2 * side + 3)
    lanes = [
        _lanes(groups_within(own.average_ranks, own.critical_difference), own.average_ranks)
        for own in significances
    ]
    heights = [
        _TOP + 0.3 + _BAR * len(bars) + _LINE * -(-len(own.average_ranks) // 2)
        for own, bars in zip(significances, lanes, strict=True)
    ]
    figure, top = placed_figure(sum(heights), width), 0.0
    for own, bars, height in zip(significances, lanes, heights, strict=True):
        axes = add_panel(figure, 0, top, width, height)
        top += height
        axes.set(xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        _draw(axes, own, bars, controls, side, width)
    return figure


def groups_within(average_ranks: pd.Series, critical_difference: float) -> list[list[str]]:
    """The largest groups of methods that differ by less than the critical difference.

    Args:
        average_ranks: By method.
        critical_difference: NaN where it is not defined: then there are no groups.

    Returns:
        Groups of two and more, none within another, the best first.
    """
    if np.isnan(critical_difference):
        return []
    ranks = average_ranks.sort_values(kind="stable")
    ends = np.searchsorted(ranks, ranks + critical_difference, side="left")
    found, reached = [], 0
    for first, end in enumerate(ends):
        if end > reached and end - first > 1:
            found.append(ranks.index[first:end].tolist())
            reached = end
    return found


def _lanes(groups: Sequence[list[str]], ranks: pd.Series) -> list[list[tuple[float, float]]]:
    """Bars from rank to rank, in as few lanes as keep them apart."""
    lanes: list[list[tuple[float, float]]] = []
    for group in groups:
        low, high = ranks[group[0]], ranks[group[-1]]
        free = next((lane for lane in lanes if lane[-1][1] < low), None)
        if free is None:
            lanes.append(free := [])
        free.append((low, high))
    return lanes


def _labels(ranks: pd.Series) -> list[str]:
    return [f"{shown(name)}  {rank:.2f}" for name, rank in ranks.items()]


def _draw(
    axes: Axes,
    own: Significance,
    lanes: Sequence[Sequence[tuple[float, float]]],
    controls: Collection[str],
    side: float,
    width: float,
) -> None:
    """One diagram; data units are inches from the upper left."""
    ranks = own.average_ranks.sort_values(kind="stable")
    scale = (width - 2 * side) / max(len(ranks) - 1, 1)

    def x(rank: float) -> float:
        return side + (rank - 1) * scale

    title = metric_title(own.metric).partition(",")[0]
    axes.text(0.08, 0.08, f"Average rank by {title}, 1 is best", va="top", size="large")
    for rank in range(1, len(ranks) + 1, -(-len(ranks) // 14)):
        axes.plot([x(rank)] * 2, [_TOP - 0.06, _TOP], color="black", lw=0.8)
        axes.text(x(rank), _TOP - 0.09, f"{rank}", ha="center", va="bottom")
    axes.plot([x(1), x(len(ranks))], [_TOP, _TOP], color="black", lw=0.8)
    _draw_ruler(axes, own.critical_difference, x(1), scale, width)
    for lane, bars in enumerate(lanes, start=1):
        for low, high in bars:
            ends = [x(low) - 0.04, x(high) + 0.04]
            axes.plot(ends, [_TOP + _BAR * lane] * 2, color="black", lw=3, label="group")
    first = _TOP + 0.2 + _BAR * len(lanes)
    best = -(-len(ranks) // 2)
    for number, ((name, rank), label) in enumerate(zip(ranks.items(), _labels(ranks), strict=True)):
        left = number < best
        y = first + _LINE * (number if left else len(ranks) - 1 - number)
        end, gap = (side - 0.15, -0.05) if left else (width - side + 0.15, 0.05)
        is_control = name in controls
        line = {"color": CONTROL, "linestyle": (0, (4, 2))} if is_control else {"color": "#333333"}
        axes.plot([x(rank), x(rank), end], [_TOP, y, y], lw=0.8, label=name, **line)
        axes.text(
            end + gap,
            y,
            label,
            ha="right" if left else "left",
            va="center",
            **(CONTROL_NAME if is_control else {}),
        )


def _draw_ruler(
    axes: Axes, critical_difference: float, start: float, scale: float, width: float
) -> None:
    """How long the critical difference is on the axis, above it."""
    y = _TOP - 0.4
    if np.isnan(critical_difference):
        axes.text(start, y, "no critical difference", va="center", style="italic")
        return
    end = start + critical_difference * scale
    told = f"critical difference {critical_difference:.2f}"
    if end > width - start:  # few images: the ruler would leave the figure
        axes.text(start, y, f"{told}, more than the axis is long", va="center")
        return
    axes.plot([start, end], [y, y], "|-", color="black", lw=0.8, markersize=5)
    fits = end + 0.06 + letters_wide([told]) < width
    axes.text(*((end + 0.06, y) if fits else (start, y - 0.13)), told, va="center")
