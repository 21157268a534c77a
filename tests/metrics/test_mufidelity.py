from dataclasses import replace

import numpy as np
import pytest
import torch
from golden_files import Value, digest, model_of
from scipy.stats import spearmanr
from toy import LinearModel

from bench import insertion_deletion
from bench.errors import BenchError
from bench.metrics.baseline import Inputs, ZeroBaseline
from bench.metrics.mufidelity import MuFidelity
from bench.metrics.protocol import load_protocol
from bench.metrics.removal import cell_of_pixel, correlate, score_drops


def test_subsets_have_their_size_and_their_seed():
    settings = MuFidelity(num_masks=500, grid_size=5, subset=0.2)
    replaced = settings.replaced(0)
    assert (replaced.sum(dim=1) == 6).all()  # int(25 * 0.2) + 1, as in Xplique 1.1
    assert replaced.float().mean(dim=0).numpy() == pytest.approx(np.full(25, 6 / 25), abs=0.08)
    assert not torch.equal(replaced, settings.replaced(1))


def test_a_linear_models_own_contributions_correlate_perfectly():
    """Replacing a cell takes exactly its contributions away, so drops equal the map's sums."""
    model = LinearModel(classes=3, channels=3, height=14, width=11).eval()
    x = torch.rand(4, 3, 14, 11, generator=torch.Generator().manual_seed(0))
    targets = torch.tensor([0, 1, 2, 1])
    maps = (model.weight[targets] * x).sum(dim=1)
    protocol = replace(load_protocol("xplique-mufidelity"), name="raw", score="output")
    for sign in (1, -1):
        found = insertion_deletion(model, x, targets, sign * maps, protocol, batch_size=7)
        assert found.mufidelity == pytest.approx(np.full(4, sign), abs=1e-3)
    assert insertion_deletion(model, x, targets, maps).mufidelity is None


@pytest.mark.parametrize("settings", [{"num_masks": 1}, {"grid_size": 0}, {"subset": 0}])
def test_bad_settings(settings):
    with pytest.raises(BenchError, match=f"^{next(iter(settings))}: expected"):
        MuFidelity(**settings)


@pytest.fixture
def golden(request):
    with np.load(request.config.getoption("golden") / "mufidelity.npz", allow_pickle=False) as file:
        return dict(file)


def test_as_xplique_given_its_masks(golden):
    x = torch.from_numpy(golden["x"]).permute(0, 3, 1, 2)
    targets = torch.from_numpy(golden["targets"])
    replaced = torch.from_numpy(golden["masks"] == 0).flatten(1)
    grid = golden["masks"].shape[1]
    cells = cell_of_pixel(grid, *x.shape[2:])
    outputs = model_of(golden)

    def linear_scores(z, t):
        return outputs(z).softmax(dim=1).gather(1, t[:, None])[:, 0]

    clean = linear_scores(x, targets)
    assert np.abs(clean.numpy() - golden["base_scores"]).max() <= 1e-5
    masks = len(replaced)
    for number, value in enumerate(golden["baselines"].tolist()):
        baseline = (Value(value) if value else ZeroBaseline())(Inputs(x))
        built = []

        def score(z, t, built=built):
            built.extend(digest(image) for image in z)
            return linear_scores(z, t)

        drops = score_drops(
            score, x, baseline, targets, clean,
            removed=lambda _, numbers: replaced[numbers][:, cells], count=masks, batch_size=7,
        )  # fmt: skip
        assert built[: len(x) * masks] == golden[f"digests_{number}"].flatten().tolist()
        expected = golden["base_scores"][:, None] - golden[f"scores_{number}"]
        assert np.abs(drops.numpy() - expected).max() <= 1e-5
        for kind in ("smooth", "tied", "zero"):
            maps = golden[f"maps_{kind}"]
            found = correlate(expected, maps, replaced.numpy(), cells.numpy())
            assert np.abs(found - golden[f"fidelity_{kind}_{number}"]).max() <= 1e-6
            assert abs(found.mean() - golden[f"mean_{kind}_{number}"]) <= 1e-6


def test_spearman_is_scipys():
    draws = np.random.default_rng(0)
    drops, maps = draws.normal(size=(1, 9)).astype(np.float32), draws.normal(size=(1, 3, 3))
    cells = np.arange(9).reshape(3, 3)
    (found,) = correlate(drops, maps.astype(np.float32), np.eye(9, dtype=bool), cells)
    assert found == pytest.approx(spearmanr(drops[0], maps.ravel()).statistic)
