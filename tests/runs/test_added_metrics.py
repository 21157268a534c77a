"""`bench run +metric=[NAME]`: metrics beside those of the protocol."""

import json
from pathlib import Path

import pandas as pd
import pytest

from bench import load_rows
from bench.storage.store import stored_runs

BOARD = Path("results/leaderboards/list_toy_xplique-probability.csv")


def test_a_shipped_one(bench):
    few = ["+metric=[mufidelity]", "metric.mufidelity.num_masks=6"]
    code, out, err = bench("method=[random]", *few)
    assert code == 0, err
    assert " µF ↑ " in out
    table = pd.read_csv(BOARD)
    assert {"mufidelity_xplique_1_1", "mufidelity_ci_low", "mufidelity_p"} < set(table)
    rows = load_rows("results")
    assert rows["mufidelity_xplique_1_1"].between(-1, 1).all()
    bench("method=[random]", "results_dir=without")
    without = load_rows("without")
    for column in ("insertion_auc", "deletion_auc", "protocol", "protocol_hash"):
        assert (rows[column] == without[column]).all(), column  # those of the protocol's own
    code, out, _ = bench("method=[random]", *few)
    assert "Rows stored before: random 7 of 7" in out


@pytest.mark.parametrize("policy", ["missing", "always"])
def test_rows_with_and_without_it_are_not_mixed_up(bench, policy):
    """Nor are those with other settings of it."""
    for arguments in ([], ["+metric=[confidence]"], ["+metric=[confidence]", FIVE], []):
        code, _, err = bench("method=[random]", f"store.policy={policy}", *arguments)
        assert code == 0, err
    for run in stored_runs(Path("results")):
        rows = run.rows()
        assert len(rows) == 7
        for metric in run.protocol.metrics.values():
            assert set(metric.columns((23, 23))) <= set(rows)
    rows = load_rows("results")
    curves = rows["confidence_curve"].dropna() if "confidence_curve" in rows else []
    assert {len(curve) for curve in curves} <= {26, 6}


FIVE = "metric.confidence.steps=5"


def test_one_of_an_experiment(bench, toy_conf):
    (toy_conf / "experiment").mkdir()
    (toy_conf / "experiment/mine.yaml").write_text(
        "# @package _global_\n# With one more metric\n"
        "defaults:\n  - /metric: [confidence]\nname: mine\n"
        "metric: {confidence: {steps: 8}}\n"
    )
    code, _, err = bench("experiment=mine", "method=[random]")
    assert code == 0, err
    assert "confidence_100" in pd.read_csv("results/leaderboards/mine.csv")
    (path,) = Path("results/runs").rglob("manifest.json")
    assert json.loads(path.read_text())["config"]["metric"]["confidence"]["steps"] == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["+metric=[mufidelty]"], "metric: unknown name 'mufidelty'. Did you mean 'mufidelity'?"),
        (["+metric=mufidelty"], "metric: unknown name 'mufidelty'. Did you mean 'mufidelity'?"),
        (["metric=[confidence]"], "unknown setting 'metric': did you mean +metric=[confidence]"),
        (["+metric=[insertion]"], "metric.insertion: protocol 'xplique-probability' has a metric"),
        (["+metric=[confidence]", "metric.confidence.step=3"], "metric.confidence.step"),
        (["+metric=[confidence]", "+metric.confidence.step=3"], "Did you mean 'steps'?"),
        (
            ["+metric=[confidence]", "metric.confidence.steps=3"],
            "metric.confidence.steps: expected",
        ),
        (["+metric=[confidence]", "metric.confidence.whole_image=3"], "expected true or false"),
        (["+metric=[confidence]", "metric.confidence.steps='???'"], "add metric.confidence.steps="),
        (["+metric.confidence.steps=5"], "+metric=[confidence] adds a metric by its name"),
        (["+metric=3"], "metric: unknown name '3'"),
        (["+metric=[elsewhere]"], "metric.elsewhere: cannot load nowhere.Metric"),
        (["+metric=[no_metric]"], "metric.no_metric: expected _target_ to be a subclass of"),
    ],
)
def test_one_that_cannot_be_used_ends_in_one_line(bench, toy_conf, arguments, message):
    files = {"elsewhere": "nowhere.Metric", "no_metric": "toy.Constant"}
    for name, target in files.items():
        path = toy_conf / f"metric/{name}.yaml"
        path.write_text(f"# One\n{name}:\n  _target_: {target}\n")
    code, _, err = bench("method=[random]", *arguments)
    assert code == 1
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("raising", "metric 'raising' raised ZeroDivisionError: division by zero (toy.py, line "),
        ("other_columns", "metric 'other_columns': expected the columns other_columns, found"),
    ],
)
def test_one_that_does_not_answer(bench, name, message):
    """The next run without it goes on."""
    code, _, err = bench("method=[random]", f"+metric=[{name}]")
    assert code == 1
    assert message in err
    assert "Traceback" not in err
    assert len(err.splitlines()) == 1
    code, _, err = bench("method=[random]")
    assert code == 0, err
    assert pd.read_csv(BOARD)["n_missing"].tolist() == [0]


def test_a_finished_run_makes_its_passes_alone(bench):
    """And is one row of the table before and after; the numbers of the others stay."""
    bench("method=[random,saliency]")
    before = pd.read_csv(BOARD).set_index("method")
    code, out, err = bench(
        "method=[random]", "+metric=[mufidelity,center]", "metric.mufidelity.num_masks=6"
    )
    assert code == 0, err
    assert f"To do: {6 * 7} forward and 0 backward passes" in out
    after = pd.read_csv(BOARD).set_index("method")
    assert after.index.tolist() == before.index.tolist()
    assert (after["insertion_auc"] == before["insertion_auc"]).all()
    assert (after["comparison"] == before["comparison"]).all()
    assert after["center"].notna().to_dict() == {"random": True, "saliency": False}
    assert "To do: " not in bench("method=[random]", "+metric=[center]")[1]
    code, out, err = bench("method=[random,saliency]", "+metric=[center]")
    assert code == 0, err
    assert "To do: " not in out  # the map is kept, and the metric takes none
    table = pd.read_csv(BOARD)
    assert table[["center", "center_letters"]].notna().all(axis=None)
    assert "mufidelity_xplique_1_1" not in table


def test_tables_are_read_without_its_code(bench, monkeypatch):
    bench("method=[random,saliency]", "+metric=[center]")
    table = BOARD.read_bytes()
    monkeypatch.delattr("toy.CenterMetric")
    code, out, err = bench(command="leaderboard")
    assert (code, err) == (0, "")
    assert BOARD.read_bytes() == table
    assert " Share in the middle ↑ " in out
