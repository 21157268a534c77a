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
            95 % for this pair alone), `p_value` (corrected by Holm over all pairs),
            `effect_size` (rank-biserial) and `win_rate` of the better one, `images_needed` to find
            such a difference of one pair with power 0.8, and `deviation`, the standard deviation
            of the images' differences.
        win_rates: Methods x methods: share of images on which the row beats the column, ties half.
        average_ranks: By method, 1 = best.
        critical_difference: Nemenyi's; NaN where it is not defined.
        friedman_p: That the methods do not differ at all; NaN for fewer than three.
        alpha: Krippendorff's, of the images' rankings of the methods.
        test: The key of `TESTS` that the p-values and letters are of.
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

    Raises:
        BenchError: The statistic or the test is not known.
    """
    statistic = comparison.statistic(statistic)
    values = _best_first(comparison, statistic)
    pairs = _pairs(values, test)
    n, methods = len(values), [str(name) for name in values]
    differences = _differences(values)
    low, high = statistics.bootstrap_intervals(differences).T
    means = values.mean().to_numpy()
    first, second = np.triu_indices(len(methods), 1)
    wins = statistics.win_rates(values)
    deviations = differences.std(axis=0, ddof=1) if n > 1 else np.full(len(pairs), np.nan)
    pairs = pairs.assign(
        difference=means[first] - means[second],
        ci_low=low,
        ci_high=high,
        effect_size=statistics.rank_biserial(differences),
        win_rate=wins[first, second],
        deviation=deviations,
    )
    pairs["images_needed"] = [
        statistics.images_needed(difference, deviation, efficiency=EFFICIENCY[test])
        for difference, deviation in zip(pairs["difference"], deviations, strict=True)
    ]
    return Significance(
        statistic=statistic,
        methods=methods,
        letters=_letters(methods, pairs),
        pairs=pairs[_PAIR_COLUMNS],
        win_rates=pd.DataFrame(wins, index=methods, columns=methods),
        average_ranks=pd.Series(statistics.ranks(values).mean(axis=0), index=methods),
        critical_difference=statistics.critical_difference(len(methods), n),
        friedman_p=statistics.friedman_p_value(values),
        alpha=statistics.krippendorff_alpha(statistics.ranks(values)),
        test=test,
    )


_PAIR_COLUMNS = (
    "better worse difference ci_low ci_high p_value effect_size win_rate images_needed deviation"
).split()


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
    """
    values = _best_first(comparison, comparison.statistic(statistic))
    methods, pairs = [str(name) for name in values], _pairs(values, test)
    against = pairs[pairs["better"] == methods[0]].set_index("worse")["p_value"]
    letters = _letters(methods, pairs)
    return pd.DataFrame(
        {"letters": [letters[name] for name in methods], "p_value": against.reindex(methods)},
        index=pd.Index(methods),
    )


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


def _pairs(values: pd.DataFrame, test: str) -> pd.DataFrame:
    """`better`, `worse` and the corrected `p_value` of all pairs."""
    require_known("test", test, TESTS)
    methods = np.array(values.columns, dtype=object)
    first, second = np.triu_indices(len(methods), 1)
    if len(values) < 2:
        p_values = np.full(len(first), np.nan)
    else:
        p_values = statistics.holm(TESTS[test](_differences(values)))
    return pd.DataFrame({"better": methods[first], "worse": methods[second], "p_value": p_values})


def _letters(methods: list[str], pairs: pd.DataFrame) -> dict[str, str]:
    different = np.zeros((len(methods), len(methods)), dtype=bool)
    different[np.triu_indices(len(methods), 1)] = pairs["p_value"] < statistics.LEVEL
    return dict(zip(methods, statistics.letters(different | different.T), strict=True))
