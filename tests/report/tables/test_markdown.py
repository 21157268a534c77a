import numpy as np
import pandas as pd
from leaderboard_rows import LEGEND, board, shown

from bench.report.tables import to_markdown


def cells(markdown, method):
    (line,) = [line for line in markdown.splitlines() if method in line]
    return [cell.strip() for cell in line.strip("|").split(" | ")]


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
    assert [cells(text, name)[2].count("\\*") for name in ("lime", "edge_map", "center")] == [
        0,
        1,
        2,
    ]


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
