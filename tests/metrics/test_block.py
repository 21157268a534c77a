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


def test_memory_that_runs_out_is_no_fault_of_the_metric(asked, monkeypatch):
    def runs_out(self, block, maps):
        raise torch.OutOfMemoryError

    monkeypatch.setattr(toy.CenterMetric, "__call__", runs_out)
    with pytest.raises(torch.OutOfMemoryError):
        measure(toy.CenterMetric(), *asked)
