"""Methods that read the map off one gradient with respect to the input."""

from torch import Tensor

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer


class Saliency(Method):
    """Absolute gradient of the score, maximum over channels.

    Simonyan et al. 2014, arXiv 1312.6034, section 3.1; as in Xplique's `Saliency`.
    """

    forward_passes = 1

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return scorer.input_gradients(batch.x, batch.targets).abs().amax(dim=1)


class GradientInput(Method):
    """Input times gradient, signed, mean over channels.

    Shrikumar et al. 2017, arXiv 1605.01713. Xplique's `GradientInput` keeps the three channels
    and its metrics take their mean, so the ranking is the same.
    """

    forward_passes = 1

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        return (batch.x * scorer.input_gradients(batch.x, batch.targets)).mean(dim=1)
