import pytest
import torch
from torch import nn
from torch.nn import functional
from toy import Faces

from bench.backbones import prototypes as tested
from bench.backbones.backbone import Preprocessing
from bench.backbones.prototypes import build_prototypes
from bench.datasets.reading import pixels_sha256
from bench.errors import BenchError

PREPROCESSING = Preprocessing(8, mean=(127.5,) * 3, std=(128.0,) * 3)
CPU = torch.device("cpu")


def embedding(seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(180, 6)).eval()


def build(tmp_path, network=None, gallery=None, preprocessing=PREPROCESSING, batch_size=4):
    return build_prototypes(
        network or embedding(),
        preprocessing,
        gallery or Faces(3),
        tmp_path,
        device=CPU,
        batch_size=batch_size,
    )


@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_vectors_are_normalised_means_of_unit_embeddings(tmp_path, batch_size):
    """Six images in batches of 1, 4 and 16; the targets alternate."""
    network, gallery = embedding(), Faces(3)
    found = build(tmp_path, network, gallery, batch_size=batch_size)
    units = functional.normalize(network(PREPROCESSING([s.read() for s in gallery.samples])))
    sums = torch.stack([units[k] + units[k + 3] for k in range(3)])
    assert (found.vectors - functional.normalize(sums)).abs().max() <= 1e-6
    assert found.images == {pixels_sha256(sample.read()) for sample in gallery.samples}
    assert len(found.images) == 6


def test_they_are_made_once(tmp_path, monkeypatch):
    first = build(tmp_path)
    monkeypatch.setattr(tested, "_embed", None)  # would raise if it were called
    again = build(tmp_path)
    assert torch.equal(first.vectors, again.vectors)
    assert first.images == again.images


@pytest.mark.parametrize(
    "change",
    [
        {"network": embedding(seed=1)},
        {"gallery": Faces(3, seed=1)},
        {"gallery": Faces(4)},
        {"preprocessing": Preprocessing(8, mean=(127.0,) * 3, std=(128.0,) * 3)},
    ],
)
def test_what_differs_never_meets(tmp_path, change):
    build(tmp_path)
    found, alone = build(tmp_path, **change), build(tmp_path / "alone", **change)
    assert torch.equal(found.vectors, alone.vectors)
    assert len(list(tmp_path.glob("*.safetensors"))) == 2


def test_every_class_needs_an_image(tmp_path):
    gallery = Faces(5)
    gallery.samples = [sample for sample in gallery.samples if sample.target not in (1, 3)]
    with pytest.raises(BenchError, match=r"'faces' has no image of 2 of 5 classes \(1, 3\)"):
        build(tmp_path, gallery=gallery)
