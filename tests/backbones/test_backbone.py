import cv2
import numpy as np
import pytest
import torch
from toy import ConvModel, backbone

from bench.backbones.backbone import Backbone, Preprocessing
from bench.errors import BenchError

PREPROCESSING = Preprocessing(8, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))


def test_preprocessing_is_cv2_resize_then_normalise():
    draws = np.random.default_rng(0)
    images = [draws.integers(0, 256, (*side, 3), dtype=np.uint8) for side in [(5, 9), (20, 8)]]
    x = PREPROCESSING(images)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    for own, image in zip(x, images, strict=True):
        resized = cv2.resize(image, (8, 8)).astype(np.float32)
        expected = (resized - [10, 20, 30]) / [2, 4, 5]
        assert np.abs(own.permute(1, 2, 0).numpy() - expected).max() <= 1e-5


def test_colours_go_to_input_values_and_back():
    values = PREPROCESSING.to_input(torch.tensor([10.0, 28, 30]))
    assert values.tolist() == [0, 2, 0]
    assert PREPROCESSING.to_rgb(values).tolist() == [10, 28, 30]
    assert PREPROCESSING.to_rgb(torch.zeros(3)).tolist() == [10, 20, 30]


def test_the_network_is_frozen_and_in_eval_mode():
    module = ConvModel().train()
    frozen = Backbone("toy", module, PREPROCESSING, "logits", 4)
    assert not any(part.training for part in frozen.module.modules())
    assert not any(parameter.requires_grad for parameter in frozen.module.parameters())


@pytest.mark.parametrize("entry", ["head.bias", "norm.running_var"])
def test_identity_follows_every_weight_and_statistic(entry):
    other = backbone()
    other.module.state_dict()[entry][0] += 1e-6
    assert backbone().identity() == backbone().identity()
    assert other.identity() != backbone().identity()


def test_identity_follows_the_rest():
    variants = [
        backbone(),
        backbone(size=24),
        backbone(output_kind="cosines"),
        backbone(cam_layer="first"),
        Backbone("toy", ConvModel(), PREPROCESSING, "logits", 4, "last"),
        Backbone("other", ConvModel(), PREPROCESSING, "logits", 4, "last"),
    ]
    assert len({str(variant.identity()) for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"output_kind": "logit"}, "Did you mean 'logits'"), ({"cam_layer": "lost"}, "'last'")],
)
def test_bad_settings(changes, message):
    with pytest.raises(BenchError, match=message):
        backbone(**changes)


def test_no_cam_layer():
    with pytest.raises(BenchError, match=r"names no CAM layer: set backbone\.cam_layer"):
        backbone(cam_layer=None).layer()


X = torch.rand(4, 3, 23, 23, generator=torch.Generator().manual_seed(0))


def test_bf16_is_near_and_is_not_the_same():
    exact, near = backbone(), backbone().set_speed("bf16", compile=False)
    assert near.outputs(X).dtype == torch.float32
    difference = (near.outputs(X) - exact.outputs(X)).abs().max()
    assert 0 < difference <= 0.02 * exact.outputs(X).abs().max()


def test_tf32_is_off_unless_asked_for():
    backbone().set_speed("tf32", compile=False)
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    backbone().set_speed("fp32", compile=False)
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_compiled_scores_and_plain_gradients(monkeypatch):
    """Only inference goes through the compiled network."""
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: lambda x: module(x) + 1)
    compiled, plain = backbone().set_speed("fp32", compile=True), backbone()
    assert compiled.is_compiled
    assert torch.equal(compiled.outputs(X), plain.outputs(X))
    with torch.inference_mode():
        assert torch.equal(compiled.outputs(X), plain.outputs(X) + 1)


def test_unknown_precision():
    with pytest.raises(BenchError, match="Did you mean 'fp32'"):
        backbone().set_speed("fp23", compile=False)
