import os
import re
from urllib.error import URLError

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.models import get_model, get_model_weights

from bench.backbones.checkpoint import file_sha256
from bench.backbones.torchvision_network import torchvision_network
from bench.errors import BenchError


def smooth(height, width):
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.fixture
def downloads(monkeypatch):
    """Weights that torchvision would download, by the name of their network."""
    found = {}

    def get_state_dict(self, **options):
        assert options["weights_only"]
        assert options["check_hash"]
        return found[re.split(r"[-_]", self.url.rpartition("/")[2])[0]]

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", get_state_dict)
    return found


@pytest.mark.parametrize("entry", ["IMAGENET1K_V1", "IMAGENET1K_V2"])
def test_weights_and_preprocessing_are_those_of_the_enum(downloads, entry):
    reference = get_model("resnet18" if entry == "IMAGENET1K_V1" else "resnet50").eval()
    name = "resnet18" if entry == "IMAGENET1K_V1" else "resnet50"
    downloads[name] = reference.state_dict()
    ours = torchvision_network(name, entry, {})
    transform = get_model_weights(name)[entry].transforms()
    for height, width in ((300, 300), (320, 256), (64, 64)):
        image = smooth(height, width)
        expected = transform(Image.fromarray(image))
        assert (ours.preprocess([image])[0] - expected).abs().max() < 1e-5
    x = ours.preprocess([image])
    with torch.inference_mode():
        assert torch.allclose(ours.outputs(x), reference(x), rtol=1e-4, atol=1e-5)
    assert (ours.name, ours.num_classes, ours.file_sha256) == (name, 1000, None)


def test_a_file_and_its_hash(tmp_path):
    reference = get_model("mobilenet_v2", num_classes=5).eval()
    path = tmp_path / "weights.pth"
    torch.save({"model": reference.state_dict(), "epoch": 3}, path)
    ours = torchvision_network("mobilenet_v2", str(path), {"size": 64}, num_classes=5)
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(ours.outputs(x), reference(x), atol=1e-5)
    assert ours.file_sha256 == file_sha256(path)
    with pytest.raises(BenchError, match="expected sha256 0"):
        torchvision_network("mobilenet_v2", str(path), {}, num_classes=5, sha256="0" * 64)
    with pytest.raises(BenchError, match="this head has 5 classes"):
        torchvision_network("mobilenet_v2", str(path), {})


def test_heads_for_training_and_old_names_of_densenet(tmp_path):
    """Inception's file has a second head; DenseNet's has `norm.1` where the class has `norm1`."""
    inception = get_model("inception_v3", init_weights=False, transform_input=True).eval()
    torch.save(inception.state_dict(), tmp_path / "inception.pth")
    ours = torchvision_network(
        "inception_v3", str(tmp_path / "inception.pth"), {"size": 96}, cam_layer=None
    )
    x = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        assert torch.allclose(ours.outputs(x), inception(x), atol=1e-5)
    assert not any("AuxLogits" in name for name in ours.module.state_dict())
    dense = get_model("densenet121", num_classes=3).state_dict()
    old = {re.sub(r"(denselayer\d+\.\w+?)([12])\.", r"\1.\2.", k): v for k, v in dense.items()}
    assert old.keys() != dense.keys()
    torch.save(old, tmp_path / "dense.pth")
    ours = torchvision_network("densenet121", str(tmp_path / "dense.pth"), {}, num_classes=3)
    assert all(torch.equal(ours.module.state_dict()[name], dense[name]) for name in dense)


def test_no_way_to_the_weights(monkeypatch):
    def offline(*_, **__):
        raise URLError("no network\nat all")

    monkeypatch.setattr(torchvision.models.WeightsEnum, "get_state_dict", offline)
    with pytest.raises(
        BenchError, match=r"cannot download http.*resnet18.*no network at all.*FILE"
    ):
        torchvision_network("resnet18", "IMAGENET1K_V1", {})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_a_file_that_would_run_something_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save({"model": {"a": Evil()}}, "evil.pth")
    with pytest.raises(BenchError, match="refused"):
        torchvision_network("resnet18", "evil.pth", {})
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet51", "random", "Did you mean 'resnet50'"),
        (
            "resnet50",
            "IMAGENET1K_V3",
            "is missing: expected random, IMAGENET1K_V1, ",
        ),
        ("fasterrcnn_resnet50_fpn", "random", "unknown name"),
    ],
)
def test_bad_settings(name, weights, message):
    with pytest.raises(BenchError, match=message):
        torchvision_network(name, weights, {})
