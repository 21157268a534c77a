"""Infidelity: how far a map's sums are from the drops in score when squares are removed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.errors import BenchError, require_integer, require_number
from bench.metrics.baseline import Baseline, ZeroBaseline
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.removal import block_drops
from bench.metrics.statistic import Statistic
from bench.seeding import generator


@dataclass(frozen=True)
class Infidelity(Metric):
    """Mean squared distance of a map's sums over squares from the score drops without them.

    Yeh et al. 2019, arXiv 1901.09392, with square removal as in section 5 and the authors' code:
    the perturbation is 1 on the pixels of a square that becomes the baseline and 0 elsewhere, so
    that maps need no channels. Of all squares with sides from `smallest` to `largest`, each as
    likely as another, some are drawn for each image (the authors take all of them, of 28 x 28
    pixels); all methods meet the same. Noise, their other perturbation, would need a map's
    channels.

    Methods give maps of any scale, so each map is multiplied by the number that serves it best, as
    the authors' code does: beta = mean(drop * sum) / mean(sum^2); Captum's `normalize=True`. It may
    be negative, so a map and its negative have the same infidelity: read it beside a metric that
    tells them apart. A map that is zero has the mean squared drop.

    Attributes:
        num_squares: Forward passes for each image.
        smallest: Shortest side, as a share of the image's shorter side; one pixel at least.
        largest: Longest side, likewise. The authors' are 1 to 10 pixels of 28.
        baseline: What removed pixels become.

    Raises:
        BenchError: A setting is out of range, or `largest` below `smallest`.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> squares = Infidelity(num_squares=50, smallest=0.5, largest=0.5)  # of one pixel each
        >>> protocol = Protocol.of("mine", "logit", "stable", squares)
        >>> found = evaluate(net, images, ["saliency", "constant"], protocol, progress=False)
        >>> dict(zip(found.rows["method"], found.rows["infidelity"].round(6).tolist()))
        {'saliency': 0.0, 'constant': 7.52}
    """

    citation: ClassVar[str] = "Yeh et al. 2019, arXiv 1901.09392"
    num_squares: int = 200
    smallest: float = 1 / 28
    largest: float = 10 / 28
    baseline: Baseline = field(default_factory=ZeroBaseline)
    name: str = field(default="infidelity", kw_only=True)

    def __post_init__(self) -> None:
        require_integer("num_squares", self.num_squares, 2, 10**6)
        require_number("smallest", self.smallest, 0, 1)
        require_number("largest", self.largest, 0, 1)
        if self.largest < self.smallest:
            raise BenchError(
                f"largest: expected at least smallest, {self.smallest:g}, found {self.largest:g}"
            )

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Infidelity", False, short="infid.", digits=6),)

    def passes_per_image(self, size: tuple[int, int]) -> int:
        """See `Metric`."""
        return self.num_squares

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Infidelities (N,) float64; the passes are shared by an image's maps."""
        images, image_of_map = maps.images.unique(return_inverse=True)
        size, count = maps.values.shape[1:], self.num_squares
        ids = [block.inputs.image_ids[image] for image in images.tolist()]
        drawn = [self.squares(block.inputs.seed, image_id, *size) for image_id in ids]
        squares = torch.stack(drawn).to(maps.values.device)

        def removed(image: Tensor, number: Tensor) -> Tensor:
            return inside(squares[image, number], *size)

        drops = block_drops(block, images, self.baseline, removed=removed, count=count)
        of_maps = drops[image_of_map]
        name = self.name
        maps.check(of_maps.cpu().numpy(), lambda k: f"{name} score at square {k + 1} of {count}")
        return {self.name: infidelity(of_maps, square_sums(maps.values, squares[image_of_map]))}

    def squares(self, seed: int, image_id: str, height: int, width: int) -> Tensor:
        """Draws the squares of an image.

        Returns:
            (num_squares, 3) int64: first row, first column, side.
        """
        shorter = min(height, width)
        least, most = (max(1, round(share * shorter)) for share in (self.smallest, self.largest))
        sides = torch.arange(least, most + 1)
        places = torch.stack([height - sides + 1, width - sides + 1])  # for the first pixel
        up_to = places.prod(dim=0).double().cumsum(dim=0)
        which, *where = torch.rand(
            3,
            self.num_squares,
            generator=generator(seed, "Infidelity", image_id),
            dtype=torch.float64,
        )
        chosen = torch.searchsorted(up_to / up_to[-1], which, right=True)
        first_row, first_column = (
            (share * count[chosen]).long() for share, count in zip(where, places, strict=True)
        )
        return torch.stack([first_row, first_column, sides[chosen]], dim=1)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"Infidelity is the mean squared distance, over {self.num_squares} random squares, of "
            "the map's sum in a square, times the number that suits the map best, from the drop in "
            f"score when the square becomes {self.baseline.in_words()}."
        ]


def inside(squares: Tensor, height: int, width: int) -> Tensor:
    """The pixels (n, H, W) bool of squares (n, 3).

    Args:
        squares: (n, 3) int64: first row, first column, side.
        height: H.
        width: W.

    Returns:
        (n, H, W) bool.

    Example:
        >>> inside(torch.tensor([[0, 1, 2]]), height=3, width=4).int().tolist()
        [[[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]]
    """
    first_row, first_column, side = squares[..., None].unbind(1)
    rows = torch.arange(height, device=squares.device)
    columns = torch.arange(width, device=squares.device)
    in_rows = (rows >= first_row) & (rows < first_row + side)
    in_columns = (columns >= first_column) & (columns < first_column + side)
    return in_rows[:, :, None] & in_columns[:, None, :]


def square_sums(maps: Tensor, squares: Tensor) -> Tensor:
    """Sums of each map over squares, in units of the map's largest magnitude.

    Args:
        maps: (N, H, W).
        squares: (N, K, 3) int64: first row, first column, side.

    Returns:
        (N, K) float64; zeros of a map that is zero.

    Example:
        >>> maps = torch.arange(9.0).view(1, 3, 3)  # the largest is 8
        >>> squares = torch.tensor([[[0, 0, 1], [1, 1, 2]]])
        >>> (8 * square_sums(maps, squares)).tolist()
        [[0.0, 24.0]]
    """
    values = maps.double()
    largest = values.abs().amax(dim=(1, 2), keepdim=True)
    values = torch.where(largest > 0, values / largest, 0.0)
    # What lies above and to the left of each corner: four of these make a square's sum.
    table = torch.nn.functional.pad(values.cumsum(dim=1).cumsum(dim=2), (1, 0, 1, 0))
    first_row, first_column, side = squares.unbind(dim=2)
    width = table.shape[2]

    def at(row: Tensor, column: Tensor) -> Tensor:
        return table.flatten(1).gather(1, row * width + column)

    last_row, last_column = first_row + side, first_column + side
    return (
        at(last_row, last_column) - at(first_row, last_column)
        - at(last_row, first_column) + at(first_row, first_column)
    )  # fmt: skip


def infidelity(drops: Tensor, sums: Tensor) -> Tensor:
    """Mean squared distances of drops from sums times the best factor of each map.

    Args:
        drops: (N, K), of the image that each map belongs to.
        sums: (N, K), of each map over what was removed.

    Returns:
        (N,) float64; the mean squared drop where all sums are 0.

    Example:
        >>> drops = torch.tensor([[1.0, 2.0], [1.0, 2.0]])
        >>> infidelity(drops, sums=torch.tensor([[8.0, 16.0], [0.0, 0.0]])).tolist()
        [0.0, 2.5]
    """
    drops, sums = drops.double(), sums.double()
    power = (sums**2).mean(dim=1, keepdim=True)
    beta = torch.where(power > 0, (drops * sums).mean(dim=1, keepdim=True) / power, 0.0)
    return ((drops - beta * sums) ** 2).mean(dim=1)
