"""The device a run computes on."""

import ctypes
import sys

import torch

from bench.errors import BenchError, require_integer

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_BATCH_SIZES = {"cpu": 16, "cuda": 64}


def resolve_device(name: str) -> torch.device:
    """Returns the device that `device=` names; `auto` is a GPU where there is one.

    Raises:
        BenchError: The name is no device, or the device is not there.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type not in _BATCH_SIZES:
            raise RuntimeError
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        raise BenchError(
            f"device: '{name}' is not there or no device: expected auto, cpu, cuda or cuda:N"
        ) from None
    return device


def resolve_batch_size(batch_size: int | str, device: torch.device) -> int:
    """Returns the batch size that `batch_size=` asks for; `auto` depends on the device.

    Raises:
        BenchError: Neither `auto` nor a positive integer.
    """
    if batch_size == "auto":
        return _BATCH_SIZES[device.type]
    require_integer("batch_size", batch_size, 1, 10**5)
    return int(batch_size)


def keep_freed_memory() -> None:
    """Makes glibc keep large freed blocks for the next forward pass.

    By default it returns them to the kernel at once and every activation of every batch is mapped
    and zeroed anew: up to half of a forward pass on a CPU. Other C libraries are left as they are.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
