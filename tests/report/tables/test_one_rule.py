"""Every format shows the same columns, and a new statistic is shown without another line."""

import io
import re

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from stored_results import METHODS, rows_of_protocol, write_results
from toy_rows import begin, identity, protocol

from bench.leaderboard.columns import csv_columns
from bench.leaderboard.table import leaderboard
from bench.metrics.protocol import Protocol
from bench.metrics.statistic import Statistic
from bench.report.html import write_report
from bench.report.tables import to_csv, to_latex, to_markdown, to_text
from bench.report.tables.table import leaderboard_tables
from bench.report.writer import write_figures, write_leaderboard
from bench.storage.store import stored_runs

SHARPNESS = Statistic("sharpness", "Sharpness", higher_is_better=False, short="shp", digits=3)
AREA = Statistic("extent", "Extent", higher_is_better=None, is_main=False, digits=1)


@pytest.fixture
def made_up(monkeypatch):
    """Two statistics that no shipped metric has: one that is tested, one that is a number alone."""
    known = Protocol.statistics.fget
    values, summary = Protocol.values, Protocol.summary

    def read(protocol, statistic, rows, auc=None):
        if statistic not in (SHARPNESS, AREA):
            return values(protocol, statistic, rows, auc)
        curves = np.stack(rows["insertion_curve"].tolist()).astype(np.float64)
        return curves.std(axis=1) * (1 if statistic == SHARPNESS else 100)

    def mean(protocol, statistic, rows, auc=None):
        if statistic in (SHARPNESS, AREA):
            return float(read(protocol, statistic, rows).mean())
        return summary(protocol, statistic, rows, auc)

    with_both = property(lambda protocol: [*known(protocol), SHARPNESS, AREA])
    monkeypatch.setattr(Protocol, "statistics", with_both)
    monkeypatch.setattr(Protocol, "values", read)
    monkeypatch.setattr(Protocol, "summary", mean)


@pytest.fixture
def published(tmp_path):
    """Methods, two of which stand beside published cells, and published ones that were not run."""
    for name, theirs in {"rise": "RISE", "saliency": "Saliency", "random": "none"}.items():
        method = {"name": name, "version": 1, "settings": METHODS.get(name, {"x": 1})}
        repeats = {
            "table": "cub", "backbone": "ResNet-101", "method": theirs, "note": f"of {name}",
            "deviations": [], "unverified": [],
        }  # fmt: skip
        dataset = identity()["dataset"] | {"num_images": 9}
        settings = protocol(insertion={"steps": 2}, deletion={"steps": 2})
        run = begin(tmp_path, method=method, dataset=dataset, protocol=settings)
        run.set_label("board", name, repeats)
        for image in "abcdefghi":
            run.append(rows_of_image(image, name))
    return tmp_path


def rows_of_image(image, name):
    draws = np.random.default_rng([ord(image), len(name)])
    height = {"rise": 0.9, "saliency": 0.5, "random": 0.1}[name] + draws.uniform(0, 0.1)
    rows = rows_of_protocol(image).copy()
    rows["insertion_curve"] = [np.float32([0, height, 1])]
    rows["deletion_curve"] = [np.float32([1, 1 - height, 0])]
    return rows


def titles_of(board):
    """By format, the titles that its header really has."""
    markdown = next(line for line in to_markdown(board).splitlines() if line.startswith("| #"))
    latex = next(line for line in to_latex(board).splitlines() if line.startswith("\\#"))
    (terminal, *_) = to_text(board, width=1000)
    plain = latex.removesuffix(" \\\\").replace("$\\uparrow$", "↑").replace("$\\downarrow$", "↓")
    return {
        "markdown": [title.strip() for title in markdown.strip("|").split(" | ")],
        "latex": [title.replace("\\", "") for title in plain.split(" & ")],
        "terminal": [column.header.strip() for column in terminal.columns],
    }


def headings_of_page(folder):
    output = folder / "page.html"
    write_report([folder], output, Console(quiet=True))
    (head,) = re.findall(r"<thead><tr>(.*?)</tr>", output.read_text(), re.DOTALL)[:1]
    return re.findall(r"<button[^>]*>([^<]*)</button>", head)


@pytest.mark.parametrize("has_made_up", [False, True])
def test_every_format_shows_the_same_columns(published, has_made_up, request):
    if has_made_up:
        request.getfixturevalue("made_up")
    board = leaderboard(stored_runs(published, "board"), "board")
    (table,) = leaderboard_tables(board).values()
    for name, titles in titles_of(board).items():
        expected = [column.title for column in table.columns if name not in column.left_out_of]
        assert titles == expected, name
    expected = [column.heading for column in table.columns if "page" not in column.left_out_of]
    assert headings_of_page(published) == expected
    # What formats go without is said in one place, and is little.
    assert {column.title for column in table.columns if "latex" in column.left_out_of} == {
        "ties", "difference", "p",
    }  # fmt: skip
    assert {column.title for column in table.columns if "markdown" in column.left_out_of} == {"p"}
    assert not any("page" in column.left_out_of for column in table.columns)


def test_letters_and_stars_stand_beside_published_cells_in_every_format(published):
    board = leaderboard(stored_runs(published, "board"), "board")
    (table,) = leaderboard_tables(board).values()
    places = {column.heading: place for place, column in enumerate(table.columns)}
    assert places["Group"] < places["Published"]
    assert table.rows[1].cells[places["Insertion"]].stars
    assert "| b | " in to_markdown(board)
    assert "\\*" in to_markdown(board)
    assert " & b & " in to_latex(board)
    assert "$^{*" in to_latex(board)
    headings_of_page(published)
    page = (published / "page.html").read_text()
    assert '<span class="stars">*' in page
    assert ">b</span>" in page
    console = Console(width=400, file=io.StringIO())
    for part in to_text(board, width=400):
        console.print(part)
    assert "*" in console.file.getvalue()


def test_a_made_up_statistic_is_shown_everywhere(tmp_path, made_up):
    folder = write_results(tmp_path)
    board = leaderboard(stored_runs(folder, "board"), "board")
    written = pd.read_csv(io.StringIO(to_csv(board.rows)))
    assert written.columns.tolist() == csv_columns(board.statistics[board.rows["comparison"][0]])
    endings = ("ci_low", "ci_high", "letters", "p")
    assert {"sharpness", *(f"sharpness_{ending}" for ending in endings), "extent"} <= {*written}
    assert written["sharpness"].notna().all()
    for titles in titles_of(board).values():
        place = titles.index("shp ↓")
        assert titles[place + 1 : place + 3] == ["95 %", "group"]
        assert "Extent" in titles
    assert "\\underline" in to_latex(board)
    best = f"**{board.rows.loc[~board.rows['control'], 'sharpness'].min():.3f}**"
    assert best in to_markdown(board)
    headings = headings_of_page(folder)
    assert headings.index("Sharpness") < headings.index("Extent")
    page = (folder / "page.html").read_text()
    assert "has the lowest mean sharpness" in page
    assert "All 3 pairs by sharpness" in page
    write_leaderboard(folder, "board", Console(quiet=True))
    assert "### sharpness ↓" in (folder / "leaderboards/board_statistics.md").read_text()
    pairs = pd.read_csv(folder / "leaderboards/board_pairs.csv")
    assert (pairs["metric"] == "sharpness").sum() == 3
    write_figures(folder, "board", stored_runs(folder, "board")[0], Console(quiet=True))
    for name in ("distributions", "cost_seconds", "ranks"):
        text = (folder / f"leaderboards/board_{name}.svg").read_text()
        assert "sharpness" in text, name
        assert "extent" not in text, name
