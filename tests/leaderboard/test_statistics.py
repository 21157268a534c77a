import itertools

import numpy as np
import pytest
from compared import bootstrap_interval
from scipy import stats

from bench.leaderboard.statistics import (
    bootstrap_intervals,
    critical_difference,
    friedman_p_value,
    holm,
    images_needed,
    krippendorff_alpha,
    letters,
    permutation_p_values,
    pooled_interval,
    rank_biserial,
    ranks,
    wilcoxon_p_values,
    win_rates,
)


def test_interval_of_normal_data_is_that_of_the_textbook():
    values = np.random.default_rng(0).normal(5, 2, size=400)
    low, high = bootstrap_interval(values)
    half = 1.96 * values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - half, abs=0.02)
    assert high == pytest.approx(values.mean() + half, abs=0.02)


def test_seeded():
    values = np.random.default_rng(0).uniform(size=30)
    assert bootstrap_interval(values) == bootstrap_interval(values)
    assert bootstrap_interval(values) != bootstrap_interval(values, seed=1)


def test_coverage():
    """About 95 of 100 intervals hold the true mean."""
    draws = np.random.default_rng(0)
    hits = 0
    for _ in range(200):
        low, high = bootstrap_interval(draws.uniform(size=50), resamples=499)
        hits += low <= 0.5 <= high
    assert 180 <= hits <= 199


def test_bca_leans_where_the_data_lean():
    """On skewed data BCa is not centred as the percentile interval is (Efron 1987)."""
    values = np.random.default_rng(1).exponential(size=40) ** 2
    low, high = bootstrap_interval(values)
    resamples = np.random.default_rng(0).choice(values, size=(9999, 40)).mean(axis=1)
    plain_low, plain_high = np.percentile(resamples, [2.5, 97.5])
    assert low > plain_low + 0.05
    assert high > plain_high + 0.2


def test_more_confidence_is_wider():
    values = np.random.default_rng(0).uniform(size=30)
    low, high = bootstrap_interval(values, confidence=0.99)
    inner_low, inner_high = bootstrap_interval(values)
    assert low < inner_low < inner_high < high


def test_degenerate_data():
    assert bootstrap_interval([0.25] * 9) == (0.25, 0.25)
    assert np.isnan(bootstrap_interval([0.25])).all()


def differences_of(n, k, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1, size=(n, k))


def all_signs(n):
    return np.array(list(itertools.product([-1, 1], repeat=n)))


@pytest.mark.parametrize("n", [12, 60])
def test_intervals_of_columns_are_those_that_scipy_gives_each(n):
    values = np.random.default_rng(0).exponential(size=(n, 3)) * [1, 1e-3, 1e3] + [0, 5, 0]
    found = bootstrap_intervals(values, resamples=999, seed=4)
    for column, interval in zip(values.T, found, strict=True):
        theirs = stats.bootstrap(
            (column,), np.mean, n_resamples=999, rng=np.random.default_rng(4)
        ).confidence_interval
        assert interval == pytest.approx([theirs.low, theirs.high], rel=1e-9)


def test_columns_without_an_interval_leave_the_others_theirs():
    varying = np.random.default_rng(0).uniform(size=20)
    unknown = np.where(np.arange(20) == 3, np.inf, varying)
    columns = np.stack([np.full(20, 0.25), varying, unknown, varying * np.nan], axis=1)
    constant, varied, *undefined = bootstrap_intervals(columns)
    assert constant.tolist() == [0.25, 0.25]
    assert tuple(varied) == bootstrap_interval(varying)
    assert np.isnan(undefined).all()
    assert bootstrap_intervals(np.empty((20, 0))).shape == (0, 2)


def test_interval_counts_resamples_that_equal_the_sample():
    """Of three values 6 of 27 resamples have the mean itself; symmetric data stay symmetric."""
    low, high = bootstrap_interval([0.1, 0.2, 0.3])
    assert low + high == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize("test", [wilcoxon_p_values, permutation_p_values])
def test_all_signs_alike_is_twice_one_pattern_of_all(test):
    assert test(np.arange(1.0, 7)[:, None]) == pytest.approx([2 / 2**6])


@pytest.mark.parametrize("integers", [False, True])
def test_wilcoxon_against_all_patterns_of_signs(integers):
    columns = differences_of(8, 6, shift=0.5)
    if integers:  # sizes that tie
        columns = np.where(columns > 0, 1, -1) * np.ceil(np.abs(columns) * 2)
    for column, p_value in zip(columns.T, wilcoxon_p_values(columns), strict=True):
        sizes = stats.rankdata(np.abs(column))
        patterns = all_signs(8) @ sizes
        ours = np.sign(column) @ sizes
        assert p_value == pytest.approx(np.mean(np.abs(patterns) >= abs(ours) - 1e-9))


def test_wilcoxon_of_many_images_is_normal():
    columns = differences_of(60, 4, shift=0.2)
    above = (stats.rankdata(np.abs(columns), axis=0) * (columns > 0)).sum(axis=0)
    z = (above - 60 * 61 / 4) / np.sqrt(60 * 61 * 121 / 24)
    assert wilcoxon_p_values(columns) == pytest.approx(2 * stats.norm.sf(np.abs(z)))


@pytest.mark.parametrize("n", [12, 60])
def test_wilcoxon_leaves_zeros_out(n):
    columns = differences_of(n, 3, shift=0.4)
    padded = np.insert(columns, [0, 4, 4, n], 0, axis=0)
    assert wilcoxon_p_values(padded).tolist() == wilcoxon_p_values(columns).tolist()


@pytest.mark.parametrize("test", [wilcoxon_p_values, permutation_p_values])
@pytest.mark.parametrize("n", [1, 5, 20, 60])
@pytest.mark.filterwarnings("error")
def test_nothing_but_zeros_is_no_difference(test, n):
    assert test(np.zeros((n, 2))).tolist() == [1, 1]
    assert test(np.zeros((n, 0))).shape == (0,)


def test_permutation_against_all_patterns_of_signs():
    columns = differences_of(8, 6, shift=0.5).round(1)
    for column, p_value in zip(columns.T, permutation_p_values(columns), strict=True):
        patterns = all_signs(8) @ column
        assert p_value == pytest.approx(np.mean(np.abs(patterns) >= abs(column.sum()) - 1e-9))


def test_permutation_of_drawn_signs_is_near_the_t_test_on_normal_data():
    columns = differences_of(50, 4, shift=0.2)
    expected = stats.ttest_1samp(columns, 0).pvalue
    found = permutation_p_values(columns)
    assert found == pytest.approx(expected, abs=0.012)
    assert found.tolist() == permutation_p_values(columns).tolist()
    assert found.tolist() != permutation_p_values(columns, seed=1).tolist()


def test_permutation_draws_enough_for_many_pairs():
    columns = differences_of(20, 300, shift=5)
    assert holm(permutation_p_values(columns)).max() < 0.05
    assert permutation_p_values(columns).min() > 0


@pytest.mark.parametrize(
    ("p_values", "adjusted"),
    [
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),  # 3 * .01, 2 * .03, the same, 4 *
        ([0.01, 0.04, 0.03, 0.005, 0.2], [0.04, 0.09, 0.09, 0.025, 0.2]),  # statsmodels 0.14
        ([0.01, 0.02, 0.03, 0.04, 0.05], [0.05, 0.08, 0.09, 0.09, 0.09]),  # R's p.adjust
        ([0.9, 0.6, 1.0], [1, 1, 1]),
        ([0.02], [0.02]),
        ([], []),
    ],
)
def test_holm(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)


def test_win_rates_count_ties_half():
    values = [[3, 1, 3], [2, 1, 0], [0, 1, 1], [1, 1, 1]]
    expected = [[0.5, 0.625, 0.5], [0.375, 0.5, 0.5], [0.5, 0.5, 0.5]]
    assert win_rates(values).tolist() == [pytest.approx(row) for row in expected]
    assert np.isnan(win_rates(np.empty((0, 2)))).all()


def test_ranks_are_shared_by_methods_that_tie():
    assert ranks([[0.9, 0.1, 0.5, 0.5], [1, 1, 1, 1]]).tolist() == [[1, 4, 2.5, 2.5], [2.5] * 4]


def test_friedman_of_ranks_without_ties_is_that_of_demsar():
    """Demsar 2006, section 3.2.2, from average ranks."""
    values = differences_of(14, 4) + np.array([0, 0.3, 0.6, 0])
    mean = ranks(values).mean(axis=0)
    square = 12 * 14 / (4 * 5) * ((mean**2).sum() - 4 * 5**2 / 4)
    assert friedman_p_value(values) == pytest.approx(stats.chi2.sf(square, 3))


@pytest.mark.filterwarnings("error")
def test_friedman_where_it_is_not_defined():
    assert np.isnan(friedman_p_value(np.zeros((9, 2))))
    assert np.isnan(friedman_p_value([[1, 2, 3]]))
    assert friedman_p_value(np.full((9, 3), 0.5)) == 1


@pytest.mark.parametrize(
    ("methods", "quantile"),
    [(2, 1.960), (3, 2.343), (4, 2.569), (5, 2.728), (6, 2.850), (10, 3.164)],
)
def test_critical_difference_has_the_quantiles_of_demsars_table(methods, quantile):
    scale = np.sqrt(methods * (methods + 1) / (6 * 30))
    # For three the table has 2.343, scipy 2.3437: its last digit is not always rounded.
    assert critical_difference(methods, 30) / scale == pytest.approx(quantile, abs=1e-3)


def test_critical_difference_of_demsars_example():
    assert critical_difference(4, 14) == pytest.approx(1.25, abs=0.005)
    assert np.isnan(critical_difference(1, 14))
    assert np.isnan(critical_difference(4, 1))


def test_rank_biserial_is_a_share_of_ranks():
    columns = np.array([[3, -1, 2, 0], [1, 2, 3, 4], [-1, -2, -3, -4], [0, 0, 0, 0], [1, -1, 0, 0]])
    expected = [(3 + 2 - 1) / 6, 1, -1, 0, 0]
    assert rank_biserial(columns.T).tolist() == pytest.approx(expected)


def test_rank_biserial_follows_from_the_statistic_of_wilcoxon():
    column = differences_of(30, 1, shift=0.5)
    against = stats.wilcoxon(column[:, 0]).statistic
    assert rank_biserial(column)[0] == pytest.approx(1 - 2 * against / (30 * 31 / 2))


@pytest.mark.parametrize(
    ("size", "images"), [(0.2, 199), (0.35, 67), (0.5, 34), (0.8, 15), (1.5, 6)]
)
def test_images_of_the_paired_t_test(size, images):
    """G*Power and statsmodels (`TTestPower`)."""
    assert images_needed(size, 1) == images
    assert images_needed(-3 * size, 3) == images


def test_images_of_wilcoxon_by_simulation():
    images = int(images_needed(0.5, 1, efficiency=3 / np.pi))
    assert images == 35
    # The second power is that of the t-test (statsmodels) with 17 * 3 / pi images.
    for number, power in ((images, 0.801), (images // 2, 0.471)):
        found = wilcoxon_p_values(differences_of(number, 800, shift=0.5)) < 0.05
        assert found.mean() == pytest.approx(power, abs=0.04)


def test_images_at_the_ends():
    assert images_needed(0, 1) == np.inf
    assert images_needed(0, 0) == np.inf
    assert images_needed(1, 0) == images_needed(50, 1) == 6  # 2 / 2^5 > 0.05 > 2 / 2^6
    assert np.isnan(images_needed(1, np.nan))
    assert images_needed(1e-6, 1) == pytest.approx(2.8016**2 * 1e12, rel=1e-4)
    assert images_needed(0.2, 1, power=0.9) > 199 > images_needed(0.2, 1, level=0.1)


FOUR_OBSERVERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, np.nan, np.nan, np.nan],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, np.nan, 3],
    [np.nan, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, np.nan],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, np.nan],
]


@pytest.mark.parametrize(("scale", "alpha"), [("ordinal", 0.815), ("interval", 0.849)])
def test_alpha_of_krippendorffs_example(scale, alpha):
    """Krippendorff 2011: four observers, twelve units, values missing."""
    assert krippendorff_alpha(FOUR_OBSERVERS, scale) == pytest.approx(alpha, abs=5e-4)


def slow_alpha(values, scale):
    """The definition, pair by pair."""
    units = [[value for value in unit if not np.isnan(value)] for unit in np.transpose(values)]
    units = [unit for unit in units if len(unit) > 1]
    every = [value for unit in units for value in unit]

    def squared(first, second):
        low, high = sorted((first, second))
        if scale == "interval":
            return (low - high) ** 2
        between = sum(low <= value <= high for value in every)
        return (between - (every.count(low) + every.count(high)) / 2) ** 2

    def disagreement(unit):
        return sum(squared(*pair) for pair in itertools.permutations(unit, 2)) / (len(unit) - 1)

    return 1 - sum(map(disagreement, units)) / disagreement(every)


@pytest.mark.parametrize("scale", ["ordinal", "interval"])
def test_alpha_against_its_definition(scale):
    values = ranks(differences_of(7, 5).round() + np.arange(5))  # with ties
    values[2, 3] = values[0, 1] = np.nan
    assert krippendorff_alpha(values, scale) == pytest.approx(slow_alpha(values, scale))


def test_alpha_of_ranks_without_ties_follows_from_kendalls_w():
    """Both scales then are 1 - (1 - W)(nm - 1) / (m (n - 1)), W = Friedman's chi / n (m - 1)."""
    n, m = 9, 5
    values = differences_of(n, m) + np.arange(m)
    w = stats.friedmanchisquare(*values.T).statistic / (n * (m - 1))
    expected = 1 - (1 - w) * (n * m - 1) / (m * (n - 1))
    assert krippendorff_alpha(ranks(values)) == pytest.approx(expected)
    assert krippendorff_alpha(ranks(values), "interval") == pytest.approx(expected)


@pytest.mark.filterwarnings("error")
def test_alpha_at_the_ends():
    order = np.tile([1.0, 2, 3, 4], (6, 1))
    assert krippendorff_alpha(order) == 1
    assert krippendorff_alpha([[1, 2], [2, 1]]) < 0
    shuffled = np.random.default_rng(0).permuted(np.tile(order, (200, 1)), axis=1)
    assert krippendorff_alpha(shuffled) == pytest.approx(0, abs=0.01)
    for undefined in (np.full((6, 4), 2.5), order[:1], order[:0], order[:, :1]):
        assert np.isnan(krippendorff_alpha(undefined))


def symmetric(m, pairs):
    different = np.zeros((m, m), dtype=bool)
    for pair in pairs:
        different[pair] = different[pair[::-1]] = True
    return different


@pytest.mark.parametrize(
    ("m", "pairs", "expected"),
    [
        (1, [], ["a"]),
        (0, [], []),
        (3, [], ["a", "a", "a"]),
        (2, [(0, 1)], ["a", "b"]),
        (3, [(0, 2)], ["a", "ab", "b"]),
        (3, [(0, 1), (0, 2), (1, 2)], ["a", "b", "c"]),
        (3, [(0, 1)], ["a", "b", "ab"]),  # order of means and of tests need not agree
        (4, [(0, 3), (1, 3), (0, 2)], ["a", "ab", "bc", "c"]),
    ],
)
def test_letters(m, pairs, expected):
    assert letters(symmetric(m, pairs)) == expected


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_methods_share_a_letter_where_they_do_not_differ(share):
    draws = np.random.default_rng(0)
    for _ in range(20):
        different = np.triu(draws.uniform(size=(8, 8)) < share, 1)
        different |= different.T
        found = letters(different)
        assert found == letters(different)
        for first, second in itertools.combinations(range(8), 2):
            assert bool({*found[first]} & {*found[second]}) != different[first, second]
        columns = {sign: {i for i in range(8) if sign in found[i]} for sign in "".join(found)}
        for sign, values in columns.items():
            assert not any(values <= other for name, other in columns.items() if name != sign)
        assert found[0].startswith("a")
        assert [*columns] == sorted(columns)  # first seen from the best method down


def test_letters_beyond_the_alphabet():
    found = letters(~np.eye(54, dtype=bool))
    assert (found[25], found[26], found[51], found[52:]) == ("z", "A", "Z", ["a'", "b'"])


def test_a_pooled_interval_of_a_mean_is_that_of_the_mean():
    values = np.random.default_rng(0).normal(size=30)
    low, high = pooled_interval(lambda counts: counts @ values / counts.sum(axis=1), 30)
    error = values.std() / np.sqrt(30)
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.1 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.1 * error)


def test_a_pooled_interval_draws_images():
    best = lambda counts: (counts > 0).sum(axis=1).astype(float)  # noqa: E731
    low, high = pooled_interval(best, 6, resamples=5000)
    assert (low, high) == (3, 5)  # of 6 images a draw has all with a chance of 1.5 %
    assert np.isnan(pooled_interval(best, 1)).all()
