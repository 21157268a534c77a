"""A user's module as a backbone, for `bench.insertion_deletion`."""

import warnings
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from bench.backbones.network import device_of, first_call, float_dtype, require_outputs
from bench.errors import BenchError, require_known
from bench.score import OUTPUT_KINDS, class_kind, class_outputs


class BareModel:
    """A module that is left as it is, with what its outputs are.

    The first batch shows which memory format it takes and whether it has one output.

    Attributes:
        output_kind: What `outputs` are; of a network with one output, known after the first batch.
        dtype: What the network computes in.
        device: Where it lives, or None if it has no parameters.

    Args:
        module: Inputs (B, C, H, W) to outputs (B, K), in eval mode.
        output_kind: One of `bench.score.OUTPUT_KINDS`.

    Raises:
        BenchError: It is no module or in training mode, or the kind is unknown.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 1), nn.Sigmoid()).eval()
        >>> outputs = BareModel(net, "probabilities").outputs(torch.zeros(2, 3, 8, 8))
        >>> outputs.shape, outputs.sum(dim=1).tolist()  # of classes 0 and 1: 1 - p and p
        (torch.Size([2, 2]), [1.0, 1.0])
    """

    def __init__(self, module: nn.Module, output_kind: str) -> None:
        require_known("output_kind", output_kind, OUTPUT_KINDS)
        if not isinstance(module, nn.Module):
            raise BenchError(
                f"model: expected a torch module in eval mode, found {_named(module)}: define a "
                "torch.nn.Module that holds the network and whose forward does what this does"
            )
        if is_training(module):
            raise BenchError("model: expected a torch module in eval mode; call model.eval() first")
        if any(is_lazy(weight) or weight.is_meta for weight in module.parameters()):
            raise BenchError("model: expected weights, found parameters that have none: load them")
        self.dtype = float_dtype(module)
        self.device = device_of(module)
        self.output_kind = output_kind
        self._stated_kind = output_kind
        self._module = module
        self._memory_format: torch.memory_format | None = None

    @property
    def takes_any_batch(self) -> bool:
        """Whether it is Python: a traced or exported graph may take batches of one size only."""
        return not isinstance(self._module, fx.GraphModule | torch.jit.ScriptModule)

    def outputs(self, x: Tensor) -> Tensor:
        """Inputs (B, C, H, W) to outputs (B, K) of all classes, float32 at least.

        Raises:
            BenchError: The module fails on its first batch, or its outputs are no (B, K).
        """
        x = x.to(self.dtype)
        if self._memory_format is None:
            outputs = self._first(x)
        else:
            outputs = self._module(x.contiguous(memory_format=self._memory_format))
        outputs = require_outputs("model", outputs, len(x))
        self.output_kind = class_kind(self._stated_kind, outputs.shape[1])
        return class_outputs(outputs, self._stated_kind)

    def _first(self, x: Tensor) -> Any:
        try:
            self._memory_format, outputs = first_call(self._module, x)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # a user's network may raise anything
            reason = " ".join(str(error).split())[:300]
            hint = "" if self.takes_any_batch else _FIXED
            raise BenchError(
                f"model: fails on inputs {tuple(x.shape)} of {x.dtype} with "
                f"{type(error).__name__}: {reason}{hint}"
            ) from error
        if self._memory_format == torch.contiguous_format:
            warnings.warn(
                "the model cannot take channels-last inputs (it calls view on the output of a "
                "convolution; reshape or flatten could), so it gets them in the plain format",
                stacklevel=2,
            )
        return outputs


_FIXED = (
    "; if it was exported or traced for one batch size, say batch_size= that, or export it with a "
    "dynamic one: torch.export.export(network, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))"
)


def is_training(module: nn.Module) -> bool:
    """Whether any part is in training mode, as far as it can be.

    Args:
        module: The network.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 2), nn.Dropout())
        >>> is_training(net), is_training(net.eval())
        (True, False)
    """
    if isinstance(module, fx.GraphModule) and "eval" in vars(module):
        return False  # torch.export has fixed the mode, and says True whatever it was
    # Frozen TorchScript has no `training` any more: only modules in eval mode can be frozen.
    return any(getattr(part, "training", False) for part in module.modules())


def _named(model: Any) -> str:
    if isinstance(model, type):
        return f"the class {model.__name__}"
    return "a function" if callable(model) and hasattr(model, "__name__") else f"{model!r:.80}"
