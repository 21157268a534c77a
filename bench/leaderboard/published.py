"""The cells of published tables: ours, and those in folders of the user's."""

import csv
import io
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from importlib import resources
from pathlib import Path

from bench.errors import BenchError, warn
from bench.files import expand_user, read_whole

FOLDER = "published"
"""The user's folder of published tables in the working directory."""

FOLDERS_VARIABLE = "BENCH_PUBLISHED"
"""The environment variable that names more of them, separated as in `PATH`."""

CellKey = tuple[str, str, str]
"""Backbone, method and metric: what tells the cells of a table apart."""

_NUMBER = re.compile(r"[0-9]{1,9}(\.[0-9]{1,12})?")


@dataclass(frozen=True)
class PublishedCell:
    """A published value with the place where it can be read; a line of a table's file.

    Attributes:
        table: The file, without its ending.
        paper: Where it was published, as `arXiv:2402.09164`.
        leaderboard: What it is a cell of.
        benchmark: The data set.
        backbone: The network.
        subset: `correct`, `misclassified`, or which images else.
        method: Its name there.
        metric: Its column (`Statistic.published`).
        value: A decimal number, as written; empty: blank on record.
        source: Where it was read.

    Example:
        >>> cell = recorded_cells("cub")["ResNet-101", "RISE", "insertion_auc"]
        >>> cell.value, cell.paper
        ('0.7193', 'arXiv:2402.09164')
    """

    table: str
    paper: str
    leaderboard: str
    benchmark: str
    backbone: str
    subset: str
    method: str
    metric: str
    value: str
    source: str

    @property
    def key(self) -> CellKey:
        """What tells it from the other cells of its table."""
        return self.backbone, self.method, self.metric


COLUMNS = tuple(field.name for field in fields(PublishedCell) if field.name != "table")
"""The columns of a table's file, in their order."""


def published_cells(table: str, backbone: str) -> dict[str, dict[str, float]]:
    """The cells of one network in a published table, ours first, then the user's.

    Args:
        table: A file of results/published or of a folder of the user's, without its ending.
        backbone: The network's name there.

    Returns:
        Method -> column there (`Statistic.published`) -> value, in the order of the file. Cells
        that are blank on record are left out.

    Example:
        >>> published_cells("cub", "ResNet-101")["LIME"]
        {'deletion_auc': 0.107, 'insertion_auc': 0.6812}
    """
    cells: dict[str, dict[str, float]] = {}
    for cell in recorded_cells(table).values():
        if cell.backbone == backbone:
            of_method = cells.setdefault(cell.method, {})
            if cell.value:
                of_method[cell.metric] = float(cell.value)
    return cells


def published_subset(table: str) -> str | None:
    """`correct` or `misclassified`, if a published table is known to be of such images alone.

    Args:
        table: A file of results/published or of a folder of the user's, without its ending.

    Example:
        >>> published_subset("cub"), published_subset("cub_errors"), published_subset("wsol")
        ('correct', 'misclassified', None)
    """
    cells = recorded_cells(table, folders=()) or recorded_cells(table)
    subsets = {cell.subset for cell in cells.values()}
    return subsets.pop() if subsets in ({"correct"}, {"misclassified"}) else None


def added_notes(table: str, backbone: str) -> dict[str, str]:
    r"""By method of a published table, a remark on cells that are not ours but the user's.

    Args:
        table: A file of results/published or of a folder of the user's, without its ending.
        backbone: The network's name there.

    Example:
        >>> from pathlib import Path
        >>> Path("published").mkdir(exist_ok=True)
        >>> line = "arXiv:1,board,cub,ResNet-101,correct,Sobol,deletion_auc,0.08,a page"
        >>> written = Path("published/cub.csv").write_text(",".join(COLUMNS) + f"\n{line}\n")
        >>> added_notes("cub", "ResNet-101")
        {'Sobol': 'published cells of published/cub.csv'}
        >>> Path("published/cub.csv").unlink()
    """
    ours = recorded_cells(table, folders=())
    files = ", ".join(path.as_posix() for path in published_files() if path.stem == table)
    return {
        cell.method: f"published cells of {files}"
        for key, cell in recorded_cells(table).items()
        if cell.backbone == backbone and cell.value and cell != ours.get(key)
    }


def shipped_tables() -> list[str]:
    """The names of the tables in results/published.

    Example:
        >>> shipped_tables()[:2]
        ['celeba', 'cub']
    """
    return sorted(path.stem for path in _shipped().glob("*.csv"))


def recorded_cells(
    table: str, folders: Sequence[Path] | None = None
) -> dict[CellKey, PublishedCell]:
    """All cells of a table, ours first, then those that the user's folders add.

    A cell of the user's never takes the place of one with a value; where the two differ, a warning
    says so. A file of the user's that cannot be read is left out with a warning.

    Args:
        table: A file of results/published or of a folder of the user's, without its ending.
        folders: The user's; None: `published_folders`.

    Returns:
        The cells, in the order of the files; empty if there is no such table.

    Example:
        >>> sorted({backbone for backbone, _, _ in recorded_cells("cub_errors")})
        ['EfficientNetV2-M', 'MobileNetV2', 'ResNet-101']
    """
    found: dict[CellKey, PublishedCell] = {}
    shipped = _shipped() / f"{table}.csv"
    if shipped.is_file():
        found |= {cell.key: cell for cell in read_cells(shipped)}
    for folder in published_folders() if folders is None else folders:
        path = folder / f"{table}.csv"
        try:
            cells = read_cells(path) if path.is_file() else []
        except BenchError as error:
            warn(f"{error}: its cells are left out")
            continue
        differing = [" ".join(cell.key) for cell in cells if not _add(cell, found)]
        if differing:
            warn(
                f"'{path}': {len(differing)} cells differ from those on record, which stand "
                f"({'; '.join(differing[:3])})"
            )
    return found


def _add(cell: PublishedCell, found: dict[CellKey, PublishedCell]) -> bool:
    """Adds a cell where there is no value yet; False: there is another value."""
    before = found.get(cell.key)
    if before is None or not before.value:
        found[cell.key] = cell
        return True
    return not cell.value or float(cell.value) == float(before.value)


def published_folders() -> list[Path]:
    """The user's folders of published tables that are there.

    They are `published/` in the working directory, then those that `BENCH_PUBLISHED` names,
    separated as in `PATH`; one that is missing is told in a warning.

    Example:
        >>> from pathlib import Path
        >>> Path("published").mkdir(exist_ok=True)
        >>> [folder.name for folder in published_folders()]
        ['published']
    """
    named = filter(None, os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep))
    folders = [folder for folder in [Path(FOLDER)] if folder.is_dir()]
    for name in named:
        folder = expand_user(Path(name), FOLDERS_VARIABLE)
        if folder.is_dir():
            folders.append(folder)
        else:
            warn(f"{FOLDERS_VARIABLE}: folder '{folder}' is missing")
    return folders


def published_files() -> Iterator[Path]:
    """The tables in the user's folders.

    Example:
        >>> from pathlib import Path
        >>> Path("published").mkdir(exist_ok=True)
        >>> written = Path("published/mine.csv").write_text("")
        >>> [path.as_posix() for path in published_files()]
        ['published/mine.csv']
    """
    for folder in published_folders():
        yield from sorted(folder.glob("*.csv"))


def read_cells(path: Path) -> list[PublishedCell]:
    r"""Reads a table's file.

    Args:
        path: CSV in UTF-8 with the columns `COLUMNS`.

    Raises:
        BenchError: It has other columns, a value that is no number, a cell twice, or one without
            a source.

    Example:
        >>> from pathlib import Path
        >>> written = Path("cub.csv").write_text(",".join(COLUMNS))
        >>> read_cells(Path("cub.csv"))
        []
        >>> written = Path("cub.csv").write_text(",".join(COLUMNS) + "\narXiv:1,RISE,0.7\n")
        >>> read_cells(Path("cub.csv"))
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: 'cub.csv', row 1: expected 9 fields, found 3
    """
    try:
        text = read_whole(path).decode("utf-8-sig")
        header, *lines = [*csv.reader(io.StringIO(text, newline=""))] or [[]]
    except (ValueError, csv.Error) as error:
        raise BenchError(f"'{path}' is no CSV of published cells: {error}") from None
    if tuple(header) != COLUMNS:
        found = ",".join(header)[:200]
        raise BenchError(f"'{path}': expected the columns {','.join(COLUMNS)}, found {found!r}")
    cells: dict[CellKey, PublishedCell] = {}
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        cell = _cell_of(line, path, number)
        if cell.key in cells:
            raise BenchError(f"'{path}', row {number}: {cell.key} stands there twice")
        cells[cell.key] = cell
    return list(cells.values())


def _cell_of(line: Sequence[str], path: Path, number: int) -> PublishedCell:
    where = f"'{path}', row {number}"
    if len(line) != len(COLUMNS):
        raise BenchError(f"{where}: expected {len(COLUMNS)} fields, found {len(line)}")
    cell = PublishedCell(path.stem, *line)
    if cell.value and not _NUMBER.fullmatch(cell.value):
        raise BenchError(f"{where}: value: expected a decimal number, found {cell.value[:80]!r}")
    if not cell.source:
        raise BenchError(f"{where}: source: expected where the cell can be read, found nothing")
    return cell


def _shipped() -> Path:
    return Path(str(resources.files("bench.published")))
