import numpy as np
import pytest

from bench.leaderboard.statistics import bootstrap_interval


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
