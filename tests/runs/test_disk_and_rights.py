"""A disk that is full, and results that belong to somebody else, on real file systems."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from bench import load_rows

NOBODY = 65534
is_root = pytest.mark.skipif(
    os.getuid() != 0, reason="needs root: mounts, or files of another user"
)

LIMITED = """
import resource, signal, sys
limit = int(sys.argv.pop(1))
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
from bench.cli import main
main()
"""
POWERS = "-dac_override,-dac_read_search"
"""What lets root read and write whatever it likes."""


def bench_limited(*arguments, limit=0, cwd=None):
    """The command line of one whom rights hold for, or with files of at most so many bytes."""
    powerless = ["setpriv", "--bounding-set", POWERS, "--inh-caps", POWERS]
    command = [sys.executable, "-c", LIMITED, str(limit), *arguments]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = command if limit else [*powerless, *command]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 64 kB."""
    folder = tmp_path / "small disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("cannot mount a file system here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def numbers():
    return load_rows("results").drop(columns=["seconds", "run_key"])


@is_root
def test_a_full_disk_of_maps_costs_no_row(bench, small_disk):
    settings = ["method=[saliency]", "block_size=2", "gallery=0", f'maps.folder="{small_disk}"']
    (small_disk / "full").write_bytes(bytes(64 * 1024))
    code, out, err = bench(*settings)
    assert (code, err) == (0, "")
    assert out.count("maps are not kept, but evaluated: cannot write") == 1
    assert "No space left on device" in out
    assert "Maps not kept: 7 of saliency (their rows are stored)" in out
    full = numbers()
    assert len(full) == 7
    (small_disk / "full").unlink()
    shutil.rmtree("results")
    code, out, _ = bench(*settings)
    assert code == 0
    assert "not kept" not in out
    pd.testing.assert_frame_equal(numbers(), full, check_exact=True)


@is_root
def test_a_full_disk_of_results_ends_in_one_line_and_costs_nothing_finished(bench, small_disk):
    subprocess.run(["mount", "-o", "remount,size=192k", str(small_disk)], check=True)
    results = f'results_dir="{small_disk}/results"'
    settings = ["method=[random,saliency]", "block_size=1", "maps.keep=false", results]
    code, _, err = bench(*settings)
    assert code == 1
    assert "Traceback" not in err
    (line,) = err.strip().splitlines()
    assert "cannot write" in line
    assert "No space left on device" in line
    finished = load_rows(small_disk / "results")
    assert 0 < len(finished) < 14
    assert not list((small_disk / "results").rglob("broken-*"))
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    code, out, _ = bench(*settings)
    assert code == 0
    assert "Rows stored before: random" in out
    rows = load_rows(small_disk / "results")
    assert len(rows) == 14
    both = finished.merge(rows, on=["run_key", "image_id"])
    assert len(both) == len(finished)
    assert (both["seconds_x"] == both["seconds_y"]).all()  # not computed again


@is_root
@pytest.mark.parametrize("rights", [0o755, 0o700])
def test_another_user_s_results(bench, tmp_path, rights):
    assert bench("method=[random,saliency]", "gallery=1")[0] == 0
    Path("results").chmod(rights)
    for path in (Path("results"), *Path("results").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    before = {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")}
    results, page = str(Path("results").absolute()), str(tmp_path / "page.html")
    code, out, err = bench_limited("leaderboard", results, cwd=tmp_path)
    assert code == 1
    assert len(err.strip().splitlines()) == 1
    assert "Permission denied" in err
    assert ("saliency" in out) == (rights == 0o755)  # the table is shown all the same
    code, _, err = bench_limited("report", results, "--output", page, cwd=tmp_path)
    if rights == 0o755:
        assert (code, err) == (0, "")
        assert Path(page).exists()
    else:
        assert code == 1
        assert "cannot be read: Permission denied" in err
    assert {path: path.stat().st_mtime_ns for path in Path("results").rglob("*")} == before


@is_root
def test_results_that_can_only_be_read(bench, tmp_path, small_disk):
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert bench("method=[random,saliency]", "gallery=1")[0] == 0
    assert bench("method=[random]", "gallery=0", "protocol=rise", "name=second")[0] == 0
    shutil.copytree("results", small_disk / "results")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    results, page = str(small_disk / "results"), tmp_path / "page.html"
    assert bench(results, "--output", str(page), command="report")[0] == 0
    assert page.exists()
    written = {"leaderboard": [results], "report": [results, "--output", f"{results}/page.html"]}
    for command, arguments in written.items():
        code, out, err = bench(*arguments, command=command)
        boards = 2 if command == "leaderboard" else 1
        assert (code, err.count("\n"), err.count("Read-only file system")) == (1, boards, boards)
        assert ("second" in err) == (command == "leaderboard")  # each is shown and named
        assert ("saliency" in out) == (command == "leaderboard")  # it is shown all the same
    code, _, err = bench(f'results_dir="{results}"')
    assert code == 1
    assert "results_dir: cannot write to" in err


def test_files_that_may_not_grow(bench, tmp_path):
    assert bench("method=[random]", "gallery=0")[0] == 0
    results = str(Path("results").absolute())
    code, out, err = bench_limited("leaderboard", results, limit=100, cwd=tmp_path)
    assert code == 1
    assert "random" in out
    (line,) = err.strip().splitlines()
    assert "File too large" in line
    assert not list(Path("results").rglob(".*.csv"))
