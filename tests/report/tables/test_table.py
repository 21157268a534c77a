from dataclasses import replace

import numpy as np
import pytest
from leaderboard_rows import STATISTICS, board
from stored_results import write_results
from toy_rows import begin, rows

from bench.leaderboard.table import Leaderboard, leaderboard
from bench.report.tables import to_latex, to_markdown, to_text
from bench.report.tables.table import leaderboard_tables, letter, places
from bench.storage.store import stored_runs


def made(folder):
    """The rows of a leaderboard of one comparison, and its table."""
    board = leaderboard(stored_runs(folder, "board"), "board")
    (table,) = leaderboard_tables(board).values()
    return board.rows, table


def column(table, heading, place=0):
    numbers = [i for i, column in enumerate(table.columns) if column.heading == heading]
    return [row.cells[numbers[place]] for row in table.rows]


def texts(table, heading, place=0):
    return [cell.text for cell in column(table, heading, place)]


def test_a_leaderboard_as_cells(tmp_path):
    rows, table = made(write_results(tmp_path))
    assert [row.name for row in table.rows] == texts(table, "Method") == rows["method"].tolist()
    assert texts(table, "#") == ["1", "2", "3"]
    assert {row.name for row in table.rows if row.is_control} == {"random"}
    for heading, name in (("Insertion", "insertion_auc"), ("Deletion", "deletion_auc")):
        assert [cell.value for cell in column(table, heading)] == rows[name].tolist()
        assert texts(table, heading) == [f"{mean:.4f}" for mean in rows[name]]
    real = rows[~rows["control"]]
    best = real.loc[real["deletion_auc"].idxmin(), "method"]
    marked = dict(zip(rows["method"], column(table, "Deletion"), strict=True))
    assert marked[best].place == "best"
    assert marked["random"].place == ""
    assert texts(table, "Group", 1) == rows["deletion_letters"].tolist()
    orders = {column.heading: column.first for column in table.columns}
    assert (orders["Insertion"], orders["Deletion"]) == ("descending", "ascending")
    assert table.columns[table.sorted_by].heading == "Insertion"


def test_intervals_share_an_axis(tmp_path):
    rows, table = made(write_results(tmp_path))
    ends = rows[["insertion_ci_low", "insertion_ci_high"]].to_numpy()
    low, span = ends.min(), np.ptp(ends)
    drawn = [cell.interval for cell in column(table, "95 % interval")]
    for interval, (_, row) in zip(drawn, rows.iterrows(), strict=True):
        expected = row[["insertion_ci_low", "insertion_auc", "insertion_ci_high"]].astype(float)
        assert [interval.low, interval.mean, interval.high] == pytest.approx(
            100 * (expected - low) / span, abs=0.01
        )
        assert interval.published is None
    assert min(interval.low for interval in drawn) == 0
    assert max(interval.high for interval in drawn) == 100


def test_published_cells_and_notes(tmp_path):
    run = begin(tmp_path)
    repeated = {
        "table": "cub", "backbone": "ResNet-101", "method": "Saliency", "note": "a remark",
        "deviations": [], "unverified": [],
    }  # fmt: skip
    run.set_label("board", "rise", repeated)
    run.append(rows("a", "b", "c"))
    frame, table = made(tmp_path)
    assert frame["published_insertion_auc"].notna().any()
    assert table.footnotes == ("a remark",)
    noted = {row.name: row.notes for row in table.rows}
    assert noted.pop("rise") == (1,)
    assert not any(noted.values())
    assert "(a) a remark" in table.notes
    first = frame.set_index("method").loc["rise"]
    place = frame["method"].tolist().index("rise")
    assert column(table, "Published")[place].value == first["published_insertion_auc"]
    assert texts(table, "Difference")[place] == f"{first['insertion_delta']:+.4f}"
    assert texts(table, "Inside")[place] == "no"
    assert column(table, "95 % interval")[place].interval.published is not None
    others = [text for i, text in enumerate(texts(table, "Passes")) if i != place]
    assert others == ["not run"] * (len(frame) - 1)


def test_published_cells_without_a_row_of_ours(tmp_path):
    """What is published of other methods alone has no difference from ours."""
    run = begin(tmp_path)
    repeated = {
        "table": "cub", "backbone": "ResNet-101", "method": "not in the table", "note": "",
        "deviations": [], "unverified": [],
    }  # fmt: skip
    run.set_label("board", "rise", repeated)
    run.append(rows("a", "b", "c"))
    _, table = made(tmp_path)
    headings = [column.heading for column in table.columns]
    assert headings.count("Published") == 2
    assert "Difference" not in headings


def test_incomplete_rows_are_blank_and_sort_last(tmp_path):
    begin(tmp_path, "half").append(rows("a", "b"))
    begin(tmp_path, "whole", seed=1).append(rows("a", "b", "c"))
    _, table = made(tmp_path)
    cells = {row.name: row.cells for row in table.rows}
    assert [cell.value for cell in cells["half"]] == [
        "half" if column.kind == "name" else None for column in table.columns
    ]
    assert cells["half"][-1].text == "1 of 3 images missing"
    assert cells["whole"][0].text == "1"


def test_places_go_by_what_is_printed_and_not_to_controls():
    texts = ["0.5000", "0.7000", "", "0.7000", "0.9000", "0.1000", "0.5000"]
    controls = [False] * 4 + [True] + [False] * 2
    assert places(texts, controls, True) == ["second", "best", "", "best", "", "", "second"]
    assert places(texts, controls, False) == ["second", "", "", "", "", "best", "second"]
    assert places(texts, controls, None) == [""] * 7
    assert places(["10.5", "9.5"], [False] * 2, True) == ["best", "second"]  # numbers, not strings


def test_nobody_wins_alone_or_where_all_are_alike():
    assert places(["0.5", "0.9"], [False, True], True) == ["", ""]
    assert places(["0.5", "0.5"], [False, False], True) == ["", ""]


def test_footnotes_have_letters():
    assert [letter(number) for number in (1, 26, 27, 53, 702, 703)] == [
        "a", "z", "aa", "ba", "zz", "aaa",
    ]  # fmt: skip


def test_titles_of_statistics_are_text_in_every_format():
    """A metric's name comes from a configuration, or from results that somebody else made."""
    hostile = "<b>|$x_i$ \x1b[31m[red]\n\\input"
    statistic = replace(STATISTICS[0], title=hostile, short=hostile)
    board_of_one = Leaderboard("b", board(), {"c": [statistic]})
    (line,) = [line for line in to_markdown(board_of_one).splitlines() if line.startswith("| #")]
    assert "&lt;b>\\|$x_i$" in line
    assert "\x1b" not in line
    latex = to_latex(board_of_one)
    assert "$<$b$>$$|$\\$x\\_i\\$" in latex
    assert "\\textbackslash{}input" in latex
    (table, *_) = to_text(board_of_one, width=1000)
    headers = [column.header for column in table.columns]
    assert not any("\x1b" in header or "\n" in header for header in headers)
