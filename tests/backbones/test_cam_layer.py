"""Layers of timm's networks and of small ones that show one kind each."""

import warnings
from functools import cache

import pytest
import timm
import torch
from torch import nn
from toy import ConvModel, backbone, make_batch, swin, transformer

from bench.attribution.adapters import Captum, GradCamPackage
from bench.attribution.cam import GradCAM, ScoreCAM
from bench.attribution.control import Inverted
from bench.attribution.gradient import Saliency
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, convolutions
from bench.backbones.cam_layer import LayerTrace
from bench.backbones.torch_module import torch_module
from bench.config.building import check_methods
from bench.errors import BenchError
from bench.evaluation.explain import Explainer
from bench.evaluation.method_run import MethodRun

SQUARE = {"size": 23, "mean": [120, 110, 100], "std": [60, 61, 62]}


class Joined(nn.Module):
    """A stem and two convolutions, joined as `join` says, before a pooled head."""

    def __init__(self, join, channels=4):
        super().__init__()
        self.join = join
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.left = nn.Conv2d(4, 4, 3, padding=1)
        self.right = nn.Conv2d(4, 4, 3, padding=1)
        self.joined = nn.Identity()
        self.unused = nn.Conv2d(4, 4, 3)
        self.head = nn.Linear(channels, 2)

    def forward(self, x):
        x = self.stem(x).relu_()
        joined = self.joined(self.join(self, x))
        return self.head(joined.mean(dim=(2, 3)))


JOINS = {
    "residual": (lambda m, x: x + m.right(m.left(x).relu_()), "right", ""),
    "in place": (lambda m, x: m.right(m.left(x).relu_()).relu_(), "right", ""),
    "shortcut": (lambda m, x: m.left(m.left_again(x)) + m.right(x), "left", ""),
    "gate": (lambda m, x: (y := m.left(x)) * m.right(y).sigmoid(), "left", ""),
    "squeeze": (
        lambda m, x: (y := m.left(x)) * m.right(y.mean((2, 3), keepdim=True)).sigmoid(), "left", ""
    ),
    "order": (lambda m, x: m.left(m.right(x)), "left", ""),
    "parallel": (lambda m, x: m.left(x) + m.right(x), "joined", ""),
    "branch": (lambda m, x: torch.cat([m.left(x), m.right(x).relu_()], dim=1), "joined", ""),
    "stacked": (lambda m, x: torch.stack([m.left(x), m.right(x)]).amax(dim=0), "joined", ""),
    "pooled apart": (
        lambda m, x: torch.cat([m.left(x), m.right(x)], dim=1).mean((2, 3), keepdim=True), None,
        r"right \(4, 11, 11\) is one branch of a concat.*; there is no layer with maps that all",
    ),
    "before": (lambda m, x: m.right(torch.cat([m.left(x), x], dim=1)[:, 2:6]), "right", ""),
}  # fmt: skip


@pytest.mark.parametrize("kind", JOINS)
def test_the_last_convolution_of_all(kind):
    join, expected, reason = JOINS[kind]
    module = Joined(join, channels=8 if kind in ("branch", "pooled apart") else 4).eval()
    if kind == "shortcut":
        module.left_again = nn.Conv2d(4, 4, 3, padding=1)
        names = ["stem", "left_again", "left", "right"]  # the shortcut's is the last
    else:
        names = convolutions(module)
    found, why = LayerTrace(module, torch.zeros(1, 3, 23, 23)).find(names)
    assert found == expected
    if expected is None:
        with pytest.raises(BenchError, match=reason):
            raise BenchError(why)
    else:
        assert why == ""


def test_a_layer_that_is_called_twice():
    """Which of its outputs would be meant?"""
    module = Joined(lambda m, x: m.right(m.left(m.left(x)))).eval()
    assert (
        LayerTrace(module, torch.zeros(1, 3, 23, 23))
        .refusal("left")
        .startswith("left is called 2 times")
    )
    module = Joined(lambda m, x: m.left(m.left(x)).mean((2, 3), keepdim=True)).eval()
    found, why = LayerTrace(module, torch.zeros(1, 3, 23, 23)).find(convolutions(module))
    assert found is None
    assert why.startswith("its last convolution left is called 2 times")


SMALL = {
    "vit_tiny_patch16_224": {"img_size": 64, "depth": 2},
    "swin_tiny_patch4_window7_224": {"img_size": 56, "depths": (1, 1, 1), "embed_dim": 24},
    "levit_128s": {"img_size": 64},
    # As many tokens as a head has channels: keys (heads, tokens, channels) look like maps.
    "vit_base_patch16_siglip_224": {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3},
    "convnext_atto": {"depths": (1, 1, 1, 1), "conv_mlp": False},
}
"""Settings that make a network of timm quick and change nothing of what is tested."""


@cache
def trace(name):
    settings = SMALL.get(name, {})
    with torch.random.fork_rng():
        module = timm.create_model(name, num_classes=5, **settings).eval().requires_grad_(False)
    size = settings.get("img_size", 64)
    return module, LayerTrace(module, torch.zeros(1, 3, size, size))


@pytest.mark.parametrize(
    ("name", "layer", "shape"),
    [
        ("resnet18", "layer4.1.conv2", (512, 2, 2)),
        ("mobilenetv3_small_050", "blocks.5.0.conv", (288, 2, 2)),
        ("lcnet_035", "blocks.5.1.conv_pw", (176, 2, 2)),
        ("convnext_atto", "stages.3.blocks.0.conv_dw", (320, 2, 2)),
        ("legacy_seresnet18", "layer4.1.conv2", (512, 2, 2)),
        ("densenet121", "features.norm5", (1024, 2, 2)),
        ("repvgg_a0", "stages.3.0", (1280, 2, 2)),
        ("dpn48b", "features.conv5_bn_ac", (832, 2, 2)),
        ("vit_tiny_patch16_224", "blocks.1.norm1", (17, 192)),
        ("swin_tiny_patch4_window7_224", "norm", (4, 4, 96)),
        ("vit_base_patch16_siglip_224", "norm", (16, 48)),
    ],
)
def test_what_auto_takes_of_timms_networks(name, layer, shape):
    module, found = trace(name)
    assert found.find(convolutions(module)) == (layer, "")
    assert found.shape(layer) == shape


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("levit_128s", "stem.conv4.linear (128, 4, 4) is followed by 46 linear layers"),
    ],
)
def test_what_auto_refuses_of_timms_networks(name, reason):
    module, traced = trace(name)
    found, why = traced.find(convolutions(module))
    assert found is None
    assert reason in why


@pytest.mark.parametrize(
    ("name", "layer", "reason"),
    [
        ("swin_tiny_patch4_window7_224", "layers.2", ""),
        ("swin_tiny_patch4_window7_224", "layers.0.blocks.0.attn", "gives no single tensor"),
        ("swin_tiny_patch4_window7_224", "head", "gives (5,) for one image: expected (channels"),
        ("swin_tiny_patch4_window7_224", "patch_embed.proj", "(24, 14, 14) is the patch embedding"),
        ("vit_tiny_patch16_224", "blocks.0.norm1", ""),
        ("vit_tiny_patch16_224", "norm", "(17, 192) has no gradient at any place"),
        ("mobilenetv3_small_050", "conv_head", "gives (1024, 1, 1) for one image: expected"),
        ("densenet121", "features.denseblock4.denselayer3.conv2", "(32, 2, 2) is one branch of"),
        ("densenet121", "features.transition3.conv", ""),
        ("resnet18", "layer4.0.conv1", ""),
    ],
)  # fmt: skip
def test_layers_by_name(name, layer, reason):
    refusal = trace(name)[1].refusal(layer)
    assert refusal.startswith(f"{layer} {reason}") if reason else refusal == ""


def test_a_network_without_a_layer_runs_without_class_activation_maps():
    """With one of them it is refused before any pass is spent; others that it knows are named."""
    module, _ = trace("levit_128s")
    made = torch_module(module, "mine", SQUARE | {"size": 64}, "logits")
    assert made.cam_layer is None
    check_methods({"saliency": Saliency()}, made)
    methods = {"saliency": Saliency(), "cam": GradCAM(), "inverse": Inverted(ScoreCAM())}
    with pytest.raises(BenchError, match=r"method cam, inverse: .*names no CAM layer") as caught:
        check_methods(methods, made)
    assert "its last convolution stem.conv4.linear (128, 4, 4) is followed" in str(caught.value)


class WantsALayer:
    """In the shape of an attribution of Captum."""

    def __init__(self, forward_func, layer):
        pass

    def attribute(self, inputs, target):
        pass


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("left", "is one branch of a concatenation"),
        ("unused", "is called 0 times"),
        ("head", r"gives \(2,\)"),
        ("hed", "Did you mean .head."),
    ],
)
def test_layers_of_adapters(layer, reason):
    module = Joined(JOINS["branch"][0], channels=8)
    made = torch_module(module, "mine", SQUARE, "logits", cam_layer="joined")
    here = f"{__name__}.WantsALayer"
    for adapter in (GradCamPackage, Captum):
        adapter(here).check(made)
        with pytest.raises(BenchError, match=f"^layer: .*'{layer}'.*{reason}"):
            adapter(here, layer=layer).check(made)
    if layer != "hed":
        GradCamPackage(here, {"reshape_transform": None}, layer=layer).check(made)


def test_a_layer_whose_output_reaches_no_score():
    class WithAuxiliary(ConvModel):
        def __init__(self):
            super().__init__()
            self.auxiliary = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            self.auxiliary(x)
            return super().forward(x)

    made = torch_module(WithAuxiliary(), "mine", SQUARE, "logits")
    assert made.cam_layer == "last"
    with pytest.raises(BenchError, match="auxiliary does not reach the network's outputs"):
        made.layer("auxiliary")


def test_a_plugins_network_is_checked_when_a_method_asks():
    """A `Backbone` that somebody's code makes names any layer."""
    made = backbone(cam_layer="head")
    for method in (GradCAM(), ScoreCAM()):
        with pytest.raises(BenchError, match=r"head gives \(4,\)"):
            method.check(made)
        with pytest.raises(BenchError, match=r"head gives \(4,\)"), torch.inference_mode():
            method(Scorer(made, "logit", 2), make_batch())


def test_the_first_check_is_no_change_of_the_network():
    """Methods that leave a network changed have no rows."""
    explainer, run = Explainer(Scorer(backbone(), "logit", 2), {}), MethodRun("cam", GradCAM())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert explainer(run, make_batch()).failures == []


def test_one_pass_is_spent_on_a_layer():
    module = ConvModel()
    made = Backbone("toy", module, backbone().preprocessing, "logits", 4, cam_layer="last")
    passes = []
    module.register_forward_hook(lambda *call: passes.append(len(call[1][0])))
    for _ in range(3):
        made.layer()
    assert passes == [1]
    assert not any(layer._forward_hooks for name, layer in module.named_modules() if name)


def test_networks_in_use_keep_their_layer():
    """The last convolution registered is what Xplique takes, and part of stored runs' keys."""
    module = timm.create_model("resnet50").eval()
    *_, last = convolutions(module)
    assert LayerTrace(module, torch.zeros(1, 3, 64, 64)).find(convolutions(module)) == (last, "")


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
@pytest.mark.parametrize("make", [swin, transformer])
def test_a_layer_of_tokens_is_checked_whatever_torchs_mode(make, mode):
    """Gradients are looked at, which a method may have switched off."""
    network = make()
    with mode():
        assert network.layout("norm" if make is swin else "blocks.1.norm1").kind != "bchw"
        if make is transformer:
            with pytest.raises(BenchError, match=r"norm .* has no gradient at any place"):
                network.layer("norm")
