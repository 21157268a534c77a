from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import hmean, pearsonr
from toy import SIZE, Faces, LinearModel, backbone, method_runs

from bench.attribution.control import Random
from bench.attribution.gradient import Saliency
from bench.attribution.masking import Rise
from bench.attribution.scorer import OutputScorer, Scorer
from bench.backbones.bare import BareModel
from bench.evaluation.loop import evaluate_runs
from bench.experiment.cost import count_cost
from bench.metrics.adcc import ADCC, coherency, harmonic_mean
from bench.metrics.average_drop import AverageDrop
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints, measure
from bench.metrics.metric import Maps
from bench.metrics.protocol import Protocol

GOLDEN = Path(__file__).parents[1] / "golden/adcc.npz"


class Contributions:
    """How much each pixel adds to a linear network's output or takes from it; asked again."""

    def __init__(self, model, x, targets, images):
        self.model, self.inputs, self.targets = model, x, targets
        self.can_explain = torch.ones(len(images), dtype=torch.bool)

    def __call__(self, numbers, x, targets):
        return (self.model.weight[targets] * x).sum(dim=1).abs()


def asked(model, x, targets, maps, *, images=None):
    """Columns of N maps of a linear network, in batches of three."""
    images = torch.arange(len(x)) if images is None else images
    scorer = OutputScorer(BareModel(model.eval(), "logits"), "probability", 3)
    block = EndPoints(scorer, [])(Inputs(x, [str(i) for i in range(len(x))]), targets)
    again = Contributions(model, x, targets, images)
    return measure(ADCC(), block, Maps(maps, images, "stable", again)).columns


def test_the_authors_code():
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    model = LinearModel(*golden["weight"].shape)
    model.weight.data = torch.from_numpy(golden["weight"])
    x, targets = torch.from_numpy(golden["x"]), torch.from_numpy(golden["classes"])
    maps = (model.weight[targets] * x).sum(dim=1).abs()
    found = asked(model, x, targets, maps)
    total, _, expected, complexity = golden["found"].T
    np.testing.assert_allclose(found["adcc_coherency"], expected, atol=1e-6)
    np.testing.assert_allclose(found["adcc_complexity"], complexity, atol=1e-6)
    np.testing.assert_allclose(found["adcc"], total, atol=1e-6)


def test_a_plain_loop():
    """Several maps of an image, several batches, a constant map and an inverted one."""
    draws = torch.Generator().manual_seed(1)
    model = LinearModel(classes=3, channels=2, height=5, width=7)
    x, maps = torch.rand(3, 2, 5, 7, generator=draws), torch.randn(7, 5, 7, generator=draws)
    images, targets = torch.tensor([0, 0, 1, 1, 1, 2, 2]), torch.tensor([2, 0, 1])
    maps[3] = -1
    maps[4] *= 1e-20
    found = asked(model, x, targets, maps, images=images)
    probabilities = torch.softmax(model(x), dim=1)
    for number, image in enumerate(images.tolist()):
        values, target = maps[number].double(), targets[image]
        if number == 3:
            assert found["adcc"][number] == found["adcc_coherency"][number] == 0
            assert found["adcc_complexity"][number] == 0
            continue
        scaled = (values - values.min()) / (values.max() - values.min())
        masked = x[image] * scaled
        again = (model.weight[target] * masked).sum(dim=0).abs()
        correlation = (pearsonr(values.ravel(), again.ravel()).statistic + 1) / 2
        clean = probabilities[image, target].item()
        score = torch.softmax(model(masked[None].float()), dim=1)[0, target].item()
        parts = [correlation, 1 - scaled.mean().item(), 1 - max(0, clean - score) / clean]
        assert found["adcc_coherency"][number] == pytest.approx(correlation, abs=1e-6)
        assert found["adcc"][number] == pytest.approx(hmean(parts), abs=1e-5)


def test_undefined_parts():
    maps = torch.randn(3, 4, 5, generator=torch.Generator().manual_seed(0))
    others = maps.clone()
    others[0], others[1, 2, 3] = 1, torch.nan
    zero, none, one = coherency(maps, others).tolist()
    assert (zero, one) == (0, pytest.approx(1))
    assert np.isnan(none)
    means = harmonic_mean(torch.tensor([[0.5, 0.25], [0, 1], [0, torch.nan], [torch.nan, 1]]))
    assert means[:2].tolist() == [pytest.approx(1 / 3), 0]
    assert means[2:].isnan().all()


def test_maps_whose_method_cannot_be_asked():
    model = LinearModel(classes=3, channels=2, height=5, width=7)
    x, targets = torch.rand(2, 2, 5, 7), torch.tensor([0, 1])

    class Nothing(Contributions):
        def __call__(self, numbers, x, targets):
            return torch.full((len(x), 5, 7), torch.nan)

    scorer = OutputScorer(BareModel(model.eval(), "logits"), "probability", 3)
    block = EndPoints(scorer, [])(Inputs(x, ["a", "b"]), targets)
    images = torch.arange(2)
    maps = Maps(torch.rand(2, 5, 7), images, "stable", Nothing(model, x, targets, images))
    found = measure(ADCC(), block, maps).columns
    assert np.isnan(found["adcc"]).all()
    assert np.isfinite(found["adcc_complexity"]).all()


def test_in_a_run_it_shares_the_pass_and_what_it_costs_is_told():
    forward, backward = [], []
    metrics = {"average_drop": AverageDrop(), "adcc": ADCC()}
    protocol = Protocol("masked", "probability", "stable", "trapezoid", metrics)
    scorer = Scorer(
        backbone(), "probability", 1, on_forward=forward.append, on_backward=backward.append
    )
    methods = {"saliency": Saliency(), "random": Random(), "rise": Rise(5)}
    runs, samples = method_runs(methods, network=scorer.backbone), Faces(2).samples
    told = count_cost(samples, runs, protocol, (SIZE, SIZE))
    assert told.curves == 4 * 3
    assert (told.forward, told.backward) == (4 * 2 * (1 + 5), 4 * 2)
    results = list(evaluate_runs(samples, scorer, runs, protocol, device=torch.device("cpu")))
    assert sum(forward) == told.curves + told.forward + 4
    assert sum(backward) == told.backward
    for result in results:
        assert result.rows["adcc"].between(0, 1).all()
        is_control = result.method == "random"  # noise that does not depend on the image
        assert (result.rows["adcc_coherency"] > 1 - 1e-9).all() == is_control
