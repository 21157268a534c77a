"""Does a map stay the same when its image hardly changes?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.backbones.backbone import Backbone
from bench.errors import require_integer, require_number
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic
from bench.seeding import generator


@dataclass(frozen=True)
class MaxSensitivity(Metric):
    """The largest relative change of a map under noise on its image.

    Yeh et al. 2019, arXiv 1901.09392, definition 3, as sampled there and by Captum, whose defaults
    these are: the largest, over samples of noise, of |map of x + noise - map of x| / |map of x| in
    the Frobenius norm. The noise is uniform in -radius..radius, in units of the network's
    (normalised) input, is not clipped, and is drawn by seed and image: all methods have the same.
    Of a map of zeros the change is relative to nothing: NaN.

    Attributes:
        radius: Of the noise, in units of the network's input.
        samples: Draws of noise, so further maps for each.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> protocol = Protocol.of("mine", "logit", "stable", MaxSensitivity(radius=0.1, samples=4))
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> found = evaluate(net, images, ["saliency", "gradient_input"], protocol, progress=False)
        >>> dict(zip(found.rows["method"], (found.rows["max_sensitivity"] > 0).tolist()))
        {'saliency': False, 'gradient_input': True}
    """

    citation: ClassVar[str] = "Yeh et al. 2019, arXiv 1901.09392"
    question: ClassVar[str] = "stable"
    uses_scores: ClassVar[bool] = False
    explains_again: ClassVar[bool] = True
    radius: float = 0.02
    samples: int = 10
    name: str = field(default="max_sensitivity", kw_only=True)

    def __post_init__(self) -> None:
        require_number("radius", self.radius, 0, 1000)
        require_integer("samples", self.samples, 1, 10**6)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`; a control whose maps do not depend on the image has 0 by its nature."""
        title = "Max-sensitivity"
        return (
            Statistic(self.name, title, False, short="sens", digits=3, controls_tell=False),
        )  # fmt: skip

    def explanations_per_map(self, network: Backbone | None = None) -> int:
        """See `Metric`."""
        return self.samples

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """The largest changes (N,) float64."""
        if not maps.can_explain.any():
            return {self.name: torch.full((len(maps),), torch.nan)}
        inputs, before = maps.inputs, maps.values.double()
        changes = []
        draws = {i: self._draws(block, i) for i in set(maps.images.tolist())}
        for _ in range(self.samples):
            noise = {i: self._noise(inputs[0], each) for i, each in draws.items()}
            noisy = inputs + torch.stack([noise[i] for i in maps.images.tolist()])
            changes.append(_norm(maps.explain(noisy).double() - before))
        change, length = torch.stack(changes).amax(dim=0), _norm(before)
        return {self.name: (change / length).masked_fill(length == 0, torch.nan)}

    def _draws(self, block: Block, image: int) -> torch.Generator:
        return generator(block.inputs.seed, "MaxSensitivity", block.inputs.image_ids[image])

    def _noise(self, x: Tensor, draws: torch.Generator) -> Tensor:
        """Noise (C, H, W) for one image."""
        return ((2 * torch.rand(x.shape, generator=draws) - 1) * self.radius).to(x)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"Max-sensitivity is the largest relative change of a map in {self.samples} draws of "
            f"uniform noise of up to {self.radius:g} on the network's normalised input. Maps that "
            "do not depend on the image have 0."
        ]


def _norm(maps: Tensor) -> Tensor:
    """Frobenius norms (N,) of maps (N, H, W)."""
    return torch.linalg.vector_norm(maps, dim=(1, 2))
