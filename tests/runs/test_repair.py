"""Results with every file damaged: commands go on, and the next run's numbers are the first's."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from bench import load_rows
from bench.errors import tell_warnings

BOARD = Path("results/leaderboards/list_toy_xplique-probability.csv")
EACH = bool(os.environ.get("BENCH_TEST_EACH_FILE"))
"""Whether files are damaged one by one, too; that takes minutes."""


def truncated(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])


def emptied(path):
    path.write_bytes(b"")


def flipped(path):
    """One bit, somewhere else in each file."""
    content = bytearray(path.read_bytes())
    place = int(np.random.default_rng(len(content)).integers(len(content)))
    content[place] ^= 1 << place % 8
    path.write_bytes(content)


def replaced(path):
    path.write_text('{"key": "0", "identity": {"method": {"name": "x"}}, "labels": {}}')


def a_folder(path):
    path.unlink()
    path.mkdir()
    (path / "file").write_text("")


def without_a_key(path):
    """A mapping without its first key; what is no JSON gets bytes that are no text."""
    try:
        content = json.loads(path.read_bytes())
        content.pop(next(iter(content)))
        path.write_text(json.dumps(content))
    except (ValueError, AttributeError):
        path.write_bytes(b"\xff\xfe" + path.read_bytes())


DAMAGES = [truncated, emptied, flipped, replaced, a_folder, without_a_key]
RUN = ["method=[saliency,not_finite]", "block_size=4", "gallery=1"]


def stored_files():
    places = (
        "runs/*/*/[!.]*.*",
        "runs/*/*/*/[!.]*",
        "maps/*/*",
        "pictures/*/*",
        "batch_sizes.json",
    )
    return [path for place in places for path in sorted(Path("results").glob(place))]


def numbers():
    """Rows and table; what a method costs and took is not the same twice."""
    told = []
    with tell_warnings(told.append):
        rows = load_rows("results").drop(columns="seconds")
    rows = rows.sort_values(["method", "image_id"], ignore_index=True)
    return rows, pd.read_csv(BOARD), told


def assert_repaired(bench, files, damage, expected):
    for path in files:
        damage(path)
    damaged = {path: path.lstat().st_mtime_ns for path in stored_files()}
    for command, *arguments in (("leaderboard",), ("report", "--output", "page.html")):
        code, _, err = bench("results", *arguments, command=command)
        assert "Traceback" not in err
        assert code == 0 or "bench: error: no runs in 'results'" in err, (command, err)
    assert {path: path.lstat().st_mtime_ns for path in stored_files()} == damaged  # only looked at
    code, _, err = bench(*RUN)
    assert code == 1
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    assert "NaN" in line  # the method that fails of itself
    rows, board, told = numbers()
    assert not told
    pd.testing.assert_frame_equal(rows, expected[0], check_exact=True)
    pd.testing.assert_frame_equal(board, expected[1], check_exact=True)


@pytest.fixture
def results(bench):
    """Results of two methods, of which one fails on an image, and how they were at first."""
    assert bench(*RUN)[0] == 1
    key = "cpu, toy, 16"
    Path("results/batch_sizes.json").write_text(json.dumps({key: {"saliency": 8}}))
    rows, board, told = numbers()
    assert len(rows) == 13
    assert not told
    shutil.copytree("results", "whole")
    return rows, board


@pytest.mark.parametrize("damage", DAMAGES)
def test_every_file_damaged_at_once(bench, results, damage):
    files = stored_files()
    kinds = {path.suffix for path in files}
    assert kinds == {".json", ".parquet", ".npy", ".npz", ".safetensors"}
    manifests = [path for path in files if path.name == "manifest.json"]
    assert_repaired(bench, [path for path in files if path not in manifests], damage, results)
    assert list(Path("results").rglob("broken-*"))
    assert_repaired(bench, manifests, damage, results)


@pytest.mark.skipif(not EACH, reason="takes minutes: BENCH_TEST_EACH_FILE=1")
@pytest.mark.parametrize("damage", DAMAGES)
def test_each_file_damaged_alone(bench, results, damage):
    for path in stored_files():
        assert_repaired(bench, [path], damage, results)
        shutil.rmtree("results")
        shutil.copytree("whole", "results")
