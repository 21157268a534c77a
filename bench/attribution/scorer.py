"""What a method may ask of a network: the score to explain, and how to differentiate it."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bench.backbones.backbone import Backbone
from bench.backbones.network import Network
from bench.batching import fitted_batch_size, fixed_batches
from bench.errors import BenchError
from bench.score import check_score, class_scores, target_scores


class OutputScorer:
    """A network together with the score that is read off its outputs: what curves need.

    Attributes:
        backbone: The network.
        score: A key of `bench.score.SCORES`.
        batch_size: Forward passes in one batch; methods keep to it.
        on_forward: Called with the number of inputs after each forward pass; a method that asks
            another network, too, counts those passes with it.

    Args:
        may_shrink: Whether running out of memory may halve the batch size.
        fit_batches: Whether few inputs make a smaller batch, of a size that gives the same bits;
            see `bench.batching.fitted_batch_size`.

    Raises:
        BenchError: The network's outputs cannot give the score.

    Example:
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
        >>> backbone = Backbone("toy", net, Preprocessing(2, mean=0, std=255), "logits")
        >>> scorer = OutputScorer(backbone, "logit", batch_size=16)
        >>> scorer(torch.ones(2, 1, 2, 2), torch.tensor([0, 1])).tolist()
        [10.0, 0.0]
    """

    backbone: Network

    def __init__(
        self,
        backbone: Network,
        score: str,
        batch_size: int,
        *,
        on_forward: Callable[[int], None] = lambda _: None,
        may_shrink: bool = False,
        fit_batches: bool = False,
    ) -> None:
        check_score(score, backbone.output_kind)
        self.backbone = backbone
        self.score = score
        self.batch_size = batch_size
        self.on_forward = on_forward
        self._may_shrink = may_shrink
        self._fit_batches = fit_batches

    def __call__(self, x: Tensor, targets: Tensor) -> Tensor:
        """Scores (B,) of targets (B,) for inputs (B, C, H, W); differentiable in x."""
        return self.select(self.outputs(x), targets)

    def batch_size_for(self, count: int) -> int:
        """The batch size for a number of forward passes."""
        return fitted_batch_size(count, self.batch_size) if self._fit_batches else self.batch_size

    def shrink(self) -> None:
        """Halves the batch size, after the device has run out of memory.

        Raises:
            BenchError: It may not shrink, or cannot any more.
        """
        if not self._may_shrink or self.batch_size == 1:
            mend = (
                "choose a smaller one or batch_size=auto"
                if self.batch_size > 1
                else ("choose a smaller network or another device")
            )
            raise BenchError(f"out of memory at batch_size={self.batch_size}: {mend}")
        self.batch_size //= 2
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def outputs(self, x: Tensor) -> Tensor:
        """The network's outputs (B, K) as they are."""
        outputs = self.backbone.outputs(x)
        self.on_forward(len(x))
        return outputs

    def select(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """Reads the scores (B,) of targets (B,) off outputs (B, K)."""
        return target_scores(outputs, targets, self.score, self.backbone.output_kind)

    @torch.inference_mode()
    def outputs_in_batches(self, x: Tensor) -> Tensor:
        """Outputs (B, K) of any number of inputs, in batches of `batch_size`; no gradient."""
        batches = fixed_batches(len(x), self.batch_size_for(len(x)), x.device)
        return torch.cat([self.outputs(x[i])[: s.stop - s.start].clone() for i, s in batches])


class Scorer(OutputScorer):
    """A backbone together with the score that is read off it, and how to differentiate it.

    Attributes:
        backbone: The network.
        score: A key of `bench.score.SCORES`.
        batch_size: Forward passes in one batch; methods keep to it.
        on_forward: See `OutputScorer`.

    Args:
        on_backward: Called with the number of inputs after each backward pass.
        may_shrink: See `OutputScorer`.

    Raises:
        BenchError: The backbone's outputs cannot give the score.

    Example:
        >>> from bench.backbones.backbone import Backbone, Preprocessing
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2, bias=False))
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]])
        >>> backbone = Backbone("toy", net, Preprocessing(2, mean=0, std=255), "logits")
        >>> scorer = Scorer(backbone, "logit", batch_size=16)
        >>> scorer.input_gradients(torch.ones(2, 1, 2, 2), torch.tensor([0, 1])).tolist()
        [[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]]
    """

    backbone: Backbone

    def __init__(
        self,
        backbone: Backbone,
        score: str,
        batch_size: int,
        *,
        on_forward: Callable[[int], None] = lambda _: None,
        on_backward: Callable[[int], None] = lambda _: None,
        may_shrink: bool = False,
    ) -> None:
        super().__init__(backbone, score, batch_size, on_forward=on_forward, may_shrink=may_shrink)
        self._on_backward = on_backward

    def features(self, x: Tensor) -> Tensor:
        """The feature layer's output (B, D); see `Backbone.features`."""
        features = self.backbone.features(x)
        self.on_forward(len(x))
        return features

    def count_backward(self, count: int) -> None:
        """Counts gradients that a method takes by itself."""
        self._on_backward(count)

    def class_scores(self, x: Tensor) -> Tensor:
        """Scores (B, K) of all classes, for code that picks and differentiates by itself.

        Backward passes are counted when they get here.
        """
        scores = class_scores(self.outputs(x), self.score, self.backbone.output_kind)
        if scores.requires_grad:
            scores.register_hook(lambda _: self._on_backward(len(x)))
        return scores

    def input_gradients(self, x: Tensor, targets: Tensor) -> Tensor:
        """Gradients (B, C, H, W) of each image's score with respect to the image."""
        found = self.built_gradients(lambda jobs: (x[jobs], targets[jobs]), len(x), x.device)
        return torch.cat([gradients for _, gradients in found])

    def built_gradients(
        self,
        build: Callable[[Tensor], tuple[Tensor, Tensor]],
        count: int,
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[range, Tensor]]:
        """Gradients with respect to inputs that are built one fixed batch at a time.

        Args:
            build: Job indices (B,) int64 to inputs (B, C, H, W) and targets (B,).
            count: Number of jobs.
            device: Where the indices live.

        Yields:
            For each batch its jobs, fill left out, and their gradients (n, C, H, W).
        """
        for index, items in fixed_batches(count, self.batch_size, device):
            gradients, _ = self._gradients(*build(index), layer=None)
            yield range(items.start, items.stop), gradients[: items.stop - items.start]

    def layer_gradients(self, x: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Gradients and activations at the CAM layer.

        Args:
            x: (B, C, H, W).
            targets: (B,) int64.

        Returns:
            Gradients of each image's score with respect to the layer's output, and that output;
            both (B, D, h, w), whatever the layer's layout.

        Raises:
            BenchError: The backbone names no CAM layer.
        """
        layer, layout = self.backbone.layer(), self.backbone.layout()
        gradients: list[Tensor] = []
        activations: list[Tensor] = []
        for index, items in fixed_batches(len(x), self.batch_size, x.device):
            gradient, activation = self._gradients(x[index], targets[index], layer)
            gradients.append(gradient[: items.stop - items.start])
            activations.append(activation[: items.stop - items.start])
        return layout.to_maps(torch.cat(gradients)), layout.to_maps(torch.cat(activations))

    @torch.no_grad()
    def layer_activations(self, x: Tensor) -> Tensor:
        """The CAM layer's output (B, D, h, w) for inputs (B, C, H, W); no gradient.

        Raises:
            BenchError: The backbone names no CAM layer.
        """
        found: list[Tensor] = []

        def keep(*call: Any) -> None:
            found.append(call[2].clone())  # what follows the layer may change its output in place

        layer, layout = self.backbone.layer(), self.backbone.layout()
        handle = layer.register_forward_hook(keep)
        try:
            for index, items in fixed_batches(len(x), self.batch_size, x.device):
                self.outputs(x[index])
                found[-1] = found[-1][: items.stop - items.start]
        finally:
            handle.remove()
        return layout.to_maps(torch.cat(found))

    def _gradients(
        self, x: Tensor, targets: Tensor, layer: nn.Module | None
    ) -> tuple[Tensor, Tensor]:
        """Gradients with respect to the inputs of one batch, or to a layer's output; and that."""
        leaf = _Leaf()
        if layer is None:
            scores = self(leaf.set(x), targets)
        else:
            handle = layer.register_forward_hook(lambda *call: leaf.set(call[2]))
            try:
                scores = self(x, targets)
            finally:
                handle.remove()
        (gradient,) = torch.autograd.grad(scores.sum(), leaf.value)
        self._on_backward(len(x))
        return gradient, leaf.value.detach()


class _Leaf:
    """Makes a tensor the start of the graph: nothing before it is differentiated or kept."""

    value: Tensor

    def set(self, tensor: Tensor) -> Tensor:
        self.value = tensor.detach().requires_grad_()
        return self.value.clone()  # what follows may change it in place
