import io

import pandas as pd
import pytest
from compared import STATISTICS

from bench.leaderboard.robustness import Robustness
from bench.report.robustness import CSV_PARTS, to_csv, to_markdown

SETTINGS = ["zero", "zero, quantus", "black", "black, quantus"]


def made(means, p_values=None, left_out=(), metric="insertion"):
    table = pd.DataFrame(means, index=SETTINGS).T
    names = table.index.tolist()
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    index = pd.MultiIndex.from_arrays(
        [[a for a, _ in pairs], [b for _, b in pairs]], names=["better", "worse"]
    )
    p = pd.DataFrame(1.0, index=index, columns=SETTINGS)
    for pair, values in (p_values or {}).items():
        p.loc[pair] = values
    return Robustness(
        "birds · toy", STATISTICS[metric], 20, ("zero", "black"), table, p, tuple(left_out)
    )


@pytest.fixture
def found():
    return made(
        {"a|b": [0.9, 5, 0.8, 4], "c": [0.7, 4, 0.9, 5], "d": [0.1, 1, 0.1, 1]},
        {("a|b", "c"): [0.01, 0.2, 0.02, 0.2], ("c", "d"): [0.01, 0.01, 0.01, 0.01]},
    )


def test_what_people_read(found):
    text = to_markdown([found], "my*board")
    lines = text.splitlines()
    assert lines[0] == r"# my\*board: robustness"
    assert lines[2] == "## birds · toy · 20 images · insertion ↑"
    assert lines[3:6] == [
        "",
        "3 methods under 4 settings (2 protocols); the reference is zero. tau with the reference: "
        "0.33..1.00, median 0.33. Of 3 pairs of methods 2 are in the same order in all settings, 1 "
        "of them significantly in all. Significant one way in one setting and the other way in "
        "another: 1.",
        "",
    ]
    for row in (
        r"| a\|b | 1 | 2 |",  # ranks
        "| zero | 1.00 | 0.33 |",  # tau between protocols
        "| black | 1.00 |",  # of its quantus with its own rule
        r"| a\|b | d | c (2 of 4) |",
        r"| c | d\* |  |",
        r"| black | c before a\|b |",
    ):
        assert row in lines, row
    assert "Left out" not in text


def test_deletion_and_methods_left_out(found):
    means = found.means.T.to_dict("list")
    text = to_markdown([made(means, left_out=["e", "f"], metric="deletion")], "board")
    assert "## birds · toy · 20 images · deletion ↓" in text
    assert "Left out, not in all protocols with the same maps: e, f." in text
    assert "| d | 1 | 1 |" in text


@pytest.mark.parametrize("means", [{}, {"a": [1, 1, 1, 1]}])
def test_without_two_methods_there_is_no_table(means):
    result = made(means or {"x": [1] * 4})
    if not means:
        result = Robustness(
            result.title,
            result.statistic,
            20,
            result.protocols,
            result.means.iloc[:0],
            result.p_values,
            ("x",),
        )
    text = to_markdown([result], "board")
    assert "there is no order" in text
    assert "|" not in text
    for part in CSV_PARTS:
        assert to_csv([result], part).count("\n") >= 1


def test_csv_holds_all_settings(found):
    tables = {part: pd.read_csv(io.StringIO(to_csv([found, found], part))) for part in CSV_PARTS}
    assert all(table.columns[:2].tolist() == ["data", "metric"] for table in tables.values())
    settings = tables["settings"]
    assert len(settings) == 2 * 4 * 3
    row = settings[(settings["setting"] == "black, quantus") & (settings["method"] == "c")].iloc[0]
    assert row[["mean", "rank", "tau"]].tolist() == pytest.approx([5, 1, 1 / 3], abs=1e-6)
    tau = tables["tau"].set_index(["setting", "other"])["tau"].loc[("black", "zero")]
    assert tau.tolist() == pytest.approx([1 / 3, 1 / 3], abs=1e-6)
    swaps = tables["swaps"].iloc[0]
    assert swaps[["setting", "better", "worse"]].tolist() == ["black", "a|b", "c"]
    assert swaps[
        ["reference_difference", "difference", "reference_p_value", "p_value"]
    ].tolist() == (pytest.approx([0.2, -0.1, 0.01, 0.02]))
    conclusions = tables["conclusions"].iloc[0]
    assert conclusions.tolist() == ["birds · toy", "insertion", "a|b", "c", 4, 2, 1, 2, 1]
