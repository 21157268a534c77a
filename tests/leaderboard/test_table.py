import io

import numpy as np
import pandas as pd
import pytest
from compared import DELETION, INSERTION, SRG, bootstrap_interval
from rich.console import Console
from toy_rows import begin, identity, protocol, rows

from bench.errors import BenchError
from bench.leaderboard.columns import csv_columns
from bench.leaderboard.significance import TESTS
from bench.leaderboard.table import leaderboard
from bench.report.tables import to_csv, to_markdown
from bench.report.writer import write_leaderboard
from bench.storage.store import stored_runs

COLUMNS = csv_columns([INSERTION, DELETION, SRG])


def board(folder):
    return leaderboard(stored_runs(folder, "board"), "board")


def table(folder):
    return board(folder).rows


def method(name, **settings):
    return {"name": name, "version": 1, "settings": settings}


def test_columns_and_values(tmp_path):
    begin(tmp_path, "RISE").append(rows("a", "b", "c"))
    made = table(tmp_path)
    assert made.columns.tolist() == COLUMNS
    row = made.iloc[0]
    assert row[["benchmark", "backbone", "protocol", "method"]].tolist() == [
        "birds", "toy", "mine", "RISE",
    ]  # fmt: skip
    assert (row["n_images"], row["n_missing"], row["rank"]) == (3, 0, 1)
    assert row["clean_accuracy"] == pytest.approx(2 / 3)
    assert (row["mean_clean_score"], row["tied_fraction"]) == (1, 0.5)
    assert (row["insertion_auc"], row["deletion_auc"], row["srg"]) == (0.5, 0.375, 0.125)
    assert (row["insertion_ci_low"], row["insertion_ci_high"]) == (0.5, 0.5)
    assert row.filter(like="published").isna().all()
    assert row.filter(like="delta").isna().all()


def test_means_over_images_that_differ(tmp_path):
    run = begin(tmp_path, "RISE")
    for image, height in {"a": 0.0, "b": 0.3, "c": 0.9}.items():
        curve = (height, height, height)
        run.append(rows(image, insertion=curve, deletion=curve).assign(tied_fraction=height))
    row = table(tmp_path).iloc[0]
    assert row["insertion_auc"] == pytest.approx(0.4)
    assert row["tied_fraction"] == pytest.approx(0.4)
    for direction in ("insertion", "deletion"):
        low, high = row[f"{direction}_ci_low"], row[f"{direction}_ci_high"]
        assert 0 <= low < 0.3 < 0.5 < high <= 0.9
    markdown = to_markdown(board(tmp_path))
    title, cells = markdown.splitlines()[2], markdown.splitlines()[-1]
    assert title == "birds · toy · mine · 3 images · accuracy 0.000"
    interval = f"{row['insertion_ci_low']:.3f}..{row['insertion_ci_high']:.3f}"
    assert cells == f"| 1 | RISE | 0.4000 | {interval} | 0.4000 | {interval} | 0.0000 | 40.0% |  |"


def test_insertion_and_deletion_stand_in_their_own_columns(tmp_path):
    begin(tmp_path, "RISE").append(rows("a", "b", "c"))
    cells = to_markdown(board(tmp_path)).splitlines()[-1]
    expected = "| 1 | RISE | 0.5000 | 0.500..0.500 | 0.3750 | 0.375..0.375 | 0.1250 | 50.0% |  |"
    assert cells == expected


def test_mufidelity_has_columns_where_it_was_asked_for(tmp_path):
    assert "mufidelity_xplique_1_1" not in leaderboard([], "board").rows
    asked = protocol(name="asked", mufidelity={})
    values = rows("a", "b", "c").assign(**{"mufidelity_xplique_1_1": [0.1, 0.2, 0.6]})
    begin(tmp_path, "RISE", protocol=asked).append(values)
    begin(tmp_path, "other").append(rows("a", "b", "c"))
    made = table(tmp_path).set_index("method")
    assert made.loc["RISE", "mufidelity_xplique_1_1"] == pytest.approx(0.3)
    assert 0.1 <= made.loc["RISE", "mufidelity_ci_low"] < made.loc["RISE", "mufidelity_ci_high"]
    assert np.isnan(made.loc["other", "mufidelity_xplique_1_1"])
    assert to_markdown(board(tmp_path)).count("µF") == 1  # in the table that has it


def test_srg_needs_the_same_perturbation_in_both_directions(tmp_path):
    five = protocol(insertion={"steps": 5})
    curve = np.linspace(0, 1, 6)
    begin(tmp_path, "RISE", protocol=five).append(rows("a", "b", "c", insertion=curve))
    assert table(tmp_path)["insertion_auc"].notna().all()
    assert table(tmp_path)["srg"].isna().all()


def heights(folder, name, values, **settings):
    """A row whose curves are flat: areas are their heights."""
    dataset = identity()["dataset"] | {"num_images": len(values)}
    run = begin(folder, name, dataset=dataset, method=method(name, tag=name, **settings))
    for number, height in enumerate(values):
        curve = np.full(3, height)
        run.append(rows(f"{number}", insertion=curve, deletion=curve))


@pytest.mark.parametrize("test", TESTS)
def test_letters_and_p_values_against_the_best_of_each_column(tmp_path, test):
    base = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8])
    heights(tmp_path, "low", base - np.arange(8) / 100 - 0.01)
    heights(tmp_path, "high", base)
    heights(tmp_path, "near", base + np.array([-1, 1, -1, 1, -1, 1, -2, 1]) / 1000)
    made = leaderboard(stored_runs(tmp_path, "board"), "board", test=test).rows.set_index("method")
    assert made["insertion_letters"].to_dict() == {"high": "a", "near": "a", "low": "b"}
    assert made["deletion_letters"].to_dict() == {"high": "b", "near": "b", "low": "a"}
    smallest = 3 * 2 / 2**8  # of three pairs, all images alike
    assert np.isnan([made.loc["high", "insertion_p"], made.loc["low", "deletion_p"]]).all()
    assert made.loc["low", "insertion_p"] == pytest.approx(smallest)
    assert made.loc["near", "insertion_p"] > 0.5
    assert made.loc[["high", "near"], "deletion_p"].tolist() == pytest.approx([smallest] * 2)


def test_tests_are_of_complete_rows_of_one_comparison(tmp_path):
    for seed, images in enumerate(["abc", "abc", "ab"]):
        begin(tmp_path, f"seed {seed}", seed=seed).append(rows(*images))
    other = {"name": "toy", "weights_sha256": "other"}
    begin(tmp_path, "other", backbone=other).append(rows("a", "b", "c"))
    made = table(tmp_path).set_index("method")
    columns = ["insertion_letters", "insertion_p", "deletion_letters", "deletion_p"]
    assert made.loc["seed 2", columns].isna().all()
    assert made.loc["other", "insertion_letters"] == "a"
    assert made["insertion_p"].notna().sum() == 1  # seed 0 and 1 are one pair
    assert made["insertion_p"].max() == 1


def test_one_image_has_no_p_values(tmp_path):
    heights(tmp_path, "one", [0.2])
    heights(tmp_path, "two", [0.4])
    made = table(tmp_path)
    assert made["insertion_p"].isna().all()
    assert made["insertion_letters"].tolist() == ["a", "a"]


def test_controls_are_marked_whether_complete_or_not(tmp_path):
    control = "bench.attribution.control.Random"
    heights(tmp_path, "random", [0.2, 0.3], _target_=control)
    heights(tmp_path, "rise", [0.4, 0.3])
    begin(tmp_path, "edge", method=method("edge", _target_=control))
    made = table(tmp_path)
    assert made["control"].dtype == bool
    assert made.set_index("method")["control"].to_dict() == {
        "rise": False, "random": True, "edge": True,
    }  # fmt: skip


def test_intervals_do_not_depend_on_the_rows_beside(tmp_path):
    draws = np.random.default_rng(0)
    first, second = draws.uniform(size=(2, 9))
    heights(tmp_path, "first", first)
    alone = table(tmp_path).iloc[0]
    heights(tmp_path, "second", second)
    beside = table(tmp_path).set_index("method").loc["first"]
    for column in ("insertion_ci_low", "insertion_ci_high", "deletion_ci_low"):
        assert beside[column] == pytest.approx(alone[column], rel=1e-9)
    expected = bootstrap_interval(first.astype(np.float32).astype(float))
    assert (alone["insertion_ci_low"], alone["insertion_ci_high"]) == pytest.approx(expected)


def test_unknown_test_is_refused(tmp_path):
    heights(tmp_path, "rise", [0.4, 0.3])
    with pytest.raises(BenchError, match="test: unknown name 'wilcoxson'"):
        leaderboard(stored_runs(tmp_path, "board"), "board", test="wilcoxson")


def test_incomplete_cells_are_blank_and_counted(tmp_path):
    begin(tmp_path, "half").append(rows("a", "b"))
    begin(tmp_path, "none", seed=1)
    begin(tmp_path, "full", seed=2).append(rows("a", "b", "c"))
    made = table(tmp_path).set_index("method")
    assert made["n_missing"].to_dict() == {"full": 0, "half": 1, "none": 3}
    assert made.loc[["half", "none"], "insertion_auc":"rank"].isna().all(axis=None)
    assert made.loc["full", "rank"] == 1
    assert "| half |  |  |  |  |  |  | 1 of 3 images missing |" in to_markdown(board(tmp_path))


def test_ranks_by_insertion_and_ties_share(tmp_path):
    curves = {
        "low": (0, 0.2, 1),
        "high": (0, 1, 1),
        "tie": (0, 0.5, 1),
        "tied": (0.5, 0.5, 0.5 + 1e-7),
    }
    for name, curve in curves.items():
        run = begin(tmp_path, name, method=method(name, of=name))
        run.append(rows("a", "b", "c", insertion=curve))
    made = table(tmp_path)
    assert made["method"].tolist() == ["high", "tie", "tied", "low"]
    assert made["rank"].tolist() == [1, 2, 2, 4]


def test_rows_that_differ_never_share_a_name(tmp_path):
    for masks in (4, 8):
        for seed in (0, 1):
            run = begin(tmp_path, "rise", seed=seed, method=method("rise", num_masks=masks))
            run.append(rows("a", "b", "c"))
    begin(tmp_path, "other", method=method("other")).append(rows("a", "b", "c"))
    assert sorted(table(tmp_path)["method"]) == [
        "other",
        "rise (num_masks=4, seed=0)",
        "rise (num_masks=4, seed=1)",
        "rise (num_masks=8, seed=0)",
        "rise (num_masks=8, seed=1)",
    ]


def test_other_images_are_another_comparison(tmp_path):
    begin(tmp_path, "rise").append(rows("a", "b", "c"))
    fewer = identity()["dataset"] | {"num_images": 2, "list_sha256": "z"}
    begin(tmp_path, "rise", dataset=fewer).append(rows("a", "b"))
    made = table(tmp_path)
    assert made["method"].tolist() == ["rise", "rise"]
    assert made["rank"].tolist() == [1, 1]
    assert made["comparison"].nunique() == 2
    assert to_markdown(board(tmp_path)).count("| # | method |") == 2


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": {"name": "toy", "weights_sha256": "other"}},
        {"protocol": protocol(ties="numpy_1_23")},
    ],
)
def test_other_weights_or_settings_are_another_comparison(tmp_path, changes):
    begin(tmp_path, "rise").append(rows("a", "b", "c"))
    begin(tmp_path, "rise", **changes).append(rows("a", "b", "c"))
    assert table(tmp_path)["comparison"].nunique() == 2


def test_other_leaderboards_rows_stay_out(tmp_path):
    begin(tmp_path, "rise").append(rows("a", "b", "c"))
    other = begin(tmp_path, seed=1)
    other.set_label("other board", "rise")
    other.append(rows("a", "b", "c"))
    write_leaderboard(tmp_path, "board", Console(quiet=True))
    assert len(pd.read_csv(tmp_path / "leaderboards/board.csv")) == 1


def test_csv_reads_back(tmp_path):
    begin(tmp_path, 'RISE, "mine"').append(rows("a", "b", "c", insertion=(0, 1 / 3, 1)))
    back = pd.read_csv(io.StringIO(to_csv(table(tmp_path))))
    assert back.columns.tolist() == COLUMNS
    assert back["method"].tolist() == ['RISE, "mine"']
    assert back["insertion_auc"][0] == pytest.approx(5 / 12, abs=1e-6)


def test_markdown_escapes_bars(tmp_path):
    begin(tmp_path, "a|b").append(rows("a", "b", "c"))
    assert "| a\\|b |" in to_markdown(board(tmp_path))
