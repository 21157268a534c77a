"""Tables as Markdown."""

from collections.abc import Callable, Iterable, Sequence

from bench.leaderboard.table import Leaderboard
from bench.report.tables.table import (
    Cell,
    Column,
    Row,
    Table,
    in_a_line,
    leaderboard_tables,
    method_with_notes,
    remarks_on,
)


def to_markdown(leaderboard: Leaderboard, remarks: Sequence[str] = ()) -> str:
    """The leaderboard for people: a table for each set of rows that may be compared.

    Args:
        leaderboard: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables.
    """
    lines = [f"# {markdown(leaderboard.name)}", ""]
    for table in leaderboard_tables(leaderboard).values():
        shown = table.for_format("markdown")
        notes = [f"- {markdown(note)}" for note in shown.notes]
        lines += [markdown(table.title), "", *markdown_table(shown), "", *notes]
        lines += [""] if notes else []
    return "\n".join([*lines, *(f"- {markdown(one)}" for one in remarks_on(leaderboard, remarks))])


def markdown_table(table: Table, title: Callable[[Column], str] | None = None) -> list[str]:
    """The lines of a table without what stands around it."""
    titles = [title(column) if title else markdown(column.title) for column in table.columns]
    return [
        markdown_row(titles),
        "|" + "---|" * len(table.columns),
        *(markdown_row(_cells(table, row)) for row in table.rows),
    ]


def _cells(table: Table, row: Row) -> list[str]:
    cells = zip(table.columns, row.cells, strict=True)
    return [
        markdown_cell(method_with_notes(column, cell, row), row.is_control)
        for column, cell in cells
    ]


def markdown_row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def markdown_cell(cell: Cell, is_control: bool = False) -> str:
    """A cell with its marks; GitHub underlines what is `<ins>`."""
    text = markdown(cell.text)
    if text and cell.place:
        text = f"**{text}**" if cell.place == "best" else f"<ins>{text}</ins>"
    if text and is_control:
        text = f"*{text}*"
    return text + markdown(cell.stars)


def markdown(text: str) -> str:
    """Text in which no character means something to Markdown or HTML."""
    special = {character: f"\\{character}" for character in "\\|`*[]"} | {"<": "&lt;"}
    return "".join(special.get(character, character) for character in in_a_line(text))
