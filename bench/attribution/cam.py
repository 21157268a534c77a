"""Class activation maps."""

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer


class GradCAM(Method):
    """Grad-CAM: the CAM layer's channels, weighted by their mean gradient, negative part cut.

    Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2. Upsampled with a bicubic kernel,
    as Xplique 1.1.0 does (OpenCV's INTER_CUBIC, which torch's bicubic equals).
    """

    forward_passes = 1

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        gradients, activations = scorer.layer_gradients(batch.x, batch.targets)
        weights = self._weights(gradients, activations)
        maps = (weights * activations).sum(dim=1, keepdim=True).relu()
        return functional.interpolate(maps, size=batch.x.shape[2:], mode="bicubic")[:, 0]

    def _weights(self, gradients: Tensor, activations: Tensor) -> Tensor:
        """Gradients and activations (B, D, h, w) to weights (B, D, 1, 1)."""
        return gradients.mean(dim=(2, 3), keepdim=True)


class GradCAMPlusPlus(GradCAM):
    """Grad-CAM++: channels weighted by positive gradients, each with a weight of its own.

    Chattopadhay et al. 2018, arXiv 1710.11063, equations 11 and 19 in the form that Xplique gives
    them: the mean over pixels, of gradients and activations, in place of the sum.
    """

    def _weights(self, gradients: Tensor, activations: Tensor) -> Tensor:
        squares = gradients.square()
        means = activations.mean(dim=(2, 3), keepdim=True)
        denominators = 2 * squares + squares * gradients * means
        # Where it is zero the gradient is, or nearly so; any number will do.
        denominators = torch.where(denominators == 0, 1e-4, denominators)
        return (squares / denominators * gradients.relu()).mean(dim=(2, 3), keepdim=True)
