"""The device a run computes on."""

import ctypes
import sys

import torch

from bench.errors import BenchError, require_integer

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
_BATCH_SIZE_OF_CPU, _BATCH_SIZE_OF_OTHERS = 16, 64


def resolve_device(name: str) -> torch.device:
    """Returns the device that `device=` names: any that torch has here.

    `auto` is CUDA where there is one, else the CPU; `mps`, `xpu` and others are taken by name only.

    Args:
        name: `auto`, or a device as torch writes it: `cpu`, `cuda:1`.

    Example:
        >>> resolve_device("cpu")
        device(type='cpu')

    Raises:
        BenchError: The name is no device, or the device is not there; it lists those that are.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        if device.type == "meta":  # its tensors hold no numbers
            raise ValueError
        torch.zeros(1, device=device)
    # A backend that this torch was built without raises any of these, and AttributeError where its
    # module is not even there.
    except (RuntimeError, AssertionError, ValueError, ImportError, AttributeError):
        raise BenchError(
            f"device: '{name}' is not there or no device: torch {torch.__version__} offers "
            f"{', '.join(devices())} here, and auto chooses"
        ) from None
    return device


def devices() -> list[str]:
    """Names of the devices that torch offers on this machine, the CPU first.

    Example:
        >>> devices()[0]
        'cpu'
    """
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    if accelerator is None:
        return ["cpu"]
    count = torch.accelerator.device_count()
    return ["cpu", accelerator.type, *(f"{accelerator.type}:{n}" for n in range(1, count))]


def device_name(device: torch.device) -> str:
    """What the driver calls a device; where torch does not ask it, the type (`cpu`, `mps`).

    Args:
        device: One that is here.

    Example:
        >>> device_name(torch.device("cpu"))
        'cpu'
    """
    if device.type == "cpu":
        return device.type
    get_name = getattr(torch.get_device_module(device), "get_device_name", None)
    return str(get_name(device)) if get_name is not None else device.type


def synchronize(device: torch.device) -> None:
    """Waits until a device has done what it was given; a CPU has.

    Args:
        device: One that is here.

    Example:
        >>> total = torch.ones(2, 2).sum()
        >>> synchronize(total.device)  # on a GPU, only now is it computed for sure
        >>> total.item()
        4.0
    """
    if device.type == "cpu":
        return
    accelerator = torch.accelerator.current_accelerator()
    if accelerator is not None and accelerator.type == device.type:
        torch.accelerator.synchronize(device)


def resolve_batch_size(batch_size: int | str, device: torch.device) -> int:
    """Returns the batch size that `batch_size=` asks for; `auto` depends on the device.

    Args:
        batch_size: `auto` or a positive integer.
        device: Where the network computes.

    Returns:
        Images in a batch: of `auto` 16 on a CPU, 64 elsewhere.

    Raises:
        BenchError: Neither `auto` nor a positive integer.

    Example:
        >>> cpu, gpu = torch.device("cpu"), torch.device("cuda")
        >>> resolve_batch_size("auto", cpu), resolve_batch_size("auto", gpu)
        (16, 64)
        >>> resolve_batch_size(0, cpu)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: batch_size: expected an integer >= 1, found 0
    """
    if batch_size == "auto":
        return _BATCH_SIZE_OF_CPU if device.type == "cpu" else _BATCH_SIZE_OF_OTHERS
    require_integer("batch_size", batch_size, 1, 10**5)
    return int(batch_size)


def keep_freed_memory() -> None:
    """Makes glibc keep large freed blocks for the next forward pass.

    By default it returns them to the kernel at once and every activation of every batch is mapped
    and zeroed anew: up to half of a forward pass on a CPU. Other C libraries are left as they are.

    Example:
        >>> net, x = torch.nn.Linear(4, 2), torch.ones(3, 4)
        >>> before = net(x)
        >>> keep_freed_memory()
        >>> torch.equal(net(x), before)  # time changes, and no number
        True
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 1 << 30)
        mallopt(_M_TRIM_THRESHOLD, (1 << 31) - 1)
