"""Average ranks of methods with the critical difference."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

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
    side = max(letters_wide(_labels(found.average_ranks)) for found in significances) + 0.3
    width = max(WIDTH, 2 * side + 3)
    diagrams = [_Diagram(found, controls, side, width) for found in significances]
    figure, top = placed_figure(sum(diagram.height for diagram in diagrams), width), 0.0
    for diagram in diagrams:
        axes = add_panel(figure, 0, top, width, diagram.height)
        top += diagram.height
        axes.set(xlim=(0, width), ylim=(diagram.height, 0))
        axes.set_axis_off()
        diagram.draw(axes)
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
    return [f"{shown(str(name))}  {rank:.2f}" for name, rank in ranks.items()]


@dataclass(frozen=True)
class _Diagram:
    """One diagram; its data units are inches from the upper left.

    Attributes:
        found: Whose ranks.
        controls: Names that are written in grey italics, their lines dashed.
        side: Room for names at the left and at the right.
        width: The width of the figure.
    """

    found: Significance
    controls: Collection[str]
    side: float
    width: float

    @cached_property
    def lanes(self) -> list[list[tuple[float, float]]]:
        """Bars that join methods, in lanes."""
        ranks = self.found.average_ranks
        return _lanes(groups_within(ranks, self.found.critical_difference), ranks)

    @property
    def height(self) -> float:
        """Of the diagram."""
        names = _LINE * -(-len(self.found.average_ranks) // 2)
        return _TOP + 0.3 + _BAR * len(self.lanes) + names

    @cached_property
    def _ranks(self) -> pd.Series:
        return self.found.average_ranks.sort_values(kind="stable")

    @property
    def _scale(self) -> float:
        return (self.width - 2 * self.side) / max(len(self._ranks) - 1, 1)

    def _x(self, rank: float) -> float:
        return self.side + (rank - 1) * self._scale

    def draw(self, axes: Axes) -> None:
        """Draws it."""
        title = f"Average rank by {self.found.statistic.quantity}, 1 is best"
        axes.text(0.08, 0.08, title, va="top", size="large")
        count = len(self._ranks)
        for rank in range(1, count + 1, -(-count // 14)):
            axes.plot([self._x(rank)] * 2, [_TOP - 0.06, _TOP], color="black", lw=0.8)
            axes.text(self._x(rank), _TOP - 0.09, f"{rank}", ha="center", va="bottom")
        axes.plot([self._x(1), self._x(count)], [_TOP, _TOP], color="black", lw=0.8)
        _draw_ruler(axes, self.found.critical_difference, self._x(1), self._scale, self.width)
        for lane, bars in enumerate(self.lanes, start=1):
            for low, high in bars:
                ends = [self._x(low) - 0.04, self._x(high) + 0.04]
                axes.plot(ends, [_TOP + _BAR * lane] * 2, color="black", lw=3, label="group")
        self._draw_names(axes)

    def _draw_names(self, axes: Axes) -> None:
        """Names with lines to their ranks: the better half at the left."""
        first = _TOP + 0.2 + _BAR * len(self.lanes)
        count = len(self._ranks)
        labels = _labels(self._ranks)
        for number, (name, rank) in enumerate(self._ranks.items()):
            is_left = number < -(-count // 2)
            y = first + _LINE * (number if is_left else count - 1 - number)
            end, gap = (
                (self.side - 0.15, -0.05) if is_left else (self.width - self.side + 0.15, 0.05)
            )
            is_control = name in self.controls
            line: dict[str, Any] = {"color": "#333333"}
            if is_control:
                line = {"color": CONTROL, "linestyle": (0, (4, 2))}
            x = self._x(float(rank))
            axes.plot([x, x, end], [_TOP, y, y], lw=0.8, label=name, **line)
            side = "right" if is_left else "left"
            style = CONTROL_NAME if is_control else {}
            axes.text(end + gap, y, labels[number], ha=side, va="center", **style)


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
