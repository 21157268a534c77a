"""Metrics that ask the methods again, from the command line to the table."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from toy import SIZE

from bench import load_rows

BOARD = "results/leaderboards/list_toy_xplique-probability"
ALL = [
    "+metric=[parameter_randomisation,random_logit,max_sensitivity]",
    "metric.parameter_randomisation.stages=2",
    "metric.max_sensitivity.samples=2",
]


def test_they_join_a_finished_run(bench):
    """Kept maps are not made again; the table says what depends on the network."""
    methods = "method=[random,saliency]"
    assert bench(methods)[0] == 0
    before = pd.read_csv(f"{BOARD}.csv").set_index("method")
    code, out, err = bench(methods, *ALL)
    assert code == 0, err
    assert (
        f"To do: {7 * 5} forward and {7 * 5} backward passes" in out
    )  # 2 stages, 1 class, 2 draws
    table = pd.read_csv(f"{BOARD}.csv").set_index("method")
    assert (table["insertion_auc"] == before["insertion_auc"]).all()
    random, saliency = table.loc["random"], table.loc["saliency"]
    for name in ("parameter_randomisation", "random_logit"):
        assert random[name] == random[f"{name}_ssim"] == 1
        assert saliency[name] < 0.9
    assert random["parameter_randomisation_last"] == 1
    assert random["max_sensitivity"] == 0 < saliency["max_sensitivity"]
    assert table["max_sensitivity_p"].notna().any()
    text = " ".join(Path(f"{BOARD}.md").read_text().split())
    assert "depends on the network? |" in text
    assert "on max_sensitivity" not in text  # controls win there by their nature
    assert "hardly change" not in text  # of controls nothing else is expected
    rows = load_rows("results")
    assert {len(curve) for curve in rows["parameter_randomisation_curve"]} == {2}
    assert "To do: " not in bench(methods, *ALL)[1]


def test_a_method_that_does_not_depend_on_the_network_is_warned_of(bench):
    code, out, err = bench("method=[flat,saliency]", *ALL)
    assert code == 0, err
    assert (
        "Warning: flat: maps hardly change when the network's parameters are random "
        "(rank correlation under random parameters 1.000, above 0.7)"
    ) in " ".join(out.split())
    assert "flat: maps hardly change when another class is explained" in out
    assert "saliency: maps hardly" not in out


def test_maps_that_were_made_before_are_blank_and_told(bench, tmp_path):
    ids = bench_ids(bench)
    for image_id in ids:
        path = (tmp_path / "made" / image_id).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.random.default_rng(0).random((SIZE, SIZE)))
    stored = ["method=[stored,saliency,random]", f"method.stored.root={tmp_path}/made"]
    code, out, err = bench(*stored, *ALL, "results_dir=with")
    assert code == 0, err
    assert (
        "Without parameter_randomisation, random_logit, max_sensitivity: stored (their maps were "
        "made before, so they cannot be asked again)"
    ) in out
    assert "stored has no finite parameter_randomisation" in out
    table = pd.read_csv("with/leaderboards/list_toy_xplique-probability.csv").set_index("method")
    columns = ["parameter_randomisation", "random_logit", "max_sensitivity"]
    assert table.loc["stored", columns].isna().all()
    assert table.loc[["saliency", "random"], columns].notna().all(axis=None)
    assert table["insertion_auc"].notna().all()
    assert table.loc[["saliency", "random"], "max_sensitivity_letters"].notna().all()
    code, out, err = bench(*stored, *ALL, "results_dir=with", "figures=true")
    assert code == 0, err


def bench_ids(bench):
    """The images, by their rows."""
    assert bench("method=[random]")[0] == 0
    return load_rows("results")["image_id"].tolist()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("parameter_randomisation.stages=0", "metric.parameter_randomisation.stages: expected"),
        ("parameter_randomisation.mode=up", "metric.parameter_randomisation.mode: unknown name"),
        ("random_logit.magnitudes=3", "metric.random_logit.magnitudes: expected true or false"),
        ("max_sensitivity.radius=-1", "metric.max_sensitivity.radius: expected"),
    ],
)
def test_settings_that_cannot_be_used(bench, setting, message):
    code, _, err = bench("method=[random]", ALL[0], f"metric.{setting}")
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1
