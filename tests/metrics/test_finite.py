import numpy as np

from bench.metrics.finite import expected_finite, not_finite


def test_names_the_first_score_of_each_row_that_is_not_finite():
    scores = np.ones((5, 4), np.float32)
    scores[1, 2] = scores[1, 3] = np.nan
    scores[2, 0] = -np.inf
    scores[4, 3] = np.inf
    assert not_finite(scores, lambda point: f"score {point}") == {
        1: "score 2 is NaN",
        2: "score 0 is -infinity",
        4: "score 3 is infinity",
    }


def test_finite_scores_however_large_are_nothing_to_tell():
    assert not_finite(np.array([[0.0, 3e38, -3e38]], np.float32), str) == {}
    assert not_finite(np.empty((0, 3), np.float32), str) == {}


def test_a_probability_of_zero_has_no_logarithm():
    assert "score `probability` instead" in expected_finite("log_probability")
    assert "blank" in expected_finite("probability")
