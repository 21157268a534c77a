"""IDSDS: does the map say by how much the score drops when one part of the image goes?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from bench.errors import require_integer
from bench.metrics.baseline import Baseline, ZeroBaseline
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.removal import block_drops, cell_of_pixel, correlate
from bench.metrics.statistic import Statistic


@dataclass(frozen=True)
class IDSDS(Metric):
    """Spearman correlation, over the cells of a grid, of a map's sums with single score drops.

    Hesse et al. 2024, arXiv 2407.11910: each cell is removed alone. The paper's networks were
    trained further on images that lack a cell, so that such images are in their domain; the score
    of another network answers the same question, out of its domain. A correlation that is undefined
    (no drop varies, or no sum, as of a constant map) counts as 0. Where the grid does not divide a
    side, a pixel belongs to the cell that holds its centre.

    The perturbed inputs do not depend on the map, so all methods share their forward passes.

    Attributes:
        grid_size: Cells along each side.
        baseline: What removed pixels become.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", IDSDS(grid_size=2))
        >>> found = evaluate(net, images, ["saliency", "constant"], protocol, progress=False).rows
        >>> dict(zip(found["method"], found["idsds"].round(4).tolist()))
        {'saliency': 1.0, 'constant': 0.0}
    """

    citation: ClassVar[str] = "Hesse et al. 2024, arXiv 2407.11910"
    draws: ClassVar[bool] = False
    grid_size: int = 4
    baseline: Baseline = field(default_factory=ZeroBaseline)
    name: str = field(default="idsds", kw_only=True)

    def __post_init__(self) -> None:
        require_integer("grid_size", self.grid_size, 2, 1000)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "IDSDS", True, quantity="IDSDS"),)

    def passes_per_image(self, size: tuple[int, int]) -> int:
        """See `Metric`."""
        return self.grid_size**2

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Correlations (N,); the passes are shared by an image's maps."""
        images, image_of_map = maps.images.unique(return_inverse=True)
        cells = cell_of_pixel(self.grid_size, *maps.values.shape[1:]).to(maps.values.device)
        count = self.grid_size**2

        def removed(_: Tensor, numbers: Tensor) -> Tensor:
            return cells == numbers[:, None, None]

        drops = block_drops(block, images, self.baseline, removed=removed, count=count)
        of_maps = drops[image_of_map].cpu().numpy()
        maps.check(of_maps, lambda cell: f"{self.name} score without cell {cell + 1} of {count}")
        alone = np.eye(count, dtype=bool)
        found = correlate(of_maps, maps.values.cpu().numpy(), alone, cells.cpu().numpy())
        return {self.name: found}

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"IDSDS is the rank correlation, over a grid of {self.grid_size} by {self.grid_size} "
            "cells, of the sum of the map in a cell with the drop in score when that cell alone "
            f"becomes {self.baseline.in_words()}. The paper trains the network on such images."
        ]
