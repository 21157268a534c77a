"""MuFidelity: does the map say by how much the score drops when parts of the image go?"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from bench.batching import Score, score_in_batches
from bench.errors import require_integer, require_number
from bench.metrics.baseline import Baseline, ZeroBaseline
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic
from bench.seeding import generator


@dataclass(frozen=True)
class MuFidelity(Metric):
    """Spearman correlation of score drops with the map's sums over what was replaced.

    Bhatt et al. 2020, arXiv 2005.00631, definition 3, as Xplique 1.1 defines it: random subsets of
    the cells of a grid, int(grid_size**2 * subset) + 1 cells each, one set of masks for all images;
    a correlation that is undefined (no drop varies, or no sum) counts as 0. Later versions of
    Xplique draw other subsets, hence the version in the column's name.

    The perturbed inputs do not depend on the map, so all methods share their forward passes.

    Attributes:
        num_masks: Subsets, so forward passes for each image.
        grid_size: Cells along each side.
        subset: Fraction of the cells to replace.
        baseline: What replaced pixels become.
    """

    citation: ClassVar[str] = "Bhatt et al. 2020, arXiv 2005.00631"
    num_masks: int = 200
    grid_size: int = 9
    subset: float = 0.2
    baseline: Baseline = field(default_factory=ZeroBaseline)
    name: str = field(default="mufidelity", kw_only=True)

    def __post_init__(self) -> None:
        require_integer("num_masks", self.num_masks, 2, 10**6)
        require_integer("grid_size", self.grid_size, 1, 1000)
        require_number("subset", self.subset, 0, 1)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`; later versions of Xplique draw otherwise, so the column has its version."""
        column = f"{self.name}_xplique_1_1"
        return (Statistic(self.name, "MuFidelity", True, column, "µF", "MuFidelity"),)

    def passes_per_image(self, size: tuple[int, int]) -> int:
        """See `Metric`."""
        return self.num_masks

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Correlations (N,); the passes are shared by an image's maps."""
        images, image_of_map = maps.images.unique(return_inverse=True)
        x, size = block.inputs.x, maps.values.shape[1:]
        replaced = self.replaced(block.inputs.seed).to(x.device)
        cells = cell_of_pixel(self.grid_size, *size).to(x.device)
        baseline = self.baseline(block.inputs)
        drops = score_drops(
            block.scorer,
            x[images],
            baseline if len(baseline) == 1 else baseline[images],
            block.targets[images],
            block.clean_scores[images],
            replaced=replaced,
            cells=cells,
            batch_size=block.scorer.batch_size_for(len(images) * len(replaced)),
        )
        of_maps, *host = (
            tensor.cpu().numpy() for tensor in (drops[image_of_map], maps.values, replaced, cells)
        )
        masks = len(replaced)
        maps.check(of_maps, lambda mask: f"score at mask {mask + 1} of {masks} (MuFidelity)")
        (statistic,) = self.statistics
        return {statistic.column: correlate(of_maps, *host)}

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"MuFidelity is the rank correlation, over {self.num_masks} random subsets of a grid "
            f"of {self.grid_size} by {self.grid_size} cells, of the drop in score with the sum "
            "of the map over what was replaced."
        ]

    def replaced(self, seed: int) -> Tensor:
        """Draws the subsets.

        Returns:
            (num_masks, grid_size**2) bool, true where a cell is replaced.
        """
        cells = self.grid_size**2
        numbers = torch.rand(self.num_masks, cells, generator=generator(seed, "MuFidelity"))
        return numbers.argsort(dim=1) <= int(cells * self.subset)


def cell_of_pixel(grid_size: int, height: int, width: int) -> Tensor:
    """The cell (H, W) int64 of each pixel: nearest neighbour, pixel centres."""
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
    replaced: Tensor,
    cells: Tensor,
    batch_size: int,
) -> Tensor:
    """By how much the score falls when each subset of cells is replaced.

    Args:
        score: Inputs and targets to scores.
        x: (B, C, H, W) inputs.
        baseline: Broadcasts against `x`.
        targets: (B,) int64.
        clean_scores: (B,) scores of `x`.
        replaced: (K, cells) bool.
        cells: (H, W) from `cell_of_pixel`.
        batch_size: Forward passes in one batch.

    Returns:
        (B, K) clean score minus score.
    """
    masks = len(replaced)

    def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
        images = jobs // masks
        gone = replaced[jobs % masks][:, cells][:, None]
        base = baseline if len(baseline) == 1 else baseline[images]
        inputs = torch.where(gone, base, x[images])
        return inputs.contiguous(memory_format=torch.channels_last), targets[images]

    scores = score_in_batches(score, build, len(x) * masks, batch_size, x.device)
    return clean_scores[:, None] - scores.view(len(x), masks)


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
