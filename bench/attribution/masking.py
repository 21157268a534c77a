"""Black-box methods that score masked images."""

import math

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method, Passes
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.batching import score_in_batches
from bench.errors import BenchError, require_integer, require_number
from bench.seeding import generator


class Rise(Method):
    """RISE as in Xplique: the mean of random masks, each weighted by the image's score under it.

    Petsiuk et al. 2018, arXiv 1806.07421. Masks are binary grids, enlarged by 1 + 1 / grid_size
    with bilinear interpolation and cropped at a random offset. The weighted sum is divided, pixel
    by pixel, by the sum of the masks; in the paper's equation 6, by a number (`OriginalRise`). All
    images share the masks.

    Args:
        num_masks: Number of masks, so of forward passes for each image.
        grid_size: Cells along each side of a mask.
        probability: Chance that a cell is shown.

    Raises:
        BenchError: An argument is out of range.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> maps = explain(Rise(num_masks=500, grid_size=2), net, torch.ones(1, 1, 2, 2), [1])
        >>> maps.shape, (-maps).ravel().argsort().tolist()  # the weights' order
        ((1, 2, 2), [2, 0, 3, 1])
    """

    citation = "Petsiuk et al. 2018, arXiv 1806.07421"

    def __init__(self, num_masks: int = 4000, grid_size: int = 7, probability: float = 0.5) -> None:
        require_integer("num_masks", num_masks, 1)
        require_integer("grid_size", grid_size, 1)
        require_number("probability", probability, 0, 1)
        self.num_masks = num_masks
        self.grid_size = grid_size
        self.probability = probability
        self.forward_passes = num_masks

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        x, count = batch.x, len(batch.x)
        height, width = x.shape[2:]
        masks = self._masks(batch.seed, (height, width), x.device)

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            image, mask = jobs % count, jobs // count
            masked = x[image] * masks(mask)[:, None]
            masked = masked.contiguous(memory_format=torch.channels_last)
            return masked, batch.targets[image]

        jobs = self.num_masks * count
        scores = score_in_batches(scorer, build, jobs, scorer.batch_size, x.device)
        return self._average(masks, scores.view(self.num_masks, count), x)

    def _average(self, masks: "_Masks", scores: Tensor, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        weighted, total = self._sums(masks, scores, x)
        return self._normalised(weighted, total).view(-1, height, width)

    def _masks(self, seed: int, shape: tuple[int, int], device: torch.device) -> "_Masks":
        return _Masks(self, seed, shape, device)

    def _normalised(self, weighted: Tensor, total: Tensor) -> Tensor:
        """Weighted sums of masks (B, H * W), and the sum of all masks (H * W,), to maps."""
        return weighted / (total + 1e-4)

    def _sums(self, masks: "_Masks", scores: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        height, width = x.shape[2:]
        weighted = x.new_zeros(scores.shape[1], height * width)
        total = x.new_zeros(height * width)
        for chunk in torch.arange(self.num_masks, device=x.device).split(64):
            shown = masks(chunk).flatten(1)
            total += shown.sum(dim=0)
            for image, weights in enumerate(scores[chunk].T):  # a product of fixed shape for each
                weighted[image] += weights.contiguous() @ shown
        return weighted, total


class OriginalRise(Rise):
    """RISE as its authors ran it: equation 6 of the paper, with the masks of their code.

    Petsiuk et al. 2018, arXiv 1806.07421, and github.com/eclique/RISE. The weighted sum of the
    masks is divided by num_masks * probability, so pixels that many masks happen to show gain. A
    cell is a whole number of pixels, ceil(side / grid_size); the grid is enlarged to
    grid_size + 1 cells, mirrored at its border, and cropped at a random offset within a cell.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 1)).eval()
        >>> net[1].weight.data = torch.zeros(1, 16)
        >>> net[1].bias.data = torch.ones(1)  # the score is 1 whatever is hidden
        >>> methods = Rise(num_masks=50), OriginalRise(num_masks=50)
        >>> maps = [explain(method, net, torch.rand(1, 1, 4, 4), [1]) for method in methods]
        >>> [np.allclose(of_method, 1, atol=1e-3) for of_method in maps]
        [True, False]
    """

    def _masks(self, seed: int, shape: tuple[int, int], device: torch.device) -> "_Masks":
        return _OriginalMasks(self, seed, shape, device)

    def _normalised(self, weighted: Tensor, total: Tensor) -> Tensor:
        return weighted / self.num_masks / self.probability


class Occlusion(Method):
    """Occlusion: the sum of score drops over the patches that cover a pixel.

    Zeiler and Fergus 2014, arXiv 1311.2901, as in Xplique: patches that would leave the image are
    left out, so that pixels near the right and lower edges can be in none.

    Args:
        patch_size: Side of a patch in pixels.
        stride: Pixels between patches.
        value: What occluded pixels become, in units of the network's input.

    Raises:
        BenchError: An argument is out of range, or a patch is larger than the image.

    Example:
        >>> from bench import explain
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, -2.0, 3.0, 0.0]])
        >>> x = torch.tensor([[[[4.0, 3.0], [2.0, 1.0]]]])
        >>> explain(Occlusion(patch_size=1, stride=1), net, x, [1]).tolist()
        [[[4.0, -6.0], [6.0, 0.0]]]
    """

    citation = "Zeiler and Fergus 2014, arXiv 1311.2901"
    draws = False

    def __init__(self, patch_size: int = 10, stride: int = 5, value: float = 0.0) -> None:
        require_integer("patch_size", patch_size, 1)
        require_integer("stride", stride, 1)
        require_number("value", value, -math.inf, math.inf)
        self.patch_size = patch_size
        self.stride = stride
        self.value = value

    def passes(self, backbone: Backbone) -> Passes:
        """One for each patch, and one for the image as it is."""
        rows, columns = (
            len(range(0, side - self.patch_size + 1, self.stride))
            for side in backbone.preprocessing.shape
        )
        return Passes(rows * columns + 1)

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        x, count = batch.x, len(batch.x)
        if min(x.shape[2:]) < self.patch_size:
            raise BenchError(
                f"patch_size: expected at most {min(x.shape[2:])}, the side of the network's "
                f"input, found {self.patch_size}"
            )
        rows, columns = (
            torch.arange(0, side - self.patch_size + 1, self.stride, device=x.device)
            for side in x.shape[2:]
        )
        corners = torch.cartesian_prod(rows, columns)
        down, across = (torch.arange(side, device=x.device) for side in x.shape[2:])

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            images, (top, left) = jobs % count, corners[jobs // count].T
            inside = self._covers(top, down)[:, :, None] & self._covers(left, across)[:, None]
            inputs = x[images].masked_fill(inside[:, None], self.value)
            return inputs.contiguous(memory_format=torch.channels_last), batch.targets[images]

        jobs = len(corners) * count
        scores = score_in_batches(scorer, build, jobs, scorer.batch_size, x.device)
        clean = score_in_batches(
            scorer, lambda i: (x[i], batch.targets[i]), count, scorer.batch_size, x.device
        )
        drops = (clean - scores.view(-1, count)).T.view(count, len(rows), len(columns))
        # A pixel's sum over patches: one product with the rows that cover it, one with the columns.
        cover_rows, cover_columns = (
            self._covers(rows, down).float(),
            self._covers(columns, across).float(),
        )
        return torch.stack([cover_rows.T @ of_image @ cover_columns for of_image in drops])

    def _covers(self, starts: Tensor, positions: Tensor) -> Tensor:
        """Starts (n,) and positions (m,) to (n, m) bool: is the position in the patch?"""
        offsets = positions - starts[:, None]
        return (offsets >= 0) & (offsets < self.patch_size)


class _Masks:
    """Xplique's masks for RISE, kept as small grids and offsets and enlarged when asked for."""

    def __init__(self, rise: Rise, seed: int, shape: tuple[int, int], device: torch.device) -> None:
        draws = generator(seed, "Rise")
        grid, count = (rise.grid_size, rise.grid_size), rise.num_masks
        # Mask by mask, so that the first 500 of 4000 masks are the 500 masks of another run.
        numbers = torch.rand(count, rise.grid_size**2 + 2, generator=draws)
        self.shape = shape
        self.enlarged = [self._enlarged(side, rise.grid_size) for side in shape]
        self.grids = (numbers[:, 2:] < rise.probability).float().view(-1, 1, *grid).to(device)
        room = torch.tensor([self._room(side, rise.grid_size) for side in shape])
        self.offsets = (numbers[:, :2] * room).long().to(device)

    def _enlarged(self, side: int, grid_size: int) -> int:
        """Pixels along a side of the enlarged grid."""
        return int(side * (1 + 1 / grid_size))

    def _room(self, side: int, grid_size: int) -> int:
        """How many offsets there are along a side."""
        return self._enlarged(side, grid_size) - side + 1

    def __call__(self, which: Tensor) -> Tensor:
        """Masks (n,) to values (n, H, W) in [0, 1]."""
        large = functional.interpolate(self.grids[which], size=self.enlarged, mode="bilinear")
        rows, columns = (
            offset[:, None] + torch.arange(side, device=which.device)
            for offset, side in zip(self.offsets[which].T, self.shape, strict=True)
        )
        index = torch.arange(len(which), device=which.device)[:, None, None]
        return large[index, 0, rows[:, :, None], columns[:, None, :]]


class _OriginalMasks(_Masks):
    """The masks of the code that RISE's authors published."""

    def _enlarged(self, side: int, grid_size: int) -> int:
        return (grid_size + 1) * math.ceil(side / grid_size)

    def _room(self, side: int, grid_size: int) -> int:
        return math.ceil(side / grid_size)

    def __call__(self, which: Tensor) -> Tensor:
        grids = self._stretched(self.grids[which, 0], which, axis=0)
        return self._stretched(grids.mT, which, axis=1).mT.contiguous()

    def _stretched(self, grids: Tensor, which: Tensor, axis: int) -> Tensor:
        """Grids (n, g, m) to (n, side, m): enlarged and cropped along an axis of the image."""
        last, side = grids.shape[1] - 1, torch.arange(self.shape[axis], device=which.device)
        pixels = self.offsets[which, axis, None] + side
        places = (pixels + 0.5) * (grids.shape[1] / self.enlarged[axis]) - 0.5
        below = places.floor()
        share = (places - below)[:, :, None]
        first, second = (
            (last - (last - (below + step).abs()).abs()).clamp(min=0).long() for step in (0, 1)
        )  # mirrored: cell -1 is cell 1
        index = torch.arange(len(which), device=which.device)[:, None]
        return grids[index, first] * (1 - share) + grids[index, second] * share
