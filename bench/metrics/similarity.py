"""How alike two maps are: Spearman's rank correlation, and SSIM."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

_AT_ONCE = 16
"""Pairs of maps whose intermediate values are held in memory together."""

_WINDOW = 7
_K1, _K2 = 0.01, 0.03


def rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Spearman's correlation of the values of two maps; equal values have their mean rank.

    Equal maps have exactly 1. A map that has one value everywhere has no ranks: with another one of
    that kind it has 1, with any other 0, as nothing is left of that one's order.

    Args:
        first: (N, H, W).
        second: (N, H, W).

    Returns:
        (N,) float64 in -1..1; NaN where a map holds NaN.

    Example:
        >>> maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        >>> others = (maps**3, -maps, torch.ones(1, 2, 2))
        >>> [rank_correlation(maps, other).item() for other in others]
        [1.0, -1.0, 0.0]
    """
    return _by_pairs(_rank_correlation, first, second)


def ssim(first: Tensor, second: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) of two maps, each divided by its largest magnitude.

    As scikit-image's `structural_similarity` has it by default: windows of 7 x 7 pixels (of smaller
    maps the largest odd number that fits), sample covariances, mean over the windows that lie
    inside. The data range is that of both maps together. Equal maps have exactly 1.

    Args:
        first: (N, H, W).
        second: (N, H, W).

    Returns:
        (N,) float64 in -1..1; NaN where a map holds NaN.

    Example:
        >>> maps = torch.arange(49.0).view(1, 7, 7)
        >>> [round(ssim(maps, other).item(), 2) for other in (5 * maps, maps.flip(1, 2))]
        [1.0, -0.99]
    """
    return _by_pairs(_ssim, first, second)


def _by_pairs(compare: Callable[[Tensor, Tensor], Tensor], one: Tensor, other: Tensor) -> Tensor:
    found = []
    for first, second in zip(one.split(_AT_ONCE), other.split(_AT_ONCE), strict=True):
        unknown = (first.isnan() | second.isnan()).flatten(1).any(dim=1)
        blank = unknown[:, None, None]
        first, second = (each.double().masked_fill(blank, 0) for each in (first, second))
        found.append(compare(first, second).masked_fill(unknown, torch.nan))
    return torch.cat(found) if found else one.new_empty(0, dtype=torch.float64)


def _rank_correlation(first: Tensor, second: Tensor) -> Tensor:
    centred = []
    for maps in (first.flatten(1), second.flatten(1)):
        ranks = _mean_ranks(maps)
        centred.append(ranks - ranks.mean(dim=1, keepdim=True))
    one, other = centred
    variances = one.square().sum(dim=1) * other.square().sum(dim=1)
    correlation = (one * other).sum(dim=1) / variances.sqrt()
    both_constant = ((one == 0) & (other == 0)).all(dim=1)
    # Rounding may give a little more than 1, and ranks alone say when it is exactly that.
    correlation = torch.where((one == other).all(dim=1), 1.0, correlation.clamp(-1, 1))
    return torch.where(variances > 0, correlation, both_constant.double())


def _mean_ranks(values: Tensor) -> Tensor:
    """Ranks (N, P) float64 of values (N, P), times 2: integers, so sums are exact."""
    ordered = values.sort(dim=1).values
    below = torch.searchsorted(ordered, values)
    return (below + torch.searchsorted(ordered, values, right=True)).double()


def _ssim(first: Tensor, second: Tensor) -> Tensor:
    x, y = (_divided_by_largest(maps) for maps in (first, second))
    window = min(_WINDOW, *(side - 1 + side % 2 for side in x.shape[1:]))
    count = window**2
    unbiased = count / (count - 1) if count > 1 else 1.0

    def mean(values: Tensor) -> Tensor:
        return functional.avg_pool2d(values[:, None], window, stride=1)[:, 0]

    both = torch.stack([x, y]).flatten(2)
    span = (both.amax(dim=(0, 2)) - both.amin(dim=(0, 2)))[:, None, None]
    c1, c2 = (_K1 * span).square(), (_K2 * span).square()
    mean_x, mean_y = mean(x), mean(y)
    variance_x = unbiased * (mean(x * x) - mean_x * mean_x)
    variance_y = unbiased * (mean(y * y) - mean_y * mean_y)
    covariance = unbiased * (mean(x * y) - mean_x * mean_y)
    alike = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    alike /= (mean_x.square() + mean_y.square() + c1) * (variance_x + variance_y + c2)
    # Two maps of one value each have no range, and nothing to divide by.
    is_same = (x == y).flatten(1).all(dim=1)
    return torch.where(is_same, 1.0, alike.mean(dim=(1, 2)))


def _divided_by_largest(maps: Tensor) -> Tensor:
    largest = maps.abs().amax(dim=(1, 2), keepdim=True)
    return torch.where(largest > 0, maps / largest, 0.0)
