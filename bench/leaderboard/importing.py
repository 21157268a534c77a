"""Cells of published tables from the Papers with Code archive, beside those on record."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path

from bench.errors import BenchError
from bench.files import write_atomically
from bench.leaderboard.archive import Archive, ArchiveBoard, ArchiveRow
from bench.leaderboard.archive_names import (
    TableNames,
    archive_methods,
    archive_tables,
    is_share,
    same_name,
)
from bench.leaderboard.published import (
    COLUMNS,
    CellKey,
    PublishedCell,
    published_folders,
    read_cells,
    recorded_cells,
)

_VALUE = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,12})?|\.[0-9]{1,12})\s*(%?)")
_ARXIV = re.compile(
    r"https?://(?:www\.)?arxiv\.org/(?:abs|pdf)/([0-9]{4}\.[0-9]{4,5})(?:v[0-9]+)?(?:\.pdf)?"
)
_URL = re.compile(r"https?://[!-~]{1,300}")

UNKNOWN_BOARD = "no published table here is of this data set"
"""Why the values of a board are not placed."""

UNKNOWN_COLUMN = "no column of this name"
"""Why the values of a column are not placed."""

UNKNOWN_METHOD = "no method of this name"
"""Why the values of a row are not placed."""

NO_SHARE = "expected a number in 0..1, or in per cent"
"""Why a value is not placed."""

MIXED = "of the column's values some are above 1 and some are not: per cent, or not?"
"""Why the values of a column without `%` are not placed."""

CONTRADICTORY = "the archive has other values for the same cell"
"""Why several values of one cell are not placed."""


@dataclass(frozen=True)
class Unplaced:
    """Values of the archive that are of no cell here.

    Attributes:
        place: The board, and what in it, with strange characters escaped.
        reason: Why.

    Example:
        >>> Unplaced("Image Attribution on CelebA: method 'Mine'", UNKNOWN_METHOD).reason
        'no method of this name'
    """

    place: str
    reason: str


@dataclass
class Imported:
    """What archives hold of the published tables here.

    Attributes:
        filled: Cells that are blank or missing on record.
        agreeing: Cells whose value is that on record.
        disagreeing: Cells with another value than the one on record, and that one.
        unplaced: How many values could not be placed, by where and why.
        num_blank: How many are blank.

    Example:
        >>> Imported().filled
        []
    """

    filled: list[PublishedCell] = field(default_factory=list)
    agreeing: list[PublishedCell] = field(default_factory=list)
    disagreeing: list[tuple[PublishedCell, PublishedCell]] = field(default_factory=list)
    unplaced: Counter[Unplaced] = field(default_factory=Counter)
    num_blank: int = 0


def compare_archives(archives: Iterable[Archive], folder: Path) -> Imported:
    """Places what archives hold in the published tables, and compares it with what is on record.

    Args:
        archives: The files of one archive.
        folder: Where cells are to be written: it counts as on record, as do ours and those of
            `bench.leaderboard.published.published_folders`.

    Example:
        >>> from pathlib import Path
        >>> from bench.leaderboard.archive import Archive, ArchiveBoard, ArchiveRow
        >>> row = ArchiveRow("GradCAM", "", "", {"Deletion AUC score (ResNet-101)": "8.1%"}, {})
        >>> archive = Archive(
        ...     "a.json", "ab" * 32, [ArchiveBoard("Image Attribution", "CUB-200-2011", [row])], 0
        ... )
        >>> [cell] = compare_archives([archive], Path("published")).filled
        >>> cell.table, cell.method, cell.value
        ('cub', 'Grad-CAM', '0.081')
    """
    imported = Imported()
    placed: dict[tuple[str, CellKey], list[PublishedCell]] = {}
    for archive in archives:
        for board in archive.boards:
            for cell in _cells_of(board, archive, imported):
                placed.setdefault((cell.table, cell.key), []).append(cell)
    folders = list(dict.fromkeys([*published_folders(), folder]))
    on_record = {
        table: recorded_cells(table, folders) for table in dict.fromkeys(each for each, _ in placed)
    }
    for (table, key), cells in placed.items():
        if len({Decimal(cell.value) for cell in cells}) > 1:
            values = " and ".join(dict.fromkeys(cell.value for cell in cells))
            place = f"{table}: {', '.join(key)}: {values}"
            imported.unplaced[Unplaced(place, CONTRADICTORY)] += len(cells)
        else:
            _compare(cells[0], on_record[table].get(key), imported)
    return imported


def _compare(cell: PublishedCell, recorded: PublishedCell | None, imported: Imported) -> None:
    if recorded is None or not recorded.value:
        imported.filled.append(cell)
    elif Decimal(recorded.value) == Decimal(cell.value):
        imported.agreeing.append(cell)
    else:
        imported.disagreeing.append((cell, recorded))


def _cells_of(board: ArchiveBoard, archive: Archive, imported: Imported) -> list[PublishedCell]:
    """The cells that a board's values are; what is of none is counted."""
    title = f"{shown(board.task)} on {shown(board.dataset)}"
    names = archive_tables().get((same_name(board.task), same_name(board.dataset)))
    columns = dict.fromkeys(column for row in board.rows for column in row.values)
    cells = []
    for column in columns:
        rows = [row for row in board.rows if row.values.get(column, "").strip(" -")]
        imported.num_blank += sum(column in row.values for row in board.rows) - len(rows)
        if names is None:
            imported.unplaced[Unplaced(title, UNKNOWN_BOARD)] += len(rows)
        elif same_name(column) not in names.columns:
            place = f"{title}: column '{shown(column)}'"
            imported.unplaced[Unplaced(place, UNKNOWN_COLUMN)] += len(rows)
        else:
            found = _cells_of_column(rows, column, names, archive)
            cells += [each for each in found if isinstance(each, PublishedCell)]
            imported.unplaced.update(
                replace(each, place=f"{title}: {each.place}")
                for each in found
                if isinstance(each, Unplaced)
            )
    return cells


def _cells_of_column(
    rows: Sequence[ArchiveRow], column: str, names: TableNames, archive: Archive
) -> list[PublishedCell | Unplaced]:
    metric, backbone = names.columns[same_name(column)]
    read = [_number(row.values[column]) for row in rows]
    unsigned = [number for number, sign in filter(None, read) if not sign]
    is_percent = is_share(metric) and any(number > 1 for number in unsigned)
    is_mixed = is_percent and any(0 < number <= 1 for number in unsigned)
    found: list[PublishedCell | Unplaced] = []
    for row, number_and_sign in zip(rows, read, strict=True):
        method = archive_methods().get(same_name(row.method))
        if method is None:
            found.append(Unplaced(f"method '{shown(row.method)}'", UNKNOWN_METHOD))
            continue
        place = f"{method}, '{shown(column)}': '{shown(row.values[column])}'"
        number, sign = number_and_sign or (Decimal("NaN"), "")
        is_divided = is_share(metric) and bool(sign or is_percent)
        value = number / 100 if is_divided else number
        if value.is_nan() or (is_share(metric) and value > 1):
            found.append(Unplaced(place, NO_SHARE))
        elif is_mixed and not sign:
            found.append(Unplaced(place, MIXED))
        else:
            source = _source(row, column, archive, is_divided)
            cell = replace(names.of_all, backbone=backbone, metric=metric, method=method)
            value_text = f"{value:f}"
            found.append(replace(cell, value=value_text, source=source, paper=_paper(row)))
    return found


def _number(text: str) -> tuple[Decimal, str] | None:
    """A number without a sign, and `%` if that follows."""
    match = _VALUE.fullmatch(text.strip())
    return (Decimal(match[1]), match[2]) if match else None


def _paper(row: ArchiveRow) -> str:
    if match := _ARXIV.fullmatch(row.paper_url):
        return f"arXiv:{match[1]}"
    return row.paper_url if _URL.fullmatch(row.paper_url) else "not stated"


def _source(row: ArchiveRow, column: str, archive: Archive, is_divided: bool) -> str:
    """The file with its hash, the paper as the row names it, and what the file says beside it."""
    url = row.paper_url if _URL.fullmatch(row.paper_url) else ""
    parts = [shown(row.paper_title, 200), url, shown(row.sources.get(column, ""), 400)]
    stated = "; ".join(filter(None, parts)) or "no paper stated"
    percent = "; per cent there" if is_divided else ""
    return f"{shown(archive.name)} (sha256 {archive.sha256}): {stated}{percent}"


def shown(text: str, limit: int = 80) -> str:
    r"""Text of an archive in one line: control characters escaped, and cut where it is long.

    Args:
        text: Any text.
        limit: Characters that are left of it.

    Example:
        >>> shown("RISE\x1b[2J")
        'RISE\\x1b[2J'
    """
    escaped = "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text[: limit + 1]
    )
    return escaped if len(escaped) <= limit else f"{escaped[: limit - 3]}..."


def write_cells(cells: Iterable[PublishedCell], folder: Path) -> list[Path]:
    """Adds cells to the tables in a folder of the user's; cells with a value there stay.

    All files are read and checked before the first is written.

    Args:
        cells: Those to add.
        folder: Made if missing.

    Returns:
        The files.

    Raises:
        BenchError: A file there is no table of published cells or cannot be written, or it has
            another value for a cell.

    Example:
        >>> from pathlib import Path
        >>> from bench.leaderboard.published import recorded_cells
        >>> cells = recorded_cells("interpretability").values()
        >>> [path.as_posix() for path in write_cells(cells, Path("published"))]
        ['published/interpretability.csv']
    """
    by_path: dict[Path, list[PublishedCell]] = {}
    for cell in cells:
        by_path.setdefault(folder / f"{cell.table}.csv", []).append(cell)
    contents = {path: _with_cells(path, of_table) for path, of_table in by_path.items()}
    for path, content in contents.items():
        write_atomically(path, content)
    return list(contents)


def _with_cells(path: Path, cells: Sequence[PublishedCell]) -> bytes:
    """A table's file with more cells."""
    before = read_cells(path) if path.exists() else []
    together = {cell.key: cell for cell in before}
    for cell in cells:
        there = together.get(cell.key)
        if there is not None and there.value:
            raise BenchError(f"'{path}': {cell.key} has the value {there.value} already")
        together[cell.key] = cell
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(cell, name) for name in COLUMNS] for cell in together.values())
    return file.getvalue().encode("utf-8", errors="backslashreplace")
