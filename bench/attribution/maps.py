"""Checks the maps that a method returns."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from bench.errors import BenchError
from bench.metrics.perturbation import exact_floats


def check_maps(method: str, maps: Any, x: Tensor, image_ids: Sequence[str]) -> Tensor:
    """Checks what a method gave against the contract.

    Args:
        method: Its name, for the message.
        maps: What it gave.
        x: (B, C, H, W) the inputs it was given.
        image_ids: B names, for the message.

    Returns:
        The maps (B, H, W), detached: float32, or float64 where that would round them.

    Raises:
        BenchError: No tensor, another shape, a value that is not finite, complex numbers, or
            integers from 2**53 on.
    """
    expected = (len(x), *x.shape[2:])
    found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
    if found != expected:
        raise BenchError(
            f"method '{method}': expected maps of shape (images, height, width) = {expected}, "
            f"found {found}"
        )
    try:
        maps = exact_floats(maps.detach())
    except BenchError as error:
        raise BenchError(f"method '{method}': {error}") from None
    broken = (~maps.isfinite()).flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    if broken:
        raise BenchError(
            f"method '{method}': the map of image '{image_ids[broken[0]]}' holds NaN or infinite "
            f"values ({len(broken)} of {len(x)} maps)"
        )
    return maps
