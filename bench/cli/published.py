"""`bench published`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.files import write_atomically

if TYPE_CHECKING:
    from bench.leaderboard.importing import Imported
    from bench.leaderboard.published import PublishedCell

_MOST_LINES = 40
"""Lines on values that could not be placed; the rest is counted."""


def add_published_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds what `bench published` takes."""
    help_ = "show, import and export the cells of published tables"
    parser = commands.add_parser("published", help=help_, description=help_)
    actions = parser.add_subparsers(dest="action", metavar="{list,import,export}", required=True)
    help_ = "list the published tables and how many of their cells are known"
    actions.add_parser("list", help=help_, description=help_)
    help_ = "compare the Papers with Code archive with the cells on record, and take what they lack"
    importing = actions.add_parser("import", help=help_, description=help_)
    importing.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="the archive: evaluation-tables.json, packed by gzip or not, or its Parquet files",
    )
    importing.add_argument(
        "--write", action="store_true", help="write the cells; without it they are only shown"
    )
    importing.add_argument(
        "--to", type=Path, default=Path("published"), metavar="FOLDER", help="where to write them"
    )
    help_ = "print published tables as JSON of the Papers with Code archive"
    exporting = actions.add_parser("export", help=help_, description=help_)
    exporting.add_argument("tables", nargs="*", metavar="TABLE", help="default: all")
    exporting.add_argument("--output", "-o", type=Path, metavar="FILE", help="write it there")


def published_command(given: argparse.Namespace) -> None:
    """Lists, imports or exports published cells.

    Raises:
        BenchError: A file cannot be read or written, or there is no table of a name.
    """
    if given.action == "list":
        text = _listed()
    elif given.action == "import":
        text = _imported(given.files, given.to, given.write)
    else:
        text = _exported(given.tables, given.output)
    sys.stdout.write(text)


def _listed() -> str:
    from bench.leaderboard.published import recorded_cells, shipped_tables

    lines: list[tuple[str, ...]] = [
        ("table", "networks", "methods", "cells", "blank", "yours", "leaderboard")
    ]
    for table in shipped_tables():
        cells = list(recorded_cells(table).values())
        recorded = recorded_cells(table, folders=())
        known = [cell for cell in cells if cell.value]
        counts = (
            len({cell.backbone for cell in cells}),
            len({cell.method for cell in cells}),
            len(known),
            len(cells) - len(known),
            sum(cell != recorded.get(cell.key) for cell in known),
        )
        lines.append((table, *map(str, counts), cells[0].leaderboard))
    return _aligned(lines)


def _imported(files: Sequence[Path], folder: Path, is_written: bool) -> str:
    from bench.leaderboard.archive import read_archive
    from bench.leaderboard.importing import compare_archives, shown, write_cells

    archives = [read_archive(path) for path in files]
    imported = compare_archives(archives, folder)
    lines = [
        f"{shown(each.name)}: {len(each.boards)} boards of the tasks here, "
        f"{each.other_tasks} other tasks; sha256 {each.sha256}"
        for each in archives
    ]
    lines += _told(imported)
    if not imported.filled:
        lines.append("Nothing to write.")
    elif is_written:
        written = write_cells(imported.filled, folder)
        lines.append(f"Written: {', '.join(map(str, written))}")
    else:
        lines.append(f"Nothing written yet: --write adds the filled cells to '{folder}'.")
    return "".join(f"{line}\n" for line in lines)


def _told(imported: "Imported") -> list[str]:
    """What is filled, agrees, differs and could not be placed."""
    from bench.leaderboard.importing import shown

    lines = [f"Filled: {len(imported.filled)} cells"]
    lines += [f"  {_named(cell)}: {cell.value}" for cell in imported.filled]
    lines.append(f"Agreeing with the record: {len(imported.agreeing)} cells")
    lines.append(f"Differing from the record, left out: {len(imported.disagreeing)} cells")
    for theirs, recorded in imported.disagreeing:
        lines += [
            f"  {_named(theirs)}:",
            f"    on record {recorded.value}: {shown(recorded.source, 700)}",
            f"    found     {theirs.value}: {shown(theirs.source, 700)}",
        ]
    places = (+imported.unplaced).most_common()
    lines.append(f"Not placed: {imported.unplaced.total()} values")
    lines += [f"  {each.place}: {count} ({each.reason})" for each, count in places[:_MOST_LINES]]
    if len(places) > _MOST_LINES:
        rest = sum(count for _, count in places[_MOST_LINES:])
        lines.append(f"  ... and {rest} values in {len(places) - _MOST_LINES} more places")
    lines.append(f"Blank in the archive: {imported.num_blank} cells")
    return lines


def _named(cell: "PublishedCell") -> str:
    return f"{cell.table}, {cell.backbone}, {cell.method}, {cell.metric}"


def _exported(tables: Sequence[str], output: Path | None) -> str:
    from bench.errors import require_known
    from bench.leaderboard.archive import archive_text
    from bench.leaderboard.published import recorded_cells, shipped_tables

    for table in tables:
        require_known("table", table, shipped_tables())
    chosen = dict.fromkeys(tables or shipped_tables())
    text = archive_text(cell for table in chosen for cell in recorded_cells(table).values())
    if output is None:
        return text
    write_atomically(output, text.encode())
    return f"Written: {output}\n"


def _aligned(lines: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )
