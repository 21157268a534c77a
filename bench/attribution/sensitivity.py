"""Global sensitivity analysis: which cells of a grid of masks move the score."""

from abc import abstractmethod

import torch
from torch import Tensor
from torch.nn import functional
from torch.quasirandom import SobolEngine

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.batching import score_in_batches
from bench.errors import BenchError, require_integer


class _GridSensitivity(Method):
    """Base of the methods that multiply images with a design of masks on a grid.

    All images share the design. The cells' indices are enlarged by OpenCV's cubic kernel, as
    Xplique 1.1.0 does.

    Args:
        grid_size: Cells along each side.
        num_designs: Size of the design; see the methods.
    """

    draws = False

    def __init__(self, grid_size: int, num_designs: int) -> None:
        require_integer("grid_size", grid_size, 1)
        require_integer("num_designs", num_designs, 2)
        self.grid_size = grid_size
        self.num_designs = num_designs

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        x, count, side = batch.x, len(batch.x), self.grid_size
        design = self._design().to(x.device)
        grids = design.view(-1, 1, side, side)

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            images = jobs % count
            masks = functional.interpolate(grids[jobs // count], x.shape[2:], mode="nearest-exact")
            inputs = (x[images] * masks).contiguous(memory_format=torch.channels_last)
            return inputs, batch.targets[images]

        jobs = len(design) * count
        scores = score_in_batches(scorer, build, jobs, scorer.batch_size, x.device)
        design = design.double()  # for each image alone: products of one shape have the same bits
        of_images = scores.view(-1, count).T.double()
        indices = [self._indices(design, of_image) for of_image in of_images]
        small = torch.stack(indices).float().view(count, 1, side, side)
        return functional.interpolate(small, x.shape[2:], mode="bicubic")[:, 0]

    @abstractmethod
    def _design(self) -> Tensor:
        """Masks (n, grid_size**2) float32 in [0, 1], cells in raster order."""

    @abstractmethod
    def _indices(self, design: Tensor, scores: Tensor) -> Tensor:
        """Design (n, cells) and one image's scores (n,), both float64, to indices (cells,)."""


class Sobol(_GridSensitivity):
    """Total Sobol indices of the cells: the share of the score's variance that each has a part in.

    Fel et al. 2021, arXiv 2111.04138; Jansen's estimator, Sobol's sequence without its first
    point, as in Xplique. A score that never varies has indices of 0.

    Args:
        grid_size: Cells along each side.
        num_designs: Points A and B each, a power of two; the forward passes for an image are
            num_designs * (grid_size**2 + 2).

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> method = Sobol(grid_size=2, num_designs=256)
        >>> maps = explain(method, net, torch.ones(1, 1, 2, 2), [1])
        >>> maps.astype(float).round(2).tolist()  # the squared weights' shares of their sum, 14
        [[[0.07, 0.29], [0.64, 0.0]]]
    """

    citation = "Fel et al. 2021, arXiv 2111.04138"

    def __init__(self, grid_size: int = 8, num_designs: int = 32) -> None:
        super().__init__(grid_size, num_designs)
        if num_designs & (num_designs - 1):
            raise BenchError(f"num_designs: expected a power of two, found {num_designs}")
        # For A, B, and A with each column of B in turn.
        self.forward_passes = num_designs * (grid_size**2 + 2)

    def _design(self) -> Tensor:
        cells = self.grid_size**2
        a, b = _sobol_points(2 * cells, self.num_designs).split(cells, dim=1)
        mixed = a.repeat(cells, 1, 1)
        column = torch.arange(cells)
        mixed[column, :, column] = b.T
        return torch.cat([a, b, mixed.flatten(0, 1)])

    def _indices(self, design: Tensor, scores: Tensor) -> Tensor:
        a, _, mixed = scores.split(
            [self.num_designs, self.num_designs, len(scores) - 2 * self.num_designs]
        )
        variance = a.var()
        squares = (a - mixed.view(-1, self.num_designs)).square().sum(dim=1)
        indices = squares / (2 * self.num_designs * variance)
        return torch.where(variance > 0, indices, 0)


class Hsic(_GridSensitivity):
    """Dependence of the score on each cell, by the Hilbert-Schmidt independence criterion.

    Novello et al. 2022, arXiv 2206.06219, as in Xplique: binary masks are rounded points of
    Sobol's sequence; the kernel of masks is 1 + (1/2 - (x - y)^2), that of scores Gaussian with
    their median as width. Where the median is 0 the criterion is undefined and the indices are 0.

    Args:
        grid_size: Cells along each side.
        num_designs: Masks, so forward passes for an image.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> maps = explain(Hsic(grid_size=2, num_designs=100), net, torch.ones(1, 1, 2, 2), [1])
        >>> maps.shape, (-maps).ravel().argsort().tolist()
        ((1, 2, 2), [2, 1, 0, 3])
    """

    citation = "Novello et al. 2022, arXiv 2206.06219"

    def __init__(self, grid_size: int = 8, num_designs: int = 500) -> None:
        super().__init__(grid_size, num_designs)
        self.forward_passes = num_designs

    def _design(self) -> Tensor:
        return _sobol_points(self.grid_size**2, self.num_designs).round()

    def _indices(self, design: Tensor, scores: Tensor) -> Tensor:
        width = scores.quantile(0.5)
        kernel = torch.exp(-((scores[:, None] - scores) ** 2) / (2 * width**2))
        centred = kernel - kernel.mean(dim=0) - kernel.mean(dim=1)[:, None] + kernel.mean()
        # The masks' kernel is 3/2 - x - y + 2xy; of its sum with a centred matrix only 2xy is left.
        indices = 2 * ((centred @ design) * design).sum(dim=0) / len(design)
        return torch.where(width != 0, indices, 0)


def _sobol_points(dimension: int, count: int) -> Tensor:
    """Points 1..count of the sequence, (count, dimension); TensorFlow leaves out point 0, too."""
    return SobolEngine(dimension).draw(count + 1, dtype=torch.float32)[1:]
