"""Checks the maps that a method returns, and reduces their channels where one map is wanted."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from bench.errors import BenchError

_TOO_LARGE = 2**53
"""Below it, float64 holds every integer exactly."""


def exact_floats(maps: Tensor) -> Tensor:
    """Maps as floats in which different values stay different: rounding would make ties.

    Args:
        maps: (N, H, W) of any real dtype.

    Returns:
        float32 where it holds every value of the dtype (bool, integers of up to 16 bits, float16,
        bfloat16), else float64.

    Raises:
        BenchError: Complex numbers, or integers from 2**53 on.

    Example:
        >>> exact_floats(torch.tensor([[[2**24 + 1]]])).dtype
        torch.float64
        >>> exact_floats(torch.tensor([[[True]]])).dtype
        torch.float32
    """
    if maps.dtype in (torch.float32, torch.float64):
        return maps
    if maps.is_complex() or maps.is_quantized:
        raise BenchError(f"maps: expected real numbers, found {maps.dtype}")
    if maps.is_floating_point() or maps.dtype == torch.bool or maps.dtype.itemsize <= 2:
        return maps.float()
    found = maps.double()
    if bool((found.abs() >= _TOO_LARGE).any()):
        raise BenchError(
            f"maps: expected integers below 2**53, found larger ones ({maps.dtype}), some of "
            "which float64 cannot tell apart; subtract an offset, or give ranks"
        )
    return found


def in_one_channel(maps: Tensor) -> Tensor:
    """Maps for whoever reads one number a pixel: the mean over channels, where there are any.

    Args:
        maps: (N, H, W), or (N, C, H, W) of a method that `keeps_channels`.

    Returns:
        (N, H, W).

    Example:
        >>> maps = torch.tensor([[[[1.0, 2.0]], [[3.0, 6.0]]]])
        >>> in_one_channel(maps)
        tensor([[[2., 4.]]])
    """
    return maps.mean(dim=1) if maps.ndim == 4 else maps


def with_channels(maps: Tensor, channels: int) -> Tensor:
    """Maps (N, H, W), or (N, C, H, W), as (N, C, H, W): one without channels has all alike.

    Example:
        >>> with_channels(torch.zeros(2, 5, 4), channels=3).shape
        torch.Size([2, 3, 5, 4])
    """
    return maps if maps.ndim == 4 else maps[:, None].expand(-1, channels, -1, -1)


def check_maps(
    method: str, maps: Any, x: Tensor, image_ids: Sequence[str], keeps_channels: bool = False
) -> Tensor:
    """Checks what a method gave against the contract.

    Args:
        method: Its name, for the message.
        maps: What it gave.
        x: (B, C, H, W) the inputs it was given.
        image_ids: B names, for the message.
        keeps_channels: Whether maps are (B, C, H, W).

    Returns:
        The maps (B, H, W), or (B, C, H, W), detached: float32, or float64 where that would round
        them.

    Raises:
        BenchError: No tensor, another shape, a value that is not finite, complex numbers, or
            integers from 2**53 on.

    Example:
        >>> x = torch.rand(1, 3, 2, 2)
        >>> check_maps("mine", torch.ones(1, 2, 2).int(), x, ["bird.jpg"]).dtype
        torch.float64
        >>> check_maps("mine", torch.ones(1, 3, 2, 2), x, ["bird.jpg"])
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: method 'mine': expected maps of shape (images, height,
        width) = (1, 2, 2), found (1, 3, 2, 2)
    """
    expected = tuple(x.shape) if keeps_channels else (len(x), *x.shape[2:])
    axes = "images, channels, height, width" if keeps_channels else "images, height, width"
    found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
    if found != expected:
        raise BenchError(
            f"method '{method}': expected maps of shape ({axes}) = {expected}, found {found}"
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
