"""Classes that a configuration names, anybody's among them."""

import sys

import pytest

from bench.errors import BenchError
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.insertion import Insertion
from bench.metrics.registry import (
    declaration,
    declared_metric,
    metric_from_settings,
    metric_settings,
)


def made(target, **settings):
    return metric_from_settings("mine", {"_target_": target, **settings}, "metric.mine")


def test_a_metric_of_ones_own():
    metric = made("toy.CenterMetric", power=2)
    assert (metric.name, metric.power, metric.statistics[0].column) == ("mine", 2, "mine")
    assert metric_settings(metric) == {"kind": "toy.CenterMetric", "version": 1, "power": 2}


def test_a_shipped_one_under_another_name():
    metric = made("bench.metrics.insertion.Insertion", steps=3, baseline={"kind": "zero"})
    assert metric == Insertion(ZeroBaseline(), steps=3, name="mine")


@pytest.mark.parametrize(
    ("target", "settings", "message"),
    [
        ("nowhere.Metric", {}, "metric.mine: cannot load nowhere.Metric: "),
        ("toy.Nothing", {}, "metric.mine: cannot load toy.Nothing: "),
        ("toy", {}, "metric.mine: cannot load toy: "),
        ("raises_at_once.Metric", {}, "cannot load raises_at_once.Metric: "),
        ("exits_at_once.Metric", {}, r"calls sys.exit\(3\) when it is imported"),
        ("toy.Constant", {}, "expected _target_ to be a subclass of bench.metrics.metric.Metric"),
        ("toy.linear_scorer", {}, "metric.mine: cannot load toy.linear_scorer: "),
        ("bench.metrics.metric.Metric", {}, "cannot build Metric: Can't instantiate abstract"),
        ("toy.CenterMetric", {"powr": 2}, "metric.mine: unknown name 'powr'. Did you mean 'power'"),
        ("toy.CenterMetric", {"power": 0}, "^metric.mine.power: expected an integer >= 1, found 0"),
        ("toy.CenterMetric", {"power": None}, "^metric.mine.power: expected an integer"),
        ("toy.NotAField", {"power": 2}, r"setting 'power': .* @dataclass\(frozen=True\) above it"),
        (
            "toy.NoStatistics",
            {},
            r"mine.statistics: expected at least one Statistic, .*\(\)",
        ),
        ("bench.metrics.insertion.Insertion", {"steps": 3}, "metric.mine.baseline is missing"),
        (
            "bench.metrics.insertion.Insertion",
            {"steps": 3, "baseline": {"sigma": 3}},
            "metric.mine.baseline: expected a kind, as in {kind: zero}",
        ),
        (
            "bench.metrics.insertion.Insertion",
            {"steps": 3, "rows_per_step": 3, "baseline": {"kind": "zero"}},
            "^metric.mine: expected either steps or rows_per_step",
        ),
    ],
)
def test_what_cannot_be_built(tmp_path, monkeypatch, target, settings, message):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "raises_at_once.py").write_text("1 / 0")
    (tmp_path / "exits_at_once.py").write_text("raise SystemExit(3)")
    with pytest.raises(BenchError, match=message) as refused:
        made(target, **settings)
    assert "\n" not in str(refused.value)
    sys.modules.pop("exits_at_once", None)


@pytest.mark.parametrize(
    ("attribute", "value", "message"),
    [
        ("version", "2", "metric.mine.version: expected an integer"),
        ("citation", 2026, "metric.mine.citation: expected text"),
        ("needs", "box", "metric.mine.needs: unknown name 'box'"),
        ("question", "fast", "metric.mine.question: unknown name 'fast'"),
        ("statistics", None, "metric.mine.statistics: expected at least one Statistic"),
        ("statistics", ["mine"], "metric.mine.statistics: expected a Statistic, found 'mine'"),
        ("passes_per_map", lambda self, size: 1.5, "metric.mine.passes_per_map: expected"),
        ("passes_per_image", lambda self, size: None, "metric.mine.passes_per_image: expected"),
    ],
)
def test_what_a_metric_declares_of_itself(monkeypatch, attribute, value, message):
    monkeypatch.setattr("toy.CenterMetric." + attribute, value)
    with pytest.raises(BenchError, match=message):
        made("toy.CenterMetric")


def test_a_question_is_declared_where_it_is_not_the_usual_one():
    """So that an audit is made of stored rows where the metric's code is not at hand."""
    metric = made("toy.CenterMetric")
    assert "question" not in declaration(metric)
    object.__setattr__(metric, "question", "localised")
    declared = declaration(metric)
    stored = declared_metric("mine", metric_settings(metric), declared)
    assert (declared["question"], stored.question) == ("localised", "localised")
