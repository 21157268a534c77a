"""The contract of a metric: one question, asked of maps."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.scorer import OutputScorer, Scorer
from bench.backbones.backbone import Backbone
from bench.errors import BenchError
from bench.metrics.baseline import Baseline, Inputs
from bench.metrics.finite import not_finite
from bench.metrics.perturbation import order_pixels, tied_fraction
from bench.metrics.region import Region
from bench.metrics.statistic import Statistic

QUESTIONS = {
    "faithful": ("Faithful", "Do the pixels that it ranks high decide the score?"),
    "localised": ("Localised", "Does it lie on the object?"),
    "stable": ("Stable", "Does it stay as it is where the input changes little?"),
    "dependent": ("Depends on the network", "Is it another map for other parameters, and classes?"),
    "concentrated": ("Concentrated", "How much of the image does it mark?"),
}
"""What metrics ask of a map: the question in a word or two, and in a sentence."""


@dataclass(frozen=True)
class Block:
    """Images, and what all their maps share.

    Attributes:
        inputs: What baselines may look at; `inputs.x` are the network's inputs (B, C, H, W).
        labels: (B,) int64, the images' classes.
        outputs: (B, K) of the images as they are.
        targets: (B,) int64, the classes whose scores are asked for.
        predictions: (B,) int64, as `bench.score.predicted_classes` has them.
        clean_scores: (B,) scores of the images as they are.
        scorer: Inputs and targets to scores.
        score_baseline: A baseline to its pixels, which broadcast to `inputs.x`, and scores (B,).
        regions: What is marked in each image, in pixels of the maps; empty: in none is anything.

    Example:
        >>> from bench.attribution.scorer import OutputScorer
        >>> from bench.backbones.bare import BareModel
        >>> from bench.metrics.baseline import Inputs
        >>> from bench.metrics.block import EndPoints
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> scorer = OutputScorer(BareModel(net, "logits"), "logit", batch_size=16)
        >>> block = EndPoints(scorer, [])(Inputs(torch.ones(2, 1, 2, 2)), torch.tensor([0, 1]))
        >>> block.outputs.tolist(), block.clean_scores.tolist()
        ([[-10.0, 10.0], [-10.0, 10.0]], [-10.0, 10.0])
    """

    inputs: Inputs
    labels: Tensor
    outputs: Tensor
    targets: Tensor
    predictions: Tensor
    clean_scores: Tensor
    scorer: OutputScorer
    score_baseline: Callable[[Baseline], tuple[Tensor, Tensor]]
    regions: Sequence[Region] = ()


class Explaining(ABC):
    """Asks the methods that made the maps of a block once more.

    Attributes:
        explained: The score that they explain.
        inputs: (B, C, H, W) the inputs of the block's images that they were given: those of the
            network that they explain, which may be another one than the block's.
        targets: (B,) int64 the classes that they explained.
        can_explain: (M,) bool, whether the method of each of the block's M maps can be asked.

    Example:
        >>> class Magnitudes(Explaining):
        ...     inputs, targets = torch.zeros(2, 1, 2, 2), torch.tensor([0, 1])
        ...     can_explain = torch.ones(2, dtype=torch.bool)
        ...     def __call__(self, numbers, x, targets):
        ...         return x.abs().sum(dim=1)
        >>> maps = Maps(torch.zeros(2, 2, 2), torch.arange(2), "stable", Magnitudes())
        >>> maps.explain(maps.inputs - 3).flatten(1).tolist()
        [[3.0, 3.0, 3.0, 3.0], [3.0, 3.0, 3.0, 3.0]]
    """

    explained: Scorer
    inputs: Tensor
    targets: Tensor
    can_explain: Tensor

    @abstractmethod
    def __call__(self, numbers: Tensor, x: Tensor, targets: Tensor) -> Tensor:
        """Maps of other inputs or targets; see `Maps.explain`.

        Args:
            numbers: (N,) int64, the maps in 0..M-1 whose methods and images are meant.
            x: (N, C, H, W).
            targets: (N,) int64.

        Returns:
            (N, H, W).
        """


class Maps:
    """Maps of a block's images, and what all metrics need of them, computed once.

    Attributes:
        values: (N, H, W) float32 or float64, higher = more important.
        channels: (N, C, H, W), each channel by itself; (N, 1, H, W) of maps without channels.
        images: (N,) int64, the image in 0..B-1 that each map belongs to.
        ties: A key of `bench.metrics.perturbation.TIE_RULES`.
        not_finite: Map -> which of its scores is NaN or infinite; see `check`.

    Args:
        explaining: What asks the methods again; None: nobody knows who made the maps.
        channels: (N, C, H, W), if methods gave any; `values` are their means then.

    Example:
        >>> maps = Maps(torch.tensor([[[1.0, 4.0], [3.0, 3.0]]]), torch.tensor([0]), "stable")
        >>> maps.order.tolist(), maps.tied_fraction.tolist(), maps.is_constant.tolist()
        ([[1, 2, 3, 0]], [0.5], [False])
    """

    def __init__(
        self,
        values: Tensor,
        images: Tensor,
        ties: str,
        explaining: Explaining | None = None,
        channels: Tensor | None = None,
    ) -> None:
        self.values = values
        self.channels = values[:, None] if channels is None else channels
        self.images = images
        self.ties = ties
        self.not_finite: dict[int, str] = {}
        self._kept: dict[str, Tensor] = {}
        self._explaining = explaining
        self._numbers = torch.arange(len(values), device=values.device)

    def __len__(self) -> int:
        return len(self.values)

    @cached_property
    def order(self) -> Tensor:
        """(N, H*W) int32 pixels, the most important first; see `order_pixels`."""
        return order_pixels(self.values, self.ties)

    @cached_property
    def first_ranks(self) -> Tensor:
        """(N, H*W) int64, each pixel's best place 0..H*W-1 in the order of any channel.

        Pixels share a place where they have it in different channels. Without channels it is the
        place in `order`.
        """
        channels = self.channels.shape[1]
        order = (
            self.order if channels == 1 else order_pixels(self.channels.flatten(0, 1), self.ties)
        )
        places = torch.arange(order.shape[1], device=order.device).expand(order.shape)
        ranks = torch.empty_like(places).scatter_(1, order.long(), places)
        return ranks.view(len(self), channels, -1).amin(dim=1)

    @cached_property
    def tied_fraction(self) -> Tensor:
        """(N,) float32; see `bench.metrics.perturbation.tied_fraction`."""
        return tied_fraction(self.values, self.order)

    @cached_property
    def is_constant(self) -> Tensor:
        """(N,) bool, whether a map has one value everywhere."""
        return (self.values == self.values[:, :1, :1]).flatten(1).all(dim=1)

    def once(self, name: str, compute: Callable[[], Tensor]) -> Tensor:
        """What several metrics ask of these maps: computed for the first of them.

        Args:
            name: What it is called among all metrics.
            compute: Gives it.
        """
        if name not in self._kept:
            self._kept[name] = compute()
        return self._kept[name]

    def part(self, positions: Tensor) -> "Maps":
        """Some of the maps (n,), in the order of `positions`."""
        values, images = self.values[positions], self.images[positions]
        part = Maps(values, images, self.ties, self._explaining, self.channels[positions])
        part._numbers = self._numbers[positions]
        if "order" in self.__dict__:
            part.__dict__["order"] = self.order[positions]
        return part

    @property
    def can_explain(self) -> Tensor:
        """(N,) bool, whether the method that made each map can be asked about other inputs.

        Maps that were made elsewhere have no such method.
        """
        if self._explaining is None:
            return torch.zeros(len(self), dtype=torch.bool, device=self.images.device)
        return self._explaining.can_explain[self._numbers]

    @property
    def explained(self) -> Scorer:
        """The score that the methods explain, for metrics with `explains_again`.

        Whoever changes its network puts it back.
        """
        return self._asked.explained

    @property
    def inputs(self) -> Tensor:
        """(N, C, H, W) the inputs that the methods explained; see `Explaining`."""
        return self._asked.inputs[self.images]

    @property
    def targets(self) -> Tensor:
        """(N,) int64 the classes that the methods explained."""
        return self._asked.targets[self.images]

    def explain(self, x: Tensor, targets: Tensor | None = None) -> Tensor:
        """Asks, for each map, the method that made it about another input or target.

        Methods are given the same seed, image ids and photos as for the map, so that their draws
        are the same, and what they leave changed is put back. Only metrics that declare
        `explains_again` may ask.

        Args:
            x: (N, C, H, W) inputs of the network that is explained, as `inputs` has them.
            targets: (N,) int64 classes; None: those that were explained.

        Returns:
            (N, H, W) in the dtype of `values`. NaN where `can_explain` is false, and where the
            method fails, which is told as a failure of the image.
        """
        targets = self.targets if targets is None else targets
        return self._asked(self._numbers, x, targets).to(self.values.dtype)

    @property
    def _asked(self) -> Explaining:
        if self._explaining is None:
            raise BenchError(
                "maps: expected those of a run's methods, which can be asked again; found maps "
                "that were made elsewhere"
            )
        return self._explaining

    def check(self, scores: NDArray[np.floating], name: Callable[[int], str]) -> None:
        """Makes a failure of each map that has a score which is NaN or infinite.

        Args:
            scores: (N, P).
            name: A column 0..P-1 to what its score is called, as "score at mask 3 of 200".
        """
        self.not_finite = not_finite(scores, name) | self.not_finite


@dataclass(frozen=True)
class Metric(ABC):
    """One question, asked of a map: a frozen dataclass whose fields are its settings.

    `metric(block, maps)` gives raw columns, one value or curve a map; they are stored as they are.
    What tables show, `statistics`, is read off the stored columns.

    Example:
        >>> from dataclasses import dataclass
        >>> from bench.metrics.statistic import Statistic
        >>> @dataclass(frozen=True)
        ... class Center(Metric):
        ...     name: str = "center"
        ...     uses_scores = False
        ...
        ...     @property
        ...     def statistics(self):
        ...         return (Statistic(self.name, "Share in the center", higher_is_better=None),)
        ...
        ...     def __call__(self, block, maps):
        ...         magnitudes = maps.values.abs()
        ...         _, height, width = magnitudes.shape
        ...         rows, columns = slice(height // 4, -height // 4), slice(width // 4, -width // 4)
        ...         inside = magnitudes[:, rows, columns].sum(dim=(1, 2))
        ...         return {self.name: inside / magnitudes.sum(dim=(1, 2))}
        >>> maps = Maps(torch.eye(4)[None], torch.tensor([0]), "stable")
        >>> Center()(None, maps)
        {'center': tensor([0.5000])}

    Attributes:
        name: What it is called in a protocol; its columns begin with it.
        version: Raised whenever its numbers change; part of its rows' identity.
        citation: As "Author et al. 2020, arXiv 2001.00001".
        question: A key of `QUESTIONS`: what an audit takes its answer for.
        seconds_per_map: What it takes beside passes, on one core for a map of 224 x 224, for the
            time that is told before a run.
        uses_scores: Whether the network's scores decide its values.
        uses_order: Whether the order of a map's pixels, so the tie rule, decides its values.
        shared_passes: What metrics call their passes for each map whose results they share by
            `Maps.once`: they are made, and counted, once for all who call them so.
        explains_again: Whether it asks the methods about other inputs; see `Maps.explain`.
        needs: What it reads of an image's annotation, if anything: `boxes`, a `mask`, or a
            `region`, which is a mask or else boxes. Images without one are left out: it is not
            asked about their maps, and NaN stands in its columns.
        draws: Whether it draws by the run's seed; false only where it draws nothing. What its
            baselines do is theirs to say; see `may_draw`.
    """

    version: ClassVar[int] = 1
    citation: ClassVar[str] = ""
    question: ClassVar[str] = "faithful"
    seconds_per_map: ClassVar[float] = 0.0
    uses_scores: ClassVar[bool] = True
    uses_order: ClassVar[bool] = False
    shared_passes: ClassVar[str] = ""
    explains_again: ClassVar[bool] = False
    needs: ClassVar[str] = ""
    draws: ClassVar[bool] = True
    name: str = field(default="", kw_only=True)

    def __init_subclass__(cls, **settings: Any) -> None:
        """A class of somebody else's does not inherit that a shipped one draws nothing."""
        super().__init_subclass__(**settings)
        if "draws" not in vars(cls) and not cls.__module__.startswith("bench."):
            cls.draws = True

    @property
    @abstractmethod
    def statistics(self) -> tuple[Statistic, ...]:
        """What tables show of it."""

    @abstractmethod
    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Asks its question of N maps.

        Returns:
            Arrays or tensors, (N,) or (N, points), by the names of `columns`. NaN, or a curve of
            nothing else, says that the question does not apply to a map; a score that is not finite
            is found by `maps.check`.
        """

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """What it stores: by column, the points of a curve, or None for one number a map.

        Args:
            size: Height and width of the network's inputs.

        Returns:
            0 points where any number of them will do.
        """
        return {statistic.column: None for statistic in self.statistics}

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """A statistic's value (n,) of each image.

        Args:
            statistic: One of `statistics`.
            rows: n stored rows.
            auc: The rule for areas under curves, a key of `bench.metrics.auc.AUC_RULES`.
        """
        return rows[statistic.column].to_numpy(np.float64)

    def summary(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> float:
        """A statistic of a set of images: the mean of their values, NaN where there are none.

        Args:
            statistic: See `values`.
            rows: See `values`.
            auc: See `values`.
        """
        values = self.values(statistic, rows, auc)
        return float(values[np.isfinite(values)].mean()) if np.isfinite(values).any() else np.nan

    def pooled(
        self, statistic: Statistic, rows: pd.DataFrame, auc: str, counts: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """What `summary` is of draws of the images: by default the mean of their values.

        Args:
            statistic: One that says `is_pooled`.
            rows: n stored rows that all have a value.
            auc: See `values`.
            counts: (draws, n) how often an image is in a draw.

        Returns:
            (draws,).
        """
        return counts @ self.values(statistic, rows, auc) / counts.sum(axis=1)

    def point(self, saliency_map: NDArray[np.floating]) -> tuple[int, int] | None:
        """The one pixel of a map that it asks about, for figures: row and column.

        Args:
            saliency_map: (H, W).

        Returns:
            None if it asks about more than one. Else its first statistic is 1 or 0.
        """
        return None

    @property
    def baselines(self) -> tuple[Baseline, ...]:
        """The baselines that it asks the network about, which are scored before any map is made."""
        return ()

    @property
    def may_draw(self) -> bool:
        """Whether its values of a given map may depend on the run's seed."""
        return self.draws or any(baseline.draws for baseline in self.baselines)

    def passes_per_map(self, size: tuple[int, int]) -> int:
        """Forward passes for each map of an image of a size; its baselines' are not counted."""
        return 0

    def passes_per_image(self, size: tuple[int, int]) -> int:
        """Forward passes for each image of a size, which all its maps share."""
        return 0

    def explanations_per_map(self, network: Backbone | None = None) -> int:
        """How often it asks the method of each map again; each time costs what a map costs.

        Args:
            network: What is explained; None: one as is usual.
        """
        return 0

    def in_words(self, auc: str) -> list[str]:
        """Sentences on what it asks, for reports.

        Args:
            auc: See `values`.
        """
        return []

    def settings(self) -> dict[str, Any]:
        """Its fields but for the name, ready for JSON."""
        return {
            setting.name: _plain(getattr(self, setting.name))
            for setting in fields(self)
            if setting.name != "name"
        }


def _plain(value: Any) -> Any:
    return value.settings() if hasattr(value, "settings") else value


def to_array(values: Any) -> NDArray[Any]:
    """A column of a metric as an array on the host.

    Args:
        values: A tensor on any device, an array or a list.

    Example:
        >>> to_array(torch.tensor([1.0, 2.0])).dtype
        dtype('float32')
    """
    return values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
