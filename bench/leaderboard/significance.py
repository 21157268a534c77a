"""Which methods of a comparison differ significantly, and by how much."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import require_known
from bench.leaderboard import statistics
from bench.leaderboard.comparison import Comparison
from bench.metrics.statistic import Statistic

TESTS = {
    "wilcoxon": statistics.wilcoxon_p_values,
    "permutation": statistics.permutation_p_values,
}
"""Paired tests of differences (n, k); p-values (k,)."""

EFFICIENCY = {"wilcoxon": 3 / np.pi, "permutation": 1.0}
"""Of the tests, relative to the t-test: see `bench.leaderboard.statistics.images_needed`."""


@dataclass(frozen=True)
class Significance:
    """Methods on one statistic: each against each, and all together.

    Attributes:
        statistic: What they are compared by.
        methods: Best mean first.
        letters: By method; methods that share a letter cannot be told apart at
            `statistics.LEVEL`.
        pairs: A row an unordered pair: `better`, `worse` (by their means), `difference` by which
            the better is better (>= 0 whichever way is up), `ci_low` and `ci_high` (BCa, paired,
            95 % for this pair alone), `p_raw`, `p_value` (corrected by Holm over all pairs),
            `effect_size` (rank-biserial) and `win_rate` of the better one, `images_needed` to find
            such a difference of one pair with power 0.8, `deviation`, the standard deviation of
            the images' differences, and `n_images`.
        win_rates: Methods x methods: share of images on which the row beats the column, ties half.
        average_ranks: By method, 1 = best.
        critical_difference: Nemenyi's; NaN where it is not defined.
        friedman_p: That the methods do not differ at all; NaN for fewer than three.
        alpha: Krippendorff's, of the images' rankings of the methods.
        test: The key of `TESTS` that the p-values and letters are of.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = significance(example_comparison(), "insertion")
        >>> found.letters  # what shares a letter cannot be told apart
        {'rise': 'a', 'grad_cam': 'a', 'random': 'b'}
        >>> float(found.win_rates.loc["rise", "grad_cam"]), round(found.friedman_p, 4)
        (0.625, 0.0022)
    """

    statistic: Statistic
    methods: list[str]
    letters: dict[str, str]
    pairs: pd.DataFrame
    win_rates: pd.DataFrame
    average_ranks: pd.Series
    critical_difference: float
    friedman_p: float
    alpha: float
    test: str = "wilcoxon"


def significance(
    comparison: Comparison, statistic: Statistic | str, test: str = "wilcoxon"
) -> Significance:
    """Compares all methods by one statistic.

    With one image there are no p-values and no intervals, and all methods share a letter.

    Args:
        comparison: The methods, and their images.
        statistic: One of `comparison.tested`, or its name.
        test: A key of `TESTS`.

    Returns:
        Pairs, letters, win rates, ranks and tests of all methods together.

    Raises:
        BenchError: The statistic or the test is not known.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = significance(example_comparison(), "insertion")
        >>> columns = ["better", "worse", "difference", "p_value", "win_rate"]
        >>> for pair in found.pairs[columns].round(3).itertuples(index=False):
        ...     print(*pair)
        rise grad_cam 0.04 0.102 0.625
        rise random 0.15 0.023 1.0
        grad_cam random 0.11 0.023 1.0
    """
    statistic = comparison.statistic(statistic)
    values = _best_first(comparison, statistic)
    n, methods = len(values), [str(name) for name in values]
    differences = _differences(values)
    means = values.mean().to_numpy()
    first, second = np.triu_indices(len(methods), 1)
    wins = statistics.win_rates(values)
    deviations = differences.std(axis=0, ddof=1) if n > 1 else np.full(len(first), np.nan)
    pairs = _pairs(values, test).assign(
        difference=means[first] - means[second],
        **_intervals_and_effects(differences),
        win_rate=wins[first, second],
        deviation=deviations,
        n_images=n,
    )
    pairs["images_needed"] = [
        statistics.images_needed(difference, deviation, efficiency=EFFICIENCY[test])
        for difference, deviation in zip(pairs["difference"], deviations, strict=True)
    ]
    return Significance(
        statistic=statistic,
        methods=methods,
        letters=_letters(methods, pairs),
        pairs=pairs[[*PAIR_COLUMNS]],
        win_rates=pd.DataFrame(wins, index=methods, columns=methods),
        average_ranks=pd.Series(statistics.ranks(values).mean(axis=0), index=methods),
        critical_difference=statistics.critical_difference(len(methods), n),
        friedman_p=statistics.friedman_p_value(values),
        alpha=statistics.krippendorff_alpha(statistics.ranks(values)),
        test=test,
    )


PAIR_COLUMNS = {
    "better": "The method with the better mean",
    "worse": "The other one",
    "difference": "By how much its mean is better, whichever way is up",
    "ci_low": "Lower end of the difference's 95 % interval, for this pair alone",
    "ci_high": "Upper end of that interval",
    "p_raw": "p-value of the difference, of this pair alone",
    "p_value": "p-value, Holm-adjusted over all pairs",
    "effect_size": "Matched-pairs rank-biserial correlation of the better one",
    "win_rate": "Share of images on which the better one is ahead, ties half",
    "images_needed": "Images to find such a difference of one pair with power 0.8",
    "deviation": "Standard deviation of the images' differences",
    "n_images": "Images that both have a value of",
}
"""The columns of `Significance.pairs`, with what each holds."""


def against_best(
    comparison: Comparison, statistic: Statistic | str, test: str = "wilcoxon"
) -> pd.DataFrame:
    """What a leaderboard shows of `significance`, without the intervals that take most of the time.

    The best method is chosen by the same images, so p-values are corrected over all pairs, not
    over those with the best one only; methods with the best one's letter are those with p >= 0.05.

    Args:
        comparison: The methods, and their images.
        statistic: One of `comparison.tested`, or its name.
        test: A key of `TESTS`.

    Returns:
        Methods down, best mean first; `letters`, and `p_value` against the best one: NaN for
        itself, and for all where there is one image only.

    Raises:
        BenchError: The statistic or the test is not known.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> against_best(example_comparison(), "insertion").round(3).loc["random"].to_dict()
        {'letters': 'b', 'p_value': 0.023}
    """
    values = _best_first(comparison, comparison.statistic(statistic))
    methods, pairs = [str(name) for name in values], _pairs(values, test)
    against = pairs[pairs["better"] == methods[0]].set_index("worse")["p_value"]
    letters = _letters(methods, pairs)
    return pd.DataFrame(
        {"letters": [letters[name] for name in methods], "p_value": against.reindex(methods)},
        index=pd.Index(methods),
    )


def against_reference(
    comparison: Comparison, statistic: Statistic | str, reference: str, test: str = "wilcoxon"
) -> pd.DataFrame:
    """Each method against one that was chosen beforehand: k - 1 comparisons in place of all pairs.

    P-values are corrected over these comparisons alone, so a difference that all pairs would bury
    may be found. Choose the reference before the numbers are seen: p-values against a method that
    was picked because it came out best are those of `against_best`. Controls are rows like any
    other, so they are compared and counted, too.

    Args:
        comparison: The methods, and their images.
        statistic: One of `comparison.tested`, or its name.
        reference: A key of `comparison.runs`.
        test: A key of `TESTS`.

    Returns:
        A row a method, best mean first: `method`; `difference`, by which it is better than the
        reference (negative where it is worse, whichever way is up), `ci_low` and `ci_high` (BCa,
        paired, 95 % for this pair alone); `p_raw`, and `p_value` (corrected by Holm): NaN where
        there is one image only; `effect_size` (rank-biserial) and `win_rate` of the method;
        `n_images`; `control`, whether it is one. A method without values of the statistic has no
        row, and there are none where that is the reference.

    Raises:
        BenchError: The statistic, the reference or the test is not known.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = against_reference(example_comparison(), "deletion", reference="random")
        >>> columns = ["method", "difference", "p_value", "win_rate"]
        >>> for row in found[columns].round(3).itertuples(index=False):
        ...     print(*row)
        rise 0.15 0.016 1.0
        grad_cam 0.11 0.016 1.0
    """
    require_known("reference", reference, comparison.runs)
    require_known("test", test, TESTS)
    values = _best_first(comparison, comparison.statistic(statistic))
    if reference not in values:
        values = values.iloc[:, :0]
    others = [str(name) for name in values if name != reference]
    means = values.mean()
    differences = np.empty((len(values), 0))
    if others:
        differences = values[others].sub(values[reference], axis=0).round(9).to_numpy()
    return pd.DataFrame(
        {
            "method": others,
            "difference": [means[name] - means[reference] for name in others],
            **_intervals_and_effects(differences),
            **_p_values(differences, test),
            "win_rate": [float(rate) for rate in ((1 + np.sign(differences).mean(axis=0)) / 2)],
            "n_images": len(values),
            "control": [name in comparison.controls for name in others],
        }
    )[_REFERENCE_COLUMNS]


_REFERENCE_COLUMNS = (
    "method difference ci_low ci_high p_raw p_value effect_size win_rate n_images control"
).split()


def _best_first(comparison: Comparison, statistic: Statistic) -> pd.DataFrame:
    """Finite values (n, m), higher = better, the best mean first."""
    require_known("statistic", statistic.name, [known.name for known in comparison.tested])
    values = comparison.tested_values(statistic) * (1 if statistic.higher_is_better else -1)
    values = values.round(9)  # what differs by rounding alone ties
    return values[values.mean().sort_values(ascending=False, kind="stable").index]


def _differences(values: pd.DataFrame) -> NDArray[np.float64]:
    """Better minus worse (n, pairs), in the order of `numpy.triu_indices`."""
    array = values.to_numpy()
    first, second = np.triu_indices(array.shape[1], 1)
    return (array[:, first] - array[:, second]).round(9)


def _intervals_and_effects(differences: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """`ci_low`, `ci_high` and `effect_size` of differences (n, pairs)."""
    low, high = statistics.bootstrap_intervals(differences).T
    effects = statistics.rank_biserial(differences)
    return {"ci_low": low, "ci_high": high, "effect_size": effects}


def _p_values(differences: NDArray[np.float64], test: str) -> dict[str, NDArray[np.float64]]:
    """`p_raw` of differences (n, pairs), and `p_value`, corrected over all of them."""
    if len(differences) < 2:
        unknown = np.full(differences.shape[1], np.nan)
        return {"p_raw": unknown, "p_value": unknown}
    raw = TESTS[test](differences)
    return {"p_raw": raw, "p_value": statistics.holm(raw)}


def _pairs(values: pd.DataFrame, test: str) -> pd.DataFrame:
    """`better`, `worse`, `p_raw` and the corrected `p_value` of all pairs."""
    require_known("test", test, TESTS)
    methods = np.array(values.columns, dtype=object)
    first, second = np.triu_indices(len(methods), 1)
    p_values = _p_values(_differences(values), test)
    return pd.DataFrame({"better": methods[first], "worse": methods[second], **p_values})


def _letters(methods: list[str], pairs: pd.DataFrame) -> dict[str, str]:
    different = np.zeros((len(methods), len(methods)), dtype=bool)
    different[np.triu_indices(len(methods), 1)] = pairs["p_value"] < statistics.LEVEL
    return dict(zip(methods, statistics.letters(different | different.T), strict=True))
