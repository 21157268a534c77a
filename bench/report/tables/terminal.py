"""Tables for the terminal."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table as RichTable
from rich.text import Text

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

_WIDE = Console(width=1000, markup=False)

_NARROWEST_NAME = 14
"""Columns of characters of the column of names, at least."""


def to_text(
    leaderboard: Leaderboard, remarks: Sequence[str] = (), width: int = 120
) -> list[RichTable | str]:
    """The leaderboard's tables for the terminal, and the lines that follow them.

    Args:
        leaderboard: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables.
        width: Columns of characters. Where a table has more, it goes without what can be spared,
            and a line says so.
    """
    parts: list[RichTable | str] = []
    for table in leaderboard_tables(leaderboard).values():
        parts += _fitted(table.for_format("terminal"), width)
    return [*parts, *map(in_a_line, remarks_on(leaderboard, remarks))]


def _fitted(whole: Table, width: int) -> list[RichTable | str]:
    """A table without the columns that there is no room for, and lines under it."""
    table, text = whole, _text_table(whole)
    spares = sorted({column.spare for column in whole.columns} - {0})
    left_out: set[int] = set()
    while spares and _width(text) > width:
        left_out.add(spares.pop(0))
        table = table.with_columns(lambda column: column.spare not in left_out)
        text = _text_table(table)
    if _width(text) > width:  # long names go over several lines, inside of their column
        text = _text_table(table, widest_name=max(_NARROWEST_NAME, width // 3))
    values = [column for column in table.columns if column.kind == "number"]
    dropped: list[Column] = []
    while len(values) > 1 and _width(text) > width:
        dropped.append(values.pop())
        table = table.with_columns(lambda column: column not in dropped)
        text = _text_table(table, widest_name=max(_NARROWEST_NAME, width // 3))
    shown = {column.title for column in table.columns}
    hidden = dict.fromkeys(column.title for column in whole.columns if column.title not in shown)
    told = [f"No room here, but in the files: {', '.join(hidden)}."] if hidden else []
    return [text, *map(in_a_line, table.notes), *told]


def _width(text: RichTable) -> int:
    """Columns of characters that a table has where nothing of it is broken."""
    return Measurement.get(_WIDE, _WIDE.options, text).maximum


def _text_table(table: Table, widest_name: int | None = None) -> RichTable:
    text = RichTable(
        title=Text(in_a_line(table.title)),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    printed = []
    for place, column in enumerate(table.columns):
        cells = [method_with_notes(column, row.cells[place], row) for row in table.rows]
        is_name = column.kind == "name"
        is_number = column.kind in ("number", "interval")
        # Stars stand to the right of numbers that are aligned among themselves.
        is_starred = any(cell.stars for cell in cells)
        digits = max(len(cell.text) for cell in cells) if is_starred else 0
        printed.append([_text_cell(cell, digits) for cell in cells])
        text.add_column(
            in_a_line(column.title).rjust(digits),
            no_wrap=not is_name,
            overflow="fold",
            min_width=_NARROWEST_NAME if is_name else None,
            max_width=widest_name if is_name else None,
            justify="right" if is_number and not is_starred else "left",
        )
    for row, texts in zip(table.rows, zip(*printed, strict=True), strict=True):
        text.add_row(*texts, style="dim italic" if row.is_control else None)
    return text


def _text_cell(cell: Cell, width: int) -> Text:
    style = {"best": "bold", "second": "underline"}.get(cell.place, "")
    indent = " " * (width - len(cell.text))
    return Text.assemble(indent, (in_a_line(cell.text), style), cell.stars)
