"""Maps before and after the network's parameters, or the explained class, are others."""

import numpy as np
import pandas as pd
import pytest
import torch
from explained import GOLDEN, InputGradient, explained, golden_state, peer
from toy import SIZE, ConvModel, backbone, make_batch, same_state, transformer

from bench.attribution.control import Center, Constant, Edge, Random
from bench.attribution.gradient import Saliency
from bench.attribution.method import Method
from bench.attribution.stored import Stored
from bench.backbones.backbone import Backbone, Preprocessing
from bench.errors import BenchError
from bench.metrics import randomisation
from bench.metrics.metric import Maps
from bench.metrics.randomisation import ParameterRandomisation, RandomLogit, other_classes

CONTROLS = {"random": Random(), "center": Center(), "edge": Edge(), "constant": Constant()}
BATCH = make_batch()


def ask(metric, block, maps):
    return {name: np.asarray(column) for name, column in metric(block, maps).items()}


@pytest.mark.parametrize(("mode", "order"), [("cascading", "top_down"), ("independent",) * 2])
def test_quantus_given_its_networks(mode, order, monkeypatch):
    block, maps, module = peer()
    np.testing.assert_allclose(maps.values, GOLDEN["maps"], atol=1e-6)
    prefixes = [name.rpartition("head.bias")[0] for name in GOLDEN if name.endswith("head.bias")]
    of_layer = {
        name.split("/")[2]: name for name in prefixes if name.startswith(f"{order}/")
    }  # fmt: skip

    def given(module, layers, seed):
        (layer,) = layers
        module.load_state_dict(golden_state(of_layer[layer]))

    monkeypatch.setattr(randomisation, "randomise", given)
    found = ask(ParameterRandomisation(mode=mode), block, maps)["parameter_randomisation_curve"]
    expected = GOLDEN[f"MPRT/{order}"].T  # a stage a row, in Quantus's order
    if mode == "independent":
        expected = expected[:, ::-1]  # it begins with the layer that is registered first
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert same_state(module.state_dict(), golden_state("trained/"))


def test_quantus_given_its_classes(monkeypatch):
    block, maps, _ = peer()
    drawn = torch.tensor(GOLDEN["RandomLogit/classes"])
    monkeypatch.setattr(randomisation, "other_classes", lambda *_: drawn)
    found = ask(RandomLogit(), block, maps)["random_logit"]
    np.testing.assert_allclose(found, GOLDEN["RandomLogit"], atol=1e-12)


@pytest.mark.parametrize("mode", ["cascading", "independent"])
@pytest.mark.parametrize("magnitudes", [False, True])
def test_controls_have_exactly_1(mode, magnitudes):
    network = backbone()
    methods = {**CONTROLS, "saliency": Saliency(), "gradient": InputGradient()}
    block, maps = explained(network, methods, BATCH.x, BATCH.targets)
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    metric = ParameterRandomisation(mode=mode, stages=3, magnitudes=magnitudes)
    columns = ask(metric, block, maps)
    assert same_state(network.module.state_dict(), before)
    rows = pd.DataFrame({name: list(curves) for name, curves in columns.items()})
    for name in columns:
        curves = columns[name]
        assert (curves.shape, curves.dtype) == ((6 * 5, 3), np.float32)
        assert (curves[:20] == 1).all()
        assert (curves[20:, -1] < 1).all()
    mean, *last, structure = metric.statistics
    ranks, structures = columns.values()
    for statistic, shown in (
        (mean, ranks.astype(float).mean(axis=1)),
        *((one, ranks[:, -1]) for one in last),
        (structure, structures.astype(float).mean(axis=1)),
    ):
        assert np.array_equal(metric.values(statistic, rows, "mean"), shown)
        assert len(metric.values(statistic, rows[:0], "mean")) == 0
    assert len(last) == (mode == "cascading")
    other = ask(RandomLogit(magnitudes=magnitudes), block, maps)
    for column in other.values():
        assert (column[:20] == 1).all()
        assert (column[20:] < 1).all()


def test_stages_are_cascading_or_alone():
    """The first stage is the same; the last of `independent` has all other layers as trained."""
    network = backbone()
    block, maps = explained(network, {"gradient": InputGradient()}, BATCH.x, BATCH.targets)
    cascading, independent, whole = (
        ask(ParameterRandomisation(mode=mode, stages=stages), block, maps)[
            "parameter_randomisation_curve"
        ]
        for mode, stages in (("cascading", 2), ("independent", 2), ("cascading", None))
    )
    assert np.array_equal(cascading[:, 0], independent[:, 0])
    assert not np.allclose(cascading[:, 1], independent[:, 1])
    assert whole.shape == (5, 4)
    assert np.array_equal(whole[:, [1, 3]], cascading)  # the draws do not depend on the stages
    for stages, layers in ((2, 2), (None, 4), (6, 4)):
        assert ParameterRandomisation(stages=stages).explanations_per_map(network) == layers
    assert ParameterRandomisation().explanations_per_map() == 6


def test_a_transformer_is_put_back(monkeypatch):
    network = transformer()
    before = {key: value.clone() for key, value in network.module.state_dict().items()}
    block, maps = explained(network, {"gradient": InputGradient()}, BATCH.x[:2], BATCH.targets[:2])
    found = ask(ParameterRandomisation(stages=2), block, maps)
    assert (found["parameter_randomisation_curve"] < 0.9).all()
    assert same_state(network.module.state_dict(), before)

    def interrupted(self, *_):
        raise KeyboardInterrupt

    monkeypatch.setattr(Maps, "explain", interrupted)
    with pytest.raises(KeyboardInterrupt):
        ParameterRandomisation()(block, maps)
    assert same_state(network.module.state_dict(), before)


class Failing(Method):
    """Cannot explain the network once its head is another."""

    head: torch.Tensor | None = None

    def __call__(self, scorer, batch):
        head = scorer.backbone.module.head.weight
        if self.head is None:
            self.head = head.clone()
        if not torch.equal(head, self.head):
            raise RuntimeError("another network")
        return batch.x.mean(dim=1)


def test_failures_and_maps_that_were_made_before_are_nan(tmp_path):
    network = backbone()
    for number in range(5):
        np.save(tmp_path / f"image {number}.npy", np.random.default_rng(0).random((SIZE, SIZE)))
    methods = {"stored": Stored(tmp_path), "failing": Failing(), "center": Center()}
    block, maps = explained(network, methods, BATCH.x, BATCH.targets)
    for column in ask(ParameterRandomisation(), block, maps).values():
        assert np.isnan(column[:10]).all()
        assert (column[10:] == 1).all()
    stored = maps.part(torch.arange(3))
    for metric in (ParameterRandomisation(), RandomLogit()):
        for column in ask(metric, block, stored).values():
            assert np.isnan(column).all()


def test_a_network_with_one_output_has_no_other_class():
    made = Preprocessing(SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    network = Backbone("one", ConvModel(1).eval(), made, "logits")
    block, maps = explained(network, CONTROLS, BATCH.x, BATCH.targets % 2)
    for column in ask(RandomLogit(), block, maps).values():
        assert np.isnan(column).all()
    assert RandomLogit().explanations_per_map(network) == 0
    assert RandomLogit().explanations_per_map(backbone()) == 1


def test_other_classes_are_uniform_and_drawn_by_image():
    ids = [f"image {number}" for number in range(4000)]
    targets = torch.arange(4000) % 5
    found = other_classes(targets, 5, ids, seed=0)
    assert not (found == targets).any()
    for target in range(5):
        counts = found[targets == target].bincount(minlength=5)
        assert counts[target] == 0
        assert ((counts > 150) & (counts < 250)).sum() == 4
    assert torch.equal(other_classes(targets[7:9], 5, ids[7:9], seed=0), found[7:9])
    assert not torch.equal(other_classes(targets, 5, ids, seed=1), found)


@pytest.mark.parametrize(
    ("settings", "message"), [({"stages": 0}, "stages: expected"), ({"mode": "up"}, "mode")]
)
def test_settings(settings, message):
    with pytest.raises(BenchError, match=message):
        ParameterRandomisation(**settings)
