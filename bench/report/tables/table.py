"""A table for people: its columns, its cells with their marks, and the lines under it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any

import numpy as np
import pandas as pd

from bench.leaderboard.columns import Column, Ends, Format, Record, leaderboard_columns
from bench.leaderboard.table import Leaderboard

WITHIN_A_BACKBONE = (
    "Ranks compare methods within one backbone. Networks are not ranked against each other: these "
    "metrics ask a network about images unlike any that it has seen, and how it answers differs "
    "from network to network (Gomez et al. 2022, arXiv 2201.13291)."
)

SIGNIFICANT = (0.05, 0.01, 0.001)
"""A star for each of these that a p-value is below."""


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
    """A cell of a table.

    Attributes:
        text: What it says.
        value: What it sorts by; None sorts last.
        place: `best` or `second` of its column, or empty.
        stars: How surely it differs from the best.
        interval: What is drawn beside the text, where there is room to draw.
        shade: How dark its ground is, 0 to 10, or None.
    """

    text: str
    value: float | str | None = None
    place: str = ""
    stars: str = ""
    interval: Interval | None = None
    shade: int | None = None


@dataclass(frozen=True)
class Row:
    """A row of a table.

    Attributes:
        name: What it is a row of: a method.
        cells: One a column.
        is_control: Whether it is a control.
        notes: Numbers of its footnotes.
        citation: What its method cites, for formats that cite.
    """

    name: str
    cells: list[Cell]
    is_control: bool = False
    notes: tuple[int, ...] = ()
    citation: str = ""


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        title: What its rows share.
        columns: Its columns.
        rows: Best first.
        footnotes: What the footnotes say, the first one number 1.
        remarks: Further lines under it.
    """

    title: str
    columns: list[Column]
    rows: list[Row]
    footnotes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def notes(self) -> list[str]:
        """Lines under the table: what its marks mean, footnotes by their letters, remarks."""
        footnotes = [f"({letter(n)}) {note}" for n, note in enumerate(self.footnotes, start=1)]
        return [*self.legend(), *footnotes, *self.remarks]

    @property
    def sorted_by(self) -> int | None:
        """The place of the column that ranks the rows; None where rows have no ranks."""
        kinds = [column.kind for column in self.columns]
        return kinds.index("number") if "rank" in kinds and "number" in kinds else None

    def legend(self, control_mark: str = "italics") -> list[str]:
        """One line on the marks that occur; none where none do.

        Args:
            control_mark: How controls are marked.
        """
        cells = [cell for row in self.rows for cell in row.cells]
        found = {cell.place for cell in cells}
        has_controls = any(row.is_control for row in self.rows)
        whom = "the best, controls included" if has_controls else "the best"
        limits = ", ".join(map(str, SIGNIFICANT))
        has_letters = any(column.title == "group" for column in self.columns)
        starred = [
            column.differs_from or whom
            for place, column in enumerate(self.columns)
            if any(row.cells[place].stars for row in self.rows)
        ]
        stars = dict.fromkeys(f"*, **, ***: differs from {name}, p < {limits}" for name in starred)
        meanings = dict.fromkeys(column.legend for column in self.columns if column.legend)
        marks = [
            ("bold: the best of its column", "best" in found),
            ("underlined: the second best", "second" in found),
            *((line, True) for line in (*stars, *meanings)),
            ("methods that share a letter cannot be told apart", has_letters),
            (f"{control_mark}: controls, which are neither best nor second", has_controls),
        ]
        line = "; ".join(text for text, occurs in marks if occurs)
        return [line[0].upper() + line[1:] + "."] if line else []

    def for_format(self, name: Format) -> "Table":
        """The same without the columns that a format goes without."""
        return self.with_columns(lambda column: name not in column.left_out_of)

    def with_columns(self, keep: Callable[[Column], bool]) -> "Table":
        """The same with some of its columns."""
        kept = [place for place, column in enumerate(self.columns) if keep(column)]
        rows = [replace(row, cells=[row.cells[place] for place in kept]) for row in self.rows]
        return replace(self, columns=[self.columns[place] for place in kept], rows=rows)


def build_table(
    columns: Sequence[Column],
    records: Sequence[Record],
    names: Sequence[str],
    controls: Sequence[bool],
    **parts: Any,
) -> Table:
    """Fills a table's columns.

    Args:
        columns: Those that have nothing to say are left out; see `Column.least`.
        records: What is known, a row each.
        names: The names of the rows.
        controls: Whether each row is a control.
        parts: Other attributes of the `Table`: its title, ...
    """
    filled = {place: _cells(column, records, controls) for place, column in enumerate(columns)}
    shown = [
        place
        for place, cells in filled.items()
        if sum(bool(cell.text) for cell in cells) >= columns[place].least
    ]
    rows = [
        Row(name, [filled[place][number] for place in shown], is_control)
        for number, (name, is_control) in enumerate(zip(names, controls, strict=True))
    ]
    return Table(columns=[columns[place] for place in shown], rows=rows, **parts)


def _cells(column: Column, records: Sequence[Record], controls: Sequence[bool]) -> list[Cell]:
    texts = [column.text(record) for record in records]
    marked = places(texts, controls, column.higher_is_better)
    intervals = _intervals([column.ends(record) for record in records] if column.ends else [])
    intervals += [None] * (len(records) - len(intervals))
    cells = []
    for record, text, place, interval in zip(records, texts, marked, intervals, strict=True):
        value = column.value(record) if column.value else text or None
        stars = _stars(record.get(column.p_values))
        cells.append(Cell(text, value, place, stars, interval))
    return cells


def _intervals(ends: Sequence[Ends]) -> list[Interval | None]:
    """Intervals on an axis from the lowest to the highest of all ends and published values."""
    values = np.array(ends, dtype=np.float64)
    finite = values[np.isfinite(values)]
    low, span = (finite.min(), np.ptp(finite) or 1) if len(finite) else (0, 1)

    def percent(value: float) -> float:
        return round(float(100 * (value - low) / span), 2)

    def drawn(row: Ends) -> Interval | None:
        if np.isnan(row.low):
            return None
        published = None if np.isnan(row.published) else percent(row.published)
        return Interval(percent(row.low), percent(row.mean), percent(row.high), published)

    return [drawn(row) for row in ends]


def places(
    texts: Sequence[str], controls: Sequence[bool], higher_is_better: bool | None
) -> list[str]:
    """Which numbers of a column are the best and the second best, as printed.

    What prints alike shares its place. Controls do not compete, and nobody wins where all that
    do compete are alike.

    Args:
        texts: Numbers as printed; empty where a row has none.
        controls: Whether each is that of a control.
        higher_is_better: Which way is up; None: nothing competes.

    Returns:
        `best`, `second` or empty, for each.
    """
    competing = [
        float(text) if text and higher_is_better is not None and not is_control else None
        for text, is_control in zip(texts, controls, strict=True)
    ]
    numbers = {number for number in competing if number is not None}
    ordered = sorted(numbers, reverse=bool(higher_is_better))
    if len(ordered) < 2:
        return [""] * len(texts)
    names = dict(zip(ordered, ("best", "second"), strict=False))
    return ["" if number is None else names.get(number, "") for number in competing]


def _stars(p_value: Any) -> str:
    if p_value is None or pd.isna(p_value):
        return ""
    return "*" * sum(p_value < limit for limit in SIGNIFICANT)


def letter(number: int) -> str:
    """The letter of a footnote: 1 is a, 27 is aa."""
    tens, ones = divmod(number - 1, len(ascii_lowercase))
    return (letter(tens) if tens else "") + ascii_lowercase[ones]


def method_with_notes(column: Column, cell: Cell, row: Row) -> Cell:
    """A cell; of a row's name with the letters of its footnotes."""
    if column.kind != "name" or not row.notes:
        return cell
    return replace(cell, text=f"{cell.text} ({', '.join(map(letter, row.notes))})")


def in_a_line(text: str) -> str:
    """Text without line breaks or other characters that steer a terminal or a file's lines."""
    return "".join(character if character.isprintable() else " " for character in text)


def to_csv(rows: pd.DataFrame) -> str:
    """The rows of a leaderboard as CSV; numbers with six decimals, blanks empty."""
    return rows.to_csv(index=False, float_format="%.6f")


def remarks_on(leaderboard: Leaderboard, remarks: Sequence[str]) -> list[str]:
    """Lines that follow all tables of a leaderboard."""
    has_several = leaderboard.rows["backbone"].nunique() > 1
    return [*remarks, *([WITHIN_A_BACKBONE] if has_several else [])]


def leaderboard_tables(leaderboard: Leaderboard) -> dict[str, Table]:
    """A table for each set of rows that may be compared, by their `comparison`."""
    groups = leaderboard.rows.groupby("comparison", sort=False)
    return {
        str(key): rows_table(
            group,
            leaderboard_columns(leaderboard.statistics[str(key)], leaderboard.reference),
            leaderboard.citations,
        )
        for key, group in groups
    }


def rows_table(
    group: pd.DataFrame, columns: Sequence[Column], citations: Mapping[str, str]
) -> Table:
    """A table of rows that may be compared.

    Args:
        group: Rows of a leaderboard.
        columns: What is shown of them.
        citations: By run key, what a row's method cites.
    """
    records: list[Mapping[str, Any]] = [dict(row) for _, row in group.iterrows()]
    controls = [record.get("control") is True or record.get("control") == 1 for record in records]
    notes = dict.fromkeys(note for note in group["notes"] if isinstance(note, str) and note)
    numbers = {note: number for number, note in enumerate(notes, start=1)}
    table = build_table(
        columns,
        records,
        [str(record["method"]) for record in records],
        controls,
        title=_title(group),
        footnotes=tuple(notes),
    )
    rows = [
        replace(
            row,
            notes=(numbers[record["notes"]],) if record["notes"] in numbers else (),
            citation=citations.get(str(record["run_key"]), ""),
        )
        for row, record in zip(table.rows, records, strict=True)
    ]
    return replace(table, rows=rows)


def _title(group: pd.DataFrame) -> str:
    first = group.iloc[0]
    title = title_of(dict(first))
    if first["auc"] != "trapezoid":
        title += f" · AUC: {first['auc']}"
    complete = group[group["n_missing"] == 0]
    if len(complete) and complete["n_images"].nunique() == 1:
        one = complete.iloc[0]
        title += f" · {one['n_images']} images · accuracy {one['clean_accuracy']:.3f}"
        title += what_counts(dict(one))
    return title


def title_of(row: Record) -> str:
    """Benchmark, backbone and protocol of a row, with a target that is not the label."""
    target = row.get("target")
    told = f" (target: {target})" if isinstance(target, str) else ""
    return f"{row['benchmark']} · {row['backbone']} · {row['protocol']}{told}"


def what_counts(row: Record) -> str:
    """In brackets, which images a row's accuracy counts, if not those whose top class is right."""
    counts = row.get("accuracy_counts")
    return f" ({counts})" if isinstance(counts, str) else ""
