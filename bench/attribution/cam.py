"""Class activation maps."""

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
        weights = gradients.mean(dim=(2, 3), keepdim=True)
        maps = (weights * activations).sum(dim=1, keepdim=True).relu()
        return functional.interpolate(maps, size=batch.x.shape[2:], mode="bicubic")[:, 0]
