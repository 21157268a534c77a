"""`bench rerun`: what a manifest describes, once more."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy_rows import rows

from bench import load_rows
from bench.experiment.rerun import _differences, compare
from bench.storage.store import stored_runs


@pytest.fixture
def rerun(bench):
    """Calls `bench rerun` on the manifest of a method of `results`."""

    def run(method, *arguments):
        (path,) = Path("results/runs").glob(f"*/{method}-*/manifest.json")
        return bench(str(path), *arguments, command="rerun")

    return run


def change(method, **changes):
    """Writes changed values, by key with dots, into a stored manifest."""
    (path,) = Path("results/runs").glob(f"*/{method}-*/manifest.json")
    manifest = json.loads(path.read_text())
    for key, value in changes.items():
        *parents, last = key.split("__")
        node = manifest
        for parent in parents:
            node = node[parent]
        node[last] = value
    path.write_text(json.dumps(manifest))


def test_the_same_rows_again(bench, rerun):
    bench("method=[random,rise]", "method.rise.num_masks=5", "shard=1/2")
    bench("method=[random,rise]", "method.rise.num_masks=5", "shard=2/2")
    for _ in range(2):  # the second time in the same folder: nothing is taken from it
        code, out, err = rerun("rise", "--trust")
        assert code == 0, err
        assert "passes" in out
        for line in (
            "7 of 7 stored rows compared",
            "insertion curves: the same bits",
            "deletion curves: the same bits",
            "predictions: the same",
        ):
            assert f"Rerun:   {line}\n" in out
    assert "Differs: " not in out
    (again,) = stored_runs(Path("rerun"))
    (stored,) = (run for run in stored_runs(Path("results")) if "rise" in run.folder.name)
    assert again.identity == stored.identity
    assert again.manifest.provenance["command"][0] == "bench rerun"
    assert {path.name for path in Path("rerun").iterdir()} == {
        "leaderboards", "maps", "pictures", "runs",
    }  # fmt: skip
    assert len(load_rows("results")) == 14


def test_what_the_table_showed_is_not_asked_for_again(bench, rerun):
    """The row that others were compared with is not run again, nor is a named file read."""
    bench("method=[random,rise]", "method.rise.num_masks=5", "reference=random", "by=class")
    change("rise", config__by="/etc/passwd:x")
    code, out, err = rerun("rise", "--trust")
    assert code == 0, err
    assert "insertion curves: the same bits" in out


def test_a_metric_beside_the_protocols(bench, rerun):
    bench("method=[random]", "+metric=[mufidelity]", "metric.mufidelity.num_masks=6")
    code, out, err = rerun("random", "--trust")
    assert code == 0, err
    again, stored = (load_rows(folder)["mufidelity_xplique_1_1"] for folder in ("rerun", "results"))
    assert (again == stored).all()
    assert "Rerun:   7 of 7 stored rows compared" in out


def test_differences_of_machine_and_rows_are_told(bench, rerun):
    bench("method=[random]")
    change("random", provenance__python="3.9.1", provenance__git=None, provenance__driver="535.1")
    (run,) = stored_runs(Path("results"))
    parts = list(run.folder.glob("insertion-*/part-*"))
    stored = pd.concat(map(pd.read_parquet, parts))
    stored["insertion_curve"] = [curve + np.float32(0.25) for curve in stored["insertion_curve"]]
    for part in parts:
        part.unlink()
    stored.head(5).to_parquet(parts[0].with_name("part-0.parquet"))
    code, out, _ = rerun("random", "--trust", "results_dir=elsewhere", "workers=1")
    assert code == 0
    assert "Differs: python: '3.9.1' there, '3." in out
    assert "Differs: driver: '535.1' there, " in out
    assert "Rerun:   5 of 5 stored rows compared" in out
    assert "Rerun:   insertion curves: at most 0.25 apart" in out
    assert "Rerun:   deletion curves: the same bits" in out
    code, out, _ = rerun("random", "--trust", "results_dir=other", "seed=1")
    assert code == 0
    assert "Rerun:   seed: 0 there, 1 here" in out


def test_without_stored_rows_there_is_nothing_to_compare(bench, rerun):
    bench("method=[random]")
    for part in Path("results").rglob("part-*.parquet"):
        part.unlink()
    code, out, _ = rerun("random", "--trust")
    assert code == 0
    assert "nothing to compare with" in out


def test_a_method_that_fails_again(bench, rerun):
    bench("method=[raises]")
    code, _, err = rerun("raises", "--trust")
    assert code == 1
    assert "method 'raises' raised ZeroDivisionError" in err


def test_a_manifest_from_before_a_setting_existed(bench, rerun):
    bench("method=[random]")
    (path,) = Path("results").rglob("manifest.json")
    manifest = json.loads(path.read_text())
    for key in ("shard", "store", "workers", "fail_fast"):
        del manifest["config"][key]
    path.write_text(json.dumps(manifest))
    code, out, err = rerun("random", "--trust")
    assert code == 0, err
    assert "insertion curves: the same bits" in out


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["results_dir=results"], "results_dir: expected another folder than 'results'"),
        (["results_dir=."], "results_dir: expected another folder than '.'"),
        (["nonsense=3"], "rerun: expected a setting of the manifest, found 'nonsense'"),
        (["seed=1,2"], "expected key=value, found 'seed=1,2'"),
        (["device=cuda:99"], "device: 'cuda:99'"),
    ],
)
def test_bad_arguments(bench, rerun, arguments, expected):
    bench("method=[random]")
    code, _, err = rerun("random", "--trust", *arguments)
    assert (code, err.count("\n")) == (1, 1)
    assert expected in err


def test_no_manifest(bench):
    for arguments, expected in (
        ([], "expected MANIFEST"),
        (["--trust"], "expected MANIFEST"),
        (["results_dir=x"], "expected MANIFEST"),
        (["nowhere.json"], "'nowhere.json' cannot be read"),
    ):
        code, _, err = bench(*arguments, command="rerun")
        assert (code, err.count("\n")) == (1, 1)
        assert expected in err


def test_rows_are_compared_by_image():
    then, now = rows("a", "b", "c"), rows("c", "b", "d", insertion=(0, 0.75, 1))
    now["prediction"] = [1, 1, 1]
    assert compare(then, now) == [
        "2 of 3 stored rows compared",
        "insertion curves: at most 0.25 apart",
        "deletion curves: the same bits",
        "predictions: 1 differ",
    ]
    assert compare(then, rows("a", insertion=(0, 1)))[1] == "insertion curves: at most inf apart"
    assert compare(pd.DataFrame(columns=then.columns), now)[0].startswith("nothing to compare")


def test_what_two_machines_do_not_share():
    there = {"packages": {"numpy": "1", "a": "1"}, "numpy_cpu_features": ["X", "Y"], "same": [1]}
    here = {"packages": {"numpy": "2", "b": "1"}, "numpy_cpu_features": ["Y", "Z"], "same": [1]}
    assert _differences(there, here) == [
        "numpy_cpu_features: only there 'X'",
        "numpy_cpu_features: only here 'Z'",
        "packages.a: '1' there, None here",
        "packages.b: None there, '1' here",
        "packages.numpy: '1' there, '2' here",
    ]
