"""A method on a network in float64: what rounding would blur; see `plan.GRADIENTS`."""

import copy

from torch import Tensor, nn

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer


class Exact(Method):
    """Another method's maps, the network float32 outside and float64 inside.

    Args:
        of: The other method.
    """

    def __init__(self, of: Method) -> None:
        self.of = of

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        exact = copy.copy(scorer)
        exact.batch_size = 1  # there are few images, and each takes twice the memory
        exact.backbone = copy.copy(scorer.backbone)
        exact.backbone.module = _InDouble(scorer.backbone.module)
        return self.of(exact, batch)


class _InDouble(nn.Module):
    """A network that takes and gives float32."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = copy.deepcopy(module).double()

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x.double()).float()
