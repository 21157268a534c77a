import numpy as np
import pytest
import torch
from explained import GOLDEN, InputGradient, explained, peer
from toy import backbone, make_batch

from bench.attribution.control import Center, Constant, Edge, Random
from bench.attribution.gradient import Saliency
from bench.errors import BenchError
from bench.metrics.metric import Maps
from bench.metrics.stability import MaxSensitivity

BATCH = make_batch()


def ask(metric, block, maps):
    (values,) = metric(block, maps).values()
    return np.asarray(values)


def test_quantus_given_its_noise(monkeypatch):
    block, maps, _ = peer()
    noise = iter(torch.tensor(GOLDEN["MaxSensitivity/noise"]).flatten(0, 1))
    monkeypatch.setattr(MaxSensitivity, "_noise", lambda *_: next(noise))
    found = ask(MaxSensitivity(samples=4), block, maps)
    np.testing.assert_allclose(found, GOLDEN["MaxSensitivity"], rtol=1e-5)


def test_the_largest_change_of_several():
    """The edges are all but linear in the input: twice the noise gives twice the change."""
    methods = {"edge": Edge(), "gradient": InputGradient()}
    block, maps = explained(backbone(), methods, BATCH.x, BATCH.targets)
    one, three = (ask(MaxSensitivity(samples=count, radius=0.1), block, maps) for count in (1, 3))
    assert (three >= one).all()
    assert (three > one).any()
    wide = ask(MaxSensitivity(samples=3, radius=0.2), block, maps)
    assert (wide > three).all()
    assert wide[:5] == pytest.approx(2 * three[:5], rel=0.1)
    assert MaxSensitivity(samples=7).explanations_per_map() == 7


def test_noise_is_that_of_the_image_whatever_the_method():
    seen = []

    class Watched(Saliency):
        def __call__(self, scorer, batch):
            seen.append(batch.x - BATCH.x[[int(name[-1]) for name in batch.image_ids]])
            return super().__call__(scorer, batch)

    network, metric = backbone(), MaxSensitivity(samples=2, radius=0.5)
    methods = {"first": Watched(), "second": Watched()}
    block, maps = explained(network, methods, BATCH.x, BATCH.targets)
    del seen[:]
    together = ask(metric, block, maps)
    first, second, *others = seen
    assert torch.equal(first, second)
    assert not torch.equal(first, others[0])
    assert not torch.allclose(first[0], first[1])
    assert 0.49 < first.max() <= 0.5 + 1e-6
    assert -0.5 - 1e-6 <= first.min() < -0.49
    assert abs(first.mean()) < 0.01
    part = maps.part(torch.tensor([8, 1]))
    assert np.array_equal(ask(metric, block, part), together[[8, 1]])


def test_maps_that_do_not_depend_on_the_image():
    methods = {"random": Random(), "center": Center(), "constant": Constant()}
    block, maps = explained(backbone(), methods, BATCH.x, BATCH.targets)
    found = ask(MaxSensitivity(samples=2), block, maps)
    assert (found[:10] == 0).all()
    assert np.isnan(found[10:]).all()  # a map of zeros: relative to nothing
    elsewhere = Maps(torch.ones(2, 3, 3), torch.tensor([0, 1]), "stable")
    assert np.isnan(ask(MaxSensitivity(), block, elsewhere)).all()


@pytest.mark.parametrize("settings", [{"radius": 0}, {"samples": 0}])
def test_settings(settings):
    with pytest.raises(BenchError, match=f"{next(iter(settings))}: expected"):
        MaxSensitivity(**settings)
