"""MuFidelity: does the map say by how much the score drops when parts of the image go?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.errors import require_integer, require_number
from bench.metrics.baseline import Baseline, ZeroBaseline
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.removal import block_drops, cell_of_pixel, correlate
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

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", MuFidelity(num_masks=50, grid_size=2))
        >>> found = evaluate(net, images, ["saliency", "constant"], protocol, progress=False)
        >>> column = found.rows["mufidelity_xplique_1_1"].round(4)
        >>> dict(zip(found.rows["method"], column.tolist()))
        {'saliency': 1.0, 'constant': 0.0}
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
        device = maps.values.device
        replaced = self.replaced(block.inputs.seed).to(device)
        cells = cell_of_pixel(self.grid_size, *maps.values.shape[1:]).to(device)
        masks = len(replaced)

        def removed(_: Tensor, numbers: Tensor) -> Tensor:
            return replaced[numbers][:, cells]

        drops = block_drops(block, images, self.baseline, removed=removed, count=masks)
        of_maps, *host = (
            tensor.cpu().numpy() for tensor in (drops[image_of_map], maps.values, replaced, cells)
        )
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
