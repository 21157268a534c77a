"""`bench status`: what it shows of runs that go on, are killed, or are done."""

import signal
import subprocess
import sys
import time

import pytest
from bench_process import BenchProcess
from toy_rows import begin, rows

from bench.storage.activity import Activity, kept_activity


@pytest.fixture
def status(bench, capsys):
    def shown(*folders):
        return bench(*folders, command="status")

    return shown


def test_a_finished_run_is_done(bench, status):
    assert bench("method=[random,saliency]", "figures=false", "gallery=0")[0] == 0
    code, out, err = status("results")
    assert (code, err) == (0, "")
    lines = [line.split() for line in out.splitlines() if " 7/7 " in line]
    assert [(line[0], line[-1]) for line in lines] == [("random", "done"), ("saliency", "done")]


def test_a_killed_shard_is_told(toy_conf, image_folder, tmp_path, status):
    results = tmp_path / "results"
    process = BenchProcess(
        [
            "run", "--config-dir", str(toy_conf), "dataset=list", f"dataset.root={image_folder}",
            f"dataset.list={image_folder}/list.txt", "backbone=toy", "method=[slow]",
            "+method.slow.seconds=60", f"results_dir={results}", "shard=2/2",
        ],
        tmp_path,
    )  # fmt: skip
    end = time.monotonic() + 120
    while len(list(results.glob("runs/*/slow*/*/.claim-*"))) < 2:
        assert time.monotonic() < end
        time.sleep(0.05)
    _, out, _ = status(str(results))
    assert [line.split()[-1] for line in out.splitlines() if "/" in line] == ["running"] * 2
    process.send_signal(signal.SIGKILL)
    process.wait()
    code, out, err = status(str(results))
    assert (code, err) == (0, "")
    assert [line.split()[-1] for line in out.splitlines() if "/" in line][:2] == ["gone"] * 2
    assert "slow 2/2: process " in out
    assert "is gone; it was at 3 images\n" in out


def test_a_table_fits_80_columns(tmp_path, status, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    name = "transformer_attribution_of_somebody"
    run = begin(
        tmp_path, "Transformer Attribution (rollout, discarded)",
        method={"name": name, "version": 1},
        dataset={"name": "birds", "num_images": 10000, "list_sha256": "a", "pixels_sha256": "b"},
    )  # fmt: skip
    run.append(rows("a"))
    folders = [part.folder.name for part in run.metrics.values()]
    told = Activity(
        run.protocol.key, "11/12", 833, 0, folders, done=800, failed=33, seconds=500.0,
        seconds_left=5800.0,
    )  # fmt: skip
    with kept_activity(run.folder, run.protocol.key, "11/12") as file:
        file.write(told)
        _, out, _ = status(str(tmp_path))
    lines = out.splitlines()
    assert all(len(line.rstrip()) <= 80 for line in lines), out
    (line,) = [line for line in lines if "11/12" in line]
    assert line.split()[-9:] == [
        "11/12",
        "800/833",
        "1.6/s",
        "97",
        "min",
        "33",
        "0",
        "s",
        "running",
    ]


def test_bad_folders_are_told_in_a_line(status, tmp_path):
    code, _, err = status(str(tmp_path / "none"))
    assert code == 1
    assert err.count("\n") == 1
    (tmp_path / "empty").mkdir()
    code, _, err = status(str(tmp_path / "empty"))
    assert (code, err.count("\n")) == (1, 1)


def test_it_does_not_wait_for_torch(tmp_path):
    begin(tmp_path, "RISE").append(rows("a"))
    code = (
        "import sys; from bench.cli import main; main(['status', sys.argv[1]]);"
        "print({'torch', 'hydra', 'pandas'} & {*sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert done.stderr == "set()\n"
    assert "RISE" in done.stdout
