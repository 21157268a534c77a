import io
import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from bench.leaderboard.columns import csv_columns
from bench.leaderboard.declared import DELETION, INSERTION, SRG
from bench.leaderboard.table import Leaderboard
from bench.report.tables import to_latex, to_markdown, to_text
from bench.report.tables.table import places

LEGEND = (
    "Bold: the best of its column; underlined: the second best; *, **, ***: differs from the best, "
    "controls included, p < 0.05, 0.01, 0.001; methods that share a letter cannot be told apart; "
    "italics: controls, which are neither best nor second."
)

STATISTICS = [INSERTION, DELETION, SRG]


def board(**columns):
    """Four methods, of which the last is a control that is better than all."""
    given = {
        "benchmark": "birds", "backbone": "toy", "protocol": "mine", "auc": "trapezoid",
        "comparison": "c", "n_images": 9, "n_missing": 0, "clean_accuracy": 0.5,
        "method": ["rise", "lime", "edge_map", "center"],
        "insertion_auc": [0.7, 0.60001, 0.60004, 0.9], "deletion_auc": [0.2, 0.1, 0.3, 0.05],
        "insertion_ci_low": 0.1, "insertion_ci_high": 0.9, "deletion_ci_low": 0.1,
        "deletion_ci_high": 0.9, "srg": [0.5, 0.5, 0.3, 0.85], "tied_fraction": 0.0,
        "rank": [2, 3, 3, 1], "run_key": "k", "forward_passes": 3, "backward_passes": 0,
        "control": [False, False, False, True],
        "insertion_p": [np.nan, 0.04999, 0.001, 0.0009], "deletion_p": [0.05, np.nan, 0.0099, 1],
        "insertion_letters": ["a", "b", "b", "a"], "deletion_letters": ["ab", "a", "b", "a"],
    } | columns  # fmt: skip
    empty = pd.DataFrame(
        columns=[own for own in csv_columns(STATISTICS) if own not in given], index=range(4)
    )
    return pd.concat([pd.DataFrame(given, index=range(4)), empty.astype(object)], axis=1)


def shown(table, name="b"):
    return Leaderboard(name, table, {"c": STATISTICS})


def cells(markdown, method):
    (line,) = [line for line in markdown.splitlines() if method in line]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


def printed(table, width=120):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, markup=False)
    for part in to_text(shown(table), width=width):
        console.print(part, highlight=False)
    return console.file.getvalue()


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


def test_markdown_marks():
    text = to_markdown(shown(board()))
    rise, lime, edge = (cells(text, name) for name in ("rise", "lime", "edge_map"))
    interval = "0.100..0.900"
    assert rise[2:9] == [
        "**0.7000**",
        interval,
        "a",
        "<ins>0.2000</ins>",
        interval,
        "ab",
        "**0.5000**",
    ]
    assert lime[2:9] == [
        "<ins>0.6000</ins>\\*",
        interval,
        "b",
        "**0.1000**",
        interval,
        "a",
        "**0.5000**",
    ]
    assert edge[2:9] == [
        "<ins>0.6000</ins>\\*\\*",
        interval,
        "b",
        "0.3000\\*\\*",
        interval,
        "b",
        "<ins>0.3000</ins>",
    ]
    center = cells(text, "center")
    assert center[:3] == ["*1*", "*center*", "*0.9000*\\*\\*\\*"]
    assert center[5] == "*0.0500*"
    assert text.splitlines()[-1].replace("\\", "").replace("&lt;", "<") == f"- {LEGEND}"


def test_p_values_at_a_limit_are_not_below_it():
    text = to_markdown(shown(board(insertion_p=[np.nan, 0.05, 0.01, 0.001])))
    assert [cells(text, own)[2].count("\\*") for own in ("lime", "edge_map", "center")] == [0, 1, 2]


def test_legend_tells_only_of_what_occurs():
    plain = board(control=False).drop(
        columns=[c for c in board() if c.endswith(("_p", "_letters"))]
    )
    last = to_markdown(shown(plain)).splitlines()[-1]
    assert last == "- Bold: the best of its column; underlined: the second best."
    assert "group" not in to_markdown(shown(plain))
    alone = to_markdown(shown(plain.drop(columns="control")[:1]))  # as older callers have it
    assert alone.splitlines()[-1].startswith("| 2 | rise | 0.7000 |")


def test_one_method_has_no_letters():
    alone = board(run_key=["k", np.nan, np.nan, np.nan], insertion_letters=["a", np.nan, None, ""])
    assert to_markdown(shown(alone.assign(deletion_letters=np.nan))).count("group") == 0


def test_rows_that_were_not_run_do_not_compete():
    table = board(run_key=[np.nan, "k", "k", "k"], control=[np.nan, False, False, True])
    blank = ["insertion_auc", "deletion_auc", "srg", "insertion_p", "rank"]
    table = table.astype({"rank": "Int64"})
    table.loc[0, blank] = pd.NA
    table.loc[1, "insertion_auc"] = 0.65
    table["published_insertion_auc"] = [0.99, 0.5, np.nan, np.nan]
    text = to_markdown(shown(table))
    assert "**0.6500**" in cells(text, "lime")[2]
    assert "0.9900" in cells(text, "rise")  # published: a record, that wins nothing
    assert text.count("group") == 2  # letters stand beside published cells, too
    assert "share a letter" in text
    assert cells(text, "rise")[-1].startswith("not run")


def test_text_marks_and_fits():
    text = printed(board())
    assert "\x1b[1m0.7000\x1b[0m" in text
    assert "\x1b[4m0.6000\x1b[0m** " in text
    (control,) = [line for line in text.splitlines() if "center" in line]
    assert "\x1b[2;3m0.9000***\x1b[0m" in control
    assert (
        max(len(line.rstrip()) for line in printed(board()).splitlines() if "\x1b" not in line)
        <= 120
    )
    assert " ".join(LEGEND.split()) in " ".join(text.split())


def test_text_goes_without_what_can_be_spared():
    plain = board(control=False)
    for width, gone in (
        (120, []),
        (100, ["ties"]),
        (90, ["ties", "group"]),
        (60, ["ties", "group", "95 %"]),
    ):
        parts = to_text(shown(plain), width=width)
        titles = [column.header.strip() for column in parts[0].columns]
        assert not set(gone) & set(titles)
        assert ({"ties", "group", "95 %"} - set(gone)) <= set(titles)
        told = [part for part in parts[1:] if part.startswith("No room here")]
        assert bool(told) == bool(gone)
        for name in gone:
            assert name in told[0]
    assert "share a letter" not in "".join(to_text(shown(plain), width=60)[1:])


def test_numbers_of_different_lengths_stay_aligned():
    lines = printed(board(control=False, insertion_auc=[12.5, 9.5, -1.5, 3.25])).splitlines()
    bare = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in lines]
    ends = [
        line.index(own) + len(own)
        for own in ("12.5000", " 9.5000", "-1.5000", " 3.2500")
        for line in bare
        if own in line
    ]
    assert len(ends) == 4
    assert len(set(ends)) == 1


def test_latex_marks():
    text = to_latex(shown(board()))
    assert "\\textbf{0.7000} &" in text
    assert "\\underline{0.6000}\\rlap{$^{**}$} &" in text
    assert "\\textit{center} & \\textit{0.9000}\\rlap{$^{***}$} &" in text
    assert "p $<$ 0.05" in text
    assert "ties" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    names = ["[red] \\input{/etc/passwd} $x^2_i$", "*star", "100 % & #1 ~ <a|b>", "ctrl {x}"]
    table = board(method=names, notes=["[x] \\\\ 50 %", None, None, None])
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + to_latex(shown(table, "b_%")) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").exists()
