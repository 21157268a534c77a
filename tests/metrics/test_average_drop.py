from pathlib import Path

import numpy as np
import pytest
import torch
from toy import SIZE, LinearModel, linear_backbone

from bench.attribution.control import Edge, Random
from bench.attribution.scorer import OutputScorer, Scorer
from bench.backbones.bare import BareModel
from bench.batching import score_in_batches
from bench.datasets.dataset import Sample
from bench.evaluation.loop import evaluate_runs
from bench.evaluation.method_run import MethodRun
from bench.experiment.cost import Cost, count_cost
from bench.metrics.average_drop import AverageDrop, IncreaseInConfidence, weights
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints
from bench.metrics.complexity import Sparseness
from bench.metrics.metric import Maps
from bench.metrics.protocol import Protocol

GOLDEN = Path(__file__).parents[1] / "golden/average_drop.npz"
METRICS = AverageDrop(), IncreaseInConfidence()


def asked(model, x, targets, maps, *, images=None, score="probability", made=None):
    """Values of both metrics, (N,) each, in batches of four."""
    count = made.append if made is not None else (lambda _: None)
    scorer = OutputScorer(BareModel(model.eval(), "logits"), score, 4, on_forward=count)
    block = EndPoints(scorer, [])(Inputs(x, [str(i) for i in range(len(x))]), targets)
    images = torch.arange(len(x)) if images is None else images
    maps = Maps(maps, images, "stable")
    return [np.asarray(metric(block, maps)[metric.name]) for metric in METRICS]


def test_grad_cam_torch_cam_and_adcc():
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    model = LinearModel(*golden["weight"].shape)
    model.weight.data = torch.from_numpy(golden["weight"])
    x, maps, classes = (torch.from_numpy(golden[name]) for name in ("x", "maps", "classes"))
    drop, increase = asked(model, x, classes, maps)
    clean = model(x).softmax(dim=1).gather(1, classes[:, None])[:, 0].numpy()
    np.testing.assert_allclose(drop, golden["adcc"], atol=1e-6)
    np.testing.assert_allclose(drop, golden["torch_cam"][:, 0], atol=1e-6)
    np.testing.assert_allclose(drop * clean, golden["grad_cam_drop"], atol=1e-6)
    assert increase.tolist() == golden["torch_cam"][:, 1].tolist()
    assert increase.tolist() == golden["grad_cam_increase"].tolist()
    assert set(increase) == {0, 1}


def test_weights_are_a_plain_scaling():
    maps = torch.randn(4, 5, 7, generator=torch.Generator().manual_seed(0))
    maps[1] = maps[1].relu()
    maps[2] = 3
    maps[3, 0, :2] = torch.tensor([-3.4e38, 3.4e38])
    for found, values in zip(weights(maps), maps.double(), strict=True):
        span = (values.max() - values.min()).item()
        expected = (values - values.min()) / span if span else torch.zeros(5, 7)
        np.testing.assert_allclose(found, expected, atol=1e-15)
    assert torch.equal(weights(2 * maps[:3] + 7)[2], weights(maps)[2])
    extremes = weights(torch.tensor([[[-1.5e308, 1.5e308]]], dtype=torch.float64))
    assert extremes.tolist() == [[[0, 1]]]


def test_closed_form_of_a_linear_network():
    """The logit of a masked image is a weighted sum; several maps of an image, several batches."""
    model = LinearModel(classes=3, channels=2, height=5, width=7)
    draws = torch.Generator().manual_seed(1)
    x, maps = torch.rand(3, 2, 5, 7, generator=draws), torch.randn(7, 5, 7, generator=draws)
    images, targets = torch.tensor([0, 0, 1, 1, 1, 2, 2]), torch.tensor([2, 0, 1])
    maps[3] = -1
    drop, increase = asked(model, x, targets, maps, images=images, score="logit")
    for number, image in enumerate(images.tolist()):
        weight, values = model.weight[targets[image]].double(), maps[number].double()
        scaled = (values - values.min()) / (values.max() - values.min())
        scaled = torch.nan_to_num(scaled)  # a constant map shows nothing
        clean = (weight * x[image]).sum().item()
        masked = (weight * x[image] * scaled).sum().item()
        expected = max(0, clean - masked) / clean if clean > 0 else np.nan
        assert drop[number] == pytest.approx(expected, abs=1e-5, nan_ok=True)
        assert increase[number] == (masked > clean)
    assert np.isnan(drop).any()
    assert np.isfinite(drop).any()


def test_one_pass_a_map_for_both_metrics():
    made = []
    model = LinearModel(classes=3, channels=3, height=5, width=7)
    asked(model, torch.rand(4, 3, 5, 7), torch.zeros(4).long(), torch.rand(4, 5, 7), made=made)
    assert sum(made) == 4 + 4


class Noise(Sample):
    def read(self):
        return np.random.default_rng(self.target).integers(0, 256, (9, 8, 3), dtype=np.uint8)


class Measured(MethodRun):
    """Lacks only the metric of the map alone, of one image."""

    def is_done(self, image_id, metric):
        return image_id == "0" and metric != "sparseness"


@pytest.mark.parametrize("kind", [MethodRun, Measured])
def test_cost_counts_what_metrics_share_once(kind):
    samples = [Noise(str(number), Path(), number) for number in range(3)]
    metrics = {metric.name: metric for metric in (*METRICS, Sparseness())}
    protocol = Protocol("masked", "probability", "stable", "trapezoid", metrics)
    made = []
    scorer = Scorer(linear_backbone(), protocol.score, 1, on_forward=made.append)
    runs = [MethodRun("random", Random()), kind("edge", Edge())]
    told = count_cost(samples, runs, protocol, (SIZE, SIZE))
    assert told == Cost(6 if kind is MethodRun else 5, forward=0, backward=0, map_bytes=0)
    list(evaluate_runs(samples, scorer, runs, protocol, device=torch.device("cpu")))
    assert sum(made) == told.curves + 3


def test_scores_are_those_of_plain_batches():
    """In batches whose last one is not full."""
    model = LinearModel(classes=3, channels=3, height=5, width=7)
    x, maps = torch.rand(6, 3, 5, 7), torch.randn(6, 5, 7)
    targets = torch.tensor([0, 1, 2, 0, 1, 2])
    drop, _ = asked(model, x, targets, maps)
    masked = x * weights(maps)[:, None].float()

    def score(inputs, classes):
        return model(inputs).softmax(dim=1).gather(1, classes[:, None])[:, 0]

    scores = score_in_batches(score, lambda jobs: (masked[jobs], targets[jobs]), 6, 6)
    clean = score(x, targets)
    np.testing.assert_allclose(drop, ((clean - scores).clamp(min=0) / clean), atol=1e-6)
