"""Statistics of methods that share their images.

Arrays hold an image a row and a method, or a pair of methods, a column. Differences of pairs are
better minus worse: positive where the better of two is better on an image, too.
"""

import warnings
from collections.abc import Callable
from functools import partial
from string import ascii_letters
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

Floats = NDArray[np.float64]
"""An array of float64."""

LEVEL = 0.05
"""P-values below this are significant."""

SIGN_FLIPS = 9999
"""Least number of a permutation test's draws; with up to 13 images all patterns are tried."""


def bootstrap_intervals(
    values: ArrayLike, confidence: float = 0.95, resamples: int = 9999, seed: int = 0
) -> Floats:
    """Bootstrap intervals (BCa) of the means of several columns.

    All columns share their resamples, which draw images: of differences of methods these are
    paired intervals. Drawing is what costs, so many columns take hardly longer than one.

    Args:
        values: (n, k) an image a row.
        confidence: Coverage.
        resamples: Number of resamples.
        seed: Seed of the resampling.

    Returns:
        (k, 2) low and high ends; NaN for fewer than two images and for columns that are not
        finite, the value itself where all are equal.

    Source: Efron 1987, Better bootstrap confidence intervals, JASA 82.

    Example:
        >>> values = [[0.2, 0.5], [0.4, 0.5], [0.6, 0.5], [0.9, 0.5]]
        >>> bootstrap_intervals(values).round(3).tolist()  # of both methods' means
        [[0.3, 0.775], [0.5, 0.5]]
    """
    values = np.asarray(values, dtype=np.float64)
    n, k = values.shape
    intervals = np.full((k, 2), np.nan)
    if n < 2:
        return intervals
    constant = (values == values[0]).all(axis=0)
    intervals[constant] = values[0, constant, None]
    varying = ~constant & np.isfinite(values).all(axis=0)
    if not varying.any():
        return intervals
    centre, spread = values[:, varying].mean(axis=0), values[:, varying].std(axis=0)
    scaled = (values[:, varying] - centre) / spread
    with warnings.catch_warnings():
        # With almost no spread BCa is undefined; scipy warns and gives NaN, which we show.
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.arange(n),),
            partial(_means_of_drawn, scaled),
            vectorized=True,
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, 1_000_000 // n),  # 8 MB a copy
            rng=np.random.default_rng(seed),
        ).confidence_interval
    intervals[varying] = np.stack([found.low, found.high], axis=1) * spread[:, None]
    intervals[varying] += centre[:, None]
    return intervals


def pooled_interval(
    pooled: Callable[[Floats], Floats],
    images: int,
    confidence: float = 0.95,
    resamples: int = 9999,
    seed: int = 0,
) -> tuple[float, float]:
    """Bootstrap interval (percentiles) of a number that is read off a set of images together.

    Args:
        pooled: How often images are drawn (draws, n) to the number of each draw (draws,).
        images: n.
        confidence: Coverage.
        resamples: Number of draws.
        seed: Seed of the draws.

    Returns:
        Low and high end; NaN for fewer than two images.

    Source: Efron 1979, Bootstrap methods: another look at the jackknife, Annals of Statistics 7.

    Example:
        >>> hits = np.array([1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0])
        >>> def share(counts):
        ...     return counts @ hits / counts.sum(axis=1)
        >>> pooled_interval(share, images=8)
        (0.375, 1.0)
    """
    if images < 2:
        return np.nan, np.nan
    rng = np.random.default_rng(seed)
    size = max(1, 1_000_000 // images)  # 8 MB a batch
    found = []
    for start in range(0, resamples, size):
        drawn = rng.integers(0, images, (min(size, resamples - start), images))
        cells = drawn + images * np.arange(len(drawn))[:, None]
        counts = np.bincount(cells.ravel(), minlength=drawn.size).reshape(drawn.shape)
        found.append(pooled(counts.astype(np.float64)))
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(np.concatenate(found), [tail, 100 - tail])
    return float(low), float(high)


def _means_of_drawn(values: Floats, images: ArrayLike, **_axis: int) -> Floats:
    """Means (k, ...) of values (n, k) over drawn images (..., draws)."""
    images, n = np.asarray(images, dtype=np.intp), len(values)
    drawn = images.reshape(-1, images.shape[-1])
    cells = drawn + n * np.arange(len(drawn))[:, None]
    counts = np.bincount(cells.ravel(), minlength=n * len(drawn)).reshape(-1, n)
    found = (counts @ values).T.reshape(-1, *images.shape[:-1]) / images.shape[-1]
    return found.round(12)  # means of the same images in another order are the same


def wilcoxon_p_values(differences: ArrayLike) -> Floats:
    """Wilcoxon's signed-rank test, two-sided: do differences lean to one side of zero?

    Differences of zero are left out (`zero_method="wilcox"`, as Wilcoxon and R do); a column of
    nothing else has p = 1. P-values are exact up to 50 images, up to 13 where sizes of differences
    tie, and by the normal approximation (no continuity correction) otherwise.

    Args:
        differences: (n, k) a pair of methods a column.

    Returns:
        (k,) not corrected for the number of pairs.

    Source: Wilcoxon 1945, Individual comparisons by ranking methods, Biometrics Bulletin 1.
    Recommended for two methods on many data sets by Demsar 2006, JMLR 7.

    Example:
        >>> all_better = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        >>> mixed = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6]
        >>> wilcoxon_p_values(np.transpose([all_better, mixed])).tolist()
        [0.03125, 0.84375]
    """
    found = []
    for column in np.asarray(differences, dtype=np.float64).T:
        # Left out before scipy sees them: with zeros it would give up exact p-values.
        column = column[column != 0]
        found.append(stats.wilcoxon(column).pvalue if len(column) else 1.0)
    return np.array(found, dtype=np.float64)


def permutation_p_values(differences: ArrayLike, seed: int = 0) -> Floats:
    """Paired permutation test of the mean, two-sided: how often do random signs reach it?

    Exact up to 13 images, where all patterns of signs are tried; drawn otherwise. All columns
    share the draws. There are at least 100 draws a column, so that Holm's correction of the
    smallest p-value that can come out leaves it below 0.05.

    Args:
        differences: (n, k) a pair of methods a column.
        seed: Seed of the signs.

    Returns:
        (k,) not corrected for the number of pairs.

    Source: Fisher 1935, The design of experiments, section 21. Phipson and Smyth 2010 for the one
    that is added to both counts where signs are drawn.

    Example:
        >>> all_better = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
        >>> mixed = [0.1, -0.2, 0.3, -0.4, 0.5, -0.6]
        >>> permutation_p_values(np.transpose([all_better, mixed])).tolist()
        [0.03125, 0.84375]
    """
    differences = np.asarray(differences, dtype=np.float64)
    n, k = differences.shape
    if n < 2 or not k:  # one sign has two patterns, both as likely as ours
        return np.ones(k)
    largest = np.abs(differences).max(axis=0)
    scaled = differences / np.where(largest > 0, largest, 1)

    def means(signs: Floats, **_axis: int) -> Floats:
        return (signs @ scaled / n).round(12)  # patterns that tie with ours are to count

    return stats.permutation_test(
        (np.ones(n),),
        means,
        permutation_type="samples",
        vectorized=True,
        n_resamples=max(SIGN_FLIPS, 100 * k - 1),
        batch=max(1, 5_000_000 // n),
        rng=np.random.default_rng(seed),
    ).pvalue


def holm(p_values: ArrayLike) -> Floats:
    """P-values corrected so that the chance of any false finding stays below the level.

    The smallest of k is multiplied by k, the next by k - 1, and so on; none may be below the one
    before it, none above 1.

    Args:
        p_values: (k,) of one family of tests.

    Returns:
        (k,) in the same order.

    Source: Holm 1979, A simple sequentially rejective multiple test procedure, Scandinavian
    Journal of Statistics 6.

    Example:
        >>> holm([0.01, 0.04, 0.03]).round(3).tolist()
        [0.03, 0.06, 0.06]
    """
    p_values = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p_values, kind="stable")
    steps = p_values[order] * np.arange(len(p_values), 0, -1)
    adjusted = np.empty_like(p_values)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1)
    return adjusted


def win_rates(values: ArrayLike) -> Floats:
    """Shares of images on which one method beats another; ties count half.

    Args:
        values: (n, m) higher is better.

    Returns:
        (m, m) row beats column; [i, j] + [j, i] = 1, so 0.5 on the diagonal. NaN without images.

    Example:
        >>> win_rates([[0.9, 0.1], [0.8, 0.2], [0.3, 0.3], [0.1, 0.7]]).tolist()
        [[0.5, 0.625], [0.375, 0.5]]
    """
    values = np.asarray(values, dtype=np.float64)
    if not len(values):
        return np.full((values.shape[1],) * 2, np.nan)
    return np.stack([(1 + np.sign(one[:, None] - values).mean(axis=0)) / 2 for one in values.T])


def ranks(values: ArrayLike) -> Floats:
    """Ranks (n, m) of the methods on each image, 1 = best; methods that tie share the mean rank.

    Args:
        values: (n, m) higher is better.

    Returns:
        (n, m) float64.

    Example:
        >>> ranks([[0.9, 0.1, 0.5], [0.4, 0.4, 0.2]]).tolist()
        [[1.0, 3.0, 2.0], [1.5, 1.5, 3.0]]
    """
    return stats.rankdata(-np.asarray(values, dtype=np.float64), axis=1).reshape(np.shape(values))


def friedman_p_value(values: ArrayLike) -> float:
    """Friedman's test: do the methods' average ranks differ more than chance would have it?

    Args:
        values: (n, m) an image a row, a method a column.

    Returns:
        The p-value (chi-square, corrected for ties); 1 if all methods tie on every image, NaN for
        fewer than three methods or two images.

    Source: Friedman 1937, The use of ranks to avoid the assumption of normality, JASA 32.

    Example:
        >>> round(friedman_p_value([[0.9, 0.5, 0.1]] * 5), 4)  # five images that agree
        0.0067
    """
    values = np.asarray(values, dtype=np.float64)
    n, m = values.shape
    if m < 3 or n < 2:
        return np.nan
    if (values == values[:, :1]).all():
        return 1.0
    return float(stats.friedmanchisquare(*values.T).pvalue)


def critical_difference(num_methods: int, num_images: int, level: float = 0.05) -> float:
    """Nemenyi's critical difference: average ranks further apart than this differ.

    Args:
        num_methods: How many methods were ranked.
        num_images: On how many images.
        level: Chance of any false finding.

    Returns:
        A difference of average ranks; NaN for fewer than two methods or images.

    Source: Demsar 2006, Statistical comparisons of classifiers over multiple data sets, JMLR 7,
    section 3.2.2.

    Example:
        >>> round(critical_difference(num_methods=4, num_images=14), 3)
        1.254
    """
    if num_methods < 2 or num_images < 2:
        return np.nan
    quantile = stats.studentized_range.ppf(1 - level, num_methods, np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(num_methods * (num_methods + 1) / (6 * num_images)))


def rank_biserial(differences: ArrayLike) -> Floats:
    """Matched-pairs rank-biserial correlation: Wilcoxon's statistic as an effect size.

    Of the ranks of the differences' sizes, the share that speaks for the better method minus the
    share that speaks against it. It is what the Wilcoxon test tests, freed from the number of
    images: 0 where that test finds nothing whatever n, 1 where one method wins on every image.
    Cohen's d would be swayed by the few images whose curves are far from the others'.

    Args:
        differences: (n, k) a pair of methods a column; zeros are left out, as in the test.

    Returns:
        (k,) in [-1, 1]; 0 where all differences are zero.

    Source: Kerby 2014, The simple difference formula, Comprehensive Psychology 3.

    Example:
        >>> differences = [[0.1], [0.2], [0.3], [-0.4]]  # of ranks 1, 2, 3 and 4
        >>> rank_biserial(differences).tolist()  # (1 + 2 + 3 - 4) / 10
        [0.2]
    """
    found = []
    for column in np.asarray(differences, dtype=np.float64).T:
        column = column[column != 0]
        ranked = stats.rankdata(np.abs(column))
        found.append((np.sign(column) * ranked).sum() / ranked.sum() if len(ranked) else 0.0)
    return np.array(found, dtype=np.float64)


def images_needed(
    difference: float,
    deviation: float,
    power: float = 0.8,
    level: float = 0.05,
    efficiency: float = 1.0,
) -> float:
    """How many images a paired test needs to find a difference of two methods.

    That of the paired t-test (noncentral t), with n * efficiency in the place of n. It is never
    below 6 at level 0.05: fewer signs cannot give a two-sided p below it (2 / 2^5 > 0.05). It is
    for one pair that was chosen beforehand; corrected for many pairs, more are needed.

    Args:
        difference: The difference of the means, in any unit: one seen, or one that matters.
        deviation: Standard deviation of the images' differences, in the same unit.
        power: Chance of finding it.
        level: Two-sided level of the test.
        efficiency: The efficiency of the test, relative to the t-test: 1 for the permutation test
            of the mean, 3 / pi for Wilcoxon's on normal data (Hodges and Lehmann 1956; on
            heavy-tailed data it is more, so that fewer images do).

    Returns:
        A whole number; infinity for a difference of 0, NaN if one is NaN.

    Source: Cohen 1988, Statistical power analysis, chapter 2.

    Example:
        >>> images_needed(difference=0.05, deviation=0.1)
        34.0
        >>> images_needed(difference=0.05, deviation=0.1, efficiency=3 / np.pi)  # Wilcoxon's test
        35.0
    """
    if np.isnan(difference) or np.isnan(deviation):
        return np.nan
    if difference == 0:
        return np.inf
    fewest = np.ceil(np.log2(2 / level))
    if deviation == 0:
        return float(fewest)
    size = abs(difference) / deviation
    # Were the deviation known, so many would do; the t-test needs about two more.
    known = (stats.norm.isf(level / 2) + stats.norm.ppf(power)) / size
    count = max(fewest, np.ceil(known**2 / efficiency))
    while count < 1e6 and _power_of_t_test(size, count * efficiency, level) < power:
        count += 1
    return float(count)


def _power_of_t_test(size: float, count: float, level: float) -> float:
    freedom, centre = count - 1, size * np.sqrt(count)
    bound = stats.t.isf(level / 2, freedom)
    return stats.nct.sf(bound, freedom, centre) + stats.nct.cdf(-bound, freedom, centre)


def krippendorff_alpha(
    values: ArrayLike, scale: Literal["ordinal", "interval"] = "ordinal"
) -> float:
    """Krippendorff's alpha: how well raters agree on the values of units.

    One minus the disagreement within units over the disagreement expected by chance: 1 if all
    raters agree, 0 if units might have been swapped at random, below 0 if they disagree more than
    that. With images as raters, methods as units and ranks as values it tells whether one image
    orders the methods as another does.

    Args:
        values: (raters, units), NaN where a rater has no value.
        scale: How far apart two values are: `ordinal` counts the values between them, `interval`
            subtracts. Of complete ranks without ties both are the same.

    Returns:
        Alpha; NaN where it is undefined: fewer than two raters, or only one value.

    Source: Krippendorff 2011, Computing Krippendorff's alpha-reliability. For metrics of saliency
    maps: Tomsett et al. 2020, Sanity checks for saliency metrics, arXiv 1912.01451.

    Example:
        >>> krippendorff_alpha([[1, 2, 3], [1, 2, 3]])  # two images order three methods alike
        1.0
        >>> round(krippendorff_alpha([[1, 2, 3], [3, 2, 1]]), 3)
        -0.667
    """
    values = np.asarray(values, dtype=np.float64)
    known = np.unique(values[~np.isnan(values)])
    counts = np.array([(values == value).sum(axis=0) for value in known]).reshape(
        -1, values.shape[1]
    )
    counts = counts[:, counts.sum(axis=0) >= 2].T  # (units, values); alone there is no agreement
    paired = counts / (counts.sum(axis=1, keepdims=True) - 1)
    coincidences = counts.T @ paired - np.diag(paired.sum(axis=0))
    totals = coincidences.sum(axis=0)
    total = totals.sum()
    places = known if scale == "interval" else np.cumsum(totals) - totals / 2
    squares = (places[:, None] - places) ** 2
    expected = totals @ squares @ totals
    if not expected > 0:
        return np.nan
    return float(1 - (total - 1) * (coincidences * squares).sum() / expected)


def letters(different: ArrayLike) -> list[str]:
    """Compact letter display: methods share a letter exactly where they do not differ.

    Columns of letters are split where they hold a pair that differs (insert), and dropped where
    another holds all that they do (absorb). Letters go by the first methods that have them.

    Args:
        different: (m, m) bool, symmetric: whether two methods differ.

    Returns:
        m strings, such as "a", "ab", "b"; the first method has an "a". After z follow A to Z, then
        a' and so on.

    Source: Piepho 2004, An algorithm for a letter-based representation of all-pairwise
    comparisons, Journal of Computational and Graphical Statistics 13.

    Example:
        >>> letters([[0, 0, 1], [0, 0, 0], [1, 0, 0]])  # only the first and the last differ
        ['a', 'ab', 'b']
    """
    different = np.asarray(different, dtype=bool)
    columns = {frozenset(range(len(different)))}
    for first, second in np.argwhere(np.triu(different, 1)).tolist():
        split = {column for column in columns if {first, second} <= column}
        halves = {column - {gone} for column in split for gone in (first, second)}
        columns = columns - split | halves
        # What was there before lies within no half: it would have lain within what was split.
        columns -= {half for half in halves if any(half < other for other in columns)}
    ordered = sorted(map(sorted, columns))
    return [
        "".join(_letter(number) for number, column in enumerate(ordered) if method in column)
        for method in range(len(different))
    ]


def _letter(number: int) -> str:
    return ascii_letters[number % 52] + "'" * (number // 52)
