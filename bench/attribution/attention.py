"""Methods that read the attention weights of a vision transformer."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method
from bench.attribution.relevance import (
    attention_relevance,
    recording_blocks,
    require_known_blocks,
)
from bench.attribution.scorer import Scorer
from bench.backbones.attention import Attention, attention_of
from bench.backbones.backbone import Backbone
from bench.batching import fixed_batches
from bench.errors import BenchError, require_integer


class _AttentionMethod(Method):
    """Base of the methods that make a map of attention weights."""

    forward_passes = 1
    backward_passes = 1
    draws = False

    def check(self, backbone: Backbone) -> None:
        """Refuses a network without attention between all of its tokens."""
        attention_of(backbone)

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        attention = attention_of(scorer.backbone)
        x, targets = batch.x, batch.targets
        found = []
        for index, items in fixed_batches(len(x), scorer.batch_size, x.device):
            relevance = self._relevance(scorer, attention, x[index], targets[index])
            found.append(relevance[: items.stop - items.start])
        maps = attention.to_map(torch.cat(found).float())[:, None]
        return functional.interpolate(maps, x.shape[2:], mode="bilinear")[:, 0]

    @abstractmethod
    def _relevance(
        self, scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
    ) -> Tensor:
        """What every token counts for, (B, tokens), detached."""


class AttentionRollout(_AttentionMethod):
    """Attention rollout: the product of all layers' attention, each averaged with the identity.

    Abnar and Zuidema 2020, arXiv 2005.00928, equation 1, over the mean of the heads; the row of the
    class token, or the mean row where the network pools all places. It looks at no class: all
    targets have one map.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench import explain
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> for block in net.blocks:  # of 5 tokens each attends to all alike
        ...     block.attn.qkv.weight.data = torch.zeros(24, 8)
        >>> maps = explain(AttentionRollout(), net, torch.rand(1, 3, 8, 8))
        >>> maps.shape, round(maps.min().item(), 4), round(maps.max().item(), 4)  # 3 / 4 of 1 / 5
        ((1, 8, 8), 0.15, 0.15)
    """

    citation = "Abnar and Zuidema 2020, arXiv 2005.00928"
    backward_passes = 0

    @torch.no_grad()
    def _relevance(
        self, scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
    ) -> Tensor:
        with attention.recording() as weights:
            scorer.outputs(x)
        rows = _rows(attention.queries, next(iter(weights.values())))
        for layer in reversed(weights.values()):  # the rows alone, from the last layer to the first
            rows = (rows + _product(rows, layer.mean(dim=1))) / 2
        return rows.mean(dim=1)


class AttentionGradCAM(_AttentionMethod):
    """Grad-CAM of the last layer's attention: its heads, weighted by their mean gradient.

    As Chefer et al. 2021, arXiv 2012.09838, define their baseline (`generate_cam_attn`): the class
    token's attention to the places of the image stands for the channels' maps; the negative part is
    cut. Where the network pools all places, each of them is such a row.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench import explain
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> maps = explain(AttentionGradCAM(), net, torch.rand(2, 3, 8, 8), [0, 2])
        >>> maps.shape, bool((maps >= 0).all())
        ((2, 8, 8), True)
    """

    citation = "Chefer et al. 2021, arXiv 2012.09838"

    def _relevance(
        self, scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
    ) -> Tensor:
        *_, (weights, gradients) = _with_gradients(scorer, attention, x, targets)
        queries, places = list(attention.queries), slice(attention.layout.extra, None)
        heads = gradients[:, :, queries, places].mean(dim=(2, 3), keepdim=True)
        return (heads * weights[:, :, queries]).mean(dim=(1, 2)).relu()


class GradientRollout(_AttentionMethod):
    """Gradient-weighted rollout: attention times its positive gradient, added up over the layers.

    Chefer et al. 2021, arXiv 2103.15679, equations 5 and 6: R = 1, then R = R + E(relu(dA * A)) R,
    with the mean E over heads; the row of the class token, or the mean row where the network pools
    all places.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench import explain
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> maps = explain(GradientRollout(), net, torch.rand(2, 3, 8, 8), [0, 2])
        >>> maps.shape, bool((maps >= 0).all())
        ((2, 8, 8), True)
    """

    citation = "Chefer et al. 2021, arXiv 2103.15679"

    def _relevance(
        self, scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
    ) -> Tensor:
        pairs = _with_gradients(scorer, attention, x, targets)
        rows = _rows(attention.queries, pairs[0][0])
        for weights, gradients in reversed(pairs):
            rows = rows + _product(rows, (weights * gradients).relu().mean(dim=1))
        return rows.mean(dim=1)


class TransformerAttribution(_AttentionMethod):
    """Gradient-weighted rollout of relevance, which is carried back from the class to each layer.

    Chefer et al. 2021, arXiv 2012.09838, equations 13 and 14: as gradient rollout, with the
    relevance of attention weights in the place of the weights themselves. The relevance starts at
    the class's logit, the gradient at the score that is explained. The rules divide by numbers near
    zero, so that float32 keeps two or three digits of a map.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench import explain
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> maps = explain(TransformerAttribution(), net, torch.rand(2, 3, 8, 8), [0, 2])
        >>> maps.shape, bool((maps >= 0).all())
        ((2, 8, 8), True)
    """

    citation = "Chefer et al. 2021, arXiv 2012.09838"

    def check(self, backbone: Backbone) -> None:
        """Refuses a network whose layers the relevance rules do not cover."""
        attention_of(backbone)
        require_known_blocks(backbone)

    def _relevance(
        self, scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
    ) -> Tensor:
        module = scorer.backbone.module
        with recording_blocks(module) as records:
            pairs = _with_gradients(scorer, attention, x, targets)
        found = attention_relevance(module, records, [weights for weights, _ in pairs], targets)
        rows = _rows(attention.queries, pairs[0][0])
        for relevance, (_, gradients) in reversed(list(zip(found, pairs, strict=True))):
            rows = rows + _product(rows, (relevance * gradients).relu().mean(dim=1))
        return rows.mean(dim=1)


class LeGrad(_AttentionMethod):
    """LeGrad: the positive gradient of every layer's own score at its attention weights.

    Bousselham et al. 2024, arXiv 2404.03214: the score of a layer is that of its tokens' mean,
    given to the network's norm and classifier; its gradient at the layer's attention is cut at zero
    and averaged over heads and rows; layers are added up.

    Args:
        layers: How many of the last layers are added up; None: all. The authors' package has 2 by
            default.

    Raises:
        BenchError: It is no number of layers.

    Example:
        >>> from timm.models.vision_transformer import VisionTransformer
        >>> from bench import explain
        >>> sizes = {"embed_dim": 8, "depth": 2, "num_heads": 2, "num_classes": 3}
        >>> net = VisionTransformer(img_size=8, patch_size=4, **sizes).eval()
        >>> maps = explain(LeGrad(layers=1), net, torch.rand(2, 3, 8, 8), [0, 2])
        >>> maps.shape, bool((maps >= 0).all())
        ((2, 8, 8), True)
    """

    citation = "Bousselham et al. 2024, arXiv 2404.03214"

    def __init__(self, layers: int | None = None) -> None:
        if layers is not None:
            require_integer("layers", layers, 1)
        self.layers = layers

    def check(self, backbone: Backbone) -> None:
        """Refuses a network whose classifier cannot be given a layer's tokens."""
        count = len(attention_of(backbone).names)
        blocks = getattr(backbone.module, "blocks", ())
        has_head = hasattr(backbone.module, "norm") and hasattr(backbone.module, "forward_head")
        if not has_head or len(blocks) != count:
            raise BenchError(
                f"backbone '{backbone.name}': LeGrad gives each layer's tokens to the classifier: "
                "expected a transformer of timm with blocks, norm and forward_head"
            )
        if self.layers is not None and self.layers > count:
            raise BenchError(f"layers: expected at most the network's {count}, found {self.layers}")

    def _relevance(
        self, scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
    ) -> Tensor:
        tokens: list[Tensor] = []
        module: Any = scorer.backbone.module
        handles = [
            block.register_forward_hook(lambda *call: tokens.append(call[2]))
            for block in module.blocks
        ]
        try:
            with torch.enable_grad(), attention.recording() as weights:
                scorer.outputs(x)
        finally:
            for handle in handles:
                handle.remove()
        number = len(tokens) if self.layers is None else self.layers
        layers = list(zip(weights.values(), tokens, strict=True))[-number:]
        total = x.new_zeros(len(x), tokens[0].shape[1])
        for layer, output in layers:
            with torch.enable_grad():
                pooled = output.mean(dim=1, keepdim=True).expand_as(output)
                outputs = scorer.backbone.as_outputs(module.forward_head(module.norm(pooled)))
                score = scorer.select(outputs, targets).sum()
            (gradient,) = torch.autograd.grad(score, layer, retain_graph=True)
            total += gradient.relu().mean(dim=(1, 2))
        scorer.count_backward(len(x))  # each goes through one layer
        return total


def _rows(queries: Sequence[int], weights: Tensor) -> Tensor:
    """The identity's rows (B, queries, tokens) of the tokens that a network pools."""
    identity = torch.eye(weights.shape[-1], dtype=weights.dtype, device=weights.device)
    return identity[list(queries)].expand(len(weights), -1, -1)


def _product(rows: Tensor, layers: Tensor) -> Tensor:
    """Rows (B, queries, tokens) times layers (B, tokens, tokens).

    Image by image and of copies: in a batched product the last bits depend on where in memory an
    image's matrix begins.
    """
    pairs = zip(rows, layers, strict=True)
    return torch.stack([row.clone() @ layer.clone() for row, layer in pairs])


def _with_gradients(
    scorer: Scorer, attention: Attention, x: Tensor, targets: Tensor
) -> list[tuple[Tensor, Tensor]]:
    """All layers' attention weights, and the gradients of the scores at them."""
    with torch.enable_grad(), attention.recording() as weights:
        scores = scorer(x, targets)
    gradients = torch.autograd.grad(scores.sum(), list(weights.values()))
    scorer.count_backward(len(x))
    return [(w.detach(), g) for w, g in zip(weights.values(), gradients, strict=True)]
