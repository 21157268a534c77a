"""Checks that a network gives the same outputs for the same image.

Noise and active dropout change outputs from pass to pass; BatchNorm without running statistics
makes them depend on the other images of the batch. A curve of such outputs cannot be repeated.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.attribution.scorer import Scorer

TOLERANCE = 1e-4
"""Differences below this share of the outputs' range are rounding, where kernels may differ."""


@dataclass(frozen=True)
class Repeatability:
    """The largest differences between outputs for the same image, as shares of the outputs' range.

    Attributes:
        repeated: When the same batch is passed a second time.
        alone: When the image is passed without the others of its batch.
        tolerance: What `repeated` may be: 0 on a CPU; on a GPU sums may be added in any order.
    """

    repeated: float
    alone: float
    tolerance: float

    @property
    def differences(self) -> dict[str, float]:
        """What the network does that a function of its input does not -> by how much.

        Of outputs that change from pass to pass nobody can say what else they depend on.
        """
        if self.repeated > self.tolerance:
            return {"repeated": self.repeated}
        return {"alone": self.alone} if self.alone > TOLERANCE else {}


_IN_WORDS = {
    "repeated": "gives other outputs when the same batch is passed again",
    "alone": "gives an image other outputs when the other images of its batch change",
}
_REASONS = {
    "repeated": "noise or active dropout",
    "alone": "BatchNorm with track_running_stats=False, or another statistic of the batch",
}


def warning(backbone: str, differences: Mapping[str, float]) -> str:
    """One line on a network that is no function of its input.

    Args:
        backbone: Its name.
        differences: See `Repeatability.differences`; not empty.
    """
    kind, difference = next(iter(differences.items()))
    return (
        f"backbone '{backbone}' {_IN_WORDS[kind]}, by up to {difference:.2g} of their range "
        f"({_REASONS[kind]}): its rows cannot be repeated"
    )


def repeatability(scorer: Scorer, x: Tensor) -> Repeatability:
    """Passes one batch twice, and its first image alone.

    A blank image follows the others, so that a single image has company, too. All passes have the
    scorer's batch size, as those of curves do: an image that is alone fills its batch.

    Args:
        scorer: The network; `on_forward` counts these passes as any others.
        x: (N, C, H, W) inputs, N >= 1; those that fill a batch are used.

    Raises:
        BenchError: Memory runs out and the batch may not shrink.
    """
    while True:
        try:
            return _compare(scorer, x)
        except torch.OutOfMemoryError:
            scorer.shrink()


def _compare(scorer: Scorer, x: Tensor) -> Repeatability:
    room = max(scorer.batch_size - 1, 1)
    batch = torch.cat([x[:room], torch.zeros_like(x[:1])])[: scorer.batch_size]
    first, second = (scorer.outputs_in_batches(batch).double() for _ in range(2))
    alone = scorer.outputs_in_batches(x[:1]).double()
    finite = first[first.isfinite()]
    span = (finite.max() - finite.min()).item() if len(finite) else 0.0
    return Repeatability(
        repeated=_largest_difference(first, second) / (span or 1.0),
        alone=_largest_difference(first[:1], alone) / (span or 1.0),
        tolerance=0.0 if x.device.type == "cpu" else TOLERANCE,
    )


def _largest_difference(first: Tensor, second: Tensor) -> float:
    """Infinity where one of two is finite and the other is not."""
    both_nan = first.isnan() & second.isnan()
    same = (first == second) | both_nan
    return (first - second).abs().nan_to_num(nan=torch.inf).masked_fill(same, 0).max().item()
