"""Relevance of a class, carried back through the blocks of a vision transformer.

The rules of Chefer et al. 2021, arXiv 2012.09838, section 3.1: a linear layer hands relevance to
the inputs whose products with its weights have its sign (deep Taylor decomposition), a product or a
sum of two to both by their share, a norm or an activation as it is.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from bench.backbones.backbone import Backbone
from bench.errors import BenchError


@dataclass
class Seen:
    """What the layers of a block were given, and gave, in a pass.

    Attributes:
        inputs: By layer, (B, tokens, D).
        outputs: By layer, (B, tokens, D).

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> with recording_blocks(net) as (first, second):
        ...     outputs = net(torch.rand(1, 3, 8, 8))
        >>> first.inputs["mlp.fc1"].shape, first.outputs["mlp.fc1"].shape
        (torch.Size([1, 5, 8]), torch.Size([1, 5, 32]))
    """

    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)


_LAYERS = (
    "norm1", "attn.qkv", "attn.proj", "drop_path1", "norm2", "mlp.fc1", "mlp.fc2", "drop_path2"
)  # fmt: skip
_LINEAR = ("attn.qkv", "attn.proj", "mlp.fc1", "mlp.fc2")


def require_known_blocks(backbone: Backbone) -> None:
    """Refuses a network that the rules do not cover.

    Args:
        backbone: The network.

    Raises:
        BenchError: It is not a class token, plain blocks and one linear classifier.

    Example:
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2))
        >>> require_known_blocks(Backbone("toy", net, Preprocessing(2, mean=0, std=255), "logits"))
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: backbone 'toy': transformer_attribution carries relevance
        through a class token, plain blocks (qkv, proj, fc1, fc2) and one linear classifier:
        expected a ViT, DeiT or CLIP of timm; gradient_rollout explains other transformers
    """
    module: Any = backbone.module
    blocks = list(getattr(module, "blocks", ()))
    known = bool(blocks) and all(map(_is_known, blocks))
    known &= getattr(module, "global_pool", "") == "token" and not hasattr(module, "head_dist")
    if not (known and isinstance(getattr(module, "head", None), nn.Linear)):
        raise BenchError(
            f"backbone '{backbone.name}': transformer_attribution carries relevance through a "
            "class token, plain blocks (qkv, proj, fc1, fc2) and one linear classifier: expected "
            "a ViT, DeiT or CLIP of timm; gradient_rollout explains other transformers"
        )


def _is_known(block: nn.Module) -> bool:
    layers = dict(block.named_modules())
    if not all(isinstance(layers.get(name), nn.Linear) for name in _LINEAR):
        return False
    plain = {"attn.norm", "mlp.norm"}  # between two of the linear layers nothing may mix
    unmixed = all(isinstance(layers.get(name, nn.Identity()), nn.Identity) for name in plain)
    return unmixed and "attn.gate" not in layers and all(name in layers for name in _LAYERS)


@contextmanager
def recording_blocks(module: Any) -> Iterator[list[Seen]]:
    """Keeps what the layers of each block see in a pass, and what they give.

    Args:
        module: Of a network that `require_known_blocks` lets pass.

    Yields:
        One for each block, filled by the pass.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> with recording_blocks(net) as records:
        ...     outputs = net(torch.rand(1, 3, 8, 8))
        >>> len(records), tuple(records[0].outputs["attn.qkv"].shape)  # queries, keys and values
        (2, (1, 5, 24))
    """
    records = [Seen() for _ in module.blocks]
    handles = [
        block.get_submodule(name).register_forward_hook(_keeping(name, record))
        for block, record in zip(module.blocks, records, strict=True)
        for name in _LAYERS
    ]
    try:
        yield records
    finally:
        for handle in handles:
            handle.remove()


def _keeping(name: str, record: Seen) -> Callable[..., None]:
    def keep(_module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        record.inputs[name], record.outputs[name] = inputs[0].detach(), output.detach()

    return keep


@torch.no_grad()
def attention_relevance(
    module: Any, records: list[Seen], weights: list[Tensor], targets: Tensor
) -> list[Tensor]:
    """The relevance of every block's attention weights for a class.

    Args:
        module: See `recording_blocks`.
        records: See `recording_blocks`.
        weights: The attention weights (B, heads, tokens, tokens) of every block in that pass.
        targets: (B,) int64.

    Returns:
        (B, heads, tokens, tokens), the first block's first.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench.backbones.attention import attention_of
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes)
        >>> backbone = Backbone("toy", net, Preprocessing(8, (0, 0, 0), (255, 255, 255)), "logits")
        >>> with recording_blocks(net) as records, attention_of(backbone).recording() as weights:
        ...     outputs = net(torch.rand(1, 3, 8, 8))
        >>> found = attention_relevance(net, records, list(weights.values()), torch.tensor([2]))
        >>> [tuple(relevance.shape) for relevance in found]
        [(1, 2, 5, 5), (1, 2, 5, 5)]
    """
    last = records[-1]
    tokens = module.norm(last.inputs["norm2"] + last.outputs["drop_path2"])
    pooled = module.fc_norm(tokens[:, 0])
    one_hot = nn.functional.one_hot(targets, len(module.head.weight)).to(pooled.dtype)
    relevance = torch.zeros_like(tokens)
    relevance[:, 0] = _through_linear(one_hot, module.head, pooled)
    found = []
    for block, seen, attention in zip(
        reversed(module.blocks), reversed(records), reversed(weights), strict=True
    ):
        skipped, branch = _through_sum(relevance, seen.inputs["norm2"], seen.outputs["drop_path2"])
        branch = _through_linear(branch, block.mlp.fc2, seen.inputs["mlp.fc2"])
        branch = _through_linear(branch, block.mlp.fc1, seen.inputs["mlp.fc1"])
        skipped, branch = _through_sum(
            skipped + branch, seen.inputs["norm1"], seen.outputs["drop_path1"]
        )
        branch = _through_linear(branch, block.attn.proj, seen.inputs["attn.proj"])
        of_weights, branch = _through_attention(branch, block.attn, seen, attention)
        relevance = skipped + _through_linear(branch, block.attn.qkv, seen.inputs["attn.qkv"])
        found.append(of_weights)
    return found[::-1]


def _through_attention(
    relevance: Tensor, attention: Any, seen: Seen, weights: Tensor
) -> tuple[Tensor, Tensor]:
    """Relevance (B, tokens, D) behind the heads to their weights', and to queries, keys, values."""
    heads = weights.shape[1]
    queries, keys, values = seen.outputs["attn.qkv"].unflatten(2, (3, heads, -1)).permute(
        2, 0, 3, 1, 4
    )  # fmt: skip
    queries, keys = attention.q_norm(queries), attention.k_norm(keys)
    relevance = relevance.unflatten(2, (heads, -1)).transpose(1, 2)
    of_weights, of_values = _through_product(relevance, weights, values)
    of_queries, of_keys = _through_product(of_weights, queries, keys.mT)
    parts = torch.stack([of_queries, of_keys.mT, of_values])
    return of_weights, parts.permute(1, 3, 0, 2, 4).flatten(2)


def _divide(numerator: Tensor, denominator: Tensor) -> Tensor:
    """The quotient, 0 where nothing is divided; the authors keep 1e-9 away from zero, as here."""
    return torch.where(denominator == 0, 0, numerator / (denominator + 1e-9))


def _through_linear(relevance: Tensor, layer: Any, inputs: Tensor) -> Tensor:
    positive, negative = layer.weight.clamp(min=0), layer.weight.clamp(max=0)
    above, below = inputs.clamp(min=0), inputs.clamp(max=0)
    share = _divide(relevance, above @ positive.T + below @ negative.T)
    return above * (share @ positive) + below * (share @ negative)


def _through_product(relevance: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Of a matrix product; each factor gets half."""
    share = _divide(relevance, first @ second)
    return first * (share @ second.mT) / 2, second * (first.mT @ share) / 2


def _through_sum(relevance: Tensor, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
    """Of x + f(x); in total each part gets what its sum is of both sums, so that none is lost."""
    share = _divide(relevance, first + second)
    total = relevance.sum(dim=(1, 2), keepdim=True)
    parts = first * share, second * share
    sums = [part.sum(dim=(1, 2), keepdim=True) for part in parts]
    both = sums[0].abs() + sums[1].abs()
    a, b = (
        part * _divide(_divide(of_part.abs(), both) * total, of_part)
        for part, of_part in zip(parts, sums, strict=True)
    )
    return a, b
