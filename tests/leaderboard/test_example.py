import numpy as np
import pytest

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.example import AREAS, example_comparison, example_runs


@pytest.mark.parametrize("protocol", ["xplique", "smdl-cub", "rise"])
def test_areas_are_those_that_are_said(protocol):
    """Whatever the number of steps, which differs between the curves of one of these."""
    found = example_comparison(protocol)
    for method, areas in AREAS.items():
        assert found.values("insertion")[method].tolist() == pytest.approx(areas, abs=1e-6)
        deletion = found.values("deletion")[method]
        assert deletion.tolist() == pytest.approx(0.9 - np.array(areas), abs=1e-6)


def test_called_twice_rows_are_stored_once_and_beside_those_of_other_protocols(tmp_path):
    example_runs(tmp_path)
    example_runs(tmp_path)
    found = comparisons(example_runs(tmp_path, "xplique"), "example")
    assert [(len(one.runs), len(one.image_ids)) for one in found] == [(3, 8), (3, 8)]


def test_who_changes_its_rows_changes_nobody_elses():
    changed = example_comparison()
    changed.rows["rise"]["clean_score"] = 0.0
    changed.runs["rise"].rows()["prediction"] = 7
    changed.runs["rise"].manifest.config["select"] = {"subset": "correct"}
    fresh = example_comparison()
    assert (fresh.rows["rise"]["clean_score"] == 1).all()
    assert (fresh.runs["rise"].rows()["prediction"] < 2).all()
    assert fresh.runs["rise"].manifest.config == {}
