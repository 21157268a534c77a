"""If a method fails on an image, only that row is missing; the reason is shown and kept."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from toy import Constant, Faces, NotFinite, backbone, method_runs

from bench import load_rows
from bench.attribution.control import Random
from bench.attribution.masking import Rise
from bench.attribution.scorer import Scorer
from bench.errors import BenchError, BenchWarning
from bench.evaluation.explain import Failed
from bench.evaluation.loop import evaluate_runs
from bench.metrics.protocol import load_protocol
from bench.storage.batch_sizes import CURVES, BatchSizes
from bench.storage.store import stored_runs

CPU = torch.device("cpu")
BOARD = Path("results/leaderboards/list_toy_xplique-probability.csv")
BAD = "class 2/photo 2.png"


def test_one_bad_map_costs_one_row_and_is_told_and_tried_again(bench, toy_conf):
    code, out, err = bench("method=[not_finite,random]", "+method.not_finite.label=moody")
    assert code == 1
    (line,) = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    assert line.startswith(f"bench: error: '{BAD}': method 'not_finite': the map of image '{BAD}'")
    assert load_rows("results").groupby("method").size().to_dict() == {
        "not_finite": 6, "random": 7,
    }  # fmt: skip
    row = pd.read_csv(BOARD, index_col="method").loc["moody"]
    assert (row["n_images"], row["n_missing"]) == (6, 1)
    assert pd.isna(row["insertion_auc"])
    assert row["notes"].startswith(f"1 failed, {BAD} first: method 'not_finite': the map of")
    assert "(a) 1 failed" in BOARD.with_suffix(".md").read_text()
    (run,) = [run for run in stored_runs(Path("results")) if "not_finite" in run.folder.name]
    before = {path: path.stat().st_mtime_ns for path in run.folder.glob("*/part-*")}

    code, out, err = bench("method=[not_finite]", "+method.not_finite.label=moody")
    assert code == 1  # tried again, and that image alone
    assert "Rows stored before: not_finite 6 of 7" in out
    after = {path: path.stat().st_mtime_ns for path in run.folder.glob("*/part-*")}
    assert after == before
    # The same method, mended: its settings decide its key, so this is done by hand.
    record = json.loads((run.folder / "failures.json").read_text())
    assert record.keys() == {BAD}
    assert run.failures(run.rows()).keys() == {BAD}
    done = pd.concat([run.rows(), run.rows().head(1).assign(image_id=BAD)])
    assert run.failures(done) == {}


def test_an_exception_of_a_plug_in_keeps_its_traceback(bench):
    code, _, err = bench("method=[raises,random]", "block_size=2")
    assert code == 1
    assert err.count("Traceback") == 1
    assert "' and 2 more images: method 'raises' raised ZeroDivisionError" in err
    (run,) = [run for run in stored_runs(Path("results")) if "raises" in run.folder.name]
    record = json.loads((run.folder / "failures.json").read_text())
    assert len(record) == 3  # and then it was asked no more
    assert all("ZeroDivisionError" in failure["trace"] for failure in record.values())
    assert len(load_rows("results")) == 7


def test_a_method_that_exits_has_failed_as_others_do(bench):
    code, _, err = bench("method=[exits,random]")
    assert code == 1
    assert "and 2 more images: method 'exits' raised SystemExit: 0" in err
    assert load_rows("results").groupby("method").size().to_dict() == {"random": 7}


def test_an_exception_that_cannot_be_told_has_failed_as_others_do():
    class SilentError(Exception):
        def __str__(self):
            raise ValueError

    class Silent(Random):
        def __call__(self, scorer, batch):
            raise SilentError

    samples, protocol = Faces(2).samples, load_protocol("xplique")
    methods = {"silent": Silent(), "random": Random()}
    scorer = Scorer(backbone(), "logit", 4)
    results = list(evaluate_runs(samples, scorer, method_runs(methods), protocol, device=CPU))
    failures = [result for result in results if isinstance(result, Failed)]
    assert {failure.reason for failure in failures} == {
        "method 'silent' raised SilentError: (its message cannot be had: ValueError)"
    }
    assert sum(len(result.rows) for result in results if result not in failures) == len(samples)


@pytest.mark.parametrize("kind", [ValueError, BenchError])
def test_a_page_of_an_error_is_told_in_a_line(kind):
    class Talks(Random):
        def __call__(self, scorer, batch):
            raise kind("first line\nsecond line " + "x" * 9000)

    scorer, methods = Scorer(backbone(), "logit", 4), {"talks": Talks()}
    samples, protocol = Faces(2).samples, load_protocol("xplique")
    (failed, *_) = evaluate_runs(samples, scorer, method_runs(methods), protocol, device=CPU)
    assert "first line second line xxx" in failed.reason
    assert failed.reason.endswith("xxx ...")
    assert len(failed.reason) < 510


@pytest.mark.parametrize(
    "settings",
    [
        "_target_: script.Maps",
        "_target_: bench.attribution.adapters.Function\n  function: script.maps",
    ],
)
def test_a_script_that_exits_when_imported_is_told(
    bench, toy_conf, tmp_path, monkeypatch, settings
):
    (tmp_path / "script.py").write_text("raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    (toy_conf / "method" / "script.yaml").write_text(f"script:\n  {settings}\n")
    code, _, err = bench("method=[script,random]")
    assert code == 1
    assert "bench: error: method.script: cannot build" in err
    assert "its code calls sys.exit(0) when it is imported or built" in err


def test_fail_fast_stops_at_once_and_keeps_what_is_finished(bench):
    code, _, err = bench("method=[random,not_finite]", "block_size=1", "fail_fast=true")
    assert code == 1
    rows = load_rows("results").groupby("method").size().to_dict()
    assert rows == {"not_finite": 2, "random": 2}  # photo 2 is the third image
    assert f"'{BAD}'" in err


class Hungry(Constant):
    """Needs memory for as many inputs at once as the scorer allows; has it for `room` only."""

    def __init__(self, room):
        self.room = room

    def __call__(self, scorer, batch):
        scorer.outputs_in_batches(batch.x)
        if scorer.batch_size > self.room:
            raise torch.OutOfMemoryError
        return super().__call__(scorer, batch)


def run(methods, sizes, may_shrink=True):
    protocol = load_protocol("xplique-probability")
    scorer = Scorer(backbone(), protocol.score, 16, may_shrink=may_shrink)
    samples = Faces(2).samples
    results = list(
        evaluate_runs(
            samples,
            scorer,
            method_runs(methods),
            protocol,
            device=CPU,
            block_size=2,
            batch_sizes=sizes,
        )
    )
    return scorer, results


def test_out_of_memory_halves_the_method_s_own_batch_only():
    sizes = {}
    scorer, results = run({"hungry": Hungry(5), "rise": Rise(5)}, sizes)
    assert sizes == {"hungry": 4}
    assert scorer.batch_size == 16
    assert not [result for result in results if isinstance(result, Failed)]
    asked = []

    class Watched(Hungry):
        def __call__(self, scorer, batch):
            asked.append(scorer.batch_size)
            return super().__call__(scorer, batch)

    run({"hungry": Watched(5)}, sizes)
    assert asked == [4, 4]  # it begins where it was


@pytest.mark.parametrize("may_shrink", [True, False])
def test_out_of_memory_for_good_is_a_failure_like_others(may_shrink):
    _, results = run({"hungry": Hungry(0), "random": Random()}, {}, may_shrink)
    failures = [result for result in results if isinstance(result, Failed)]
    assert {failure.method for failure in failures} == {"hungry"}
    assert all("out of memory at batch_size=" in failure.reason for failure in failures)
    assert sum(len(result.rows) for result in results if not isinstance(result, Failed)) == 4


def test_the_rest_of_a_block_has_the_same_bits_as_without_the_failure():
    samples = Faces(2).samples
    protocol = load_protocol("smdl-cub")

    def rows(methods):
        scorer = Scorer(backbone(), protocol.score, 4)
        found = evaluate_runs(samples, scorer, method_runs(methods), protocol, device=CPU)
        (result,) = [result for result in found if not isinstance(result, Failed)]
        return result.rows.set_index("image_id")["insertion_curve"].map(list)

    class Fails(Random):
        def __call__(self, scorer, batch):
            if samples[1].image_id in batch.image_ids:
                raise ValueError("not this one")
            return super().__call__(scorer, batch)

    expected = rows({"random": Random()}).drop(samples[1].image_id)
    assert rows({"random": Fails()}).equals(expected)


def test_batch_sizes_are_remembered_by_device_network_and_default(tmp_path):
    file = tmp_path / "results/batch_sizes.json"
    sizes = BatchSizes(file, CPU, "toy", 16)
    assert not sizes
    assert not file.exists()
    sizes["rise"] = 4
    BatchSizes(file, CPU, "toy", 16)[CURVES] = 8
    assert dict(BatchSizes(file, CPU, "toy", 16)) == {"rise": 4, CURVES: 8}
    assert not BatchSizes(file, CPU, "other", 16)
    assert not BatchSizes(file, CPU, "toy", 32)
    for content in ("{", "[]", '{"a": 4}', '{"a": {"rise": 0}}', '{"a": {"rise": "4"}}'):
        file.write_text(content)
        with pytest.warns(BenchWarning, match=r"broken-.*batch_sizes\.json"):
            assert not BatchSizes(file, CPU, "toy", 16)
        assert not file.exists()
    BatchSizes(file, CPU, "toy", 16)["rise"] = 4
    assert dict(BatchSizes(file, CPU, "toy", 16)) == {"rise": 4}


def test_a_run_remembers_what_memory_left(bench, monkeypatch):
    calls = []

    def starved(self, scorer, batch):
        calls.append(scorer.batch_size)
        if scorer.batch_size > 5:
            raise torch.OutOfMemoryError
        return torch.ones(len(batch.x), *batch.x.shape[2:])

    monkeypatch.setattr(Random, "__call__", starved)
    assert bench("method=[random]", "batch_size=auto", "gallery=0")[0] == 0
    assert calls == [16, 8, 4]
    assert bench("method=[random]", "batch_size=auto", "gallery=0", "seed=1")[0] == 0
    assert calls == [16, 8, 4, 4]
    assert bench("method=[random]", "batch_size=16", "seed=2")[0] == 1  # asked for: not changed
    assert set(calls[4:]) == {16}


def test_nan_is_found_alone():
    samples = Faces(2).samples
    protocol = load_protocol("smdl-cub")
    scorer = Scorer(backbone(), protocol.score, 4)
    methods = {"nan": NotFinite(samples[2].image_id)}
    results = list(evaluate_runs(samples, scorer, method_runs(methods), protocol, device=CPU))
    assert [result.image_id for result in results if isinstance(result, Failed)] == [
        samples[2].image_id
    ]
    assert sum(len(result.rows) for result in results if not isinstance(result, Failed)) == 3
