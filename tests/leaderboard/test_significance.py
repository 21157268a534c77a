from itertools import combinations

import numpy as np
import pytest
from compared import bootstrap_interval, comparison, drawn_curves
from scipy import stats
from toy_rows import begin, identity, rows

from bench.errors import BenchError
from bench.leaderboard.comparison import comparisons
from bench.leaderboard.significance import TESTS, against_best, against_reference, significance
from bench.leaderboard.statistics import holm
from bench.storage.store import stored_runs

METRICS = ("insertion", "deletion")


def compare(folder, heights, auc=None, clean_score=1.0):
    """Methods whose areas are given: flat curves, insertion as high, deletion one less it."""
    n = len(next(iter(heights.values())))
    for name, height in heights.items():
        dataset = identity()["dataset"] | {"num_images": n}
        method = {"name": name, "version": 1, "settings": {"tag": name}}
        run = begin(folder, name, dataset=dataset, method=method)
        curves = np.repeat(np.asarray(height, np.float32)[:, None], 3, axis=1)
        stored = rows(*(f"{number:03}" for number in range(n))).assign(clean_score=clean_score)
        stored["insertion_curve"], stored["deletion_curve"] = list(curves), list(1 - curves)
        run.append(stored)
    (found,) = comparisons(stored_runs(folder, "board"), "board", auc)
    return found


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    draws = np.random.default_rng(0)
    shared = draws.uniform(0.2, 0.6, size=12)
    shifts = {"low": 0, "high": 0.3, "middle": 0.15, "near": 0.28}
    heights = {
        name: shared + shift + draws.normal(0, 0.05, size=12) for name, shift in shifts.items()
    }
    return compare(tmp_path_factory.mktemp("four"), heights)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("metric", METRICS)
def test_pairs_are_what_scipy_says_of_their_differences(four, metric, test):
    found = significance(four, metric, test)
    values = four.values(metric)
    up = metric == "insertion"
    assert found.methods == values.mean().sort_values(ascending=not up).index.tolist()
    expected = []
    for pair, (better, worse) in zip(
        found.pairs.itertuples(), combinations(found.methods, 2), strict=True
    ):
        assert (pair.better, pair.worse) == (better, worse)
        differences = (values[better] - values[worse]) * (1 if up else -1)
        assert pair.difference == pytest.approx(differences.mean())
        assert pair.difference >= 0
        assert (pair.ci_low, pair.ci_high) == pytest.approx(bootstrap_interval(differences))
        assert pair.deviation == pytest.approx(differences.std())
        assert pair.win_rate == pytest.approx((differences > 0).mean())
        above = stats.wilcoxon(differences, alternative="greater").statistic
        assert pair.effect_size == pytest.approx(2 * above / (12 * 13 / 2) - 1)
        if test == "wilcoxon":
            expected.append(stats.wilcoxon(differences).pvalue)
        else:
            mean = stats.permutation_test((differences,), np.mean, permutation_type="samples")
            expected.append(mean.pvalue)
    assert found.pairs["p_value"].tolist() == pytest.approx(holm(expected))
    assert (found.statistic.name, found.test) == (metric, test)


@pytest.mark.parametrize("metric", METRICS)
def test_methods_together(four, metric):
    found = significance(four, metric)
    values = four.values(metric) * (1 if metric == "insertion" else -1)
    order = found.methods
    assert found.average_ranks[order].tolist() == pytest.approx(
        values.rank(axis=1, ascending=False).mean()[order].tolist()
    )
    better, worse = found.pairs.loc[0, ["better", "worse"]]
    assert found.win_rates.loc[better, worse] == found.pairs.loc[0, "win_rate"]
    assert found.win_rates.loc[worse, better] == pytest.approx(1 - found.pairs.loc[0, "win_rate"])
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 12)), abs=1e-3)
    friedman = stats.friedmanchisquare(*values.to_numpy().T)
    assert found.friedman_p == pytest.approx(friedman.pvalue)
    agreement = friedman.statistic / (12 * 3)  # Kendall's W; see the test of `krippendorff_alpha`
    assert found.alpha == pytest.approx(1 - (1 - agreement) * (12 * 4 - 1) / (4 * 11))


def test_letters_are_shared_where_p_is_not_below_the_level(four):
    found = significance(four, "insertion")
    p_values = found.pairs["p_value"]
    assert p_values.min() < 0.05 < p_values.max()  # otherwise this would show nothing
    for pair in found.pairs.itertuples():
        shared = {*found.letters[pair.better]} & {*found.letters[pair.worse]}
        assert bool(shared) == (pair.p_value >= 0.05)
    assert "a" in found.letters[found.methods[0]]


@pytest.mark.parametrize("metric", METRICS)
def test_against_the_best_is_what_significance_says(four, metric):
    found, short = significance(four, metric), against_best(four, metric)
    assert short.index.tolist() == found.methods
    assert short["letters"].to_dict() == found.letters
    best = found.pairs[found.pairs["better"] == found.methods[0]]
    assert np.isnan(short["p_value"].iloc[0])
    assert short["p_value"].iloc[1:].tolist() == best["p_value"].tolist()


def test_images_needed_depend_on_the_test(four):
    by_ranks, by_means = (significance(four, "insertion", test) for test in TESTS)
    hard = by_means.pairs["images_needed"].idxmax()
    ratio = by_ranks.pairs["images_needed"][hard] / by_means.pairs["images_needed"][hard]
    assert ratio == pytest.approx(np.pi / 3, rel=0.02)


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.filterwarnings("error")
def test_one_method(tmp_path, test):
    comparison = compare(tmp_path, {"only": [0.1, 0.5, 0.9]})
    found = significance(comparison, "insertion", test)
    assert (found.methods, found.letters) == (["only"], {"only": "a"})
    assert len(found.pairs) == 0
    assert found.average_ranks.tolist() == [1]
    assert found.win_rates.to_numpy().tolist() == [[0.5]]
    assert np.isnan([found.critical_difference, found.friedman_p, found.alpha]).all()
    assert against_best(comparison, "insertion", test)["p_value"].isna().all()


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.filterwarnings("error")
def test_two_methods(tmp_path, test):
    heights = {"one": [0.1, 0.2, 0.3, 0.4], "two": [0.2, 0.4, 0.6, 0.8]}
    found = significance(compare(tmp_path, heights), "insertion", test)
    (pair,) = found.pairs.itertuples()
    assert (pair.better, pair.worse, pair.win_rate, pair.effect_size) == ("two", "one", 1, 1)
    assert pair.p_value == 2 / 2**4
    assert found.letters == {"two": "a", "one": "a"}
    assert np.isnan(found.friedman_p)
    assert found.alpha == 1


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.filterwarnings("error")
def test_one_image(tmp_path, test):
    comparison = compare(tmp_path, {"one": [0.25], "two": [0.5], "three": [0.75]})
    found = significance(comparison, "deletion", test)
    assert found.methods == ["three", "two", "one"]
    assert set(found.letters.values()) == {"a"}
    undefined = ["ci_low", "ci_high", "p_value", "images_needed", "deviation"]
    assert found.pairs[undefined].isna().all(axis=None)
    assert found.pairs["difference"].tolist() == [0.25, 0.5, 0.25]
    assert np.isnan([found.critical_difference, found.friedman_p, found.alpha]).all()
    assert against_best(comparison, "deletion", test)["p_value"].isna().all()


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.filterwarnings("error")
def test_identical_methods(tmp_path, test):
    heights = np.linspace(0.1, 0.9, 5)
    found = significance(compare(tmp_path, dict.fromkeys("xyz", heights)), "insertion", test)
    assert found.pairs["p_value"].tolist() == [1, 1, 1]
    assert found.pairs[["ci_low", "ci_high", "effect_size", "deviation"]].eq(0).all(axis=None)
    assert found.pairs["images_needed"].tolist() == [np.inf] * 3
    assert set(found.letters.values()) == {"a"}
    assert found.average_ranks.tolist() == [2, 2, 2]
    assert found.win_rates.eq(0.5).all(axis=None)
    assert found.friedman_p == 1
    assert np.isnan(found.alpha)


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:divide by zero:RuntimeWarning")
def test_images_without_a_value_are_left_out(tmp_path):
    heights = {"one": [0.1, 0.2, 0.3, 0.4], "two": [0.5, 0.4, 0.5, 0.9]}
    clean = np.array([1, 1, 0, 1])
    comparison = compare(tmp_path, heights, auc="relative_trapezoid", clean_score=clean)
    assert not np.isfinite(comparison.values("insertion")).all(axis=None)
    (pair,) = significance(comparison, "insertion").pairs.itertuples()
    # Two points of three count, whose trapezoid is half as high.
    assert pair.difference == pytest.approx(np.mean([0.4, 0.2, 0.5]) / 2)
    assert pair.win_rate == 1


def test_unknown_names_are_refused(four):
    with pytest.raises(BenchError, match="test: unknown name 't'"):
        significance(four, "insertion", "t")
    with pytest.raises(BenchError, match="statistic: unknown name 'mufidelity'"):
        significance(four, "mufidelity")


@pytest.mark.parametrize("test", TESTS)
@pytest.mark.parametrize("metric", METRICS)
def test_against_a_reference_are_one_less_comparisons_than_methods(four, metric, test):
    found = against_reference(four, metric, "middle", test)
    up = metric == "insertion"
    values = four.values(metric) * (1 if up else -1)
    others = [name for name in values.mean().sort_values(ascending=False).index if name != "middle"]
    assert found["method"].tolist() == others
    raw = []
    for row in found.itertuples():
        differences = values[row.method] - values["middle"]
        assert row.difference == pytest.approx(differences.mean())
        assert (row.ci_low, row.ci_high) == pytest.approx(bootstrap_interval(differences))
        assert row.win_rate == pytest.approx((differences > 0).mean())
        above = stats.wilcoxon(differences, alternative="greater").statistic
        assert row.effect_size == pytest.approx(2 * above / (12 * 13 / 2) - 1)
        if test == "wilcoxon":
            raw.append(stats.wilcoxon(differences).pvalue)
        else:
            mean = stats.permutation_test((differences,), np.mean, permutation_type="samples")
            raw.append(mean.pvalue)
    assert found["p_raw"].tolist() == pytest.approx(raw)
    assert found["p_value"].tolist() == pytest.approx(holm(raw))
    assert found["n_images"].tolist() == [12, 12, 12]
    assert found["difference"].iloc[0] > 0 > found["difference"].iloc[-1]


def test_fewer_comparisons_than_all_pairs_find_more(four):
    pairs = significance(four, "insertion").pairs
    against = against_reference(four, "insertion", "near").set_index("method")
    of_near = pairs[(pairs["better"] == "near") | (pairs["worse"] == "near")]
    for pair in of_near.itertuples():
        other = against.loc[pair.worse if pair.better == "near" else pair.better]
        assert other["p_raw"] == pair.p_raw <= other["p_value"] <= pair.p_value
        assert abs(other["difference"]) == pytest.approx(pair.difference)
    assert against["p_value"].sum() < of_near["p_value"].sum()
    assert (pairs["n_images"] == 12).all()


def test_controls_are_compared_with_a_reference_and_told(tmp_path):
    found = comparison(tmp_path, drawn_curves("mrx"), controls=("r",))
    against = against_reference(found, "insertion", "m")
    assert dict(zip(against["method"], against["control"], strict=True)) == {"r": True, "x": False}


def test_an_unknown_reference_is_told_with_the_names_there_are(four):
    with pytest.raises(BenchError, match=r"^reference: unknown name 'nea'\. Did you mean 'near'\?"):
        against_reference(four, "insertion", "nea")


@pytest.mark.filterwarnings("error")
def test_against_a_reference_of_one_image_or_without_others(tmp_path):
    one_image = compare(tmp_path / "image", {"a": [0.5], "b": [0.4]})
    (row,) = against_reference(one_image, "insertion", "a").itertuples()
    assert (row.method, row.difference) == ("b", pytest.approx(-0.1))
    assert np.isnan([row.p_raw, row.p_value, row.ci_low]).all()
    alone = compare(tmp_path / "alone", {"a": [0.5, 0.6, 0.7]})
    assert against_reference(alone, "insertion", "a").empty
