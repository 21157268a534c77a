"""Converts users' arrays to tensors."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from bench.errors import BenchError


def as_tensor(name: str, value: Any, device: torch.device | None = None) -> Tensor:
    """A tensor of what a user gave: torch's, numpy's, pandas' or a list's numbers.

    Args:
        name: The name of the argument, for the message.
        value: Anything of one shape and dtype.
        device: Where it is to live; None: where it is.

    Returns:
        A tensor of the same dtype and shape, without history. It may share memory with a tensor
        that was given, and with nothing else.

    Raises:
        BenchError: It holds something else than numbers, or rows of different lengths.

    Example:
        >>> as_tensor("maps", [[1.0, 2.0], [3.0, 4.0]]).shape
        torch.Size([2, 2])
        >>> as_tensor("maps", [[1.0, 2.0], [3.0]])
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: maps: expected rows of one length, found different ones
    """
    if isinstance(value, list | tuple) and value and isinstance(value[0], Tensor):
        value = _stacked(name, value)
    if not isinstance(value, Tensor):
        value = _from_numpy(name, value)
    if value.is_meta:
        raise BenchError(f"{name}: expected numbers, found a tensor on torch's meta device")
    if value.layout != torch.strided:
        value = value.to_dense()
    return value.detach().as_subclass(Tensor).to(device)


def _stacked(name: str, values: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    try:
        return torch.stack(list(values))
    except (RuntimeError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BenchError(f"{name}: expected tensors of one shape and device: {reason}") from None


def _from_numpy(name: str, value: Any) -> Tensor:
    """Copies: views may have negative strides, be read-only or in another byte order."""
    if np.ma.isMaskedArray(value):
        raise BenchError(f"{name}: expected every number, found a masked array: fill it first")
    try:
        array = np.asarray(value)
    except ValueError:
        raise BenchError(f"{name}: expected rows of one length, found different ones") from None
    try:
        return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), order="C"))
    except TypeError:
        kind = "text" if array.dtype.kind in "US" else str(array.dtype)
        raise BenchError(f"{name}: expected an array of numbers, found {kind}") from None


def as_inputs(value: Any, device: torch.device | None = None) -> Tensor:
    """Inputs of a network (N, C, H, W) of what a user gave as `x`, as `as_tensor` makes them.

    Args:
        value: Floating point numbers of that shape.
        device: Where they are to live; None: where they are.

    Raises:
        BenchError: They have another shape or dtype, or a number is not finite.

    Example:
        >>> as_inputs(np.zeros((2, 3, 8, 8), np.float32)).shape
        torch.Size([2, 3, 8, 8])
        >>> as_inputs(np.zeros((3, 8, 8), np.float32))
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: x: expected (N, C, H, W) with N >= 1, found (3, 8, 8): give
        x[None]
    """
    x = as_tensor("x", value, device)
    if x.ndim != 4 or len(x) == 0:
        mend = ": give x[None]" if x.ndim == 3 else ""
        raise BenchError(f"x: expected (N, C, H, W) with N >= 1, found {tuple(x.shape)}{mend}")
    if not x.is_floating_point():
        raise BenchError(
            f"x: expected finite floating point numbers, found {x.dtype}: give the network's "
            "inputs, after its preprocessing"
        )
    broken = (~x.isfinite()).flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    if broken:
        raise BenchError(
            "x: expected finite floating point numbers, found NaN or infinity in number "
            f"{broken[0]} ({len(broken)} of {len(x)} images)"
        )
    return x


def as_classes(value: Any, count: int, device: torch.device | None = None) -> Tensor:
    """Classes (N,) int64 of what a user gave as `targets`.

    Args:
        value: Integers, one for each input.
        count: N.
        device: Where they are to live; None: where they are.

    Raises:
        BenchError: They are none, or another number of them.

    Example:
        >>> as_classes([3, 7], count=2)
        tensor([3, 7])
        >>> as_classes([3.0, 7.0], count=2)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: targets: expected integers, found torch.float64
    """
    targets = as_tensor("targets", value, device)
    if targets.shape != (count,):
        one_hot = targets.ndim == 2 and targets.shape[1] > 1
        mend = ": of one-hot rows or scores, give targets.argmax(1)" if one_hot else ""
        raise BenchError(
            f"targets: expected a class for each input, targets (N,) = {(count,)}, "
            f"found {tuple(targets.shape)}{mend}"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise BenchError(f"targets: expected integers, found {targets.dtype}")
    return targets.long()


def as_integer(value: Any) -> Any:
    """A Python integer of one of numpy's; anything else as it is.

    Args:
        value: Anything.

    Returns:
        The integer, or `value`.

    Example:
        >>> as_integer(np.int64(3)), as_integer("auto")
        (3, 'auto')
    """
    return value.item() if isinstance(value, np.integer) else value
