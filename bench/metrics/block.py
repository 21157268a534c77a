"""Scores of images and baselines, which all maps of a block share, and metrics' answers."""

import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.scorer import OutputScorer
from bench.errors import BenchError
from bench.metrics.baseline import Baseline, Inputs
from bench.metrics.finite import not_finite
from bench.metrics.metric import Block, Maps, Metric, to_array
from bench.score import check_outputs, predicted_classes
from bench.target import LABEL, Target, target_classes


class EndPoints:
    """Scores clean images and baselines; a constant baseline is passed through once in all.

    Args:
        scorer: Inputs and targets to scores.
        metrics: Their baselines are scored with each block, before a map is made.
        target: Whose score is read: `label`, `prediction` or the number of a class.

    Example:
        >>> from bench.attribution.scorer import OutputScorer
        >>> from bench.backbones.bare import BareModel
        >>> from bench.metrics.baseline import Inputs
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> end_points = EndPoints(OutputScorer(BareModel(net, "logits"), "logit", 16), metrics=[])
        >>> block = end_points(Inputs(torch.ones(2, 1, 2, 2)), labels=torch.tensor([0, 1]))
        >>> block.clean_scores.tolist(), block.predictions.tolist()
        ([-10.0, 10.0], [1, 1])
    """

    def __init__(
        self, scorer: OutputScorer, metrics: Collection[Metric], target: Target = LABEL
    ) -> None:
        self.scorer = scorer
        self.target = target
        self._baselines: dict[Baseline, str] = {}
        for metric in metrics:
            for baseline in metric.baselines:
                self._baselines.setdefault(baseline, metric.name)
        self._constant: dict[Baseline, Tensor] = {}

    def __call__(self, inputs: Inputs, labels: Tensor) -> Block:
        """Scores a block.

        Args:
            inputs: B images.
            labels: (B,) int64, their classes.

        Raises:
            BenchError: A label or target is no class of the network, or its outputs cannot give
                the score.
        """
        network = self.scorer.backbone
        outputs = self.scorer.outputs_in_batches(inputs.x)
        check_outputs(outputs, self.scorer.score, network.output_kind, network.dtype)
        targets = target_classes(self.target, labels, outputs)
        for classes in (labels, targets):
            _check_targets(classes, outputs.shape[1])
        # With NaN among the outputs it is not known which class is the prediction.
        clean = self.scorer.select(outputs, targets).masked_fill(
            outputs.isnan().any(dim=1), torch.nan
        )
        scored: dict[Baseline, tuple[Tensor, Tensor]] = {}
        block = Block(
            inputs=inputs,
            labels=labels,
            outputs=outputs,
            targets=targets,
            predictions=predicted_classes(outputs, labels, network.output_kind),
            clean_scores=clean,
            scorer=self.scorer,
            score_baseline=partial(self._scored, scored, inputs, targets),
        )
        for baseline in self._baselines:
            block.score_baseline(baseline)
        return block

    def not_finite(self, block: Block) -> dict[int, str]:
        """Image -> which of its scores is NaN or infinite; one copy to the host for all."""
        scores = {"clean score": block.clean_scores}
        for baseline, metric in self._baselines.items():
            _, scores[f"score of the {metric} baseline"] = block.score_baseline(baseline)
        together = torch.stack([score.float() for score in scores.values()], dim=1)
        return not_finite(together.cpu().numpy(), list(scores).__getitem__)

    def _scored(
        self,
        scored: dict[Baseline, tuple[Tensor, Tensor]],
        inputs: Inputs,
        targets: Tensor,
        baseline: Baseline,
    ) -> tuple[Tensor, Tensor]:
        if baseline not in scored:
            pixels = baseline(inputs)
            outputs = self._outputs(baseline, pixels, inputs.x)
            scored[baseline] = pixels, self.scorer.select(outputs, targets)
        return scored[baseline]

    def _outputs(self, baseline: Baseline, pixels: Tensor, x: Tensor) -> Tensor:
        if baseline.depends_on_image:
            return self.scorer.outputs_in_batches(pixels.expand(x.shape))
        if baseline not in self._constant:
            image = pixels.expand(1, *x.shape[1:])
            self._constant[baseline] = self.scorer.outputs_in_batches(image)
        return self._constant[baseline].expand(len(x), -1)


def _check_targets(targets: Tensor, classes: int) -> None:
    outside = ((targets < 0) | (targets >= classes)).nonzero()[:, 0].tolist()
    if outside:
        raise BenchError(
            f"target {targets[outside[0]]} of image {outside[0]} is outside the model's "
            f"classes 0..{classes - 1}"
        )


@dataclass(frozen=True)
class Measured:
    """What a metric found of N maps.

    Attributes:
        columns: Arrays (N,) or (N, points) by the names that the metric declares.
        not_finite: Map -> which of its scores is NaN or infinite.

    Example:
        >>> from bench.metrics.complexity import Sparseness
        >>> from bench.metrics.metric import Maps
        >>> from bench.attribution.scorer import OutputScorer
        >>> from bench.backbones.bare import BareModel
        >>> from bench.metrics.baseline import Inputs
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> scorer = OutputScorer(BareModel(net, "logits"), "logit", batch_size=16)
        >>> block = EndPoints(scorer, [])(Inputs(torch.ones(1, 1, 2, 2)), torch.tensor([1]))
        >>> maps = Maps(torch.tensor([[[0.0, 0.0], [0.0, 2.0]]]), torch.tensor([0]), "stable")
        >>> measure(Sparseness(), block, maps)
        Measured(columns={'sparseness': array([0.75])}, not_finite={})
    """

    columns: Mapping[str, NDArray[Any]]
    not_finite: Mapping[int, str]


def _ask(metric: Metric, block: Block, maps: Maps) -> dict[str, NDArray[Any]]:
    """A metric's columns.

    Raises:
        BenchError: It raises something, or gives no columns.
        torch.OutOfMemoryError: Smaller batches may do.
    """
    try:
        return {name: to_array(found) for name, found in metric(block, maps).items()}
    except (BenchError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # anybody's code
        at = traceback.extract_tb(error.__traceback__)[-1]
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise BenchError(
            f"metric '{metric.name}' raised {reason} ({Path(at.filename).name}, line {at.lineno})"
        ) from error


def _ask_annotated(metric: Metric, block: Block, maps: Maps) -> dict[str, NDArray[Any]]:
    """As `_ask`, of the maps whose images have what the metric needs; NaN for the others."""
    having = [region.gives(metric.needs) for region in block.regions] or [False] * len(block.labels)
    positions = [number for number, image in enumerate(maps.images.tolist()) if having[image]]
    if len(positions) == len(maps):
        return _ask(metric, block, maps)
    if not positions:
        _, height, width = maps.values.shape
        columns = metric.columns((height, width))
        shapes = {name: () if points is None else (points,) for name, points in columns.items()}
        return {name: np.full((len(maps), *shape), np.nan) for name, shape in shapes.items()}
    part = maps.part(torch.tensor(positions, device=maps.images.device))
    found = _ask(metric, block, part)
    maps.not_finite = {positions[number]: what for number, what in part.not_finite.items()}
    return {name: _spread(column, positions, len(maps)) for name, column in found.items()}


def _spread(column: NDArray[Any], positions: Sequence[int], count: int) -> NDArray[Any]:
    """The rows of a column at their positions among `count`, NaN elsewhere."""
    if column.dtype.kind not in "iuf" or len(column) != len(positions):
        return column  # what it should be is said by who compares it with what is declared
    kind = column.dtype if column.dtype.kind == "f" else np.float64
    spread = np.full((count, *column.shape[1:]), np.nan, kind)
    spread[positions] = column
    return spread


def measure(metric: Metric, block: Block, maps: Maps) -> Measured:
    """Asks a metric its question of maps, and holds the answer against what it declares.

    Args:
        metric: The metric.
        block: The maps' images.
        maps: N maps; what another metric found of them is left out of account.

    Raises:
        BenchError: The metric raises something, or gives other columns than it declares.

    Example:
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> from bench.metrics.insertion import Insertion
        >>> from bench.metrics.metric import Maps
        >>> from bench.attribution.scorer import OutputScorer
        >>> from bench.backbones.bare import BareModel
        >>> from bench.metrics.baseline import Inputs
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> scorer = OutputScorer(BareModel(net, "logits"), "logit", batch_size=16)
        >>> insertion = Insertion(ZeroBaseline(), steps=4)
        >>> inputs = Inputs(torch.ones(1, 1, 2, 2))
        >>> block = EndPoints(scorer, [insertion])(inputs, labels=torch.tensor([1]))
        >>> maps = Maps(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), torch.tensor([0]), "stable")
        >>> measure(insertion, block, maps).columns["insertion_curve"].tolist()
        [[0.0, 4.0, 7.0, 9.0, 10.0]]
    """
    maps.not_finite = {}
    columns = (_ask_annotated if metric.needs else _ask)(metric, block, maps)
    _, _, height, width = block.inputs.x.shape
    expected = metric.columns((height, width))
    if set(columns) != set(expected):
        raise BenchError(
            f"metric '{metric.name}': expected the columns {', '.join(sorted(expected))}, found "
            f"{', '.join(sorted(columns))}"
        )
    for name, points in expected.items():
        shape = (len(maps),) if points is None else (len(maps), points)
        if points == 0 and columns[name].ndim == 2:
            shape = len(maps), columns[name].shape[1]
        if columns[name].shape != shape:
            raise BenchError(
                f"metric '{metric.name}', column '{name}': expected an array of shape {shape}, "
                f"found {columns[name].shape}"
            )
        if columns[name].dtype.kind not in "iuf":
            raise BenchError(
                f"metric '{metric.name}', column '{name}': expected numbers, found "
                f"{columns[name].dtype}"
            )
        # NaN says that the question does not apply to a map; there is no such point of a curve.
        found = columns[name]
        broken = np.isinf(found)
        if points is not None:
            broken = ~(np.isfinite(found).all(axis=1) | np.isnan(found).all(axis=1))
        for number in broken.nonzero()[0].tolist():
            what = "infinite" if points is None else "NaN or infinite"
            maps.not_finite.setdefault(number, f"{name} of metric '{metric.name}' is {what}")
    return Measured(columns, maps.not_finite)
