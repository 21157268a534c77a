from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from toy import LinearModel

from bench.attribution.scorer import OutputScorer
from bench.backbones.bare import BareModel
from bench.errors import BenchError
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints
from bench.metrics.idsds import IDSDS
from bench.metrics.metric import Maps

GOLDEN = Path(__file__).parents[1] / "golden/removals.npz"


def asked(model, x, targets, maps, *, images=None, score="output", made=None, metric=None):
    """Correlations (N,), in batches of 7."""
    count = made.append if made is not None else (lambda _: None)
    scorer = OutputScorer(BareModel(model.eval(), "logits"), score, 7, on_forward=count)
    block = EndPoints(scorer, [])(Inputs(x, [str(i) for i in range(len(x))]), targets)
    images = torch.arange(len(x)) if images is None else images
    return (metric or IDSDS())(block, Maps(maps, images, "stable"))["idsds"]


def test_the_authors_protocol():
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    model = LinearModel(*golden["cell_weight"].shape)
    model.weight.data = torch.from_numpy(golden["cell_weight"])
    x, maps = (torch.from_numpy(golden[name]) for name in ("cell_x", "cell_maps"))
    found = asked(model, x, torch.arange(5) % 4, maps, score="probability")
    np.testing.assert_allclose(found, golden["idsds"], atol=1e-12)


def test_closed_form_of_a_linear_network():
    """Sides that four does not divide; several maps of an image, whose passes are shared."""
    model = LinearModel(classes=3, channels=2, height=9, width=11)
    draws = torch.Generator().manual_seed(1)
    x, maps = torch.rand(3, 2, 9, 11, generator=draws), torch.randn(6, 9, 11, generator=draws)
    images, targets = torch.tensor([2, 0, 0, 2, 0, 2]), torch.tensor([2, 0, 1])
    maps[1] = maps[1].round()
    maps[2] = (model.weight[2] * x[0]).sum(dim=0)
    maps[3] = -(model.weight[1] * x[2]).sum(dim=0)
    maps[4] = 0
    made = []
    found = asked(model, x, targets, maps, images=images, made=made)
    assert sum(made) == 7 + 5 * 7  # the clean images, and 2 * 16 in full batches
    rows, columns = [np.floor((np.arange(n) + 0.5) * 4 / n).astype(int) for n in (9, 11)]
    for number, image in enumerate(images.tolist()):
        shares = (model.weight[targets[image]] * x[image]).sum(dim=0).numpy()
        drops, sums = np.zeros((4, 4)), np.zeros((4, 4))
        for row in range(9):
            for column in range(11):
                drops[rows[row], columns[column]] += shares[row, column]
                sums[rows[row], columns[column]] += maps[number, row, column]
        expected = 0 if number == 4 else spearmanr(drops.ravel(), sums.ravel()).statistic
        assert found[number] == pytest.approx(expected, abs=1e-12)
    assert found[2] == pytest.approx(1)
    assert found[3] == pytest.approx(-1)


def test_settings():
    assert IDSDS(grid_size=3).passes_per_image((224, 224)) == 9
    with pytest.raises(BenchError, match="grid_size: expected an integer"):
        IDSDS(grid_size=1)
