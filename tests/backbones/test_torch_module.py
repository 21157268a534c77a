from dataclasses import asdict

import numpy as np
import pytest
import timm
import torch
import torchvision
from toy import ConvModel

from bench.backbones import torch_module as tested
from bench.backbones.checkpoint import file_sha256
from bench.backbones.torch_module import timm_model, torch_module
from bench.errors import BenchError

SQUARE = {"size": 23, "mean": [120, 110, 100], "std": [60, 61, 62]}


def test_timm_model_from_a_checkpoint(tmp_path):
    """Outputs are timm's own, with the weights of the file."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        reference = timm.create_model("resnet10t", num_classes=7).eval()
    torch.save({"state_dict": reference.state_dict()}, tmp_path / "weights.pth")
    ours = timm_model("resnet10t", str(tmp_path / "weights.pth"), {"size": 64}, num_classes=7)
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert (ours.outputs(x) - reference(x)).abs().max() <= 1e-5 * reference(x).abs().max()
    assert (ours.name, ours.num_classes, ours.output_kind) == ("resnet10t", 7, "logits")
    assert ours.file_sha256 == file_sha256(tmp_path / "weights.pth")
    assert ours.cam_layer == "layer4.0.conv2"  # the convolution after it is the shortcut's


def test_torchvisions_resnet101_has_timms_names():
    """So that checkpoints of the one load into the other: `cub-resnet101-edl.pth`, for instance."""
    with torch.device("meta"):
        theirs = torchvision.models.resnet101(num_classes=200).state_dict()
        ours = timm.create_model("resnet101", num_classes=200).state_dict()
    assert {k: v.shape for k, v in theirs.items()} == {k: v.shape for k, v in ours.items()}


def test_timms_preprocessing_is_the_default_and_can_be_declared():
    preprocessing = timm_model("vit_tiny_patch16_224", "random", {}).preprocessing
    assert asdict(preprocessing) == {
        "size": 224, "mean": (127.5,) * 3, "std": (127.5,) * 3,
        "channel_order": "rgb", "resize": "cv2_linear", "crop": None,
    }  # fmt: skip
    declared = {"size": None, "mean": [1, 2, 3], "resize": "pil_bicubic", "crop": 0.9}
    preprocessing = timm_model("resnet10t", "random", declared).preprocessing
    assert (preprocessing.size, preprocessing.mean, preprocessing.resize, preprocessing.crop) == (
        176,
        (1, 2, 3),
        "pil_bicubic",
        0.9,
    )
    assert preprocessing.std == pytest.approx((58.395, 57.12, 57.375))


def test_random_weights_are_the_same_each_time_and_leave_torchs_generator_alone():
    before = torch.random.get_rng_state()
    first, second = (timm_model("resnet10t", "random", {"size": 64}) for _ in range(2))
    assert first.identity() == second.identity()
    assert first.num_classes == 1000
    assert torch.equal(torch.random.get_rng_state(), before)


def test_pretrained_asks_timm(monkeypatch):
    asked = []
    create = timm.create_model

    def fake(name, pretrained, num_classes):
        asked.append(pretrained)
        return create(name, pretrained=False, num_classes=num_classes)

    monkeypatch.setattr(tested.timm, "create_model", fake)
    timm_model("resnet10t.c3_in1k", "pretrained", {"size": 64})
    assert asked == [True]


def test_no_way_to_the_hub(monkeypatch):
    def offline(name, pretrained, num_classes):
        raise OSError("no network\nat all")

    monkeypatch.setattr(tested.timm, "create_model", offline)
    with pytest.raises(BenchError, match=r"no network at all; backbone\.weights=FILE"):
        timm_model("resnet10t", "pretrained", {})


def test_own_module():
    model = torch_module(ConvModel(5), "mine", SQUARE, "cosines", feature_layer="last")
    assert (model.name, model.num_classes, model.output_kind) == ("mine", 5, "cosines")
    assert (model.cam_layer, model.feature_layer, model.file_sha256) == ("last", "last", None)
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert model.outputs(model.preprocess([image])).shape == (1, 5)
    assert torch_module(ConvModel(), "mine", SQUARE, "logits", cam_layer=None).cam_layer is None
    assert (
        torch_module(ConvModel(), "mine", SQUARE, "logits", cam_layer="first").layer() is not None
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: timm_model("resnet1001", "random", {}), "Did you mean .resnet"),
        (lambda: timm_model("resnet10t", "random", {}, num_classes=0), "num_classes: expected"),
        (lambda: timm_model("resnet10t", "lost.pth", {}), r"weights: 'lost\.pth' is missing"),
        (lambda: timm_model("resnet10t", "random", {}, sha256="0"), "sha256: expected weights"),
        (lambda: torch_module("text", "mine", SQUARE, "logits"), "expected a torch.nn.Module"),
        (lambda: torch_module(torch.nn.ReLU(), "mine", SQUARE, "logits"),
         r"expected outputs \(1, classes\) for one image, found \(1, 3, 23, 23\)"),
        (lambda: torch_module(ConvModel(), "mine", SQUARE, "logits", cam_layer="firts"),
         "Did you mean 'first'"),
    ],
)  # fmt: skip
def test_bad_settings(call, message):
    with pytest.raises(BenchError, match=message):
        call()


def test_wrong_architecture_and_wrong_hash(tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(ConvModel(5).state_dict(), path)
    with pytest.raises(BenchError, match=r"head\.weight: expected \(4, 8\), found \(5, 8\)"):
        torch_module(ConvModel(4), "mine", SQUARE, "logits", weights=str(path))
    with pytest.raises(BenchError, match=f"expected sha256 {'1' * 64}"):
        torch_module(ConvModel(5), "mine", SQUARE, "logits", weights=str(path), sha256="1" * 64)
