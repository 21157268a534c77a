"""Against searches that the code of SMDL's authors made (github.com/RuoyuChen10/SMDL-Attribution).

`smdl_cub.npz`: commit faea7f0, models/submodular_cub.py, smdl_explanation_cub.py and
`convert_smdl_mask` of evals/evaluation_insertion_cub.py; grid 10, 4 cells a set, weights 1, 1, 1,
1, 24 of 25 sets. `smdl_face.npz`: commit 0961a5a, models/submodular.py (TF mode),
smdl_explanation_celeba.py; grid 14, 8 cells a set (4 cells in none), weights 1, 200, 10, 1, 23 of
24 sets; maps without smoothing and smoothed to 7 and 28. Made on a CPU with tiny networks: Keras's
in `smdl_*.h5`, the evidential one in `edl/*`. Scores are (rounds, sets), NaN where the set was
chosen before. The map of `cub` is three times the map.
"""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.attribution.submodular import Smdl, _effectiveness, _Inputs, _Search
from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.keras_h5 import keras_h5

GOLDEN = Path(__file__).parents[1] / "golden"
CUB = {"consistency_of": "score", "score_of": "prediction", "evidence_scale": 1}
FACE = {"consistency_of": "embedding", "score_of": "prediction", "evidence_scale": 5}


class Fixed(Method):
    """One map."""

    def __init__(self, fixed):
        self.map = fixed

    def __call__(self, scorer, batch):
        return self.map[None]


def evidential(golden, size):
    """The authors' uncertainty network, here a tiny one."""
    first, last = golden["edl/0.weight"], golden["edl/4.weight"]
    convolution = nn.Conv2d(3, len(first), first.shape[-1], first.shape[-1])
    layers = OrderedDict(enumerate([convolution, nn.ReLU(), nn.AdaptiveAvgPool2d(3), nn.Flatten()]))
    layers = {str(number): layer for number, layer in layers.items()}
    module = nn.Sequential(OrderedDict(layers | {"4": nn.Linear(last.shape[1], len(last))}))
    names = [name for name in golden if name.startswith("edl/")]
    module.load_state_dict({name[4:]: torch.from_numpy(golden[name]) for name in names})
    preprocessing = Preprocessing(size, (127.5,) * 3, (127.5,) * 3, resize="pil_bilinear")
    module = module.eval().requires_grad_(False)
    return Backbone("edl", module, preprocessing, "logits", len(last))


class Case:
    """A search of the authors, and ours set up alike."""

    def __init__(self, name, smooth=None):
        with np.load(GOLDEN / f"smdl_{name}.npz", allow_pickle=False) as file:
            self.golden = dict(file)
        size = len(self.golden["image_bgr"])
        network = keras_h5(
            str(GOLDEN / f"smdl_{name}.h5"),
            "caffe" if name == "cub" else "arcface",
            feature_layer="dense" if name == "cub" else "embedding",
        )
        (grid_size, set_size), weights = self.golden["grid_set"], self.golden["lambdas"].tolist()
        prior = self.golden["prior"].astype(np.float32)
        image = np.ascontiguousarray(self.golden["image_bgr"][:, :, ::-1])
        self.method = Smdl(
            Fixed(torch.from_numpy(np.kron(prior, np.ones((size // 28, size // 28), "f4")))),
            int(grid_size),
            int(set_size),
            rounds=len(self.golden["order"]),
            confidence=weights[0],
            effectiveness=weights[1],
            consistency=weights[2],
            collaboration=weights[3],
            uncertainty=evidential(self.golden, size),
            smooth=smooth,
            **(CUB if name == "cub" else FACE),
        )
        self.scorer = Scorer(network, "probability" if name == "cub" else "output", 16)
        target = torch.from_numpy(self.golden["target"].reshape(1))
        self.batch = Batch(network.preprocess([image]), target, ["image"], [image])
        self.sets = self.method._sets(self.scorer, self.batch)
        black = network.to_input(torch.zeros(3))
        self.inputs = _Inputs(self.batch.x, black, self.sets)


@pytest.fixture(scope="module", params=["cub", "face"])
def case(request):
    return Case(request.param)


def test_cells_are_in_the_authors_sets(case):
    """Of these priors none ties; see `test_tied_cells_go_in_the_order_of_numpy_1_23`."""
    found = case.inputs.set_of_pixel.view(case.batch.x.shape[2:]).numpy()
    expected = case.golden["set_of_pixel"]
    assert (np.where(found == case.method.num_sets, -1, found) == expected).all()


def test_tied_cells_go_in_the_order_of_numpy_1_23(case):
    """`ties.npz` has orders of numpy 1.23.5; cells are sorted by the negated prior."""
    with np.load(GOLDEN / "ties.npz", allow_pickle=False) as file:
        names = [name[5:] for name in file if name.startswith("keys/") and "_100" in name]
        golden = {name: (file[f"keys/{name}"], file[f"order/{name}"]) for name in names}
    assert len(golden) > 10
    for name, (keys, order) in golden.items():
        prior = torch.from_numpy(-keys.reshape(10, 10).astype(np.float32))
        method = Smdl(Fixed(prior), grid_size=10, set_size=4)
        found = method._sets(None, case.batch).flatten()
        assert (found[order.astype(int)] == torch.arange(100) // 4).all(), name


@torch.inference_mode()
def test_scores_of_all_candidates_in_all_rounds(case):
    """Networks round differently, which small angles between features magnify."""
    golden, method = case.golden, case.method
    search = _Search(method, case.scorer, case.batch, case.inputs, case.sets)
    terms, distances = search._terms(), search._distances()
    shown = torch.zeros(1, method.num_sets + 1, dtype=torch.bool)
    tolerance = 1e-4 if method.consistency_of == "score" else 5e-6
    order = golden["order"].tolist()
    for number, chosen in enumerate(order):
        left = [i for i in range(method.num_sets) if i not in order[:number]]
        candidates = torch.tensor([left])
        names = ("confidence", "consistency", "collaboration")
        for name, term in zip(names, terms, strict=True):
            found = search._scores(term, shown, candidates)[0].numpy()
            assert np.abs(found - golden[name][number, left]).max() <= 5e-6, (name, number)
        if number > 0:
            found = _effectiveness(distances, shown[:, :-1], candidates)[0].numpy()
            expected = golden["effectiveness"][number, left]
            assert np.abs(found - expected).max() <= tolerance, number
        shown[0, chosen] = True


def test_the_authors_order(case):
    search = _Search(case.method, case.scorer, case.batch, case.inputs, case.sets)
    ranks = search.ranks()[0].numpy()
    found = np.argsort(ranks, kind="stable")[: len(case.golden["order"])]
    assert found.tolist() == case.golden["order"].tolist()


@pytest.mark.parametrize(
    ("name", "smooth", "key"),
    [("cub", None, "map"), ("face", None, "map"), ("face", 7, "map_7"), ("face", 28, "map_28")],
)
def test_the_authors_maps(name, smooth, key):
    case = Case(name, smooth)
    (found,) = case.method(case.scorer, case.batch).numpy()
    expected = case.golden[key].astype(np.float32)
    expected = expected / 3 if expected.ndim == 2 else expected.mean(axis=2)
    assert np.abs(found - expected).max() <= 1e-5
