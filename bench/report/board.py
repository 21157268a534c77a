"""A leaderboard's rows as the cells of a page: numbers that sort, and intervals as drawings."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd

from bench.leaderboard.significance import Significance
from bench.leaderboard.table import published_column
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity
from bench.report.tables import places


@dataclass(frozen=True)
class Head:
    """A column's head.

    Attributes:
        title: Its title.
        hint: What it says, in a sentence.
        note: A word or two under the title.
        competes: Of numbers that compete, whether higher is better; else None.
        first: The order that a first click gives: `ascending` or `descending`.
        kind: `text`, `words`, `number` or `interval`.
    """

    title: str
    hint: str
    first: str = "ascending"
    kind: str = "number"
    note: str = ""
    competes: bool | None = None


@dataclass(frozen=True)
class Interval:
    """A mean with its interval, on an axis that all rows share.

    Attributes:
        low: Its low end, in percent of the axis.
        mean: In percent of the axis.
        high: In percent of the axis.
        published: The published value in percent of the axis, or None.
    """

    low: float
    mean: float
    high: float
    published: float | None


@dataclass(frozen=True)
class Cell:
    """A cell.

    Attributes:
        text: What it says.
        value: What it sorts by; None sorts last.
        interval: What is drawn beside the text.
        place: `best` or `second` of its column, or empty.
        shade: How dark its ground is, 0 to 10, or None.
    """

    text: str
    value: float | str | None = None
    interval: Interval | None = None
    place: str = ""
    shade: int | None = None


@dataclass(frozen=True)
class Row:
    """A row.

    Attributes:
        rank: Its rank, blank where it has none.
        method: Its name.
        control: Whether it is a control.
        notes: Numbers of the notes under the table.
        cells: Of all columns after the method's.
    """

    rank: str
    method: str
    control: bool
    notes: list[int]
    cells: list[Cell]


@dataclass(frozen=True)
class Board:
    """A table.

    Attributes:
        first: The head of the methods' column.
        heads: Of the columns after the method's.
        rows: Best first.
        notes: What the footnotes say, the first one number 1.
    """

    first: str
    heads: list[Head]
    rows: list[Row]
    notes: list[str]

    @property
    def ranked(self) -> bool:
        """Whether rows have ranks."""
        return any(row.rank for row in self.rows)


_GROUP = "Methods that share a letter cannot be told apart"
_Column = tuple[Head, Callable[[pd.Series], Cell]]


def leaderboard_board(group: pd.DataFrame) -> Board:
    """The rows of one comparison as a table.

    Args:
        group: Rows of `bench.leaderboard.table.leaderboard` that share their `comparison`.
    """
    columns = _columns(group)
    notes = list(dict.fromkeys(own for own in group["notes"] if isinstance(own, str) and own))
    cells = [_column(head, cell, group) for head, cell in columns]
    rows = [
        Row(
            "" if pd.isna(row["rank"]) else str(row["rank"]),
            row["method"],
            bool(row["control"]),
            [notes.index(row["notes"]) + 1] if row["notes"] in notes else [],
            list(own),
        )
        for (_, row), own in zip(group.iterrows(), zip(*cells, strict=True), strict=True)
    ]
    return Board("Method", [head for head, _ in columns], rows, notes)


def win_rate_board(found: Significance, controls: Collection[str]) -> Board:
    """On which share of the images a row beats a column.

    Args:
        found: Of one metric.
        controls: Names of the rows that are controls.
    """
    heads = [Head("Mean rank", "Over images, 1 = best"), Head("Group", _GROUP, kind="text")]
    heads += [
        Head(name, f"Share of the images on which the row beats {name}", "descending")
        for name in found.methods
    ]
    rows = []
    for name in found.methods:
        rank, letters = found.average_ranks[name], found.letters[name]
        shares = [
            _share(found.win_rates.loc[name, other], name == other) for other in found.methods
        ]
        cells = [Cell(f"{rank:.2f}", float(rank)), Cell(letters, letters or None), *shares]
        rows.append(Row("", name, name in controls, [], cells))
    return Board("Row beats column", heads, rows, [])


def pair_board(found: Significance, controls: Collection[str]) -> Board:
    """Each pair of methods.

    Args:
        found: Of one metric.
        controls: Names of the rows that are controls.
    """
    heads = [
        Head("Worse", "The one with the worse mean", kind="text"),
        Head("Difference", "By how much the better one is better", "descending"),
        Head("95 % interval", "Of the difference, paired, for this pair alone"),
        Head("p", "Corrected by Holm over all pairs"),
        Head("Effect size", "Rank-biserial correlation, 1 at most", "descending"),
        Head("Win rate", "Share of images on which the better one wins", "descending"),
        Head("Images needed", "To find such a difference of one pair with power 0.8"),
    ]
    rows = []
    for _, pair in found.pairs.iterrows():
        interval = "" if pd.isna(pair["ci_low"]) else _brackets(pair["ci_low"], pair["ci_high"])
        cells = [
            Cell(pair["worse"], pair["worse"]),
            _value(pair["difference"], "{:.4f}"),
            Cell(interval, float(pair["ci_low"]) if interval else None),
            _p_value(pair["p_value"]),
            _value(pair["effect_size"], "{:.2f}"),
            _value(pair["win_rate"], "{:.0%}"),
            _value(pair["images_needed"], "{:,.0f}"),
        ]
        rows.append(Row("", pair["better"], pair["better"] in controls, [], cells))
    return Board("Better", heads, rows, [])


def text_board(table: pd.DataFrame, first: str, controls: Collection[str]) -> Board:
    """Any table of text.

    Args:
        table: Text; its index are the rows' names.
        first: The title of the names' column.
        controls: Names of the rows that are controls.
    """
    heads = [Head(str(title), "", kind="words") for title in table.columns]
    rows = [
        Row("", name, name in controls, [], [Cell(own, own or None) for own in cells])
        for name, *cells in table.itertuples()
    ]
    return Board(first, heads, rows, [])


def _share(rate: float, same: bool) -> Cell:
    if same or np.isnan(rate):
        return Cell("")
    return Cell(f"{rate:.0%}", float(rate), shade=round(10 * rate))


def _value(value: float, template: str) -> Cell:
    return Cell(template.format(value), float(value)) if np.isfinite(value) else Cell("")


def _p_value(value: float) -> Cell:
    """A p-value; of small ones more would say no more."""
    if pd.isna(value):
        return Cell("")
    return Cell("<0.001" if value < 0.001 else f"{value:.2g}", float(value))


def _brackets(low: float, high: float) -> str:
    return f"[{low:.3f}, {high:.3f}]"


def _column(head: Head, cell: Callable[[pd.Series], Cell], group: pd.DataFrame) -> list[Cell]:
    """A column's cells, the best and the second best marked as other tables mark them."""
    cells = [cell(row) for _, row in group.iterrows()]
    if head.competes is None:
        return cells
    marked = places([own.text for own in cells], group["control"].tolist(), head.competes)
    return [replace(own, place=place) for own, place in zip(cells, marked, strict=True)]


def _columns(group: pd.DataFrame) -> list[_Column]:
    columns: list[_Column] = [
        *_metric(group, "insertion", "insertion_auc", "Insertion", higher=True),
        *_metric(group, "deletion", "deletion_auc", "Deletion", higher=False),
    ]
    if "confidence_100" in group:
        columns += [
            _number(
                f"confidence_{share}",
                f"Conf. {share} %",
                f"Mean of the highest score among the first {share} % of the points",
            )
            for share in Confidence.shares[:-1]
        ]
        columns += _metric(group, "confidence", "confidence_100", "Confidence", higher=True)
    if MuFidelity.column in group:
        hint = "Mean rank correlation of score drops with the map's sums; higher is better"
        columns.append(_number(MuFidelity.column, "MuFidelity", hint, competes=True))
    if group["srg"].notna().any():
        hint = "Insertion minus deletion; higher is better"
        columns.append(_number("srg", "SRG", hint, competes=True))
    ties = "Share of a map's pixels whose value another pixel has, too"
    columns.append(_number("tied_fraction", "Ties", ties, "{:.1%}", "ascending"))
    passes = "Forward + backward passes through the network for one map"
    return [*columns, (Head("Passes", passes), _passes)]


def _metric(group: pd.DataFrame, metric: str, column: str, title: str, higher: bool) -> list:
    """A metric, its interval, which rows it cannot tell apart, and the published cells."""
    order = "descending" if higher else "ascending"
    way = f"{'higher' if higher else 'lower'} is better"
    note = f"{'↑' if higher else '↓'} better"
    hint = f"Of the mean {metric}, bootstrapped over images"
    columns: list[_Column] = [
        _number(column, title, f"Mean over images; {way}", "{:.4f}", order, note, higher),
        (Head("95 % interval", hint, order, "interval"), _interval(group, metric, column)),
    ]
    if _filled(group, f"{metric}_letters"):
        columns.append((Head("Group", _GROUP, kind="text"), _text(f"{metric}_letters")))
    if _filled(group, f"{metric}_p"):
        hint = f"p-value of the difference in {metric} from the best row, Holm-adjusted"
        columns.append((Head("p", hint, "descending"), lambda row: _p_value(row[f"{metric}_p"])))
    theirs = published_column(metric)
    if not _filled(group, theirs):
        return columns
    inside = f"{metric}_inside"
    return [
        *columns,
        _number(theirs, "Published", f"The published {metric}", "{:.4f}", order),
        _number(f"{metric}_delta", "Difference", "Ours minus the published", "{:+.4f}", order),
        (Head("Inside", "Whether the published value lies in our interval"), _yes_or_no(inside)),
    ]


def _filled(group: pd.DataFrame, column: str) -> bool:
    return column in group and bool((group[column].notna() & (group[column] != "")).any())


def _number(
    column: str,
    title: str,
    hint: str,
    template: str = "{:.4f}",
    first: str = "descending",
    note: str = "",
    competes: bool | None = None,
) -> _Column:
    def cell(row: pd.Series) -> Cell:
        value = row[column]
        return Cell("") if pd.isna(value) else Cell(template.format(value), float(value))

    return Head(title, hint, first, note=note, competes=competes), cell


def _text(column: str) -> Callable[[pd.Series], Cell]:
    def cell(row: pd.Series) -> Cell:
        return Cell("") if pd.isna(row[column]) else Cell(row[column], row[column] or None)

    return cell


def _yes_or_no(column: str) -> Callable[[pd.Series], Cell]:
    def cell(row: pd.Series) -> Cell:
        value = row[column]
        return Cell("") if pd.isna(value) else Cell(("no", "yes")[bool(value)], float(value))

    return cell


def _interval(group: pd.DataFrame, metric: str, column: str) -> Callable[[pd.Series], Cell]:
    names = [column, f"{metric}_ci_low", f"{metric}_ci_high", published_column(metric)]
    values = group[[own for own in names if own in group]].to_numpy(np.float64, na_value=np.nan)
    known = values[np.isfinite(values)]
    low, span = (known.min(), np.ptp(known) or 1) if len(known) else (0, 1)

    def share(value: float) -> float:
        return round(float(100 * (value - low) / span), 2)

    def cell(row: pd.Series) -> Cell:
        ends = row[f"{metric}_ci_low"], row[f"{metric}_ci_high"]
        if pd.isna(ends[0]):
            return Cell("")
        theirs = row.get(published_column(metric))
        published = None if pd.isna(theirs) else share(theirs)
        drawn = Interval(share(ends[0]), share(row[column]), share(ends[1]), published)
        return Cell(_brackets(*ends), float(ends[0]), drawn)

    return cell


def _passes(row: pd.Series) -> Cell:
    """Passes; of rows without numbers, why they have none."""
    if pd.isna(row["run_key"]):
        return Cell("not run")
    if row["n_missing"]:
        return Cell(f"{row['n_missing']} of {row['n_images'] + row['n_missing']} images missing")
    ways: Sequence[Any] = [row["forward_passes"], row["backward_passes"]]
    if pd.isna(ways[0]):
        return Cell("")
    shown = ways[: 1 + bool(ways[1])]
    return Cell(" + ".join(f"{count:,}" for count in shown), float(sum(ways)))
