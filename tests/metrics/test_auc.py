import numpy as np
import pytest

from bench.errors import BenchError
from bench.metrics.auc import auc
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.insertion import Insertion


def test_closed_forms():
    line = np.linspace(0, 1, 11)
    assert auc([np.ones(11), line, 1 - line, line**2]) == pytest.approx([1, 0.5, 0.5, 0.335])


@pytest.mark.parametrize(
    ("rule", "areas"),
    [  # the same curve exp(-8 x), whose area is 0.1250, in the conventions of eight tools
        ("trapezoid", [0.1316, 0.1260, 0.1252]),
        ("mean", [0.1651, 0.1404, 0.1326]),
        ("mean_without_end", [0.1815, 0.1460, 0.1352]),
        ("mean_without_last_but_one", [0.1815, 0.1460, 0.1352]),
        ("inner_trapezoid", [0.0656, 0.0953, 0.1089]),
        ("relative_trapezoid", [0.0591, 0.0915, 0.1067]),
        ("quantus", [0.59, 2.29, 5.34]),
    ],
)
def test_conventions_on_one_curve(rule, areas):
    for steps, area in zip((10, 25, 50), areas, strict=True):
        curve = np.exp(-8 * np.linspace(0, 1, steps + 1))
        tolerance = 0.005 if rule == "quantus" else 5e-5
        assert auc(curve, rule) == pytest.approx(area, abs=tolerance)


def test_the_first_fifteen_percent_only():
    """attribench's script: the mean over a curve that stops at 15 % of the pixels."""
    for points, area in [(10, 0.590), (25, 0.585), (50, 0.584)]:
        curve = Insertion(ZeroBaseline(), steps=points - 1, max_fraction=0.15)
        counts = curve.counts(1000, 1000)
        assert auc(np.exp(-8 * counts / 1e6), "mean") == pytest.approx(area, abs=5e-4)


def test_relative_to_the_clean_score():
    curves = np.array([[0.5, 0.25, 0.0], [0.1, 0.2, 0.4]])
    halves = auc(curves, "relative_trapezoid", clean=[0.5, 0.4])
    assert halves == pytest.approx([0.125, 0.375])


def test_as_the_reference_formula():
    curves = np.random.default_rng(0).normal(size=(3, 8))
    assert auc(curves) == pytest.approx(np.mean(curves[:, :-1] + curves[:, 1:], axis=1) * 0.5)


def test_unknown_rule():
    with pytest.raises(BenchError, match="Did you mean 'trapezoid'"):
        auc([0.0, 1.0], "trapez")
