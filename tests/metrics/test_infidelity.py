from pathlib import Path

import numpy as np
import pytest
import torch
from toy import LinearModel

from bench.attribution.scorer import OutputScorer
from bench.backbones.bare import BareModel
from bench.errors import BenchError
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints
from bench.metrics.infidelity import Infidelity, infidelity, inside, square_sums
from bench.metrics.metric import Maps
from bench.metrics.removal import score_drops

GOLDEN = Path(__file__).parents[1] / "golden/removals.npz"


def every_square():
    """All squares of up to 10 x 10 in 28 x 28 pixels, as the authors take them."""
    found = [
        (row, column, side)
        for side in range(1, 11)
        for row in range(29 - side)
        for column in range(29 - side)
    ]
    return torch.tensor(found)


@pytest.mark.parametrize("by", ["infidelity", "captum"])
def test_the_authors_and_captum(by):
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    model = LinearModel(*golden["square_weight"].shape)
    model.weight.data = torch.from_numpy(golden["square_weight"])
    x, maps = (torch.from_numpy(golden[name]) for name in ("square_x", "square_maps"))
    squares = torch.from_numpy(golden["squares"]) if by == "captum" else every_square()
    squares = squares.expand(len(x), -1, -1)
    targets = torch.arange(len(x)) % 4

    def score(inputs, classes):
        return model(inputs).softmax(dim=1).gather(1, classes[:, None])[:, 0]

    drops = score_drops(
        score, x, torch.zeros(1, 1, 1, 1), targets, score(x, targets),
        removed=lambda image, number: inside(squares[image, number], 28, 28),
        count=squares.shape[1], batch_size=512,
    )  # fmt: skip
    found = infidelity(drops, square_sums(maps, squares))
    np.testing.assert_allclose(found, golden[by], rtol=1e-4, atol=1e-9)


def asked(metric, ids, x, maps, images, *, made=None):
    """Infidelities (N,) of logits of a linear model, in batches of 7."""
    count = made.append if made is not None else (lambda _: None)
    model = LinearModel(classes=3, channels=x.shape[1], height=x.shape[2], width=x.shape[3])
    scorer = OutputScorer(BareModel(model.eval(), "logits"), "logit", 7, on_forward=count)
    block = EndPoints(scorer, [])(Inputs(x, ids, 0), torch.arange(len(x)) % 3)
    return metric(block, Maps(maps, images, "stable"))["infidelity"].numpy(), model


def test_closed_form_of_a_linear_network():
    """Drops are sums of weight * input; several maps of an image, whose passes are shared."""
    draws = torch.Generator().manual_seed(1)
    x, maps = torch.rand(3, 2, 9, 11, generator=draws), torch.randn(6, 9, 11, generator=draws)
    images = torch.tensor([2, 0, 0, 2, 0, 2])
    metric = Infidelity(num_squares=10, largest=0.6)
    ids, made = ["a", "b", "c"], []
    maps[4] = 0
    found, model = asked(metric, ids, x, maps, images, made=made)
    assert sum(made) == 7 + 3 * 7  # the clean images, and 2 * 10 in full batches
    for number, image in enumerate(images.tolist()):
        shares = (model.weight[image] * x[image]).sum(dim=0).double()
        drops, sums = [], []
        for row, column, side in metric.squares(0, ids[image], 9, 11).tolist():
            at = slice(row, row + side), slice(column, column + side)
            assert shares[at].shape == (side, side)
            drops.append(shares[at].sum().item())
            sums.append(maps[number][at].double().sum().item())
        drops, sums = np.array(drops), np.array(sums)
        beta = (drops * sums).mean() / (sums**2).mean() if number != 4 else 0
        assert found[number] == pytest.approx(((drops - beta * sums) ** 2).mean(), rel=1e-4)
    right = (model.weight[0] * x[0]).sum(dim=0)[None]
    best, _ = asked(metric, ids, x, torch.cat([right, -1e-20 * right]), torch.tensor([0, 0]))
    np.testing.assert_allclose(best, 0, atol=1e-9)


def test_squares_are_keyed_by_seed_and_image():
    metric = Infidelity(num_squares=5)
    drawn = metric.squares(0, "a", 20, 30)
    assert torch.equal(drawn, metric.squares(0, "a", 20, 30))
    assert not torch.equal(drawn, metric.squares(1, "a", 20, 30))
    assert not torch.equal(drawn, metric.squares(0, "b", 20, 30))


def test_each_square_is_as_likely_as_another():
    """3 x 4 places of side 1 and 2 x 3 of side 2, in an image of 3 x 4."""
    metric = Infidelity(num_squares=18000, smallest=0.01, largest=0.67)
    squares, counts = metric.squares(0, "a", 3, 4).unique(dim=0, return_counts=True)
    assert len(squares) == 12 + 6
    assert counts.numpy() == pytest.approx(np.full(18, 1000), rel=0.12)
    assert ((squares[:, :2] + squares[:, 2:]) <= torch.tensor([3, 4])).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_squares": 1}, "num_squares: expected an integer"),
        ({"smallest": 0}, "smallest: expected a number"),
        ({"smallest": 0.5}, "largest: expected at least smallest, 0.5, found 0.357143"),
    ],
)
def test_bad_settings(settings, message):
    with pytest.raises(BenchError, match=message):
        Infidelity(**settings)
