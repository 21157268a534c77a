"""Class activation maps."""

import torch
from torch import Tensor
from torch.nn import functional

from bench.attribution.method import Batch, Method, Passes
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.batching import fixed_batches, score_in_batches
from bench.errors import require_known


class GradCAM(Method):
    """Grad-CAM: the CAM layer's channels, weighted by their mean gradient, negative part cut.

    Selvaraju et al. 2017, arXiv 1610.02391, equations 1 and 2. Upsampled with a bicubic kernel,
    as Xplique 1.1.0 does (OpenCV's INTER_CUBIC, which torch's bicubic equals).

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(GradCAM(), net, x, [1], cam_layer="0").tolist()
        [[[21.5, 43.0], [0.0, 0.0]]]
    """

    citation = "Selvaraju et al. 2017, arXiv 1610.02391"
    forward_passes = 1
    backward_passes = 1
    draws = False

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

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(GradCAMPlusPlus(), net, x, [1], cam_layer="0").astype(float).round(2).tolist()
        [[[2.66, 5.31], [0.0, 0.0]]]
    """

    citation = "Chattopadhay et al. 2018, arXiv 1710.11063"

    def _weights(self, gradients: Tensor, activations: Tensor) -> Tensor:
        squares = gradients.square()
        means = activations.mean(dim=(2, 3), keepdim=True)
        denominators = 2 * squares + squares * gradients * means
        # Where it is zero the gradient is, or nearly so; any number will do.
        denominators = torch.where(denominators == 0, 1e-4, denominators)
        return (squares / denominators * gradients.relu()).mean(dim=(2, 3), keepdim=True)


class LayerCAM(GradCAM):
    """LayerCAM: each place of a channel weighted by its own positive gradient.

    Jiang et al. 2021 (IEEE Transactions on Image Processing 30), equations 6 and 7.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(LayerCAM(), net, x, [1], cam_layer="0").tolist()
        [[[17.0, 40.0], [0.0, 0.0]]]
    """

    citation = "Jiang et al. 2021, doi 10.1109/TIP.2021.3089943"

    def _weights(self, gradients: Tensor, activations: Tensor) -> Tensor:
        return gradients.relu()


class XGradCAM(GradCAM):
    """XGrad-CAM: channels weighted by their gradients, those by the share of the activation.

    Fu et al. 2020, arXiv 2008.02312, equation 8. A channel whose activations sum to zero has the
    authors' 1e-7 for the sum.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(XGradCAM(), net, x, [1], cam_layer="0").tolist()
        [[[15.5, 31.0], [0.0, 0.0]]]
    """

    citation = "Fu et al. 2020, arXiv 2008.02312"

    def _weights(self, gradients: Tensor, activations: Tensor) -> Tensor:
        totals = activations.sum(dim=(2, 3), keepdim=True) + 1e-7
        return (gradients * activations).sum(dim=(2, 3), keepdim=True) / totals


class EigenCAM(Method):
    """Eigen-CAM: the CAM layer's activations along their first principal component.

    Muhammad and Yeasin 2020, arXiv 2008.00299, equations 2 and 3, over places that are centred, as
    the package grad-cam does. It looks at no class: all targets have one map. A component has no
    sign of its own: it is taken so that places of large activations are positive; then the negative
    part is cut.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(EigenCAM(), net, x, [1], cam_layer="0").astype(float).round(2).tolist()
        [[[1.12, 3.35], [0.0, 0.0]]]
    """

    citation = "Muhammad and Yeasin 2020, arXiv 2008.00299"
    forward_passes = 1
    draws = False

    def check(self, backbone: Backbone) -> None:
        """Refuses a network without a layer that maps can be taken from."""
        backbone.layer()

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        activations = scorer.layer_activations(batch.x)
        maps = torch.stack([_first_component(image) for image in activations])
        return functional.interpolate(maps[:, None].relu(), batch.x.shape[2:], mode="bicubic")[:, 0]


def _first_component(activations: Tensor) -> Tensor:
    """Activations (D, h, w) of one image along their first principal component, (h, w)."""
    places = activations.flatten(1).T.double()
    centred = places - places.mean(dim=0)
    *_, directions = torch.linalg.svd(centred, full_matrices=False)
    found = centred @ directions[0]
    found = found * torch.where(found @ places.norm(dim=1) < 0, -1, 1)
    return found.unflatten(0, activations.shape[1:]).to(activations.dtype)


class AblationCAM(Method):
    """Ablation-CAM: the CAM layer's channels, weighted by what the score loses without each.

    Desai and Ramaswamy 2020 (WACV), equation 4, without its division by the score: that changes no
    order where the score is positive, and turns the map round where it is not. A channel is set to
    zero at all places; extra tokens keep it.

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(AblationCAM(), net, x, [1], cam_layer="0").tolist()
        [[[57.0, 114.0], [0.0, 0.0]]]
    """

    citation = "Desai and Ramaswamy 2020, doi 10.1109/WACV45572.2020.9093360"
    draws = False

    def check(self, backbone: Backbone) -> None:
        """Refuses a network without a layer that maps can be taken from."""
        backbone.layer()

    def passes(self, backbone: Backbone) -> Passes:
        """One for each channel, one to see the channels and one for the score with all of them."""
        if backbone.cam_layer is None:
            return Passes()  # it will be refused
        return Passes(backbone.map_shape()[0] + 2)

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        maps = self._maps(scorer, batch)[:, None]
        return functional.interpolate(maps, batch.x.shape[2:], mode="bicubic")[:, 0]

    @torch.no_grad()
    def _maps(self, scorer: Scorer, batch: Batch) -> Tensor:
        """Maps (B, h, w) of the layer's size."""
        activations = scorer.layer_activations(batch.x)
        count, channels = activations.shape[:2]
        without: list[int] = [-1] * scorer.batch_size  # the channel that each input does not have
        layout = scorer.backbone.layout()

        def ablate(_module: object, _inputs: object, output: Tensor) -> Tensor:
            maps = layout.to_maps(output).clone()
            for number, channel in enumerate(without):
                if channel >= 0:
                    maps[number, channel] = 0
            return layout.to_output(maps, output)

        scores = torch.empty(count * (channels + 1), device=batch.x.device)
        handle = scorer.backbone.layer().register_forward_hook(ablate)
        try:
            for jobs, items in fixed_batches(len(scores), scorer.batch_size, batch.x.device):
                images = jobs // (channels + 1)
                without[:] = (jobs % (channels + 1) - 1).tolist()
                found = scorer(batch.x[images], batch.targets[images])
                scores[items] = found[: items.stop - items.start].float()
        finally:
            handle.remove()
        scores = scores.view(count, channels + 1)
        weights = (scores[:, :1] - scores[:, 1:])[:, :, None, None]
        return (weights * activations).sum(dim=1).relu()


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

    Example:
        >>> from torch import nn
        >>> from bench import explain
        >>> layers = nn.Conv2d(1, 2, 1, bias=False), nn.Flatten(), nn.Linear(8, 1, bias=False)
        >>> net = nn.Sequential(*layers).eval()
        >>> nn.utils.vector_to_parameters(torch.arange(1.0, 11.0), net.parameters())
        >>> x = torch.tensor([[[[1.0, 2.0], [0.0, -1.0]]]])
        >>> explain(ScoreCAM(), net, x, [1], cam_layer="0").astype(float).round(2).tolist()
        [[[154.0, 308.0], [0.0, 0.0]]]
    """

    citation = "Wang et al. 2020, arXiv 1910.01279"
    draws = False

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
        channels = backbone.map_shape()[0]
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
