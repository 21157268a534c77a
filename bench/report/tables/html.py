"""Tables as HTML that stands by itself, for notebooks and other people's pages."""

from collections.abc import Sequence

from markupsafe import Markup, escape

from bench.leaderboard.table import Leaderboard
from bench.report.tables.table import (
    Cell,
    Column,
    Table,
    in_a_line,
    leaderboard_tables,
    method_with_notes,
    remarks_on,
)

_MARKS = {"best": "b", "second": "u"}
"""By a cell's place, the element around it."""


def to_html(leaderboard: Leaderboard, remarks: Sequence[str] = ()) -> str:
    """The leaderboard as HTML: a table for each set of rows that may be compared.

    Args:
        leaderboard: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables.
    """
    parts = []
    for table in leaderboard_tables(leaderboard).values():
        shown = table.for_format("markdown")
        parts.append(html_table(shown, shown.title))
    return "\n".join([*parts, *_notes(remarks_on(leaderboard, remarks))])


def html_table(table: Table, caption: str) -> str:
    """A table with its caption and what stands under it; no style, so that any page takes it."""
    titles = Markup("").join(
        Markup("<th{}>{}</th>").format(_side(column), column.title) for column in table.columns
    )
    lines = [
        Markup("<table>"),
        Markup("<caption>{}</caption>").format(in_a_line(caption)),
        Markup("<thead><tr>{}</tr></thead>").format(titles),
        Markup("<tbody>"),
    ]
    for row in table.rows:
        cells = Markup("").join(
            Markup("<{0}{1}>{2}</{0}>").format(
                Markup("th" if column.kind == "name" else "td"),
                _side(column),
                _html_cell(method_with_notes(column, cell, row), row.is_control),
            )
            for column, cell in zip(table.columns, row.cells, strict=True)
        )
        lines.append(Markup("<tr>{}</tr>").format(cells))
    return "\n".join([*lines, "</tbody></table>", *_notes(table.notes)])


def _side(column: Column) -> Markup:
    is_number = column.kind in ("number", "interval")
    return Markup(' style="text-align: {}"').format("right" if is_number else "left")


def _html_cell(cell: Cell, is_control: bool) -> Markup:
    """A cell with its marks."""
    text = escape(in_a_line(cell.text))
    for mark in (_MARKS.get(cell.place), "i" if is_control else None):
        if text and mark is not None:
            text = Markup("<{0}>{1}</{0}>").format(Markup(mark), text)
    return text + (Markup("<sup>{}</sup>").format(cell.stars) if cell.stars else "")


def _notes(lines: Sequence[str]) -> list[str]:
    return [Markup("<p>{}</p>").format(in_a_line(line)) for line in lines]
