"""Runs that are killed, interrupted, repeated, or run twice at once."""

import errno
import os
import random
import signal
import time
from pathlib import Path

import pandas as pd
import pytest
from bench_process import BenchProcess

from bench import load_rows
from bench.errors import BenchError
from bench.storage.claims import claimed
from bench.storage.store import stored_runs

KILLS = int(os.environ.get("BENCH_TEST_KILLS", "3"))
"""How many times a real run is killed; 20 take three minutes."""
BOARD = "leaderboards/list_toy_xplique-probability.csv"


@pytest.fixture
def start(toy_conf, image_folder, tmp_path):
    """Starts `bench run` on the toy pieces as a process of its own."""

    def process(results, *arguments):
        settings = [
            "run", "--config-dir", str(toy_conf), "dataset=list", f"dataset.root={image_folder}",
            f"dataset.list={image_folder}/list.txt", "backbone=toy", "method=[slow,saliency]",
            "batch_size=4", "block_size=1", f"results_dir={results}", *arguments,
        ]  # fmt: skip
        return BenchProcess(settings, tmp_path)

    return process


def parts(folder):
    found = (Path(folder) / "runs").glob("*/*/*/part-*.parquet")  # beside it, others come and go
    return {path: path.stat().st_mtime_ns for path in found}


def wait_for(condition, process, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert not process.ended(), process.said()
        assert time.monotonic() < end
        time.sleep(0.01)


def assert_same_rows(first, second):
    frames = [load_rows(folder).drop(columns="seconds") for folder in (first, second)]
    pd.testing.assert_frame_equal(*frames, check_exact=True)
    boards = [(folder / BOARD).read_bytes() for folder in (first, second)]
    assert boards[0] == boards[1]


def test_killed_at_any_moment_it_goes_on_where_it_stopped(start, tmp_path):
    whole, broken = tmp_path / "whole", tmp_path / "broken 0"
    assert start(whole).wait() == 0
    draws = random.Random(0)

    def finish():
        before = parts(broken)
        assert before
        process = start(f'"{broken}"')
        assert process.wait() == 0, process.said()
        assert before.items() <= parts(broken).items()
        assert_same_rows(whole, broken)
        assert not list(broken.rglob(".claim-*"))

    for number in range(KILLS):
        before = parts(broken)
        if len(before) > 8:
            finish()
            broken, before = tmp_path / f"broken {number}", {}
        process = start(f'"{broken}"')
        wait_for(lambda folder=broken, was=before: len(parts(folder)) > len(was), process)
        time.sleep(draws.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert before.items() <= parts(broken).items()  # nothing is computed twice
    finish()


def test_two_at_once_share_the_work(start, tmp_path):
    whole, shared = tmp_path / "whole", tmp_path / "shared"
    first = start(shared)
    wait_for(lambda: parts(shared), first)
    second = start(shared, "method=[saliency,slow]")
    assert first.wait() == 0, first.said()
    assert second.wait() == 0, second.said()
    assert start(whole).wait() == 0
    stored = [pd.read_parquet(path) for path in parts(shared)]
    assert len(pd.concat(stored)) == 2 * 14  # no image twice, of either metric
    assert_same_rows(whole, shared)


def test_ctrl_c_stops_within_two_seconds(start, tmp_path):
    # On a busy machine a fast run would have ended before the signal comes.
    process = start(tmp_path / "results", "+method.slow.seconds=2")
    wait_for(lambda: parts(tmp_path / "results"), process)
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    code, output = process.wait(), process.said()
    assert time.monotonic() - started < 2 + 3  # two, and what a busy machine adds
    assert code == 130
    assert "Traceback" not in output
    assert "the same command goes on from there" in output


def test_policies(bench):
    bench("method=[random]", "store.policy=never")
    assert not parts("results")
    bench("method=[random,saliency]")
    before = parts("results")
    _, out, _ = bench("method=[random,saliency]", "store.policy=never")
    assert parts("results") == before
    assert "To do" not in out
    _, out, _ = bench("method=[random,saliency]", "store.policy=always", "block_size=3")
    assert "To do: 259 forward and 7 backward passes" in out
    after = parts("results")
    assert len(after) == 2 * 2 * 3  # two metrics; the parts of one block of seven are replaced
    assert not before.items() & after.items()
    assert len(load_rows("results")) == 14
    code, _, err = bench("store.policy=perhaps")
    assert code == 1
    assert "store.policy" in err
    assert "always" in err


def test_a_part_replaces_what_its_images_had_before(bench):
    bench("method=[random]", "block_size=4")
    (run,) = stored_runs(Path("results"))
    rows = run.rows()
    run.append(rows.iloc[2:5].assign(clean_score=9.0))
    after = run.rows()
    assert after["image_id"].tolist() == rows["image_id"].tolist()
    assert (after["clean_score"] == 9).tolist() == [False] * 2 + [True] * 3 + [False] * 2
    assert sum(len(pd.read_parquet(path)) for path in parts("results")) == 2 * 7


def test_a_half_written_part_is_set_aside_and_computed_again(bench):
    bench("method=[random]", "block_size=4")
    expected = load_rows("results").drop(columns="seconds")
    path = min(parts("results"))
    path.write_bytes(path.read_bytes()[:100])
    code, out, err = bench("results", command="leaderboard")
    assert code == 0
    assert err.count(path.name) == 1
    assert path.exists()
    code, out, _ = bench("method=[random]", "block_size=4")
    assert code == 0
    assert (
        f"Broken, set aside, to be computed again: {path.with_name('broken-' + path.name)}" in out
    )
    pd.testing.assert_frame_equal(load_rows("results").drop(columns="seconds"), expected)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_fails_is_named_and_nothing_finished_is_lost(bench, monkeypatch, call):
    bench("method=[random]", "dataset.max_images=3")
    before = load_rows("results")
    real, owner = getattr(os, call, None), os
    if call == "replace":
        real, owner = Path.replace, Path
    calls = []

    def full(*arguments, **settings):
        calls.append(arguments)
        if len(calls) > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(owner, call, full)
        code, _, err = bench("method=[random,saliency]", "block_size=1")
    assert code == 1
    assert "Traceback" not in err
    assert "No space left on device" in err
    assert "cannot write '" in err
    known = load_rows("results")
    assert set(before["run_key"]) <= set(known["run_key"])
    assert not list(Path("results").rglob(".*.parquet"))  # no half of a file


def test_a_claim_ends_with_its_process(tmp_path):
    with claimed(tmp_path, ["a", "b"]) as first:
        assert first == ["a", "b"]
        with claimed(tmp_path, ["b", "c"]) as second:
            assert second == ["c"]
            with claimed(tmp_path, ["a", "b", "c"]) as third:
                assert third == []
    with claimed(tmp_path, ["b"]) as again:
        assert again == ["b"]
    for content in ('["b"]', "{", ""):  # whoever held it was killed, or had no room
        (tmp_path / f".claim-1-{len(content)}").write_text(content)
    with claimed(tmp_path, ["b"]) as again:
        assert again == ["b"]
    assert not list(tmp_path.glob(".claim-*"))


def test_an_unreadable_store_is_named(tmp_path):
    with pytest.raises(BenchError, match="is missing"):
        stored_runs(tmp_path / "nowhere")
