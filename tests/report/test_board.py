import numpy as np
import pytest
from stored_results import write_results
from test_store import begin, rows

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.significance import significance
from bench.leaderboard.table import leaderboard
from bench.report.board import leaderboard_board, pair_board, win_rate_board
from bench.store import stored_runs


def table(folder):
    return leaderboard(stored_runs(folder, "board"), "board")


def column(board, title, place=0):
    numbers = [i for i, head in enumerate(board.heads) if head.title == title]
    return [row.cells[numbers[place]] for row in board.rows]


def test_a_leaderboard_as_cells(tmp_path):
    made = table(write_results(tmp_path))
    board = leaderboard_board(made)
    assert [row.method for row in board.rows] == made["method"].tolist()
    assert [row.rank for row in board.rows] == ["1", "2", "3"]
    assert {row.method for row in board.rows if row.control} == {"random"}
    for title, name in (("Insertion", "insertion_auc"), ("Deletion", "deletion_auc")):
        cells = column(board, title)
        assert [own.value for own in cells] == made[name].tolist()
        assert [own.text for own in cells] == [f"{own:.4f}" for own in made[name]]
    real = made[~made["control"]]
    best = real.loc[real["deletion_auc"].idxmin(), "method"]
    marked = dict(zip(made["method"], column(board, "Deletion"), strict=True))
    assert marked[best].place == "best"
    assert marked["random"].place == ""
    assert [own.text for own in column(board, "Group", 1)] == made["deletion_letters"].tolist()
    assert [own.first for own in board.heads if own.title in ("Insertion", "Deletion")] == [
        "descending", "ascending",
    ]  # fmt: skip


def test_intervals_share_an_axis(tmp_path):
    made = table(write_results(tmp_path))
    ends = made[["insertion_ci_low", "insertion_ci_high"]].to_numpy()
    low, span = ends.min(), np.ptp(ends)
    drawn = [own.interval for own in column(leaderboard_board(made), "95 % interval")]
    for number, row in made.iterrows():
        own = drawn[number]
        expected = row[["insertion_ci_low", "insertion_auc", "insertion_ci_high"]].astype(float)
        assert [own.low, own.mean, own.high] == pytest.approx(
            100 * (expected - low) / span, abs=0.01
        )
        assert own.published is None
    assert min(own.low for own in drawn) == 0
    assert max(own.high for own in drawn) == 100


def test_published_cells_and_notes(tmp_path):
    run = begin(tmp_path)
    repeated = {
        "table": "cub", "backbone": "ResNet-101", "method": "Saliency", "note": "a remark",
        "deviations": [], "unverified": [],
    }  # fmt: skip
    run.set_label("board", "rise", repeated)
    run.append(rows("a", "b", "c"))
    made = table(tmp_path)
    assert made["published_insertion_auc"].notna().any()
    board = leaderboard_board(made)
    assert board.notes == ["a remark"]
    noted = {row.method: row.notes for row in board.rows}
    assert noted.pop("rise") == [1]
    assert not any(noted.values())
    first = made.set_index("method").loc["rise"]
    place = made["method"].tolist().index("rise")
    published = column(board, "Published")
    assert published[place].value == first["published_insertion_auc"]
    assert column(board, "Difference")[place].text == f"{first['insertion_delta']:+.4f}"
    assert column(board, "Inside")[place].text == "no"
    assert column(board, "95 % interval")[place].interval.published is not None
    others = [own.text for i, own in enumerate(column(board, "Passes")) if i != place]
    assert others == ["not run"] * (len(made) - 1)


def test_incomplete_rows_are_blank_and_sort_last(tmp_path):
    begin(tmp_path, "half").append(rows("a", "b"))
    begin(tmp_path, "whole", seed=1).append(rows("a", "b", "c"))
    board = leaderboard_board(table(tmp_path))
    cells = dict(zip([row.method for row in board.rows], board.rows, strict=True))
    assert cells["half"].rank == ""
    assert [own.value for own in cells["half"].cells] == [None] * len(board.heads)
    assert cells["half"].cells[-1].text == "1 of 3 images missing"
    assert cells["whole"].rank == "1"


def test_win_rates_and_pairs(tmp_path):
    write_results(tmp_path)
    (comparison,) = comparisons(stored_runs(tmp_path, "board"), "board")
    found = significance(comparison, "insertion")
    board = win_rate_board(found, comparison.controls)
    assert [row.method for row in board.rows] == found.methods
    assert [own.title for own in board.heads] == ["Mean rank", "Group", *found.methods]
    for row in board.rows:
        for name, cell in zip(found.methods, row.cells[2:], strict=True):
            if name == row.method:
                assert (cell.text, cell.value) == ("", None)
            else:
                rate = found.win_rates.loc[row.method, name]
                assert (cell.value, cell.shade) == (rate, round(10 * rate))
    pairs = pair_board(found, comparison.controls)
    assert [row.method for row in pairs.rows] == found.pairs["better"].tolist()
    assert [row.cells[0].text for row in pairs.rows] == found.pairs["worse"].tolist()
    assert [row.cells[1].value for row in pairs.rows] == found.pairs["difference"].tolist()
    assert not pairs.ranked
