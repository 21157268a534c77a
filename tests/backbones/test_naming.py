import pytest
import timm
import torch
import torchvision

from bench.backbones.naming import settings_of, torchvision_name, whose_names


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("mobilenet_v2", "mobilenetv2_100"),
        ("convnext_tiny", "convnext_tiny"),
        ("vit_b_16", "vit_base_patch16_224"),
        ("swin_t", "swin_tiny_patch4_window7_224"),
    ],
)
def test_classifiers_of_torchvision_are_known_by_names_and_shapes(theirs, ours):
    with torch.device("meta"):
        state = torchvision.models.get_model(theirs, weights=None, num_classes=3).state_dict()
    assert torchvision_name(state, ours) == theirs
    assert whose_names(state, ours).endswith(f"backbone=torchvision backbone.name={theirs}")


@pytest.mark.parametrize(
    "name",
    ["mobilenetv2_100", "convnext_tiny", "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224"],
)
def test_timms_names(name):
    with torch.device("meta"):
        state = timm.create_model(name).state_dict()
    assert "backbone=timm" in whose_names(state, name)


@pytest.mark.parametrize(
    ("name", "library"),
    [
        ("vit.embeddings.cls_token", "huggingface"),
        ("resnet.embedder.embedder.convolution.weight", "huggingface"),
        ("visual.conv1.weight", "open_clip"),
        ("logit_scale", "open_clip"),
        ("trunk_output.block1.block1-0.proj.0.weight", "backbone.name=NAME"),
    ],
)
def test_other_names(name, library):
    assert library in whose_names({name: torch.zeros(1)}, "mine")


def test_names_that_tell_nothing():
    assert whose_names({"a": torch.zeros(1)}, "mine") == ""


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("vit_small_patch16_224", "timm backbone.name=vit_small_patch16_224"),
        ("resnet18.a1_in1k", "timm backbone.name=resnet18.a1_in1k"),
        ("vit_b_16", "torchvision backbone.name=vit_b_16"),
        ("google/vit", "huggingface backbone.name=google/vit"),
        ("package.Class", "module backbone.module._target_=package.Class"),
        ("resnet1001", None),
    ],
)
def test_the_settings_that_are_meant_by_a_name(name, settings):
    assert settings_of(name) == settings
