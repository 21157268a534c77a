"""What the statistics of a leaderboard say, as Markdown and CSV."""

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from bench.leaderboard.columns import arrow
from bench.leaderboard.significance import EFFICIENCY, Significance
from bench.leaderboard.statistics import LEVEL, images_needed
from bench.metrics.statistic import Statistic
from bench.report.tables.markdown import markdown, markdown_row

PLANNED = (0.01, 0.02, 0.05, 0.1)
"""Differences of which the text says how many images would find them."""

_TESTS = {
    "wilcoxon": "Wilcoxon's signed-rank test",
    "permutation": "a paired permutation test of the mean",
}

_HOW_TO_READ = (
    "Methods that share a letter cannot be told apart; that does not mean that they are the same.",
    f"Difference: by how much the better mean is better. Interval: bootstrap over images (BCa, "
    f"paired), {1 - LEVEL:.0%} for one pair, not for all at once. p: corrected over all pairs "
    "(Holm), so an interval without zero may go with a p that finds nothing.",
    "Effect: rank-biserial correlation, 1 where the better method leads on every image, 0 where "
    "images for and against it weigh the same. Wins: share of images on which it leads; ties count "
    "half.",
    "Images: what this one pair needs for a power of 0.8, were the difference that was seen the "
    "true one. Differences that were seen are uncertain, and the largest of many are too large.",
)


def to_markdown(
    significances: Sequence[Significance],
    title: str,
    reference: str | None = None,
    against: Mapping[Statistic, pd.DataFrame] | None = None,
) -> str:
    """What can be said of one comparison: a section for each statistic.

    Args:
        significances: The significances of the same methods on the same images.
        title: What the rows share.
        reference: The row that the others were compared with, if one was named.
        against: By statistic, what `bench.leaderboard.significance.against_reference` gives.
    """
    lines = [f"## {markdown(title)}", ""]
    if len(significances[0].methods) < 2:
        return "\n".join([*lines, "One method: there is nothing to compare it with.", ""])
    for found in significances:
        lines += [f"### {markdown(found.statistic.name)} {arrow(found.statistic)}", ""]
        lines += _methods(found)
        if against and reference is not None:
            lines += _against(against[found.statistic], reference, found.test)
        lines += [*_pairs(found), *_win_rates(found), *_planned(found)]
    return "\n".join([*lines, *(f"- {line}" for line in _HOW_TO_READ), ""])


def pairs_csv(significances: Mapping[str, Sequence[Significance]]) -> str:
    """All pairs of all comparisons as CSV; six significant digits, blanks empty.

    Args:
        significances: By the comparisons' keys, which the leaderboard's CSV has, too.
    """
    tables = [
        found.pairs.assign(comparison=key, metric=found.statistic.name, test=found.test)
        for key, several in significances.items()
        for found in several
    ]
    if not tables:
        return ""
    table = pd.concat(tables, ignore_index=True)
    first = ["comparison", "metric", "test"]
    return table[[*first, *table.columns.drop(first)]].to_csv(index=False, float_format="%.6g")


def reference_csv(
    against: Mapping[str, Mapping[Statistic, pd.DataFrame]], reference: str, test: str
) -> str:
    """All comparisons with a reference as CSV; six significant digits, blanks empty.

    Args:
        against: By the comparisons' keys and by statistic, what
            `bench.leaderboard.significance.against_reference` gives.
        reference: The row that the others were compared with.
        test: A key of `bench.leaderboard.significance.TESTS`.
    """
    first = {"test": test, "reference": reference}
    tables = [
        pd.DataFrame({"comparison": key, "metric": statistic.name, **first, **found})
        for key, several in against.items()
        for statistic, found in several.items()
    ]
    if not tables:
        return ""
    return pd.concat(tables, ignore_index=True).to_csv(index=False, float_format="%.6g")


def _against(found: pd.DataFrame, reference: str, test: str) -> list[str]:
    titles = ["method", "difference", "95 %", "p raw", "p", "effect", "wins", "images"]
    rows = [
        [
            f"{row['method']}{' (control)' * row['control']}",
            f"{row['difference']:+.4f}",
            "" if np.isnan(row["ci_low"]) else f"{row['ci_low']:.4f}..{row['ci_high']:.4f}",
            *(_known(row[name], _p_value_alone) for name in ("p_raw", "p_value")),
            f"{row['effect_size']:+.2f}",
            f"{row['win_rate']:.0%}",
            str(row["n_images"]),
        ]
        for row in found.to_dict("records")
    ]
    told = (
        f"Against {markdown(reference)}, by {_TESTS[test]}: by how much each method is better (+) "
        f"or worse (-). p is corrected over these {len(rows)} (Holm)."
    )
    return [told, "", *_table(titles, rows)]


def _methods(found: Significance) -> list[str]:
    ranks = found.average_ranks
    rows = [[name, found.letters[name], f"{ranks[name]:.2f}"] for name in found.methods]
    lines = _table(["method", "letters", "average rank"], rows)
    if found.pairs["p_value"].isna().all():
        lines.append("- One image tells nothing of others: nothing is tested.")
    if np.isfinite(found.friedman_p):
        p_value = _p_value(found.friedman_p)
        lines.append(f"- That all methods are alike has p {p_value} (Friedman's test).")
    if np.isfinite(found.critical_difference):
        lines.append(
            "- Average ranks that are further apart than "
            f"{found.critical_difference:.2f} differ (Nemenyi, {LEVEL})."
        )
    if np.isfinite(found.alpha):
        told = f"Krippendorff's alpha of the images' rankings is {found.alpha:.2f}."
        lines.append(f"- {told} {_agreement(found.alpha)}")
    return [*lines, ""]


def _agreement(alpha: float) -> str:
    """How to read an alpha, by Krippendorff's own bounds."""
    if alpha >= 0.8:
        return "Images agree on the order of the methods: most single images show it."
    if alpha >= 0.667:
        return "Images agree roughly on the order of the methods; some show another."
    if alpha > 0:
        return (
            "Images agree on the order of the methods better than by chance, but a single image, "
            "or a few, may show quite another (reliable from 0.80, with reserve from 0.67)."
        )
    return "Images do not agree on the order of the methods better than by chance."


def _pairs(found: Significance) -> list[str]:
    titles = ["better", "worse", "difference", "95 %", "p", "effect", "wins", "images"]
    rows = [
        [
            str(pair["better"]),
            str(pair["worse"]),
            f"{pair['difference']:.4f}",
            "" if np.isnan(pair["ci_low"]) else f"{pair['ci_low']:.4f}..{pair['ci_high']:.4f}",
            _known(pair["p_value"], _p_value_alone),
            f"{pair['effect_size']:.2f}",
            f"{pair['win_rate']:.0%}",
            _known(pair["images_needed"], _count),
        ]
        for pair in found.pairs.to_dict("records")
    ]
    return [f"Pairs, by {_TESTS[found.test]}:", "", *_table(titles, rows)]


def _win_rates(found: Significance) -> list[str]:
    rows = [
        [
            name,
            *(
                "" if name == other else f"{found.win_rates[other][name]:.0%}"
                for other in found.methods
            ),
        ]
        for name in found.methods
    ]
    return [
        "Share of images on which the row beats the column:",
        "",
        *_table(["", *found.methods], rows),
    ]


def _planned(found: Significance) -> list[str]:
    """How many images differences of given sizes need, between methods as alike as the median."""
    deviation = found.pairs["deviation"].median()
    if not deviation > 0:
        return []
    efficiency = EFFICIENCY[found.test]
    told = ", ".join(
        f"{size:g}: {_count(images_needed(size, deviation, efficiency=efficiency))}"
        for size in PLANNED
    )
    return [
        "Images that a difference of a given size needs (one pair, power 0.8, at the median "
        f"deviation of {deviation:.3f}): {told}.",
        "",
    ]


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [markdown_row(map(markdown, titles)), "|" + "---|" * len(titles)]
    return [*lines, *(markdown_row(map(markdown, row)) for row in rows), ""]


def _p_value(value: float) -> str:
    return "< 0.0001" if value < 0.0001 else f"= {value:.4f}"


def _p_value_alone(value: float) -> str:
    return _p_value(value).removeprefix("= ")


def _count(value: float) -> str:
    return "∞" if np.isinf(value) else f"{value:,.0f}" if value < 1e6 else "> 1,000,000"


def _known(value: float, told: Callable[[float], str]) -> str:
    return "" if np.isnan(value) else told(value)
