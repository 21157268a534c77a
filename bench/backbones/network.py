"""Calling a network whatever its dtype and memory format, and checking what it gives."""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from bench.errors import BenchError

_VIEW = "view size is not compatible"
"""How torch words that `x.view(...)` cannot merge dimensions of a channels-last tensor."""


class Network(Protocol):
    """What curves need of a network: `Backbone` is one, and so is `BareModel`.

    Example:
        >>> class Brightness:
        ...     output_kind, dtype = "logits", torch.float32
        ...     def outputs(self, x):  # classes 0 and 1: darker or brighter than 0
        ...         mean = x.mean(dim=(1, 2, 3))
        ...         return torch.stack([-mean, mean], dim=1)
        >>> network: Network = Brightness()
        >>> network.outputs(torch.ones(1, 3, 8, 8)).tolist()
        [[-1.0, 1.0]]
    """

    output_kind: str
    """What `outputs` are: one of `bench.score.OUTPUT_KINDS`, or `BINARY`."""

    dtype: torch.dtype
    """What the network computes in."""

    def outputs(self, x: Tensor) -> Tensor:
        """Inputs (B, C, H, W) to outputs (B, K) of all classes, float32 at least."""


def float_dtype(module: nn.Module) -> torch.dtype:
    """What a network computes in: the dtype of its first floating point parameter or buffer.

    float32 if it has none. float8 and other storage formats are no such dtype.

    Args:
        module: The network.

    Returns:
        float32, float64, float16 or bfloat16.

    Example:
        >>> from torch import nn
        >>> float_dtype(nn.Linear(2, 2).double()), float_dtype(nn.ReLU())
        (torch.float64, torch.float32)
    """
    known = (torch.float32, torch.float64, torch.float16, torch.bfloat16)
    for tensors in (module.parameters(), module.buffers()):
        for tensor in tensors:
            if tensor.dtype in known:
                return tensor.dtype
    return torch.float32


def device_of(module: nn.Module) -> torch.device | None:
    """Where a network's first parameter or buffer lives; None if it has none.

    Args:
        module: The network.

    Example:
        >>> from torch import nn
        >>> device_of(nn.Linear(2, 2)), device_of(nn.ReLU())
        (device(type='cpu'), None)
    """
    for tensors in (module.parameters(), module.buffers()):
        for tensor in tensors:
            return tensor.device
    return None


def first_call(module: nn.Module, x: Tensor) -> tuple[torch.memory_format, Any]:
    """Calls a network for the first time, to see which memory format it can take.

    Channels-last is faster, but `x.view(len(x), -1)` after a convolution needs the plain format.
    Kernels, and so the last bits, depend on the format: whoever asks keeps to the answer.

    Args:
        module: Inputs to outputs.
        x: (B, C, H, W) in the dtype that the network takes; not changed.

    Returns:
        `torch.channels_last` or `torch.contiguous_format`, and the outputs.

    Example:
        >>> from torch import nn
        >>> class Views(nn.Module):
        ...     def forward(self, x):
        ...         return x.view(len(x), -1)
        >>> [first_call(net, torch.zeros(2, 3, 4, 4))[0] for net in (Views(), nn.Flatten())]
        [torch.contiguous_format, torch.channels_last]
    """
    try:
        return torch.channels_last, module(x.clone(memory_format=torch.channels_last))
    except RuntimeError as error:  # TorchScript's errors are RuntimeErrors, too
        if _VIEW not in str(error):
            raise
    return torch.contiguous_format, module(x.clone(memory_format=torch.contiguous_format))


def require_outputs(name: str, outputs: Any, count: int) -> Tensor:
    """Checks that a network gave a matrix of numbers.

    Args:
        name: Whose outputs, for the message.
        outputs: What it gave for a batch.
        count: Inputs in the batch.

    Returns:
        The outputs (count, K), K >= 1, floating point.

    Raises:
        BenchError: They are something else; the message says what, and how to mend it.

    Example:
        >>> require_outputs("model", torch.zeros(2, 5), count=2).shape
        torch.Size([2, 5])
        >>> require_outputs("model", torch.zeros(2, 5, 3), count=2)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: model: expected outputs (2, classes) for 2 images, found (2, 5, 3)
    """
    expected = f"{name}: expected outputs ({count}, classes) for {_inputs(count)}"
    if not isinstance(outputs, Tensor):
        raise BenchError(
            f"{expected}, found {_kind(outputs)}: wrap the network in a torch.nn.Module whose "
            "forward returns the tensor of class outputs alone"
        )
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[0] != count or shape[1] < 1:
        raise BenchError(f"{expected}, found {shape}{_mend(shape, count)}")
    if not outputs.is_floating_point():
        raise BenchError(
            f"{expected} in floating point, found {outputs.dtype}: return scores of the classes, "
            "not their numbers"
        )
    return outputs


def _inputs(count: int) -> str:
    return "one image" if count == 1 else f"{count} images"


def _kind(outputs: Any) -> str:
    if isinstance(outputs, Mapping):
        return f"a {type(outputs).__name__} with {', '.join(map(str, outputs))}"
    if isinstance(outputs, list | tuple):
        return f"a {type(outputs).__name__} of {len(outputs)}"
    return f"a {type(outputs).__name__}"


def _mend(shape: tuple[int, ...], count: int) -> str:
    """What to do about outputs of a shape that is not (count, K)."""
    if shape == (count,):
        return ": if that is one logit or probability an image, return outputs[:, None]"
    if len(shape) > 2 and shape[0] == count and set(shape[2:]) == {1}:
        return ": return outputs.flatten(1)"
    if len(shape) == 4 and shape[0] == count:
        return ": return one number a class, as outputs.mean(dim=(2, 3)) gives"
    return ""
