"""By how much a score drops when parts of an image go: what does not depend on any map.

So one set of forward passes serves all maps of an image, and all methods.
"""

import warnings
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from bench.batching import Score, score_in_batches
from bench.metrics.baseline import Baseline
from bench.metrics.metric import Block

Removed = Callable[[Tensor, Tensor], Tensor]
"""Positions of images (n,) and numbers of removals (n,) to the pixels that go, (n, H, W) bool."""


def cell_of_pixel(grid_size: int, height: int, width: int) -> Tensor:
    """The cell (H, W) int64 of each pixel: nearest neighbour, pixel centres.

    Args:
        grid_size: Cells along each side.
        height: H.
        width: W.

    Returns:
        (H, W) int64, cells in raster order.

    Example:
        >>> cell_of_pixel(2, height=3, width=4).tolist()
        [[0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    """
    rows, columns = (
        ((torch.arange(side, dtype=torch.float64) + 0.5) * grid_size / side).long()
        for side in (height, width)
    )
    return rows[:, None] * grid_size + columns


def score_drops(
    score: Score,
    x: Tensor,
    baseline: Tensor,
    targets: Tensor,
    clean_scores: Tensor,
    *,
    removed: Removed,
    count: int,
    batch_size: int,
) -> Tensor:
    """By how much the score falls at each removal.

    Args:
        score: Inputs and targets to scores.
        x: (B, C, H, W) inputs.
        baseline: Broadcasts against `x`.
        targets: (B,) int64.
        clean_scores: (B,) scores of `x`.
        removed: Which pixels go.
        count: Removals of each image.
        batch_size: Forward passes in one batch.

    Returns:
        (B, count) clean score minus score.

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> def removed(images, numbers):  # removal k takes pixel k away
        ...     return torch.nn.functional.one_hot(numbers, 4).bool().view(-1, 2, 2)
        >>> drops = score_drops(
        ...     lambda x, targets: x.sum(dim=(1, 2, 3)),
        ...     x,
        ...     torch.zeros(1, 1, 1, 1),
        ...     torch.tensor([0]),
        ...     clean_scores=torch.tensor([10.0]),
        ...     removed=removed,
        ...     count=4,
        ...     batch_size=3,
        ... )
        >>> drops.tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """

    def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
        images = jobs // count
        gone = removed(images, jobs % count)[:, None]
        base = baseline if len(baseline) == 1 else baseline[images]
        inputs = torch.where(gone, base, x[images])
        return inputs.contiguous(memory_format=torch.channels_last), targets[images]

    scores = score_in_batches(score, build, len(x) * count, batch_size, x.device)
    return clean_scores[:, None] - scores.view(len(x), count)


def block_drops(
    block: Block, images: Tensor, baseline: Baseline, *, removed: Removed, count: int
) -> Tensor:
    """Drops (n, count) of some images (n,) of a block; see `score_drops`.

    Args:
        block: The images.
        images: (n,) int64, those that are meant.
        baseline: What removed pixels become.
        removed: Which pixels go.
        count: Removals of each image.

    Returns:
        (n, count) clean score minus score.

    Example:
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> from bench.attribution.scorer import OutputScorer
        >>> from bench.backbones.bare import BareModel
        >>> from bench.metrics.baseline import Inputs
        >>> from bench.metrics.block import EndPoints
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> scorer = OutputScorer(BareModel(net, "logits"), "logit", batch_size=16)
        >>> block = EndPoints(scorer, [])(Inputs(torch.ones(1, 1, 2, 2)), torch.tensor([1]))
        >>> def removed(images, numbers):  # removal k takes pixel k away
        ...     return torch.nn.functional.one_hot(numbers, 4).bool().view(-1, 2, 2)
        >>> block_drops(block, torch.tensor([0]), ZeroBaseline(), removed=removed, count=4).tolist()
        [[1.0, 2.0, 3.0, 4.0]]
    """
    pixels = baseline(block.inputs)
    return score_drops(
        block.scorer,
        block.inputs.x[images],
        pixels if len(pixels) == 1 else pixels[images],
        block.targets[images],
        block.clean_scores[images],
        removed=removed,
        count=count,
        batch_size=block.scorer.batch_size_for(len(images) * count),
    )


def correlate(
    drops: NDArray[np.float32],
    maps: NDArray[np.float32],
    replaced: NDArray[np.bool_],
    cells: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Correlates each map's sums over the replaced pixels with the score's drops.

    Args:
        drops: (N, K) of the image that each map belongs to.
        maps: (N, H, W).
        replaced: (K, cells) bool.
        cells: (H, W) from `cell_of_pixel`.

    Returns:
        (N,) Spearman correlations in [-1, 1]; 0 where undefined.

    Example:
        >>> maps = np.array([[[1.0, 2.0], [3.0, 4.0]], [[4.0, 3.0], [2.0, 1.0]]])
        >>> cells = cell_of_pixel(2, 2, 2).numpy()
        >>> drops = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
        >>> correlate(drops, maps, np.eye(4, dtype=bool)[:3], cells).round(4).tolist()
        [1.0, -1.0]
    """
    correlations = np.zeros(len(maps))
    for row, (saliency, drop) in enumerate(zip(maps, drops, strict=True)):
        weights = saliency.ravel().astype(np.float64)
        per_cell = np.bincount(cells.ravel(), weights, minlength=replaced.shape[1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", stats.ConstantInputWarning)
            correlation = stats.spearmanr(drop, replaced @ per_cell).statistic
        correlations[row] = 0 if np.isnan(correlation) else correlation
    return correlations
