import gzip
import json
import tracemalloc
import zlib

import pyarrow as pa
import pytest
from archives import CUB, archive, dataset, row, task, write_json, write_parquet
from pyarrow import parquet

from bench.errors import BenchError
from bench.leaderboard import archive as module
from bench.leaderboard.archive import archive_text, read_archive
from bench.leaderboard.importing import compare_archives
from bench.leaderboard.published import recorded_cells, shipped_tables


def flat(tasks):
    """Tasks without one in another: Parquet has no columns of columns without end."""
    return [{**each, "subtasks": []} for one in tasks for each in (one, *one["subtasks"])]


@pytest.mark.parametrize("name", ["tables.json", "tables.json.gz", "no-ending"])
def test_boards_of_our_tasks_are_read_wherever_they_lie(tmp_path, name):
    read = read_archive(write_json(tmp_path / name, archive()))
    assert [board.dataset for board in read.boards] == ["CelebA", "CUB-200-2011", "ImageNet"]
    assert {board.task for board in read.boards} == {"Image Attribution"}
    assert (read.name, read.other_tasks, len(read.sha256)) == (name, 2, 64)
    assert read.boards[1].rows[1].values == {CUB[0]: "10.16%", CUB[1]: "0.6700"}


def test_the_parquet_form_holds_the_same(tmp_path):
    of_json = read_archive(write_json(tmp_path / "tables.json", flat(archive())))
    of_parquet = read_archive(write_parquet(tmp_path / "tables.parquet", flat(archive())))
    assert of_parquet.boards == of_json.boards
    assert of_parquet.other_tasks == of_json.other_tasks == 2


def test_parquet_with_tasks_in_tasks_and_metrics_as_maps_or_json(tmp_path):
    maps = pa.map_(pa.string(), pa.string())
    a_row = pa.struct([("model_name", pa.string()), ("metrics", maps)])
    sota = pa.struct([("rows", pa.list_(a_row))])
    of_maps = pa.struct([("dataset", pa.string()), ("sota", sota)])
    rise = {"model_name": "RISE", "metrics": [(CUB[0], "0.0665"), (CUB[1], None)]}
    columns = {
        "task": ["Image Attribution", "Interpretability"],
        "datasets": pa.array(
            [[{"dataset": "CUB-200-2011", "sota": {"rows": [rise]}}], []], pa.list_(of_maps)
        ),
        "subtasks": ["", json.dumps(archive()[1]["subtasks"])],
    }
    parquet.write_table(pa.table(columns), tmp_path / "a.parquet")
    first, *others = read_archive(tmp_path / "a.parquet").boards
    assert [(each.method, each.values) for each in first.rows] == [("RISE", {CUB[0]: "0.0665"})]
    assert len(others) == 3


def test_data_sets_in_data_sets(tmp_path):
    inner = dataset("CelebA", row("RISE", {"a": 1.5, "b": None}))
    tasks = [task("image attribution", dataset("Faces", subdatasets=[inner]))]
    boards = read_archive(write_json(tmp_path / "a.json", tasks)).boards
    assert [board.dataset for board in boards] == ["Faces", "CelebA"]
    assert boards[1].rows[0].values == {"a": "1.5"}


def test_a_board_without_results(tmp_path):
    tasks = [task("Image Attribution", {"dataset": "CelebA", "sota": {}}), {"task": "Other"}]
    (board,) = read_archive(write_json(tmp_path / "a.json", tasks)).boards
    assert board.rows == []


def of_task(node):
    return json.dumps([{"task": "Image Attribution", "datasets": node}]).encode()


def deep(times):
    node = {"task": "a"}
    for _ in range(times):
        node = {"task": "a", "subtasks": [node]}
    return json.dumps([node]).encode()


BAD = {
    "no JSON": (b"model,value\n", "is no JSON"),
    "no text": (b"\xff\xfe\x00", "is no JSON"),
    "empty": (b"", "is no JSON"),
    "a mapping": (b'{"task": 1}', "expected a list of tasks", "a mapping of 'task'"),
    "rows": (b"[[1, 2]]", "expected tasks with the key task, found list '[1, 2]'"),
    "other keys": (b'[{"\\u001b[2J": 1}]', "found a mapping of '\\x1b[2J'"),
    "nested JSON": (b"[" * 100_000, "is no JSON"),
    "deep": (deep(40), "more than 20 deep"),
    "data sets that are text": (of_task("CelebA"), "datasets: a list, found str 'CelebA'"),
    "data sets without a name": (of_task([{"name": "CelebA"}]), "with the key dataset"),
    "sota is a list": (of_task([{"dataset": "CelebA", "sota": [1]}]), "sota: a mapping"),
    "a row is text": (
        of_task([{"dataset": "CelebA", "sota": {"rows": ["RISE"]}}]),
        "data set 'CelebA': expected rows with the key model_name, found str 'RISE'",
    ),
    "metrics are a number": (
        of_task([{"dataset": "CelebA", "sota": {"rows": [{"model_name": "a", "metrics": 3}]}}]),
        "row 'a': expected metrics: text by column",
    ),
    "a metric is a list": (
        of_task([{"dataset": "C", "sota": {"rows": [{"model_name": "a", "metrics": {"m": []}}]}}]),
        "metrics, 'm': text, found list '[]'",
    ),
    "half a gzip": (gzip.compress(b"[]" * 99)[:-9], "cannot be unpacked"),
    "a broken gzip": (b"\x1f\x8b" + bytes(40), "cannot be unpacked"),
    "gzip of something else": (b"\x1f\x8b" + zlib.compress(b"[]"), "cannot be unpacked"),
    "half a Parquet": (b"PAR1" + bytes(40), "is no Parquet"),
}


@pytest.mark.parametrize("case", BAD.values(), ids=BAD)
def test_other_files_are_refused_in_a_line(tmp_path, case):
    content, *expected = case
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(BenchError) as told:
        read_archive(tmp_path / "a.json")
    assert "a.json'" in str(told.value)
    assert "\n" not in str(told.value)
    assert "\x1b" not in str(told.value)
    assert all(text in str(told.value) for text in expected), str(told.value)


def test_a_parquet_of_something_else(tmp_path):
    parquet.write_table(pa.table({"image": [1], "label": [2]}), tmp_path / "a.parquet")
    with pytest.raises(BenchError, match="expected the columns task and datasets, found 'image'"):
        read_archive(tmp_path / "a.parquet")
    parquet.write_table(pa.table({"task": ["a"], "datasets": [1]}), tmp_path / "b.parquet")
    read_archive(tmp_path / "b.parquet")  # of another task: its data sets are not looked at
    table = pa.table({"task": ["Image Attribution"], "datasets": [1]})
    parquet.write_table(table, tmp_path / "c.parquet")
    with pytest.raises(BenchError, match="datasets: a list, found int '1'"):
        read_archive(tmp_path / "c.parquet")


def test_a_parquet_whose_pages_are_broken(tmp_path):
    path = write_parquet(tmp_path / "a.parquet", flat(archive()))
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)
    path.write_bytes(content)
    with pytest.raises(BenchError, match=r"'.*a\.parquet' is broken"):
        read_archive(path)


def test_what_is_no_file(tmp_path):
    with pytest.raises(BenchError, match="there is no such file"):
        read_archive(tmp_path / "missing.json")
    with pytest.raises(BenchError, match="it is no file"):
        read_archive(tmp_path)


def test_nothing_is_unpacked_beyond_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_ARCHIVE", 2**20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2**21)))
    (tmp_path / "large.json").write_bytes(b" " * 2**21)
    rows = [{"task": "a" * 2**12, "datasets": []} for _ in range(2**9)]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "a.parquet", use_dictionary=False)
    assert (tmp_path / "a.parquet").stat().st_size < 2**20
    for name in ("bomb.gz", "large.json", "a.parquet"):
        with pytest.raises(BenchError, match="expected at most 1 MiB unpacked, found more"):
            read_archive(tmp_path / name)


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST_ARCHIVE", 2**20)
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(bytes(2**26)))
    tracemalloc.start()
    try:
        with pytest.raises(BenchError, match="found more"):
            read_archive(tmp_path / "bomb.gz")
        assert tracemalloc.get_traced_memory()[1] < 2**24
    finally:
        tracemalloc.stop()


def test_our_tables_read_back_as_they_are(tmp_path, monkeypatch):
    """Compared with an empty record, all cells are new, and the same but for the file's name."""
    ours = [cell for table in shipped_tables() for cell in recorded_cells(table).values()]
    (tmp_path / "ours.json").write_text(archive_text(ours))
    read = read_archive(tmp_path / "ours.json")
    again = compare_archives([read], tmp_path / "published")
    known = [cell for cell in ours if cell.value]
    assert {(cell.table, cell.key): cell.value for cell in again.agreeing} == {
        (cell.table, cell.key): cell.value for cell in known
    }
    assert (again.filled, again.disagreeing, again.unplaced) == ([], [], {})
    assert again.num_blank == len(ours) - len(known) > 0

    monkeypatch.setattr("bench.leaderboard.importing.recorded_cells", lambda *_: {})
    filled = {(cell.table, cell.key): cell for cell in compare_archives([read], tmp_path).filled}
    assert len(filled) == len(known) > 40
    for cell in known:
        found = filled[cell.table, cell.key]
        for name in ("paper", "leaderboard", "benchmark", "subset", "value"):
            assert getattr(found, name) == getattr(cell, name)
        assert found.source.startswith(f"ours.json (sha256 {read.sha256}): https://arxiv.org/abs/")
        assert found.source.endswith(cell.source)
