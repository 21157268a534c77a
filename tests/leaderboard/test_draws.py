"""Rows that are the mean of several draws, by numbers that can be worked out by hand."""

import numpy as np
import pandas as pd
import pytest
from toy_rows import begin, protocol, rows

from bench import load_rows
from bench.leaderboard.comparison import comparisons
from bench.leaderboard.statistics import bootstrap_intervals
from bench.leaderboard.table import leaderboard
from bench.report.tables import to_csv, to_latex, to_markdown
from bench.storage.store import stored_runs

HEIGHTS = {0: (0.1, 0.5, 0.9), 1: (0.3, 0.5, 0.1)}
"""By seed, the insertion AUC of each image: the draws' means are 0.5 and 0.3."""
IMAGES = ("a", "b", "c")


def write(folder, label, heights, seeds, images=IMAGES, **changes):
    """A run a seed; all but the images that are given lack."""
    for seed, of_draw in heights.items():
        run = begin(folder, seed=seed, **changes)
        run.set_label("board", label, None, seeds)
        for image, height in zip(IMAGES, of_draw, strict=True):
            if image in images:
                run.append(rows(image, insertion=(height, height), deletion=(0, 0)))


def board(folder):
    return leaderboard(stored_runs(folder, "board"), "board")


def center(number=0):
    return {"name": "center", "version": 1, "settings": {"kind": "Center", "sigma": number}}


def test_mean_spread_and_interval_of_two_draws(tmp_path):
    write(tmp_path, "RISE", HEIGHTS, [0, 1])
    found = board(tmp_path)
    (row,) = found.rows.to_dict("records")
    assert (row["method"], row["n_images"], row["n_missing"], row["draws"]) == ("RISE", 3, 0, 2)
    assert row["insertion_auc"] == pytest.approx(0.4)
    assert row["insertion_draws_sd"] == pytest.approx(0.2 / np.sqrt(2))  # of 0.5 and 0.3, n - 1
    assert row["deletion_draws_sd"] == 0
    means = np.mean([np.float32(each) for each in HEIGHTS.values()], axis=0)
    (comparison,) = comparisons(stored_runs(tmp_path, "board"), "board")
    assert comparison.values("insertion")["RISE"].to_numpy() == pytest.approx(means)
    expected = bootstrap_intervals(comparison.values("insertion").to_numpy())[0]
    assert [row["insertion_ci_low"], row["insertion_ci_high"]] == expected.tolist()
    note = "mean of 2 draws (seeds 0-1), standard deviation between them: Insertion 0.1414"
    assert row["notes"].startswith(note)
    for text in (to_markdown(found), to_latex(found)):
        assert "mean of 2 draws" in " ".join(text.split())
    assert "insertion_draws_sd" in to_csv(found.rows)


def test_a_highest_score_is_taken_in_each_draw(tmp_path):
    asked = protocol(confidence={"baseline": {"kind": "zero"}, "steps": 5})
    for seed, peak in enumerate((1, 2, 2)):
        run = begin(tmp_path, seed=seed, protocol=asked)
        run.set_label("board", "RISE", None, [0, 1, 2])
        curve = np.float32([0, 0, 0, 0, 0, 0])
        curve[peak] = 0.9
        for image in IMAGES:
            run.append(rows(image).assign(confidence_curve=[curve]))
    (row,) = board(tmp_path).rows.to_dict("records")
    assert row["confidence_100"] == pytest.approx(0.9)  # of the mean curve it would be 0.6
    assert row["confidence_draws_sd"] == 0


def test_what_is_read_off_all_images_is_read_off_each_draw(tmp_path):
    asked = protocol() | {
        "metrics": {"box": {"kind": "max_box_acc", "iou": [0.5], "thresholds": 2}}
    }
    overlaps = {0: ((1, 0), (1, 0), (0, 0)), 1: ((0, 1), (0, 1), (0, 1))}
    for seed, of_draw in overlaps.items():
        run = begin(tmp_path, seed=seed, protocol=asked)
        run.set_label("board", "RISE", None, [0, 1])
        for image, found in zip(IMAGES, of_draw, strict=True):
            run.append(rows(image).assign(box_iou=[np.float32(found)]))
    (row,) = board(tmp_path).rows.to_dict("records")
    assert row["box"] == pytest.approx((2 / 3 + 1) / 2)  # each at the threshold that is best for it
    assert row["box_draws_sd"] == pytest.approx(1 / 3 / np.sqrt(2))
    # 2/3 of the first draw's images drawn anew: none is 1/27 of the resamples, all are 8/27
    assert (row["box_ci_low"], row["box_ci_high"]) == (0.5, 1)


def test_tests_compare_the_images_means(tmp_path):
    write(tmp_path, "RISE", HEIGHTS, [0, 1])
    write(tmp_path, "Center", {0: (0.3, 0.4, 0.4)}, [], method=center())
    (comparison,) = comparisons(stored_runs(tmp_path, "board"), "board")
    assert list(comparison.runs) == ["RISE", "Center"]
    difference = comparison.values("insertion").diff(axis=1)["Center"]
    assert difference.to_numpy() == pytest.approx([0.1, -0.1, -0.1], abs=1e-6)
    rows_of = board(tmp_path).rows.set_index("method")
    assert rows_of["draws"].to_dict() == {"RISE": 2, "Center": 1}
    assert np.isnan(rows_of.loc["Center", "insertion_draws_sd"])
    assert rows_of["notes"].notna().to_dict() == {"RISE": True, "Center": False}


def test_without_draws_there_are_no_columns_of_draws(tmp_path):
    write(tmp_path, "RISE", HEIGHTS, [])
    found = board(tmp_path).rows
    assert found["method"].tolist() == ["RISE (seed=0)", "RISE (seed=1)"]
    assert not [name for name in found if "draws" in name]
    assert found["notes"].isna().all()


@pytest.mark.parametrize("images", [("a", "c"), ()])
def test_a_row_lacks_what_any_draw_lacks(tmp_path, images):
    write(tmp_path, "RISE", {0: HEIGHTS[0]}, [0, 1])
    write(tmp_path, "RISE", {1: HEIGHTS[1]}, [0, 1], images)
    (row,) = board(tmp_path).rows.to_dict("records")
    assert (row["n_images"], row["n_missing"]) == (len(images), 3 - len(images))
    assert pd.isna(row["insertion_auc"])
    assert row["notes"] == "mean of 2 draws (seeds 0-1)"
    assert comparisons(stored_runs(tmp_path, "board"), "board") == []


def test_a_draw_that_is_not_there_is_missing(tmp_path):
    write(tmp_path, "RISE", {0: HEIGHTS[0]}, [0, 1])
    (row,) = board(tmp_path).rows.to_dict("records")
    assert (row["n_images"], row["n_missing"], row["draws"]) == (0, 3, 2)


def test_what_was_asked_for_last_is_the_row(tmp_path):
    write(tmp_path, "RISE", HEIGHTS | {2: (0, 0, 0)}, [0, 1, 2])
    write(tmp_path, "RISE", HEIGHTS, [0, 1])  # fewer draws: seed 2 is no part of it any more
    (row,) = board(tmp_path).rows.to_dict("records")
    assert (row["draws"], row["insertion_auc"]) == (2, pytest.approx(0.4))
    write(tmp_path, "RISE", {1: HEIGHTS[1]}, [])  # a row of its own, beside its part in the other
    found = board(tmp_path).rows
    assert found["method"].tolist() == ["RISE (seed=0-1)", "RISE (seed=1)"]
    write(tmp_path, "RISE", {0: HEIGHTS[0]}, [])
    assert board(tmp_path).rows["method"].tolist() == ["RISE (seed=0)", "RISE (seed=1)"]


def test_load_rows_has_each_draw_under_the_name_of_its_row(tmp_path):
    write(tmp_path, "RISE", HEIGHTS, [0, 1])
    write(tmp_path, "Center", {0: (0.3, 0.4, 0.4)}, [], method=center())
    for found in (load_rows(tmp_path), load_rows(tmp_path, "board")):
        assert len(found) == 9
        drawn = found[found["label"] == "RISE"]
        assert drawn.groupby("seed")["insertion_auc"].mean().to_dict() == pytest.approx(
            {0: 0.5, 1: 0.3}
        )


def test_curves_of_figures_are_the_draws_means(tmp_path):
    write(tmp_path, "RISE", HEIGHTS, [0, 1])
    (comparison,) = comparisons(stored_runs(tmp_path, "board"), "board")
    assert comparison.curves("RISE", "insertion")[:, 0].tolist() == pytest.approx(HEIGHTS[0])
    assert comparison.mean_curves("RISE", "insertion")[:, 1].tolist() == pytest.approx(
        [0.2, 0.5, 0.5]
    )


def test_an_image_that_failed_in_any_draw_is_told(tmp_path):
    write(tmp_path, "RISE", {0: HEIGHTS[0]}, [0, 1])
    write(tmp_path, "RISE", {1: HEIGHTS[1]}, [0, 1], ("a", "b"))
    begin(tmp_path, seed=1).record_failure("c", "NaN")
    (row,) = board(tmp_path).rows.to_dict("records")
    assert row["notes"].endswith("1 failed, c first: NaN")
