"""Class activation maps."""

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method, Passes
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.batching import score_in_batches
from bench.errors import require_known


class GradCAM(Method):
    """Grad-CAM: the CAM layer's channels, weighted by their mean gradient, negative part cut.

    Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2. Upsampled with a bicubic kernel,
    as Xplique 1.1.0 does (OpenCV's INTER_CUBIC, which torch's bicubic equals).
    """

    citation = "Selvaraju et al. 2017, arXiv 1610.02391"
    forward_passes = 1
    backward_passes = 1

    def check(self, backbone: Backbone) -> None:
        """Refuses a network without a layer that maps can be taken from."""
        backbone.layer()

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
    """Grad-CAM++: channels weighted by positive gradients, each with its weight.

    Chattopadhay et al. 2018, arXiv 1710.11063, equations 11 and 19 in the form that Xplique gives
    them: the mean over pixels, of gradients and activations, in place of the sum.
    """

    citation = "Chattopadhay et al. 2018, arXiv 1710.11063"

    def _weights(self, gradients: Tensor, activations: Tensor) -> Tensor:
        squares = gradients.square()
        means = activations.mean(dim=(2, 3), keepdim=True)
        denominators = 2 * squares + squares * gradients * means
        # Where it is zero the gradient is, or nearly so; any number will do.
        denominators = torch.where(denominators == 0, 1e-4, denominators)
        return (squares / denominators * gradients.relu()).mean(dim=(2, 3), keepdim=True)


class ScoreCAM(Method):
    """Score-CAM: the CAM layer's channels, weighted by the score of the image that each lets show.

    Wang et al. 2020, arXiv 1910.01279: a channel, enlarged and scaled to 0..1, multiplies the
    input; the weight is the score of that. A channel that is the same everywhere has no weight.

    Args:
        weight_of: Whose score weighs the channels: the `target`'s or the `prediction`'s.
        scaling: `minmax`, (a - min) / (max - min); or `range`, a / (max - min), with which the
            maps of arXiv 2402.09164 were made.

    Raises:
        BenchError: An argument is unknown.
    """

    citation = "Wang et al. 2020, arXiv 1910.01279"

    def __init__(self, weight_of: str = "target", scaling: str = "minmax") -> None:
        require_known("weight_of", weight_of, ("target", "prediction"))
        require_known("scaling", scaling, ("minmax", "range"))
        self.weight_of = weight_of
        self.scaling = scaling

    def check(self, backbone: Backbone) -> None:
        """Refuses a network without a layer that maps can be taken from."""
        backbone.layer()

    def passes(self, backbone: Backbone) -> Passes:
        """One for each channel, one to see the channels, and one to see the prediction."""
        if backbone.cam_layer is None:
            return Passes()  # it will be refused
        channels = backbone.output_shape(backbone.cam_layer)[0]
        return Passes(channels + 1 + (self.weight_of == "prediction"))

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        x, size, targets = batch.x, batch.x.shape[2:], batch.targets
        if self.weight_of == "prediction":
            targets = scorer.outputs_in_batches(x).argmax(dim=1)
        activations = scorer.layer_activations(x)
        count, channels = activations.shape[:2]

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            images = jobs // channels
            channel = activations[images, jobs % channels][:, None]
            masks = self._scale(functional.interpolate(channel, size, mode="bilinear"))
            inputs = (x[images] * masks).contiguous(memory_format=torch.channels_last)
            return inputs, targets[images]

        jobs = count * channels
        scores = score_in_batches(scorer, build, jobs, scorer.batch_size, x.device)
        flat = activations.amax(dim=(2, 3)) == activations.amin(dim=(2, 3))
        weights = scores.view(count, channels).masked_fill(flat, 0)
        maps = (weights[:, :, None, None] * activations).sum(dim=1, keepdim=True).relu()
        return functional.interpolate(maps, size, mode="bilinear")[:, 0]

    def _scale(self, masks: Tensor) -> Tensor:
        low, high = masks.amin(dim=(2, 3), keepdim=True), masks.amax(dim=(2, 3), keepdim=True)
        span = torch.where(high > low, high - low, 1)
        return (masks - low if self.scaling == "minmax" else masks) / span
