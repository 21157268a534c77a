"""RISE's protocol and maps against arrays made by its authors' code (github.com/eclique/RISE)."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from bench import insertion_deletion
from bench.attribution import masking
from bench.attribution.masking import OriginalRise
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, Preprocessing
from bench.metrics.protocol import load_protocol


@pytest.fixture(scope="module")
def golden(pytestconfig):
    with np.load(pytestconfig.getoption("golden") / "rise.npz", allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture
def network(golden):
    module = nn.Sequential(nn.Conv2d(3, 6, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(600, 7))
    state = {key[4:]: torch.from_numpy(golden[key]) for key in golden if key.startswith("net/")}
    module.load_state_dict(state)
    return module.eval()


def with_rows(protocol, rows):
    metrics = {name: replace(curve, rows_per_step=rows) for name, curve in protocol.curves.items()}
    return replace(protocol, metrics=metrics)


@pytest.mark.parametrize(
    ("name", "rows", "step"),
    [("rise", 8, 256), ("rise-1row", 1, 32), ("rise", 5, 160)],  # 5 rows do not divide the image
)
def test_curves_equal_those_of_causal_metric(golden, network, name, rows, step):
    protocol = load_protocol(name)
    if rows == 5:
        protocol = with_rows(protocol, 5)
    found = insertion_deletion(network, golden["x"], golden["top"], golden["maps"], protocol)
    for direction, ours, areas in (
        ("ins", found.insertion, found.insertion_auc),
        ("del", found.deletion, found.deletion_auc),
    ):
        theirs = golden[f"{direction}_{step}"]
        assert ours.shape == theirs.shape
        assert np.abs(ours - theirs).max() <= 1e-5
        assert np.abs(areas - golden[f"{direction}_{step}_auc"]).max() <= 5e-6


def draws(count, grid_size, probability, cell):
    """Grids and offsets as RISE draws them after np.random.seed(5)."""
    generator = np.random.RandomState(5)
    grids = generator.rand(count, grid_size, grid_size) < probability
    offsets = [[generator.randint(0, cell), generator.randint(0, cell)] for _ in range(count)]
    return torch.from_numpy(grids).float()[:, None], torch.tensor(offsets)


class Replayed(masking._OriginalMasks):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.grids, self.offsets = draws(24, 7, 0.5, cell=5)


def test_masks_equal_rises_given_its_draws(golden):
    masks = Replayed(OriginalRise(24, 7, 0.5), 0, (32, 32), torch.device("cpu"))
    found = masks(torch.arange(24)).numpy()
    assert np.abs(found - golden["masks"]).max() <= 1e-6
    assert np.array_equal(found == 0, golden["masks"] == 0)


def test_maps_equal_rises_given_its_masks(golden, network, monkeypatch):
    monkeypatch.setattr(masking, "_OriginalMasks", Replayed)
    preprocessing = Preprocessing(32, (0.0,) * 3, (1.0,) * 3)
    scorer = Scorer(Backbone("small", network, preprocessing, "logits", 7), "probability", 5)
    x = torch.from_numpy(golden["x"][:1]).expand(7, -1, -1, -1)
    image = np.zeros((32, 32, 3), np.uint8)
    batch = Batch(x, torch.arange(7), list("abcdefg"), [image] * 7)
    found = OriginalRise(24, 7, 0.5)(scorer, batch).numpy()
    theirs = golden["rise_all_classes"]
    assert np.abs(found - theirs).max() <= 1e-5 * np.abs(theirs).max()
