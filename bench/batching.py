"""Fixed batch shapes, so that no number depends on the other images or methods of a run."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

Score = Callable[[Tensor, Tensor], Tensor]
"""Inputs (B, 3, H, W) and targets (B,) to scores (B,)."""


def fitted_batch_size(count: int, batch_size: int) -> int:
    """The smallest batch for a number of jobs whose results have the bits of the full batch.

    On CPUs, inputs were found to have the same outputs, bit for bit, in batches of 4, 8, 12, ... as
    in one of 64: ResNet, EfficientNet, MobileNet, ConvNeXt, ViT and perceptrons, in both memory
    formats, with 2, 8 and 16 threads (`scripts/batch_bits.py`). With one thread those of
    EfficientNet and MobileNet are others below 16. In batches of 3, 5 or 7 most are. Kernels of
    GPUs are chosen by the shape, so there the full batch is to be kept.

    Args:
        count: How many inputs there are.
        batch_size: Images in the full batch. One that is no multiple of 4 is left as it is.

    Returns:
        At most `batch_size`.

    Example:
        >>> fitted_batch_size(18, 64), fitted_batch_size(100, 64), fitted_batch_size(3, 10)
        (20, 64, 10)
    """
    if batch_size % 4:
        return batch_size
    smallest = 16 if torch.get_num_threads() == 1 else 4
    return min(batch_size, max(smallest, -(-count // 4) * 4))


def fixed_batches(
    count: int, batch_size: int, device: torch.device | str = "cpu"
) -> Iterator[tuple[Tensor, slice]]:
    """Splits 0..count-1 into index batches that all have the same length.

    The last batch is filled up with its last index. Kernels are chosen by shape, so a result is
    the same bit for bit only if the shape is.

    Args:
        count: How many items there are.
        batch_size: Length of every batch.
        device: Where the indices live.

    Yields:
        Indices (batch_size,) int64 and the slice of items that they stand for; entries past the
        end of the slice are fill.

    Example:
        >>> [(index.tolist(), items) for index, items in fixed_batches(5, batch_size=3)]
        [([0, 1, 2], slice(0, 3, None)), ([3, 4, 4], slice(3, 5, None))]
    """
    for start in range(0, count, batch_size):
        index = torch.arange(start, start + batch_size, device=device).clamp_(max=count - 1)
        yield index, slice(start, min(start + batch_size, count))


@torch.inference_mode()
def score_in_batches(
    score: Score,
    build: Callable[[Tensor], tuple[Tensor, Tensor]],
    count: int,
    batch_size: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Scores `count` inputs that are built on the device one fixed batch at a time.

    Args:
        score: Inputs and targets to scores.
        build: Job indices (batch_size,) int64 to inputs (batch_size, 3, H, W) and targets.
        count: Number of jobs.
        batch_size: Inputs a batch; bounds the memory.
        device: Where the scores are collected.

    Returns:
        Scores (count,) float32.

    Example:
        >>> def total(x, targets):  # a score
        ...     return x.sum(dim=(1, 2, 3))
        >>> def build(jobs):  # input number k is k everywhere
        ...     return jobs.view(-1, 1, 1, 1).expand(-1, 3, 2, 2).float(), jobs
        >>> score_in_batches(total, build, count=5, batch_size=2).tolist()
        [0.0, 12.0, 24.0, 36.0, 48.0]
    """
    scores = torch.empty(count, dtype=torch.float32, device=device)
    for index, items in fixed_batches(count, batch_size, device):
        scores[items] = score(*build(index))[: items.stop - items.start].float()
    return scores
