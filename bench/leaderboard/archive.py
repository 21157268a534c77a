"""The Papers with Code archive of leaderboards: its JSON, packed or not, and its Parquet form.

A list of tasks, each with `task`, `subtasks` (tasks again) and `datasets`; of a data set `dataset`,
`subdatasets` (data sets again) and `sota`, whose `rows` have `model_name`, `paper_title`,
`paper_url` and `metrics`, text by column. The archive: `pwc-archive/files` and
`pwc-archive/evaluation-tables` on the Hugging Face hub (CC BY-SA 4.0).
"""

import hashlib
import io
import json
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from gzip import GzipFile
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import DAMAGED, read_whole
from bench.leaderboard.archive_names import archive_column, archive_tables, same_name
from bench.leaderboard.published import PublishedCell

LARGEST_ARCHIVE = 2**29
"""Bytes that an archive may take unpacked, so that a small file cannot fill the memory."""

SOURCES = "sources"
"""A key of rows that `archive_text` adds: by column, where the value was read."""

_GZIP, _PARQUET = b"\x1f\x8b", b"PAR1"
"""What files begin with."""

_DEEPEST = 20
"""Tasks in tasks in tasks."""


@dataclass(frozen=True)
class ArchiveRow:
    """A row of a board of the archive.

    Attributes:
        method: Its name there.
        paper_title: Empty: not stated.
        paper_url: Empty: not stated.
        values: By column, what stands there; empty: blank.
        sources: By column, where the value was read, if the file says so.

    Example:
        >>> row = ArchiveRow("RISE", "", "", {"Insertion AUC score (ResNet-101)": "71.93%"}, {})
        >>> row.method, list(row.values.values())
        ('RISE', ['71.93%'])
    """

    method: str
    paper_title: str
    paper_url: str
    values: Mapping[str, str]
    sources: Mapping[str, str]


@dataclass(frozen=True)
class ArchiveBoard:
    """A board of the archive.

    Attributes:
        task: Its name there.
        dataset: Its name there.
        rows: In their order.

    Example:
        >>> ArchiveBoard("Image Attribution", "CelebA", []).dataset
        'CelebA'
    """

    task: str
    dataset: str
    rows: Sequence[ArchiveRow]


@dataclass(frozen=True)
class Archive:
    """What is read of an archive.

    Attributes:
        name: The file's name.
        sha256: Of the file.
        boards: Of the tasks that were asked for.
        other_tasks: How many tasks there are besides.

    Example:
        >>> Archive("evaluation-tables.json.gz", "ab" * 32, [], 3).other_tasks
        3
    """

    name: str
    sha256: str
    boards: Sequence[ArchiveBoard]
    other_tasks: int


def read_archive(path: Path) -> Archive:
    """Reads the boards of an archive that are of a task of the published tables here.

    Args:
        path: JSON, packed by gzip or not, or Parquet; which one is read off its content.

    Raises:
        BenchError: It cannot be read, is larger than `LARGEST_ARCHIVE`, or holds something else.

    Example:
        >>> from pathlib import Path
        >>> written = Path("tables.json").write_text('{"rows": []}')
        >>> read_archive(Path("tables.json"))
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: 'tables.json': expected a list of tasks, as evaluation-tables.json
        of the Papers with Code archive is, found a mapping of 'rows'
    """
    if not path.is_file():
        found = "it is no file" if path.exists() else "there is no such file"
        raise BenchError(f"'{path}' cannot be read: {found}")
    if path.stat().st_size > LARGEST_ARCHIVE:
        raise _too_large(path)
    content = read_whole(path)
    tasks = {task for task, _ in archive_tables()}
    boards, others = [], 0
    is_parquet = content.startswith(_PARQUET)
    nodes = _parquet_tasks(path, content, tasks) if is_parquet else _json_tasks(path, content)
    for node in _with_subtasks(nodes, path):
        if same_name(node["task"]) in tasks:
            boards += list(_boards(node, path))
        else:
            others += 1
    return Archive(path.name, hashlib.sha256(content).hexdigest(), boards, others)


def _too_large(path: Path) -> BenchError:
    return BenchError(
        f"'{path}': expected at most {LARGEST_ARCHIVE >> 20} MiB unpacked, found more"
    )


def _json_tasks(path: Path, content: bytes) -> list[Any]:
    if content.startswith(_GZIP):
        try:
            with GzipFile(fileobj=io.BytesIO(content)) as file:
                content = file.read(LARGEST_ARCHIVE + 1)
        except (OSError, EOFError, zlib.error) as error:
            raise BenchError(f"'{path}' cannot be unpacked: {error}") from None
        if len(content) > LARGEST_ARCHIVE:
            raise _too_large(path)
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise BenchError(f"'{path}' is no JSON: {str(error)[:200]}") from None
    if not isinstance(tasks, list):
        raise BenchError(
            f"'{path}': expected a list of tasks, as evaluation-tables.json of the Papers with "
            f"Code archive is, found {_kind(tasks)}"
        )
    return tasks


def _parquet_tasks(path: Path, content: bytes, wanted: Collection[str]) -> Iterator[Any]:
    """Tasks of the Parquet form, a row each; data sets are left out of those that are not wanted.

    Its columns of metrics are wide, and rows made of them slow, so only those wanted are made.
    """
    from pyarrow import BufferReader
    from pyarrow.parquet import ParquetFile

    needed = ("task", "subtasks", "datasets")
    try:
        file = ParquetFile(BufferReader(content))
        sizes = (file.metadata.row_group(i).total_byte_size for i in range(file.num_row_groups))
        unpacked = sum(sizes)
        columns = [name for name in file.schema_arrow.names if name in needed]
    except DAMAGED as error:
        raise BenchError(f"'{path}' is no Parquet: {_line(error)}") from None
    if unpacked > LARGEST_ARCHIVE:
        raise _too_large(path)
    if not {"task", "datasets"} <= {*columns}:
        found = ", ".join(map(repr, file.schema_arrow.names[:10]))
        raise BenchError(f"'{path}': expected the columns task and datasets, found {found}")
    light = [name for name in columns if name != "datasets"]
    try:
        for batch in file.iter_batches(batch_size=16, columns=columns):
            for number in range(batch.num_rows):
                row = batch.slice(number, 1)
                (node,) = row.select(light).to_pylist()
                if same_name(str(node["task"])) in wanted:
                    (node,) = row.to_pylist()
                yield {"datasets": []} | node
    except DAMAGED as error:
        raise BenchError(f"'{path}' is broken: {_line(error)}") from None


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _with_subtasks(nodes: Iterable[Any], path: Path) -> Iterator[Mapping[str, Any]]:
    """Tasks with all that lie below them, checked as far as their names and lists."""
    for top in nodes:
        below = [(top, 1)]
        while below:
            node, depth = below.pop()
            if not isinstance(node, Mapping) or not isinstance(node.get("task"), str):
                raise BenchError(f"'{path}': expected tasks with the key task, found {_kind(node)}")
            if depth > _DEEPEST:
                raise BenchError(f"'{path}': tasks lie in tasks more than {_DEEPEST} deep")
            where = f"task {node['task'][:80]!r}"
            yield node
            below += [(each, depth + 1) for each in _list(node, "subtasks", where, path)]


def _boards(task: Mapping[str, Any], path: Path) -> Iterator[ArchiveBoard]:
    where = f"task {task['task']!r}"
    below = [(each, 1) for each in reversed(_list(task, "datasets", where, path))]
    while below:
        node, depth = below.pop()
        if not isinstance(node, Mapping) or not isinstance(node.get("dataset"), str):
            raise _unexpected(path, where, "data sets with the key dataset", node)
        if depth > _DEEPEST:
            raise BenchError(f"'{path}': data sets lie in data sets more than {_DEEPEST} deep")
        inside = f"{where}, data set {node['dataset'][:80]!r}"
        sota = _plain(node.get("sota")) or {}
        if not isinstance(sota, Mapping):
            raise _unexpected(path, inside, "sota: a mapping", sota)
        rows = [_row(each, inside, path) for each in _list(sota, "rows", inside, path)]
        yield ArchiveBoard(task["task"], node["dataset"], rows)
        inner = _list(node, "subdatasets", inside, path)
        below += [(each, depth + 1) for each in reversed(inner)]


def _row(node: Any, where: str, path: Path) -> ArchiveRow:
    if not isinstance(node, Mapping) or not isinstance(node.get("model_name"), str):
        raise _unexpected(path, where, "rows with the key model_name", node)
    where = f"{where}, row {node['model_name'][:80]!r}"
    values = _texts(node.get("metrics"), where, path)
    stated = [node.get(key) for key in ("paper_title", "paper_url")]
    title, url = (each if isinstance(each, str) else "" for each in stated)
    return ArchiveRow(
        node["model_name"], title, url, values, _texts(node.get(SOURCES), where, path)
    )


def _texts(node: Any, where: str, path: Path) -> dict[str, str]:
    """Text by column: a mapping, or pairs as Parquet's maps are; columns without one are left out.

    Where Parquet has a column for each metric there is, those of other boards are None.
    """
    node = _plain(node)
    pairs = [*node.items()] if isinstance(node, Mapping) else node or []
    found = {}
    for pair in pairs if isinstance(pairs, list) else [pairs]:
        if not isinstance(pair, tuple | list) or len(pair) != 2 or not isinstance(pair[0], str):
            raise _unexpected(path, where, "metrics: text by column", node)
        name, value = pair
        if isinstance(value, bool) or not isinstance(value, str | int | float | None):
            raise _unexpected(path, where, f"metrics, {name[:80]!r}: text", value)
        if value is not None:
            found[name] = str(value)
    return found


def _list(node: Mapping[str, Any], key: str, where: str, path: Path) -> list[Any]:
    value = _plain(node.get(key))
    if value is None or value == "":
        return []
    if not isinstance(value, list):
        raise _unexpected(path, where, f"{key}: a list", value)
    return value


def _plain(value: Any) -> Any:
    """A nested value; Parquet may hold it as JSON."""
    if not isinstance(value, str) or not value:
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value  # told as what was found in place of a list or a mapping


def _kind(value: Any) -> str:
    if isinstance(value, Mapping):
        return f"a mapping of {', '.join(map(repr, [*value][:5]))}" if value else "an empty mapping"
    return "nothing" if value is None else f"{type(value).__name__} {str(value)[:40]!r}"


def _unexpected(path: Path, where: str, expected: str, found: Any) -> BenchError:
    return BenchError(f"'{path}', {where}: expected {expected}, found {_kind(found)}")


def archive_text(cells: Iterable[PublishedCell]) -> str:
    """Published cells as the JSON of the archive, with where each was read beside it.

    Args:
        cells: Of any tables of results/published.

    Example:
        >>> from bench.leaderboard.published import recorded_cells
        >>> text = archive_text(recorded_cells("interpretability").values())
        >>> import json
        >>> [task] = json.loads(text)
        >>> task["task"], task["datasets"][0]["sota"]["metrics"]
        ('Interpretability Techniques for Deep Learning',
         ['Insertion AUC score (ArcFace ResNet-101)'])
    """
    names = {each.table: each for each in archive_tables().values()}
    by_table: dict[str, list[PublishedCell]] = {}
    for cell in cells:
        by_table.setdefault(cell.table, []).append(cell)
    tasks: dict[str, dict[str, Any]] = {}
    for table, of_table in by_table.items():
        name = names[table].task
        task = tasks.setdefault(name, {"task": name, "subtasks": [], "datasets": []})
        task["datasets"].append(_dataset_node(names[table].dataset, of_table))
    return json.dumps([*tasks.values()], indent=1, ensure_ascii=False) + "\n"


def _dataset_node(dataset: str, cells: Sequence[PublishedCell]) -> dict[str, Any]:
    columns: dict[str, None] = {}
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in cells:
        column = archive_column(cell.metric, cell.backbone)
        columns[column] = None
        identifier = cell.paper.removeprefix("arXiv:")
        url = f"https://arxiv.org/abs/{identifier}" if identifier != cell.paper else cell.paper
        empty = {"model_name": cell.method, "paper_title": "", "paper_url": url}
        row = rows.setdefault((cell.method, url), empty | {"metrics": {}, SOURCES: {}})
        row["metrics"][column] = cell.value
        row[SOURCES][column] = cell.source
    sota = {"metrics": [*columns], "rows": [*rows.values()]}
    return {"dataset": dataset, "subdatasets": [], "sota": sota}
