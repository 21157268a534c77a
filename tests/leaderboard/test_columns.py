import numpy as np
import pandas as pd
import pytest
from compared import DELETION, INSERTION, SRG

from bench.leaderboard.columns import (
    csv_columns,
    known,
    leaderboard_columns,
    number_column,
    p_value_text,
    published_column,
)
from bench.metrics.protocol import load_protocol
from bench.metrics.statistic import Statistic

(MUFIDELITY,) = load_protocol("xplique-mufidelity").metrics["mufidelity"].statistics
CONFIDENCES = load_protocol("smdl-cub-errors").metrics["confidence"].statistics
MAIN = Statistic("sharpness", "Sharpness", higher_is_better=False, column="sharp", digits=2)
UNDIRECTED = Statistic("extent", "Extent", higher_is_better=None)
MINOR = Statistic("spread", "Spread", higher_is_better=True, is_main=False)


def titles(*statistics):
    return [column.title for column in leaderboard_columns(statistics)][2:-2]


def column(title, *statistics):
    return next(column for column in leaderboard_columns(statistics) if column.title == title)


def test_the_columns_that_scripts_read_keep_their_names_and_order():
    assert (
        csv_columns([INSERTION, DELETION, SRG])
        == (
            "benchmark backbone protocol auc method control n_images n_missing clean_accuracy "
            "mean_clean_score insertion_auc insertion_ci_low insertion_ci_high insertion_letters "
            "insertion_p deletion_auc deletion_ci_low deletion_ci_high deletion_letters deletion_p "
            "srg tied_fraction published_insertion_auc published_deletion_auc insertion_delta "
            "deletion_delta insertion_inside deletion_inside published_method notes forward_passes "
            "backward_passes rank seed comparison run_key"
        ).split()
    )
    others = csv_columns([*CONFIDENCES, MUFIDELITY])
    for name in (
        "confidence_25", "confidence_50", "confidence_75", "confidence_100", "confidence_ci_low",
        "published_confidence", "confidence_delta", "confidence_inside", "mufidelity_xplique_1_1",
    ):  # fmt: skip
        assert others.count(name) == 1


def test_a_statistic_that_guards_against_something_says_yes_or_no():
    guard = {"warns_above": 0.9, "guard": "depends on it"}
    guarded = Statistic("alike", "Alike", None, column="same", **guard)
    assert titles(guarded) == ["Alike", "95 %", "depends on it?"]
    found = column("depends on it?", guarded)
    values = [0.2, 0.9, 0.91, -1, None, np.nan]
    assert [found.text({"same": value}) for value in values] == ["yes", "yes", "no", "yes", "", ""]
    assert found.text({}) == ""
    assert found.heading == "Depends on it"
    assert "above 0.9" in found.hint


def test_columns_follow_from_what_a_statistic_declares():
    assert titles(MAIN) == ["Sharpness ↓", "95 %", "group", "p"]
    assert titles(UNDIRECTED) == ["Extent", "95 %"]
    assert titles(MINOR) == ["Spread ↑"]
    assert titles(INSERTION)[4:] == ["published", "difference", "inside?"]
    assert not {"extent_letters", "extent_p", "spread_ci_low"} & {*csv_columns([UNDIRECTED, MINOR])}
    mean = column("Sharpness ↓", MAIN)
    assert (mean.text({"sharp": 0.456}), mean.first) == ("0.46", "ascending")
    assert (mean.higher_is_better, mean.p_values) == (False, "sharpness_p")


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        (INSERTION, "published_insertion_auc"),
        (CONFIDENCES[-1], "published_confidence"),
    ],
)
def test_names_of_published_columns(statistic, expected):
    assert published_column(statistic) == expected


def test_every_name_that_a_shown_column_reads_is_in_the_csv():
    """A row that knows what the CSV has fills every cell."""
    statistics = [INSERTION, DELETION, *CONFIDENCES, MUFIDELITY, SRG, MAIN, UNDIRECTED, MINOR]
    numbers = dict.fromkeys(csv_columns(statistics), 1.0)
    row = numbers | {"method": "rise", "n_missing": 0, "forward_passes": 3, "backward_passes": 2}
    for column in leaderboard_columns(statistics):
        assert column.text(row), column.title
        assert column.value is None or column.value(row) is not None, column.title


def test_cells_without_anything_to_say_are_empty():
    unknown = (np.nan, None, pd.NA, "")
    for value in unknown:
        assert not known({"x": value}, "x")
        assert number_column("x", "x").text({"x": value}) == ""
    assert not known({}, "x")
    assert known({"x": 0}, "x")
    assert number_column("x", "x").value({"x": np.inf}) is None


def test_passes_or_why_there_are_none():
    passes = column("passes", INSERTION)
    done = {"run_key": "k", "n_missing": 0, "n_images": 3}
    assert passes.text(done | {"forward_passes": 4000, "backward_passes": 0}) == "4000"
    both = done | {"forward_passes": 80, "backward_passes": 80}
    assert (passes.text(both), passes.value(both)) == ("80+80", 160)
    assert passes.text(done | {"forward_passes": pd.NA}) == ""
    assert passes.text(done | {"n_missing": 2}) == "2 of 5 images missing"
    assert passes.text({"run_key": None, "n_missing": 3}) == "not run"
    assert passes.value({"run_key": None, "n_missing": 3}) is None


def test_p_values():
    assert [p_value_text(p) for p in (np.nan, None, 0.0004, 0.001, 0.25)] == [
        "", "", "<0.001", "0.001", "0.25",
    ]  # fmt: skip
