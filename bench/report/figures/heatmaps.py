"""Tables of numbers as colours, with the numbers in them."""

from collections.abc import Callable, Collection, Sequence

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from bench.leaderboard.comparison import Comparison
from bench.metrics.statistic import Statistic
from bench.report.figures.style import (
    letters_wide,
    name_rows,
    new_figure,
    shown,
    styled,
)

_CELL = 0.25, 0.46
"""Inches; height and width."""


@styled()
def draw_ranks(comparisons: Sequence[Comparison], statistic: Statistic | str) -> Figure:
    """Ranks of methods in every benchmark, the best mean rank first.

    Args:
        comparisons: The comparisons of one leaderboard. Where a method lacks, its cell is blank.
        statistic: One of those that all are `tested` by, or its name.
    """
    statistic = comparisons[0].statistic(statistic)
    names, shared = _headings(comparisons)
    columns = [_ranks(comparison, statistic) for comparison in comparisons]
    ranks = pd.concat(columns, axis=1, keys=range(len(columns)))
    order = ranks.mean(axis=1).sort_values(kind="stable").index
    ranks = ranks.loc[order].set_axis(names, axis=1)
    title = f"Rank by {statistic.quantity}, 1 is best"
    if shared:
        title += f"\n{shown(shared, 60)}"
    colours = Normalize(1, max(float(np.nanmax(ranks.to_numpy(np.float64))), 2))
    controls = set().union(*(comparison.controls for comparison in comparisons))
    return _draw(
        ranks,
        title,
        colourmap="cividis",
        norm=colours,
        write="{:.0f}".format,
        controls=controls,
    )


@styled()
def draw_agreement(taus: pd.DataFrame) -> Figure:
    """Kendall's tau between the rankings of methods that settings give.

    Args:
        taus: Settings x settings, in -1..1; NaN stays blank.
    """
    title = "Kendall's tau between rankings"
    return _draw(taus, title, colourmap="PuOr", norm=Normalize(-1, 1), write="{:+.2f}".format)


def _ranks(comparison: Comparison, statistic: Statistic) -> pd.Series:
    """As the table ranks: what looks equal shares its rank."""
    means = comparison.finite_values(statistic).mean().round(6)
    return means.rank(method="min", ascending=not statistic.higher_is_better)


def _headings(comparisons: Sequence[Comparison]) -> tuple[list[str], str]:
    """For each comparison the parts of its title that differ, and the parts that all share."""
    parts = pd.DataFrame([comparison.title.split(" · ") for comparison in comparisons])
    differ = parts.nunique() > 1
    names = parts.loc[:, differ].agg(" · ".join, axis=1)
    keys = pd.Series([f" {comparison.key}" for comparison in comparisons])
    # The same names may stand for other images, weights or settings.
    names = names.where(~names.duplicated(keep=False), names + keys)
    return names.str.strip().tolist(), " · ".join(parts.loc[:, ~differ].iloc[0])


def _draw(
    table: pd.DataFrame,
    title: str,
    *,
    colourmap: str,
    norm: Normalize,
    write: Callable[[float], str],
    controls: Collection[str] = (),
) -> Figure:
    rows, columns = ([shown(str(name)) for name in axis] for axis in table.axes)
    tilt, title_width = np.deg2rad(45), letters_wide(title.splitlines())
    figure = new_figure(
        height=0.5 + _CELL[0] * len(rows) + letters_wide(columns) * np.sin(tilt),
        width=0.4 + max(_CELL[1] * len(columns) + letters_wide(rows), 1.15 * title_width),
    )
    axes = figure.subplots()
    colours = mpl.colormaps[colourmap]
    values = np.ma.masked_invalid(table.to_numpy(np.float64))
    edges = [np.arange(length + 1) - 0.5 for length in (len(columns), len(rows))]
    axes.pcolormesh(*edges, values, cmap=colours, norm=norm, edgecolor="white", lw=1)
    for (row, column), value in np.ndenumerate(values.filled(np.nan)):
        if np.isfinite(value):
            is_dark = np.dot(colours(norm(value))[:3], (0.299, 0.587, 0.114)) < 0.5
            axes.text(
                column,
                row,
                write(value),
                ha="center",
                va="center",
                color="white" if is_dark else "black",
            )
    axes.invert_yaxis()
    name_rows(axes, [str(name) for name in table.index], controls)
    axes.set_xticks(range(len(columns)), columns, rotation=45, ha="right", rotation_mode="anchor")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_title(title, x=1, ha="right")  # over the names of rows where cells are few
    return figure
