"""ADCC: average drop, coherency and complexity of a map in one number."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.backbones.backbone import Backbone
from bench.metrics.average_drop import SHARED_PASSES, average_drop, masked_scores, weights
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic


@dataclass(frozen=True)
class ADCC(Metric):
    """Harmonic mean of coherency, 1 - complexity and 1 - average drop; higher is better.

    Poppi et al. 2021, arXiv 2104.10252, and the authors' code. Coherency is the correlation of a
    map with the map of the image times it, from 0 to 1: so the method is asked once more, about the
    class of its map. Complexity is the mean of the map, scaled as for `AverageDrop`, whose pass it
    shares. Where a part is at its worst, the whole is 0; a constant map has no correlation, so a
    coherency of 0. NaN where the method cannot be asked again, or the clean score is not above 0.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", ADCC())
        >>> found = evaluate(net, images, ["saliency"], protocol, progress=False)
        >>> columns = ["adcc_coherency", "adcc_complexity", "adcc"]
        >>> found.rows[columns].round(4).values.tolist()
        [[1.0, 0.5, 0.6667]]
    """

    citation: ClassVar[str] = "Poppi et al. 2021, arXiv 2104.10252"
    shared_passes: ClassVar[str] = SHARED_PASSES
    explains_again: ClassVar[bool] = True
    draws: ClassVar[bool] = False
    name: str = field(default="adcc", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`; the average drop is another metric."""
        return (
            Statistic(self.name, "ADCC", True, quantity="ADCC"),
            Statistic(f"{self.name}_coherency", "Coherency", True, short="coher.", is_main=False),
            Statistic(f"{self.name}_complexity", "Mean of map", False, short="mean", is_main=False),
        )

    def passes_per_map(self, size: tuple[int, int]) -> int:
        """See `Metric`."""
        return 1

    def explanations_per_map(self, network: Backbone | None = None) -> int:
        """See `Metric`."""
        return 1

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """The number (N,) float64 and two of its parts."""
        scores = masked_scores(block, maps)
        maps.check(scores[:, None].cpu().numpy(), lambda _: f"{self.name} score")
        scaled = weights(maps.values)
        again = maps.explain(maps.inputs * scaled[:, None].to(maps.inputs))
        found = coherency(maps.values, again)
        complexity = scaled.mean(dim=(1, 2))
        drop = average_drop(block.clean_scores[maps.images].double(), scores.double())
        return {
            self.name: harmonic_mean(torch.stack([found, 1 - complexity, 1 - drop], dim=1)),
            f"{self.name}_coherency": found,
            f"{self.name}_complexity": complexity,
        }

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            "ADCC is the harmonic mean of coherency (does the map stay as it is where the image is "
            "multiplied by it?), of 1 less the map's mean, and of 1 less the average drop."
        ]


def coherency(maps: Tensor, others: Tensor) -> Tensor:
    """Pearson correlations of maps with others, moved to [0, 1].

    Args:
        maps: (N, H, W).
        others: (N, H, W).

    Returns:
        (N,) float64; 0 where a map is constant, NaN where there is none.

    Example:
        >>> maps = torch.arange(6.0).view(1, 2, 3).repeat(3, 1, 1)
        >>> others = torch.stack([7 * maps[0] - 3, -maps[1], torch.ones(2, 3)])
        >>> [round(value, 6) for value in coherency(maps, others).tolist()]
        [1.0, 0.0, 0.0]
    """
    # Between 0 and 1, where no product is too large or small: correlations stay as they are.
    first, second = (weights(each).flatten(1) for each in (maps, others))
    first, second = (each - each.mean(dim=1, keepdim=True) for each in (first, second))
    power = (first**2).sum(dim=1) * (second**2).sum(dim=1)
    correlation = (first * second).sum(dim=1) / power.sqrt()
    found = torch.where(power > 0, (correlation.clamp(-1, 1) + 1) / 2, 0.0)
    return found.masked_fill(others.isnan().flatten(1).any(dim=1), torch.nan)


def harmonic_mean(parts: Tensor) -> Tensor:
    """Of parts (N, K) in [0, 1] to means (N,): 0 where one is 0, NaN where one is.

    Args:
        parts: (N, K) floating point numbers in 0..1, or NaN.

    Returns:
        (N,) in the dtype of `parts`.

    Example:
        >>> means = harmonic_mean(torch.tensor([[1.0, 0.5, 0.5], [1.0, 1.0, 0.0]]))
        >>> [round(mean, 4) for mean in means.tolist()]
        [0.6, 0.0]
    """
    means = parts.shape[1] / (1 / parts).sum(dim=1)
    return torch.where((parts == 0).any(dim=1) & ~parts.isnan().any(dim=1), 0.0, means)
