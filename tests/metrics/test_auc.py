import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.auc import auc


def test_closed_forms():
    line = np.linspace(0, 1, 11)
    assert auc([np.ones(11), line, 1 - line, line**2]) == pytest.approx([1, 0.5, 0.5, 0.335])


@pytest.mark.parametrize(("steps", "area"), [(10, 0.1316), (25, 0.1260), (50, 0.1252)])
def test_exponential(steps, area):
    assert auc(np.exp(-8 * np.linspace(0, 1, steps + 1))) == pytest.approx(area, abs=5e-5)


def test_as_the_reference_formula():
    curves = np.random.default_rng(0).normal(size=(3, 8))
    assert auc(curves) == pytest.approx(np.mean(curves[:, :-1] + curves[:, 1:], axis=1) * 0.5)


def test_unknown_rule():
    with pytest.raises(BenchError, match="Did you mean 'trapezoid'"):
        auc([0.0, 1.0], "trapez")
