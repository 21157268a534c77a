import pytest
import torch
from toy import backbone, other_backbone

from bench.experiment.cost import Cost, estimate_seconds

CPU = torch.device("cpu")


@pytest.fixture
def clock(monkeypatch):
    """A clock that passes of the two toy networks move on: forward by 1 or 10, backward by 5."""
    time = [0.0]
    monkeypatch.setattr("bench.experiment.cost.now", lambda device: time[0])
    gradients = torch.autograd.grad

    def backward(*arguments):
        time[0] += 5 * 4
        return gradients(*arguments)

    monkeypatch.setattr("torch.autograd.grad", backward)

    def timed(network, seconds):
        outputs = network.outputs

        def slow(x):
            time[0] += seconds * len(x)
            return outputs(x)

        network.outputs = slow
        return network

    return timed


def test_seconds_are_passes_times_what_one_takes(clock):
    network, other = clock(backbone(), 1), clock(other_backbone(), 10)
    cost = Cost(curves=100, forward=7, backward=3, map_bytes=0)
    assert estimate_seconds(cost, network, network, batch_size=4, device=CPU) == pytest.approx(
        107 * 1 + 3 * 5
    )
    assert estimate_seconds(cost, network, other, batch_size=4, device=CPU) == pytest.approx(
        100 + 70 + 3 * 5
    )
    assert cost.passes == 110


def test_no_estimate_where_a_batch_does_not_fit():
    hungry = backbone()

    def outputs(x):
        raise torch.OutOfMemoryError

    hungry.outputs = outputs
    assert estimate_seconds(Cost(1, 0, 0, 0), hungry, hungry, batch_size=4, device=CPU) is None
