"""A method in float64: what rounding would blur; see `plan.GRADIENTS`."""

import copy
from dataclasses import replace

from torch import Tensor

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer


class Exact(Method):
    """Another method's maps, its network and inputs in float64.

    Args:
        of: The other method.
    """

    def __init__(self, of: Method) -> None:
        self.of = of

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        double = copy.copy(scorer)
        double.batch_size = 1  # there are few images, and each takes twice the memory
        double.backbone = copy.copy(scorer.backbone)
        double.backbone.module = copy.deepcopy(scorer.backbone.module).double()
        return self.of(double, replace(batch, x=batch.x.double())).float()
