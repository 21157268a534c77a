import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from toy import Faces

from bench.backbones.backbone import Preprocessing
from bench.backbones.face import CosineHead, EmbeddingNetwork, cosine_backbone, read_class_vectors
from bench.errors import BenchError

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))


class Embedding(nn.Module):
    def __init__(self):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 5, 3)
            self.fc = nn.Linear(180, 6)

    def forward(self, x):
        return self.fc(self.conv(x).flatten(1))


def backbone(tmp_path, head=None, gallery=None, scale=1.0):
    preprocessing = Preprocessing(8, mean=(127.5,) * 3, std=(128.0,) * 3)
    network = EmbeddingNetwork("toy", Embedding(), preprocessing, 6)
    cache = str(tmp_path)
    return cosine_backbone(
        network, head=head, gallery=gallery, scale=scale, cache=cache, device="cpu"
    )


def vectors(classes=5, features=6):
    return torch.randn(classes, features, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("scale", [1, 64.0])
def test_outputs_are_scaled_cosines(scale):
    embeddings, prototypes = (
        torch.randn(4, 6, generator=torch.Generator().manual_seed(0)),
        vectors(),
    )
    found = CosineHead(prototypes, scale)(embeddings)
    expected = [[scale * functional.cosine_similarity(e, v, dim=0) for v in prototypes]
                for e in embeddings]  # fmt: skip
    assert (found - torch.tensor(expected)).abs().max() <= 1e-6 * scale


@pytest.mark.parametrize(("scale", "kind"), [(1, "cosines"), (64.0, "logits")])
def test_head_from_a_checkpoint(tmp_path, scale, kind):
    torch.save({"weight": vectors()}, tmp_path / "head.pt")
    model = backbone(tmp_path, head=str(tmp_path / "head.pt"), scale=scale)
    assert (model.output_kind, model.num_classes, model.enrolled) == (kind, 5, frozenset())
    embeddings = Embedding()(X)
    expected = scale * functional.normalize(embeddings) @ functional.normalize(vectors()).T
    assert (model.outputs(X) - expected).abs().max() <= 1e-6 * scale
    assert (model.features(X) - embeddings).abs().max() <= 1e-6
    assert model.layer() is model.module.embedding.conv


def test_head_from_prototypes_recognises_its_gallery(tmp_path):
    gallery = Faces(3)
    model = backbone(tmp_path, gallery=gallery)
    assert (model.num_classes, len(model.enrolled)) == (3, 6)
    outputs = model.outputs(model.preprocess([sample.read() for sample in gallery.samples]))
    assert outputs.argmax(dim=1).tolist() == [sample.target for sample in gallery.samples]


@pytest.mark.parametrize("container", [None, "state_dict_softmax_fc", "state_dict"])
def test_class_vectors_of_arcface_torch(tmp_path, container):
    """Several GPUs hold the classes one after another."""
    for rank, share in enumerate(vectors().split([2, 3])):
        state = {"weight": share.half()}
        content = state if container is None else {"epoch": 1, container: state}
        torch.save(content, tmp_path / f"{rank}.pt")
    found = read_class_vectors([str(tmp_path / "0.pt"), str(tmp_path / "1.pt")], 6)
    assert found.dtype == torch.float32
    assert (found - vectors()).abs().max() <= 1e-2


@pytest.mark.parametrize(
    "state",
    [{"weight": vectors(5, 7)}, {"weight": torch.zeros(6)}, {"a": vectors(), "b": vectors()}],
)
def test_what_is_no_head(tmp_path, state):
    torch.save(state, tmp_path / "head.pt")
    with pytest.raises(BenchError, match=r"expected one matrix \(classes, 6\), found"):
        read_class_vectors(str(tmp_path / "head.pt"), 6)


def test_exactly_one_head(tmp_path):
    with pytest.raises(BenchError, match="found neither"):
        backbone(tmp_path)
    with pytest.raises(BenchError, match="found both"):
        backbone(tmp_path, head="head.pt", gallery=Faces(3))
    with pytest.raises(BenchError, match="scale: expected a number"):
        backbone(tmp_path, gallery=Faces(3), scale=0)


def test_identity_follows_the_gallery(tmp_path):
    first, second = (backbone(tmp_path, gallery=Faces(3, seed=seed)) for seed in (0, 1))
    assert first.identity() != second.identity()
    assert np.ptp(first.module.head.vectors.norm(dim=1).numpy()) <= 1e-6
