"""Sanity checks: does a map change with the network's parameters, and with the explained class?

They have no better direction: a map that is another one each time passes, too. What counts is that
a map which hardly changes does not say much about the network, as the controls, whose maps do not
depend on it, show: theirs have similarity 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.backbones.backbone import Backbone
from bench.backbones.randomisation import (
    count_layers,
    in_stages,
    layers_from_the_top,
    put_back_after,
    randomise,
)
from bench.errors import require_integer, require_known
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.similarity import rank_correlation, ssim
from bench.metrics.statistic import Statistic
from bench.seeding import generator

DEPENDS_LITTLE = 0.7
"""Maps with a higher rank correlation, on average over stages and images, hardly depend on the
network. Guided backpropagation, which is known not to, has about 0.8 on EfficientNet-Lite0: much at
the top, little once everything is random. Gradients have 0.3."""

HARDLY = 0.9
"""Maps of two classes with a higher rank correlation, on average, are all but the same."""


@dataclass(frozen=True)
class ParameterRandomisation(Metric):
    """How alike maps are before and after the network's parameters are drawn anew.

    Adebayo et al. 2018, arXiv 1810.03292: layers are randomised from the top, and the methods are
    asked again after each stage. The network is randomised once a stage for all methods, and put
    back to the bit, whatever happens. How layers are ordered and drawn: see
    `bench.backbones.randomisation`.

    Attributes:
        mode: `cascading`: layers stay randomised, so the last stage is a network without any
            trained parameter. `independent`: each stage randomises its layers alone. Tables show
            the mean over the stages; of a cascade, also the last one's rank correlation.
        stages: In how many groups of layers at most, as equal as can be; None: each layer alone.
        magnitudes: Whether absolute values are compared. By default maps are as all other metrics
            here take them: signed.

    Raises:
        BenchError: A setting is unknown or out of range.

    Example:
        >>> from torch import nn
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(16, 3)).eval()
        >>> protocol = Protocol.of("mine", "logit", "stable", ParameterRandomisation(stages=1))
        >>> images = torch.rand(1, 1, 4, 4), [0]
        >>> found = evaluate(net, images, ["edge", "saliency"], protocol, progress=False).rows
        >>> curves = dict(zip(found["method"], found["parameter_randomisation_curve"]))
        >>> {method: bool(curve[-1] == 1) for method, curve in curves.items()}  # did the map stay?
        {'edge': True, 'saliency': False}
    """

    citation: ClassVar[str] = "Adebayo et al. 2018, arXiv 1810.03292"
    seconds_per_map: ClassVar[float] = 0.15
    question: ClassVar[str] = "dependent"
    uses_scores: ClassVar[bool] = False
    explains_again: ClassVar[bool] = True
    mode: str = "cascading"
    stages: int | None = 6
    magnitudes: bool = False
    name: str = field(default="parameter_randomisation", kw_only=True)

    def __post_init__(self) -> None:
        require_known("mode", self.mode, ("cascading", "independent"))
        if self.stages is not None:
            require_integer("stages", self.stages, 1)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        mean = Statistic(
            self.name, "Similarity under random parameters", None, short="params",
            quantity="rank correlation under random parameters", digits=3,
            warns_above=DEPENDS_LITTLE, guard="depends on the network",
            warning="maps hardly change when the network's parameters are random",
        )  # fmt: skip
        last = Statistic(
            f"{self.name}_last", "Similarity of the random network", None, short="all params",
            digits=3, is_main=False,
        )  # fmt: skip
        structure = Statistic(
            f"{self.name}_ssim", "SSIM under random parameters", None, short="params SSIM",
            digits=3, is_main=False,
        )  # fmt: skip
        return (mean, last, structure) if self.mode == "cascading" else (mean, structure)

    @property
    def _curve_names(self) -> tuple[str, str]:
        return f"{self.name}_curve", f"{self.name}_ssim_curve"

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`; as many points as there are stages, which depends on the network."""
        return dict.fromkeys(self._curve_names, 0)

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """See `Metric`."""
        if not len(rows):
            return np.empty(0)
        ranks, structure = self._curve_names
        curve = structure if statistic.name == f"{self.name}_ssim" else ranks
        points = np.stack(rows[curve].tolist()).astype(np.float64)
        return points[:, -1] if statistic.name == f"{self.name}_last" else points.mean(axis=1)

    def explanations_per_map(self, network: Backbone | None = None) -> int:
        """See `Metric`: the stages."""
        layers = None if network is None else count_layers(network)
        counts = [count for count in (self.stages, layers) if count is not None]
        return min(counts, default=1)

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Curves (N, stages) float32 of each similarity, the stage at the top first."""
        curves = [torch.full((len(maps), 2), torch.nan)]
        if maps.can_explain.any():
            curves = self._curves(maps, block.inputs.seed) or curves
        together = torch.stack(curves, dim=1).float()
        return {name: together[:, :, number] for number, name in enumerate(self._curve_names)}

    def _curves(self, maps: Maps, seed: int) -> list[Tensor]:
        """For each stage, the similarities (N, 2)."""
        network, inputs = maps.explained.backbone, maps.inputs
        groups = in_stages(layers_from_the_top(network, inputs[:1]), self.stages)
        found = []
        with put_back_after(network.module) as put_back:
            for group in groups:
                if self.mode == "independent":
                    put_back()
                randomise(network.module, group, seed)
                found.append(_similarities(maps.values, maps.explain(inputs), self.magnitudes))
        return found

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        groups = "layer by layer" if self.stages is None else f"in at most {self.stages} stages"
        stay = {"cascading": "stay random", "independent": "are put back after each"}[self.mode]
        return [
            f"Similarity under random parameters is the rank correlation (and SSIM) of"
            f"{' the magnitudes of' * self.magnitudes} maps before and after the network's "
            f"parameters are drawn anew, from the top, {groups}, which {stay}: the mean over the "
            "stages. Maps that do not depend on the network have 1."
        ]


@dataclass(frozen=True)
class RandomLogit(Metric):
    """How alike the maps of the explained class and of another one are.

    Sixt et al. 2020, arXiv 1912.09818: the other class is drawn by seed and image, uniformly, and
    is the same for all methods. A network with one output has no other class (that of the second is
    the first, negated): NaN.

    Attributes:
        magnitudes: See `ParameterRandomisation`.

    Example:
        >>> from torch import nn
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0], [4.0, 3.0, 2.0, 1.0]])
        >>> protocol = Protocol.of("mine", "logit", "stable", RandomLogit())
        >>> images = torch.ones(1, 1, 2, 2), [0]
        >>> found = evaluate(net, images, ["saliency", "center"], protocol, progress=False)
        >>> dict(zip(found.rows["method"], found.rows["random_logit"].tolist()))
        {'saliency': -1.0, 'center': 1.0}
    """

    citation: ClassVar[str] = "Sixt et al. 2020, arXiv 1912.09818"
    question: ClassVar[str] = "dependent"
    uses_scores: ClassVar[bool] = False
    explains_again: ClassVar[bool] = True
    magnitudes: bool = False
    name: str = field(default="random_logit", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (
            Statistic(
                self.name, "Similarity to another class", None, short="class",
                quantity="rank correlation with another class's map", digits=3, warns_above=HARDLY,
                guard="depends on the class",
                warning="maps hardly change when another class is explained",
            ),
            Statistic(
                f"{self.name}_ssim", "SSIM to another class", None, short="class SSIM", digits=3,
                is_main=False,
            ),
        )  # fmt: skip

    def explanations_per_map(self, network: Backbone | None = None) -> int:
        """See `Metric`."""
        return int(network is None or not network.is_binary)

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Similarities (N,) float64."""
        found = torch.full((len(maps), 2), torch.nan)
        if maps.can_explain.any() and not maps.explained.backbone.is_binary:
            image_ids = [block.inputs.image_ids[i] for i in maps.images.tolist()]
            classes = maps.explained.backbone.num_classes
            others = other_classes(maps.targets, classes, image_ids, block.inputs.seed)
            again = maps.explain(maps.inputs, others)
            found = _similarities(maps.values, again, self.magnitudes)
        return {each.column: found[:, i] for i, each in enumerate(self.statistics)}

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"Similarity to another class is the rank correlation (and SSIM) of"
            f"{' the magnitudes of' * self.magnitudes} the maps of the explained class and of one "
            "drawn by image. Maps that do not depend on the class have 1."
        ]


def other_classes(targets: Tensor, classes: int, image_ids: list[str], seed: int) -> Tensor:
    """For each image a class that is not its target, uniformly drawn by seed and image.

    Args:
        targets: (N,) int64.
        classes: How many there are, at least 2.
        image_ids: N ids.
        seed: The run's seed.

    Returns:
        (N,) int64.

    Example:
        >>> targets = torch.tensor([0, 0, 1, 1])
        >>> other_classes(targets, classes=2, image_ids=list("abcd"), seed=0).tolist()
        [1, 1, 0, 0]
    """
    drawn = [
        torch.randint(classes - 1, (), generator=generator(seed, "RandomLogit", image_id))
        for image_id in image_ids
    ]
    others = torch.stack(drawn).to(targets.device)
    return others + (others >= targets)


def _similarities(before: Tensor, after: Tensor, magnitudes: bool) -> Tensor:
    """Rank correlation and SSIM (N, 2) of maps (N, H, W)."""
    if magnitudes:
        before, after = before.abs(), after.abs()
    return torch.stack([rank_correlation(before, after), ssim(before, after)], dim=1)
