"""The attention weights of a vision transformer, read in a pass through it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.graph import Node

from bench.backbones.backbone import Backbone
from bench.backbones.layout import Layout
from bench.errors import BenchError

_WANTED = (
    "expected a transformer of timm whose tokens all see each other (ViT, DeiT, BEiT, CLIP, EVA)"
)


class Attention:
    """The attention of a network, whose tokens stay the same from the first layer to the last.

    Attributes:
        names: Its attention modules, in the order in which they are called.
        layout: Where the tokens lie.
        queries: The tokens that the network reads its outputs off: the class token, with a
            distillation token both, or all places of the image.

    Args:
        backbone: The network; one forward pass is made.

    Raises:
        BenchError: It has no such attention, or some that cannot be read.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench.backbones.torch_module import torch_module
        >>> vit = VisionTransformer(32, patch_size=8, embed_dim=24, depth=2, num_heads=3)
        >>> prepared = {"size": 32, "mean": (127.5,) * 3, "std": (127.5,) * 3}
        >>> attention = Attention(torch_module(vit, "vit", prepared, "logits"))
        >>> attention.names, str(attention.layout)
        (['blocks.0.attn', 'blocks.1.attn'], 'tokens, 1 + 4 x 4')
        >>> with attention.recording() as weights:
        ...     _ = vit(torch.zeros(1, 3, 32, 32))
        >>> [tuple(each.shape) for each in weights.values()]
        [(1, 3, 17, 17), (1, 3, 17, 17)]
    """

    def __init__(self, backbone: Backbone) -> None:
        found = {
            name: layer
            for name, layer in backbone.module.named_modules()
            if isinstance(getattr(layer, "fused_attn", None), bool)
            and isinstance(getattr(layer, "attn_drop", None), nn.Dropout)
        }
        if not found:
            raise BenchError(
                f"backbone '{backbone.name}' has no attention that can be read: {_WANTED}"
            )
        self._modules = found
        weights, count = self._try(backbone)
        self.names = list(weights)
        if len(weights) < count:
            raise BenchError(
                f"backbone '{backbone.name}': the weights of {len(weights)} of its {count} "
                f"attentions can be read: {_WANTED}"
            )
        first, tokens = self.names[0], next(iter(weights.values())).shape[-1]
        for name, tensor in weights.items():
            if tensor.ndim != 4 or tensor.shape[:1] + tensor.shape[2:] != (1, tokens, tokens):
                raise BenchError(
                    f"backbone '{backbone.name}': '{name}' has attention weights "
                    f"{tuple(tensor.shape)} for one image, where '{first}' has {tokens} tokens: "
                    f"{_WANTED}"
                )
        self.layout = backbone.token_layout(first, tokens)
        self.queries = _queries(_pooling(backbone.module, first), self.layout, tokens)

    @torch.enable_grad()
    def _try(self, backbone: Backbone) -> tuple[dict[str, Tensor], int]:
        """The weights of one pass by name, and how many attentions its graph has."""
        with torch.inference_mode(False), self.recording() as weights:
            outputs = backbone.outputs(backbone.noise())
        return dict(weights), _count_attentions(outputs)

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor]]:
        """Keeps the attention weights (B, heads, tokens, tokens) of a pass, differentiable.

        Fused kernels hide them, so they are switched off for that time. The graph begins at the
        first of them: nothing before it is differentiated.

        Yields:
            They are in it after the pass, by name in the order of the calls.
        """
        weights: dict[str, Tensor] = {}
        handles = [
            layer.attn_drop.register_forward_hook(_keeping(name, weights))
            for name, layer in self._modules.items()
        ]
        fused = {name: layer.fused_attn for name, layer in self._modules.items()}
        try:
            for layer in self._modules.values():
                layer.fused_attn = False
            yield weights
        finally:
            for name, layer in self._modules.items():
                layer.fused_attn = fused[name]
            for handle in handles:
                handle.remove()

    def to_map(self, relevance: Tensor) -> Tensor:
        """Values (B, tokens) as maps (B, h, w)."""
        return self.layout.to_maps(relevance[:, :, None])[:, 0]


_KNOWN: WeakKeyDictionary[Backbone, Attention] = WeakKeyDictionary()
"""No attribute: a method's call may add to it, and must leave the backbone as it was."""


def attention_of(backbone: Backbone) -> Attention:
    """The attention of a network; the first call makes a forward pass.

    Args:
        backbone: The network; what is found is kept as long as it lives.

    Returns:
        The same object each time.

    Raises:
        BenchError: See `Attention`.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench.backbones.torch_module import torch_module
        >>> vit = VisionTransformer(32, patch_size=8, embed_dim=24, depth=1, num_heads=3)
        >>> prepared = {"size": 32, "mean": (127.5,) * 3, "std": (127.5,) * 3}
        >>> network = torch_module(vit, "vit", prepared, "logits")
        >>> attention_of(network).queries  # the class token
        range(0, 1)
        >>> attention_of(network) is attention_of(network)
        True
    """
    if backbone not in _KNOWN:
        _KNOWN[backbone] = Attention(backbone)
    return _KNOWN[backbone]


def _keeping(name: str, weights: dict[str, Tensor]) -> Callable[..., Tensor]:
    def keep(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        starts = not output.requires_grad and torch.is_grad_enabled()
        weights[name] = output.detach().requires_grad_() if starts else output
        return weights[name]

    return keep


def _count_attentions(outputs: Tensor) -> int:
    """How many attentions a graph has that begins behind the first one."""
    seen: set[Node] = set()
    stack, count = [outputs.grad_fn], 1
    while stack:
        node = stack.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        saved: Any = node
        is_softmax = "Softmax" in node.name() and saved._saved_result.ndim > 2
        count += is_softmax or "ScaledDotProduct" in node.name()
        stack += [parent for parent, _ in node.next_functions]
    return count


def _pooling(network: nn.Module, name: str) -> nn.Module:
    """The part of a network that says how it pools the tokens of one of its modules."""
    parts = name.split(".")
    parents = [network.get_submodule(".".join(parts[:length])) for length in range(len(parts))]
    return next((parent for parent in parents if hasattr(parent, "global_pool")), network)


def _queries(network: nn.Module, layout: Layout, tokens: int) -> Sequence[int]:
    """The tokens that a network pools."""
    if layout.extra and getattr(network, "global_pool", "token") in ("token", ""):
        return range(2 if hasattr(network, "dist_token") else 1)
    return range(layout.extra, tokens)
