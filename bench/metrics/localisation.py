"""How much of a map lies on the object: shares of its energy, its mass and its highest pixels."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.region import Region
from bench.metrics.statistic import Statistic


@dataclass(frozen=True)
class _ShareInside(Metric):
    """A share of something that lies on the object, 0..1."""

    question: ClassVar[str] = "localised"
    uses_scores: ClassVar[bool] = False
    draws: ClassVar[bool] = False

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`: values (N,) float64."""
        inside = np.stack([self._object(block.regions[i]) for i in maps.images.tolist()])
        pixels = torch.from_numpy(inside).to(maps.values.device).flatten(1)
        return {self.name: self._share(maps, pixels)}

    def _object(self, region: Region) -> Any:
        return region.pixels

    @abstractmethod
    def _share(self, maps: Maps, inside: Tensor) -> Tensor:
        """Values (N,) of N maps.

        Args:
            maps: The maps.
            inside: (N, P) bool, the pixels of the objects.
        """


def _weighted_share(weights: Tensor, inside: Tensor) -> Tensor:
    """The share (N,) of weights (N, P) >= 0 that lies inside; of zeros, that of the pixels."""
    weights = torch.where((weights > 0).any(dim=1, keepdim=True), weights, 1.0)
    return (weights * inside).sum(dim=1) / weights.sum(dim=1)


@dataclass(frozen=True)
class EnergyInBox(_ShareInside):
    """Share of a map's energy that lies in the boxes: Score-CAM's energy-based pointing game.

    Wang et al. 2020, arXiv 1910.01279, section 4.2. The map is scaled to 0..1 by its smallest and
    largest value; a pixel belongs to a box if its centre does. A constant map has the boxes' share
    of the pixels.

    Example:
        >>> from types import SimpleNamespace
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.annotation import Annotation
        >>> from bench.metrics.metric import Maps
        >>> from bench.metrics.region import Region
        >>> left = Annotation(np.array([[0.0, 0.0, 1.0, 2.0]]))  # a box around the left column
        >>> region = Region(left, (2, 2), Preprocessing(2, mean=0, std=255))
        >>> block = SimpleNamespace(regions=[region])  # what it reads of a block
        >>> maps = Maps(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.tensor([0]), "stable")
        >>> EnergyInBox()(block, maps)["energy_in_box"].tolist()
        [0.75]
    """

    citation: ClassVar[str] = "Wang et al. 2020, arXiv 1910.01279"
    needs: ClassVar[str] = "boxes"
    name: str = field(default="energy_in_box", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Energy in box", True, short="in box"),)

    def _object(self, region: Region) -> Any:
        return region.boxed

    def _share(self, maps: Maps, inside: Tensor) -> Tensor:
        values = maps.values.flatten(1).double()
        return _weighted_share(values - values.amin(dim=1, keepdim=True), inside)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return ["Energy in box is the share of a map, scaled to 0..1, that lies in the boxes."]


@dataclass(frozen=True)
class MassAccuracy(_ShareInside):
    """Share of a map's positive values that lies on the object.

    "Relevance mass accuracy" of Arras et al. 2022, arXiv 2003.07258 (CLEVR-XAI). Negative values
    count as 0; a map without a positive value has the object's share of the pixels. The object is
    its mask, or where there is none, its boxes.

    Example:
        >>> from types import SimpleNamespace
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.annotation import Annotation
        >>> from bench.metrics.metric import Maps
        >>> from bench.metrics.region import Region
        >>> left = Annotation(np.array([[0.0, 0.0, 1.0, 2.0]]))  # a box around the left column
        >>> region = Region(left, (2, 2), Preprocessing(2, mean=0, std=255))
        >>> block = SimpleNamespace(regions=[region])  # what it reads of a block
        >>> maps = Maps(torch.tensor([[[3.0, -5.0], [0.0, 1.0]]]), torch.tensor([0]), "stable")
        >>> MassAccuracy()(block, maps)["mass_accuracy"].tolist()
        [0.75]
    """

    citation: ClassVar[str] = "Arras et al. 2022, arXiv 2003.07258"
    needs: ClassVar[str] = "region"
    name: str = field(default="mass_accuracy", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Mass accuracy", True, short="mass"),)

    def _share(self, maps: Maps, inside: Tensor) -> Tensor:
        return _weighted_share(maps.values.flatten(1).double().clamp(min=0), inside)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return ["Mass accuracy is the share of a map's positive values that lies on the object."]


@dataclass(frozen=True)
class RankAccuracy(_ShareInside):
    """Share of a map's highest pixels, as many as the object has, that lie on the object.

    "Relevance rank accuracy" of Arras et al. 2022, arXiv 2003.07258 (CLEVR-XAI). Equal values go in
    the order of the protocol's tie rule. The object is its mask, or where there is none, its boxes.

    Example:
        >>> from types import SimpleNamespace
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.annotation import Annotation
        >>> from bench.metrics.metric import Maps
        >>> from bench.metrics.region import Region
        >>> left = Annotation(np.array([[0.0, 0.0, 1.0, 2.0]]))  # a box around the left column
        >>> region = Region(left, (2, 2), Preprocessing(2, mean=0, std=255))
        >>> block = SimpleNamespace(regions=[region])  # what it reads of a block
        >>> maps = Maps(torch.tensor([[[3.0, 2.0], [1.0, 0.0]]]), torch.tensor([0]), "stable")
        >>> RankAccuracy()(block, maps)["rank_accuracy"].tolist()  # of the two highest pixels one
        [0.5]
    """

    citation: ClassVar[str] = "Arras et al. 2022, arXiv 2003.07258"
    needs: ClassVar[str] = "region"
    uses_order: ClassVar[bool] = True
    name: str = field(default="rank_accuracy", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Rank accuracy", True, short="rank acc"),)

    def _share(self, maps: Maps, inside: Tensor) -> Tensor:
        count = inside.sum(dim=1, keepdim=True)
        ranked = inside.gather(1, maps.order.long())
        is_high = torch.arange(inside.shape[1], device=inside.device) < count
        return (ranked & is_high).sum(dim=1) / count[:, 0].double()

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            "Rank accuracy is the share of a map's highest pixels, as many as the object has, that "
            "lie on the object."
        ]
