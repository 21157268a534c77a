from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from toy import LinearModel

from bench.attribution.scorer import OutputScorer
from bench.backbones.bare import BareModel
from bench.errors import BenchError
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints, measure
from bench.metrics.imputation import linear_imputation
from bench.metrics.metric import Maps
from bench.metrics.road import ROAD

GOLDEN = Path(__file__).parents[1] / "golden/road.npz"


def asked(metric, model, x, targets, maps, *, ids="abcdefg", score="probability", made=None):
    """Columns of N maps, in batches of 5."""
    count = made.append if made is not None else (lambda _: None)
    scorer = OutputScorer(BareModel(model.eval(), "logits"), score, 5, on_forward=count)
    block = EndPoints(scorer, [])(Inputs(x, list(ids[: len(x)]), 3), targets)
    return measure(metric, block, maps).columns


def statistics(metric, columns):
    """By name, values (N,)."""
    rows = pd.DataFrame({name: list(column) for name, column in columns.items()})
    return {each.name: metric.values(each, rows, "trapezoid") for each in metric.statistics}


def test_grad_cam():
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    model = LinearModel(*golden["weight"].shape)
    model.weight.data = torch.from_numpy(golden["weight"])
    x, maps = (torch.from_numpy(golden[name]) for name in ("x", "maps"))
    metric = ROAD(percentages=golden["percentages"].tolist(), noise=0)
    found = asked(metric, model, x, torch.arange(3), Maps(maps, torch.arange(3), "stable"))
    np.testing.assert_allclose(found["road_morf_curve"], golden["morf"], atol=1e-6)
    np.testing.assert_allclose(found["road_lerf_curve"], golden["lerf"], atol=1e-6)
    values = statistics(metric, found)
    np.testing.assert_allclose(values["road"] / 2, golden["combined"], atol=1e-6)


def test_a_plain_loop():
    """Sides that ten does not divide, ties, several maps of an image, several batches, noise."""
    draws = torch.Generator().manual_seed(0)
    model = LinearModel(classes=3, channels=3, height=7, width=9)
    x, values = torch.rand(3, 3, 7, 9, generator=draws), torch.randn(4, 7, 9, generator=draws)
    values[1] = values[1].round()
    values[2] = 1
    images, targets = torch.tensor([2, 0, 2, 0]), torch.tensor([1, 0, 2])
    maps, made = Maps(values, images, "stable"), []
    metric = ROAD(percentages=[20, 55, 90], noise=0.1)
    found = asked(metric, model, x, targets, maps, score="output", made=made)
    assert sum(made) == 5 + 5 * 5  # the clean images, and 4 * 2 * 3 in full batches
    noise = {image: metric._noise(Inputs(x, "abc", 3), image) for image in (0, 2)}
    assert noise[0].std().item() == pytest.approx(0.1, rel=0.2)
    assert not torch.equal(noise[0], noise[2])
    for number, image in enumerate(images.tolist()):
        order = np.argsort(-values[number].numpy().ravel(), kind="stable")
        for name, pixels in (("morf", order), ("lerf", order[::-1])):
            for point, count in enumerate((12, 34, 56)):  # of 63
                missing = np.isin(np.arange(63), pixels[:count]).reshape(7, 9)
                filled = linear_imputation(x[image].double().numpy(), missing)
                filled += noise[image].numpy() * missing
                expected = (model.weight[targets[image]].numpy() * filled).sum()
                score = found[f"road_{name}_curve"][number, point]
                assert score == pytest.approx(expected, abs=1e-4)


def test_statistics_of_curves():
    metric = ROAD(percentages=(10, 50), name="other")
    morf, lerf = (
        np.array([[0.25, 0.5], [0, 1]], np.float32),
        np.array([[1, 0.5], [0, 0]], np.float32),
    )
    columns = {"other_morf_curve": morf, "other_lerf_curve": lerf}
    found = statistics(metric, columns)
    assert found["other_morf"].tolist() == [0.375, 0.5]
    assert found["other_lerf"].tolist() == [0.75, 0]
    assert found["other"].tolist() == [0.375, -0.5]
    none = pd.DataFrame({name: [] for name in columns})
    assert len(metric.values(metric.statistics[0], none, "trapezoid")) == 0


def test_noise_is_in_grey_levels():
    """Of a network whose inputs are divided by 100, and of a grey one."""
    x = torch.zeros(1, 3, 40, 50)
    metric = ROAD(noise=25.5)
    scaled = Inputs(x, ["a"], 0, lambda rgb: (rgb - 200) / 100)
    assert metric._noise(scaled, 0).std().item() == pytest.approx(0.255, rel=0.03)
    grey = Inputs(x[:, :1], ["a"], 0, lambda rgb: rgb.mean(dim=-1, keepdim=True))
    assert metric._noise(grey, 0).std().item() == pytest.approx(25.5, rel=0.05)
    with pytest.raises(BenchError, match=r"road: expected inputs of 3 channels, .* found 2"):
        metric._noise(Inputs(x[:, :2], ["a"], 0), 0)


def test_passes():
    assert ROAD().passes_per_map((224, 224)) == 14
    assert ROAD().columns((224, 224)) == {"road_morf_curve": 7, "road_lerf_curve": 7}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"percentages": []}, "percentages: expected a list of numbers, found"),
        ({"percentages": 10}, "percentages: expected a list of numbers, found 10"),
        ({"percentages": [0, 10]}, r"percentages: expected a number in \(0, 100\], found 0"),
        ({"percentages": [20, 10]}, "percentages: expected them to ascend"),
        ({"percentages": [10, 100]}, "percentages: expected them to ascend and to be below 100"),
        ({"noise": -0.5}, "noise: expected a number in"),
        ({"noise": "much"}, "noise: expected a number in"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(BenchError, match=message):
        ROAD(**settings)
