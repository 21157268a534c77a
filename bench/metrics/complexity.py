"""How much of a map matters: metrics that read the map alone, and cost no pass.

They say how concentrated a map is and nothing of whether it is right: the sharpest map of all is a
single pixel, wherever that is. So they have no better direction, and mark and rank nothing.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.errors import require_number
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic


@dataclass(frozen=True)
class _OfMagnitudes(Metric):
    """Reads the absolute values of a map."""

    question: ClassVar[str] = "concentrated"
    uses_scores: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`: values (N,) float64."""
        magnitudes = maps.values.flatten(1).abs().double()
        largest = magnitudes.amax(dim=1, keepdim=True)
        # A map of zeros is one whose pixels are equal.
        return {self.name: self._values(torch.where(largest > 0, magnitudes / largest, 1.0))}

    @abstractmethod
    def _values(self, magnitudes: Tensor) -> Tensor:
        """Magnitudes (N, P) float64, of which the largest is 1, to values (N,)."""


@dataclass(frozen=True)
class Sparseness(_OfMagnitudes):
    """Gini index of a map's magnitudes: 0 if all pixels are equal, 1 - 1 / P for one of P alone.

    Chalasani et al. 2020, arXiv 1810.06583, section 5.1. Quantus 0.6.0 adds 1e-7 to each magnitude;
    here none is added.

    Example:
        >>> from bench.metrics.metric import Maps
        >>> maps = Maps(torch.tensor([[[0.0, 0.0], [0.0, 5.0]]]), torch.tensor([0]), "stable")
        >>> Sparseness()(None, maps)["sparseness"].tolist()
        [0.75]
    """

    citation: ClassVar[str] = "Chalasani et al. 2020, arXiv 1810.06583"
    name: str = field(default="sparseness", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Sparseness", None, short="sparse", quantity="Gini index"),)

    def _values(self, magnitudes: Tensor) -> Tensor:
        count = magnitudes.shape[1]
        weights = 2 * torch.arange(1, count + 1, device=magnitudes.device) - count - 1
        ordered = magnitudes.sort(dim=1).values
        return (ordered * weights).sum(dim=1) / (count * magnitudes.sum(dim=1))

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return ["Sparseness is the Gini index of a map's magnitudes: 0 if all pixels are equal."]


@dataclass(frozen=True)
class Complexity(_OfMagnitudes):
    """Entropy, in nats, of the shares that pixels have in a map's magnitude: at most ln(P).

    Bhatt et al. 2020, arXiv 2005.00631, definition 4.

    Example:
        >>> from bench.metrics.metric import Maps
        >>> maps = Maps(torch.ones(1, 2, 2), torch.tensor([0]), "stable")
        >>> round(Complexity()(None, maps)["complexity"].item(), 6), round(np.log(4).item(), 6)
        (1.386294, 1.386294)
    """

    citation: ClassVar[str] = "Bhatt et al. 2020, arXiv 2005.00631"
    name: str = field(default="complexity", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Complexity", None, short="compl.", quantity="entropy"),)

    def _values(self, magnitudes: Tensor) -> Tensor:
        shares = magnitudes / magnitudes.sum(dim=1, keepdim=True)
        return torch.special.entr(shares).sum(dim=1)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return ["Complexity is the entropy of the shares that pixels have in a map, in nats."]


@dataclass(frozen=True)
class EffectiveComplexity(_OfMagnitudes):
    """How many pixels have a magnitude above a share of the largest; all P if they are equal.

    Nguyen and Martinez 2020, arXiv 2007.07584, as Quantus 0.6.0 reads it: the number of features
    that count, of maps that are divided by their largest magnitude.

    Attributes:
        threshold: In units of the map's largest magnitude.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> from bench.metrics.metric import Maps
        >>> maps = Maps(torch.tensor([[[0.0, 0.01], [-0.5, 5.0]]]), torch.tensor([0]), "stable")
        >>> EffectiveComplexity(threshold=0.05)(None, maps)["effective_complexity"].tolist()
        [2.0]
    """

    citation: ClassVar[str] = "Nguyen and Martinez 2020, arXiv 2007.07584"
    threshold: float = 1e-5
    name: str = field(default="effective_complexity", kw_only=True)

    def __post_init__(self) -> None:
        require_number("threshold", self.threshold, 0, 1)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        title = "Effective complexity"
        return (Statistic(self.name, title, None, short="pixels", quantity="pixels", digits=1),)

    def _values(self, magnitudes: Tensor) -> Tensor:
        return (magnitudes > self.threshold).sum(dim=1).double()

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"Effective complexity counts the pixels above {self.threshold:g} of a map's largest "
            "magnitude."
        ]
