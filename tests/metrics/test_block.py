"""What a metric answers, held against what it declares."""

import pytest
import torch
import toy
from toy import linear_scorer

from bench.errors import BenchError
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints, measure
from bench.metrics.metric import Maps


@pytest.fixture
def asked():
    """A block of two images, and three maps of them."""
    scorer, model = linear_scorer()
    x = torch.zeros(2, *model.weight.shape[1:])
    block = EndPoints(scorer, [])(Inputs(x, ["a", "b"], 0), torch.tensor([0, 1]))
    return block, Maps(torch.ones(3, *x.shape[2:]), torch.tensor([0, 0, 1]), "stable")


def test_a_metric_that_uses_maps_alone(asked):
    found = measure(toy.CenterMetric(), *asked)
    assert list(found.columns) == ["center"]
    assert found.columns["center"].shape == (3,)
    assert found.not_finite == {}


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("RaisingMetric", r"^metric 'mine' raised ZeroDivisionError: .* \(toy.py, line \d+\)$"),
        ("OtherColumns", "^metric 'mine': expected the columns mine, found other$"),
        ("NoNumbers", "^metric 'mine', column 'mine': expected numbers, found <U4$"),
    ],
)
def test_a_metric_that_does_not_answer(asked, kind, message):
    with pytest.raises(BenchError, match=message):
        measure(getattr(toy, kind)(name="mine"), *asked)


def test_numbers_that_are_infinite_are_failures_of_their_maps(asked, monkeypatch):
    """NaN is none: it says that the question does not apply."""
    values = torch.tensor([torch.inf, torch.nan, 1])
    monkeypatch.setattr(toy.CenterMetric, "__call__", lambda *_: {"center": values})
    found = measure(toy.CenterMetric(), *asked)
    assert found.not_finite == {0: "center of metric 'center' is infinite"}


def test_curves_that_are_not_finite_are_failures_of_their_maps(asked, monkeypatch):
    curves = torch.tensor([[0, torch.inf], [0, 1], [torch.nan, 1]])
    monkeypatch.setattr(toy.CenterMetric, "columns", lambda *_: {"center": 2})
    monkeypatch.setattr(toy.CenterMetric, "__call__", lambda *_: {"center": curves})
    found = measure(toy.CenterMetric(), *asked)
    assert found.not_finite == dict.fromkeys((0, 2), "center of metric 'center' is NaN or infinite")


def test_memory_that_runs_out_is_no_fault_of_the_metric(asked, monkeypatch):
    def runs_out(self, block, maps):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(toy.CenterMetric, "__call__", runs_out)
    with pytest.raises(torch.OutOfMemoryError):
        measure(toy.CenterMetric(), *asked)
