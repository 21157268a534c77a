import io

import numpy as np
import pandas as pd
import pytest
from compared import STATISTICS

from bench.leaderboard.significance import Significance
from bench.report.statistics import pairs_csv, to_markdown


def made(metric="insertion", names=("rise", "edge"), **changes):
    best, *others = names
    pairs = {
        "better": best,
        "worse": others,
        "difference": 0.125,
        "ci_low": 0.1,
        "ci_high": 0.15,
        "p_value": 0.03125,
        "effect_size": 0.75,
        "win_rate": 0.9,
        "images_needed": 1234.0,
        "deviation": 0.2,
    }
    settings = {
        "statistic": STATISTICS[metric],
        "methods": [*names],
        "letters": dict(zip(names, "abcdef", strict=False)),
        "pairs": pd.DataFrame(pairs | changes.pop("pairs", {})),
        "win_rates": pd.DataFrame(0.9, index=names, columns=names),
        "average_ranks": pd.Series(np.arange(1.0, 1 + len(names)), index=names),
        "critical_difference": 0.5,
        "friedman_p": 1e-9,
        "alpha": 0.5,
    }
    return Significance(**settings | changes)


def test_every_number_has_its_place():
    lines = to_markdown([made(), made("deletion")], "birds · toy").splitlines()
    assert lines[0] == "## birds · toy"
    assert [line for line in lines if line.startswith("### ")] == [
        "### insertion ↑",
        "### deletion ↓",
    ]
    assert lines.count("| rise | a | 1.00 |") == lines.count("| edge | b | 2.00 |") == 2
    pair = "| rise | edge | 0.1250 | 0.1000..0.1500 | 0.0312 | 0.75 | 90% | 1,234 |"
    assert lines.count(pair) == 2
    assert lines.count("| rise |  | 90% |") == lines.count("| edge | 90% |  |") == 2
    assert "- That all methods are alike has p < 0.0001 (Friedman's test)." in lines
    assert "- Average ranks that are further apart than 0.50 differ (Nemenyi, 0.05)." in lines


def test_tables_are_as_wide_as_their_heads():
    text = to_markdown([made(names=("rise", "ed|ge", "c"), pairs={"worse": ["ed|ge", "c"]})], "t")
    for table in text.split("\n\n"):
        rows = [line.replace("\\|", "") for line in table.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1
    assert "ed\\|ge" in text


@pytest.mark.parametrize(
    ("alpha", "sentence"),
    [
        (0.85, "is 0.85. Images agree on the order of the methods: most"),
        (0.7, "is 0.70. Images agree roughly"),
        (0.3, "is 0.30. Images agree on the order of the methods better than by chance, but"),
        (-0.1, "is -0.10. Images do not agree"),
    ],
)
def test_alpha_is_explained(alpha, sentence):
    assert sentence in to_markdown([made(alpha=alpha)], "t")


def test_planned_differences_need_fewer_images_of_the_test_of_means():
    # 7.849 / (0.01 / 0.2)^2, where 7.849 = (z(0.975) + z(0.8))^2, and two more for the t-test
    assert "median deviation of 0.200): 0.01: 3,142, " in to_markdown(
        [made(test="permutation")], "t"
    )
    by_ranks = to_markdown([made(test="wilcoxon")], "t")
    assert "median deviation of 0.200): 0.01: 3,290, " in by_ranks
    assert "Pairs, by Wilcoxon's signed-rank test:" in by_ranks


def test_what_is_not_defined_is_left_out():
    unknown = dict.fromkeys(["ci_low", "ci_high", "p_value", "images_needed", "deviation"], np.nan)
    nothing = dict.fromkeys(["critical_difference", "friedman_p", "alpha"], np.nan)
    text = to_markdown([made(pairs=unknown, **nothing)], "t")
    assert "| rise | edge | 0.1250 |  |  | 0.75 | 90% |  |" in text
    assert "- One image tells nothing of others: nothing is tested." in text
    for absent in ("nan", "Nemenyi", "Friedman", "alpha", "median deviation"):
        assert absent not in text


def test_methods_that_are_the_same_need_infinitely_many_images():
    text = to_markdown([made(pairs={"images_needed": np.inf, "deviation": 0.0})], "t")
    assert "| 90% | ∞ |" in text
    assert "| 90% | > 1,000,000 |" in to_markdown([made(pairs={"images_needed": 5e7})], "t")


def test_one_method_has_nothing_to_be_compared_with():
    assert "One method" in to_markdown([made(names=("rise",), pairs={"worse": []})], "t")


def test_csv_has_all_pairs_and_reads_back():
    many = {
        "0a": [made(), made("deletion", test="permutation")],
        "0b": [made(pairs={"p_value": 1.5e-9})],
    }
    table = pd.read_csv(io.StringIO(pairs_csv(many)))
    assert table["comparison"].tolist() == ["0a", "0a", "0b"]
    assert table["metric"].tolist() == ["insertion", "deletion", "insertion"]
    assert table["test"].tolist() == ["wilcoxon", "permutation", "wilcoxon"]
    assert table["p_value"].tolist() == [0.03125, 0.03125, 1.5e-9]
    assert table.columns.tolist()[3:] == made().pairs.columns.tolist()
    assert pairs_csv({}) == ""
