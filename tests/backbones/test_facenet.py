import pytest
import torch
from facenet_pytorch import InceptionResnetV1
from torch.nn import functional
from toy import Faces

from bench.backbones.facenet import facenet
from bench.errors import BenchError

X = torch.rand(2, 3, 160, 160, generator=torch.Generator().manual_seed(2)) * 2 - 1


@pytest.fixture(scope="module")
def network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return InceptionResnetV1(classify=True, num_classes=11).eval()


@pytest.fixture
def weights(tmp_path, network):
    torch.save(network.state_dict(), tmp_path / "vggface2.pt")
    return str(tmp_path / "vggface2.pt")


def test_its_own_classifier_gives_logits(weights, network):
    model = facenet(weights)
    with torch.inference_mode():
        expected = network(X)
        assert (model.outputs(X) - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert (model.output_kind, model.num_classes) == ("logits", 11)
    assert model.preprocessing.size == 160
    assert model.layer().weight.ndim == 4


@pytest.mark.parametrize("classifier", [True, False])
def test_prototypes_serve_too(weights, network, tmp_path, classifier):
    if not classifier:
        state = {k: v for k, v in network.state_dict().items() if not k.startswith("logits")}
        torch.save(state, weights)
    model = facenet(weights, gallery=Faces(3), cache=str(tmp_path), device="cpu")
    embedding = InceptionResnetV1(classify=False).eval()
    embedding.load_state_dict(
        {k: v for k, v in network.state_dict().items() if not k.startswith("logits")}
    )
    with torch.inference_mode():
        unit = embedding(X)
        assert (functional.normalize(model.features(X)) - unit).abs().max() <= 1e-5
        expected = unit @ model.module.head.vectors.T
        assert (model.outputs(X) - expected).abs().max() <= 1e-5
    assert (model.output_kind, model.num_classes) == ("cosines", 3)


def test_no_class_vectors(weights, network):
    torch.save({k: v for k, v in network.state_dict().items() if "logits" not in k}, weights)
    with pytest.raises(BenchError, match="needs class vectors"):
        facenet(weights)
