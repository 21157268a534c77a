"""A leaderboard's rows as the cells of a page: numbers that sort, and intervals as drawings."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from bench.leaderboard.table import published_column
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity


@dataclass(frozen=True)
class Head:
    """A column's head.

    Attributes:
        title: Its title.
        hint: What it says, in a sentence.
        note: A word or two under the title.
        first: The order that a first click gives: `ascending` or `descending`.
        kind: `text`, `number` or `interval`.
    """

    title: str
    hint: str
    first: str = "ascending"
    kind: str = "number"
    note: str = ""


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
    """

    text: str
    value: float | str | None = None
    interval: Interval | None = None


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
        heads: Of the columns after the method's.
        rows: Best first.
        notes: What the footnotes say, the first one number 1.
    """

    heads: list[Head]
    rows: list[Row]
    notes: list[str]


_Column = tuple[Head, Callable[[pd.Series], Cell]]


def board(group: pd.DataFrame, controls: Collection[str]) -> Board:
    """The rows of one comparison as a table.

    Args:
        group: Rows of `bench.leaderboard.table.leaderboard` that share their `comparison`.
        controls: Names of the rows that are controls.
    """
    columns = _columns(group)
    notes = list(dict.fromkeys(own for own in group["notes"] if isinstance(own, str) and own))
    rows = [
        Row(
            "" if pd.isna(row["rank"]) else str(row["rank"]),
            row["method"],
            row["method"] in controls,
            [notes.index(row["notes"]) + 1] if row["notes"] in notes else [],
            [cell(row) for _, cell in columns],
        )
        for _, row in group.iterrows()
    ]
    return Board([head for head, _ in columns], rows, notes)


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
        columns.append(_number(MuFidelity.column, "MuFidelity", hint))
    if group["srg"].notna().any():
        columns.append(_number("srg", "SRG", "Insertion minus deletion; higher is better"))
    ties = "Share of a map's pixels whose value another pixel has, too"
    columns.append(_number("tied_fraction", "Ties", ties, "{:.1%}", "ascending"))
    passes = "Forward + backward passes through the network for one map"
    return [*columns, (Head("Passes", passes), _passes)]


def _metric(group: pd.DataFrame, metric: str, column: str, title: str, higher: bool) -> list:
    """A metric, its interval, which rows it cannot tell apart, and the published cells."""
    order = "descending" if higher else "ascending"
    way = f"{'higher' if higher else 'lower'} is better"
    hint = f"Of the mean {metric}, bootstrapped over images"
    columns: list[_Column] = [
        _number(column, title, f"Mean over images; {way}", "{:.4f}", order, way),
        (Head("95 % interval", hint, order, "interval"), _interval(group, metric, column)),
    ]
    if _filled(group, f"{metric}_letters"):
        hint = f"Rows that share a letter cannot be told apart by {metric}"
        columns.append((Head("Group", hint, kind="text"), _text(f"{metric}_letters")))
    if _filled(group, f"{metric}_p"):
        hint = f"p-value of the difference in {metric} from the best row, Holm-adjusted"
        columns.append(_number(f"{metric}_p", "p", hint, "{:.3g}", "descending"))
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
) -> _Column:
    def cell(row: pd.Series) -> Cell:
        value = row[column]
        return Cell("") if pd.isna(value) else Cell(template.format(value), float(value))

    return Head(title, hint, first, note=note), cell


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
        return Cell(f"[{ends[0]:.3f}, {ends[1]:.3f}]", float(ends[0]), drawn)

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
