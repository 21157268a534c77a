"""Methods for transformers, next to their authors' code and to slow sums."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn
from toy import make_batch, transformer

from bench.attribution import relevance
from bench.attribution.attention import (
    AttentionGradCAM,
    AttentionRollout,
    GradientRollout,
    LeGrad,
    TransformerAttribution,
)
from bench.attribution.guard import guarded
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.backbones.attention import attention_of
from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.torch_module import torch_module
from bench.errors import BenchError

GOLDEN = Path(__file__).parents[1] / "golden"
METHODS = {
    "attention_rollout": AttentionRollout(),
    "attention_grad_cam": AttentionGradCAM(),
    "gradient_rollout": GradientRollout(),
    "transformer_attribution": TransformerAttribution(),
}
SQUARE = {"mean": [120, 110, 100], "std": [60, 61, 62]}


def vit(golden, **settings):
    """A ViT of timm with the weights of a golden file."""
    names = [name for name in golden if name.startswith("weight ")]
    state = {name.removeprefix("weight "): torch.from_numpy(golden[name]) for name in names}
    module = VisionTransformer(
        img_size=28, patch_size=2, embed_dim=24, depth=3, num_heads=int(golden["heads"]),
        num_classes=5, norm_layer=partial(nn.LayerNorm, eps=1e-5), **settings,
    )  # fmt: skip
    return module, state


def scorer_of(module, batch_size=2):
    preprocessing = Preprocessing(28, mean=(120.0,) * 3, std=(60.0,) * 3)
    return Scorer(Backbone("vit", module, preprocessing, "logits", 5), "logit", batch_size)


def batch_of(x, targets):
    images = [np.zeros((4, 4, 3), np.uint8)] * len(x)
    return Batch(torch.from_numpy(x), torch.as_tensor(targets), [str(n) for n in range(len(x))],
                 images)  # fmt: skip


def scaled(maps):
    low, high = maps.min(axis=(1, 2), keepdims=True), maps.max(axis=(1, 2), keepdims=True)
    return (maps - low) / (high - low)


@pytest.mark.parametrize("name", METHODS)
def test_maps_equal_those_of_the_authors_code(name):
    golden = np.load(GOLDEN / "attention.npz")
    module, state = vit(golden)
    module.load_state_dict(state)
    x, bound = golden["x"], 1e-4
    if name == "transformer_attribution":  # theirs is in float64, with another epsilon in blocks
        module, x, bound = module.double(), x.astype(np.float64), 2e-6
        for block in module.blocks:
            block.norm1.eps = block.norm2.eps = 1e-6
    scorer, batch = scorer_of(module), batch_of(x, golden["targets"])
    attention, method = attention_of(scorer.backbone), METHODS[name]
    found = attention.to_map(method._relevance(scorer, attention, batch.x, batch.targets)).numpy()
    expected = golden[f"maps {name}"]
    if name == "attention_grad_cam":  # theirs is scaled, and the sum over heads
        found = scaled(found)
    assert np.ptp(expected, axis=(1, 2)).min() > 0
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()
    large = method(scorer, batch)
    assert large.shape == (3, 28, 28)


class Cosines(nn.Module):
    """CLIP's projection, and cosines with the embeddings of words."""

    def __init__(self, projection, words):
        super().__init__()
        self.projection, self.words = nn.Parameter(projection), nn.Parameter(words)

    def forward(self, x):
        return nn.functional.normalize(x @ self.projection, dim=-1) @ self.words.T


@pytest.mark.parametrize(("name", "layers"), [("two", 2), ("all", None)])
def test_legrad_equals_its_authors_package(name, layers):
    golden = np.load(GOLDEN / "legrad.npz")
    module, state = vit(golden, pre_norm=True)
    module.head = Cosines(state.pop("proj"), torch.from_numpy(golden["words"]))
    module.load_state_dict(state, strict=False)
    assert {key for key in module.state_dict() if key not in state} == {
        "head.projection", "head.words"
    }  # fmt: skip
    x = np.load(GOLDEN / "attention.npz")["x"]
    found = LeGrad(layers)(scorer_of(module), batch_of(x, [1, 1, 1])).numpy()
    assert np.abs(scaled(found) - golden[f"maps {name}"]).max() <= 1e-4


def slow_weights(module, x):
    """Attention weights of every layer by softmax(q k^T / sqrt(d)), by hand."""
    found = []

    def keep(layer, inputs, output):
        batch, tokens, width = inputs[0].shape
        heads = layer.num_heads
        q, k, _ = layer.qkv(inputs[0]).view(batch, tokens, 3, heads, width // heads).unbind(2)
        products = torch.einsum("bihd,bjhd->bhij", q, k) / (width // heads) ** 0.5
        found.append(products.softmax(dim=-1))

    handles = [block.attn.register_forward_hook(keep) for block in module.blocks]
    with torch.no_grad():
        module(x)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_rollout_is_a_product_of_weights_by_hand(pool):
    """With average pooling the mean row of the places counts, else the class token's."""
    network = transformer(global_pool=pool)
    scorer, batch = Scorer(network, "logit", 4), make_batch()
    product = torch.eye(26)
    for weights in slow_weights(network.module, batch.x):
        product = (weights.mean(dim=1) + torch.eye(26)) / 2 @ product
    rows = product[:, 1:] if pool == "avg" else product[:, :1]
    expected = rows.mean(dim=1)[:, 1:].view(5, 5, 5)
    attention = attention_of(network)
    found = attention.to_map(
        AttentionRollout()._relevance(scorer, attention, batch.x, batch.targets)
    )
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


TINY = {"depth": 2, "num_classes": 5}
FAMILIES = [
    ("vit_tiny_patch16_224", {"img_size": 64}, "tokens, 1 + 4 x 4", [0]),
    ("deit_tiny_distilled_patch16_224", {"img_size": (64, 64)}, "tokens, 2 + 4 x 4", [0, 1]),
    ("beit_base_patch16_224", {"img_size": 64, "embed_dim": 48, "num_heads": 3},
     "tokens, 1 + 4 x 4", range(1, 17)),
    ("vit_base_patch16_clip_224", {"img_size": 64, "embed_dim": 48, "num_heads": 3},
     "tokens, 1 + 4 x 4", [0]),
    ("eva02_tiny_patch14_224", {"img_size": 56}, "tokens, 1 + 4 x 4", range(1, 17)),
    ("vit_small_patch14_reg4_dinov2", {"img_size": 56, "embed_dim": 48, "num_heads": 3},
     "tokens, 5 + 4 x 4", [0]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "settings", "layout", "queries"), FAMILIES)
def test_families_of_transformers(name, settings, layout, queries):
    """The network is as it was to the bit, and every image has a map of its own."""
    torch.manual_seed(0)
    module = timm.create_model(name, **TINY, **settings)
    for parameter in module.parameters():  # timm's draws hardly tell one place from another
        parameter.data += 0.1 * torch.randn_like(parameter)
    size = 64 if "16" in name else 56
    network = torch_module(module, name, SQUARE | {"size": size}, "logits")
    attention = attention_of(network)
    assert (str(attention.layout), list(attention.queries)) == (layout, list(queries))
    assert len(attention.names) == 2
    x = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0)).numpy()
    scorer, batch = Scorer(network, "logit", 2), batch_of(x, [0, 3, 2])
    before = network.outputs(batch.x)
    changes = []
    for method in (*METHODS.values(), LeGrad()):
        if isinstance(method, TransformerAttribution) and list(queries) != [0]:
            with pytest.raises(BenchError, match="expected a ViT, DeiT or CLIP of timm; gradient_"):
                method.check(network)
            continue
        method.check(network)
        with guarded(scorer, batch.x, changes.append):
            maps = method(scorer, batch)
        assert maps.shape == (3, size, size)
        assert maps.isfinite().all()
        if not isinstance(method, AttentionGradCAM):  # whose negative part is cut
            assert maps.flatten(1).std(dim=1).min() > 0
            assert not torch.equal(maps[0], maps[1])
    assert changes == []
    assert torch.equal(network.outputs(batch.x), before)
    assert all(block.attn.fused_attn for block in module.blocks)
    assert not any(block.attn.attn_drop._forward_hooks for block in module.blocks)


@pytest.mark.parametrize(
    ("name", "settings", "reason"),
    [
        ("swin_tiny_patch4_window7_224",
         {"img_size": 56, "depths": (1, 1), "embed_dim": 24, "num_heads": (1, 1)},
         r"'layers\.0\.blocks\.0\.attn' has attention weights \(4, 1, 49, 49\) for one image"),
        ("resnet10t", {}, "has no attention that can be read: expected a transformer of timm"),
        ("convit_tiny", {"depth": 2}, "has no attention that can be read"),
        ("vit_base_patch16_siglip_224",
         {"img_size": 64, "depth": 2, "embed_dim": 48, "num_heads": 3},
         "the weights of 2 of its 3 attentions can be read"),
    ],
)  # fmt: skip
def test_networks_that_are_refused(name, settings, reason):
    module = timm.create_model(name, num_classes=5, **settings)
    size = settings.get("img_size", 224 if name == "convit_tiny" else 64)
    network = torch_module(module, name, SQUARE | {"size": size}, "logits")
    for method in (*METHODS.values(), LeGrad()):
        with pytest.raises(BenchError, match=f"^backbone '{name}'.*{reason}"):
            method.check(network)


@pytest.mark.parametrize("settings", [
    {"global_pool": "avg"}, {"qk_norm": True, "scale_attn_norm": True}, {"scale_mlp_norm": True},
    {"mlp_layer": timm.layers.SwiGLU},
])  # fmt: skip
def test_blocks_that_no_rule_covers(settings):
    network = transformer(**settings)
    with pytest.raises(BenchError, match="carries relevance through a class token, plain blocks"):
        TransformerAttribution().check(network)


def test_relevance_is_kept_on_the_way():
    """A linear layer, a sum of two, and both halves of a product hand on all that they get."""
    torch.manual_seed(0)
    layer, x = nn.Linear(7, 5, bias=False), torch.randn(3, 4, 7)
    given = torch.rand(3, 4, 5)
    handed = relevance._through_linear(given, layer, x)
    torch.testing.assert_close(handed.sum((1, 2)), given.sum((1, 2)))
    parts = relevance._through_sum(given, torch.rand(3, 4, 5), torch.rand(3, 4, 5))
    torch.testing.assert_close(sum(part.sum((1, 2)) for part in parts), given.sum((1, 2)))
    parts = relevance._through_product(given, torch.rand(3, 4, 6), torch.rand(3, 6, 5))
    for part in parts:
        torch.testing.assert_close(2 * part.sum((1, 2)), given.sum((1, 2)))


def test_settings_of_legrad():
    with pytest.raises(BenchError, match="layers: expected an integer >= 1, found 0"):
        LeGrad(0)
    with pytest.raises(BenchError, match="layers: expected at most the network's 3, found 4"):
        LeGrad(4).check(transformer())


def test_hooks_are_gone_and_kernels_are_back_after_an_error():
    network = transformer()
    attention = attention_of(network)
    fused = [block.attn.fused_attn for block in network.module.blocks]
    with pytest.raises(RuntimeError, match="stop"), attention.recording():
        assert not any(block.attn.fused_attn for block in network.module.blocks)
        raise RuntimeError("stop")
    assert [block.attn.fused_attn for block in network.module.blocks] == fused
    assert not any(block.attn.attn_drop._forward_hooks for block in network.module.blocks)


def test_one_pass_finds_the_attention():
    network, passes = transformer(), []
    network.module.register_forward_hook(lambda *call: passes.append(1))
    for _ in range(3):
        AttentionRollout().check(network)
    assert len(passes) == 1
