"""Insertion and deletion of maps that one has, on any torch module: the door for notebooks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from bench.arrays import as_classes, as_inputs, as_integer, as_tensor
from bench.attribution.maps import check_maps
from bench.attribution.scorer import OutputScorer
from bench.backbones.bare import BareModel
from bench.errors import BenchError, require_integer
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints, measure
from bench.metrics.confidence import HighestConfidence
from bench.metrics.finite import expected_finite
from bench.metrics.metric import Block, Maps
from bench.metrics.mufidelity import MuFidelity
from bench.metrics.protocol import Protocol, load_protocol
from bench.target import LABEL, PREDICTION, Target


@dataclass(frozen=True)
class InsertionDeletion:
    """Curves and areas of N maps.

    Attributes:
        insertion: (N, S+1) float32 scores, most important pixels inserted first.
        deletion: (N, T+1) float32 scores, most important pixels deleted first.
        insertion_auc: (N,) float64 by the protocol's rule; higher is better.
        deletion_auc: (N,) float64 by the protocol's rule; lower is better.
        tied_fraction: (N,) fraction of each map's pixels whose value is not unique.
        mufidelity: (N,) float64 if the protocol asks for it, else None; higher is better.
        confidence: (N, steps+1) float32 if the protocol asks for it, else None; its
            `HighestConfidence.highest` reads it.
        targets: (N,) int64 classes whose scores were read.

    Example:
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> maps = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
        >>> found = insertion_deletion(net, torch.ones(1, 1, 2, 2), [1], maps)
        >>> found.insertion[0].tolist()
        [0.0, 0.0, 0.0, 4.0, 4.0, 7.0, 7.0, 7.0, 9.0, 9.0, 10.0]
        >>> found.insertion_auc.round(4).tolist(), found.deletion_auc.round(4).tolist()
        ([5.2], [4.8])
    """

    insertion: NDArray[np.float32]
    deletion: NDArray[np.float32]
    insertion_auc: NDArray[np.float64]
    deletion_auc: NDArray[np.float64]
    tied_fraction: NDArray[np.float32]
    mufidelity: NDArray[np.float64] | None = None
    confidence: NDArray[np.float32] | None = None
    targets: NDArray[np.int64] | None = None


def insertion_deletion(
    model: nn.Module,
    x: ArrayLike,
    targets: ArrayLike | None,
    maps: ArrayLike,
    protocol: str | Protocol = "xplique",
    *,
    output_kind: str = "logits",
    batch_size: int = 64,
    seed: int = 0,
) -> InsertionDeletion:
    """Insertion and deletion curves of maps that you already have, on any torch module.

    Args:
        model: Inputs (B, C, H, W) to outputs (B, K), in eval mode, of any floating point dtype.
            One output makes a binary classifier of classes 0 and 1.
        x: (N, C, H, W) floating point inputs, preprocessed. They are cast to the model's dtype and
            moved to its device.
        targets: (N,) integer classes, whatever the protocol's target is; None: the protocol's
            target where that is the number of a class, else the model's predictions.
        maps: (N, H, W), higher = more important. Arrays may be torch's, numpy's or pandas'.
            float64 and integers (below 2**53) are ordered as they are, not rounded to float32.
        protocol: A protocol or the name of a shipped one (`bench list protocols`).
        output_kind: What the model's outputs are: `logits` (a softmax over all classes, or the
            sigmoid of one), `probabilities`, `cosines`, or `multilabel` (logits, a sigmoid each).
        batch_size: Forward passes in one batch. On a CPU few images make smaller ones, of sizes at
            which bits were found to be the same (`bench.batching.fitted_batch_size`).
        seed: Seed of a noise baseline.

    Returns:
        Curves and areas, one for each image. A constant baseline's RGB counts as input values.
        Scores are taken in float32 whatever the model's dtype; of a float64 model in float64, and
        kept as float32.

    Warns:
        UserWarning: The model cannot take channels-last inputs, so that it gets plain ones; or the
            outputs of a sigmoid seem to be probabilities already.

    Example:
        >>> import torch
        >>> model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3)).eval()
        >>> found = insertion_deletion(model, torch.rand(2, 3, 4, 4), [0, 2], torch.rand(2, 4, 4))
        >>> found.insertion.shape
        (2, 11)

    Raises:
        BenchError: The protocol lacks insertion or deletion, shapes do not fit, a number is not
            finite (a score included), the model is in training mode, fails, or gives something
            else than (B, K), or the protocol's score cannot be read off that.
    """
    batch_size, seed = as_integer(batch_size), as_integer(seed)
    require_integer("batch_size", batch_size, 1)
    require_integer("seed", seed, 0)
    protocol = _protocol(protocol)
    bare = BareModel(model, output_kind)
    x = _inputs(x, bare)
    fit = x.device.type == "cpu" and bare.takes_any_batch
    scorer = OutputScorer(bare, protocol.score, batch_size, fit_batches=fit)
    classes, target = _targets(targets, protocol, x)
    given = Maps(_maps(maps, x), torch.arange(len(x), device=x.device), protocol.ties)
    columns: dict[str, NDArray[Any]] = {}
    broken: dict[int, str] = {}
    with torch.no_grad():
        end_points = EndPoints(scorer, [*protocol.metrics.values()], target)
        block = end_points(Inputs(x, [str(i) for i in range(len(x))], seed), classes)
        _refuse_not_finite(end_points.not_finite(block), len(x), protocol.score)
        for metric in protocol.metrics.values():
            measured = measure(metric, block, given)
            columns |= measured.columns
            broken = {**measured.not_finite, **broken}
    _refuse_not_finite(broken, len(x), protocol.score)
    return _found(protocol, columns, block, given.tied_fraction)


def _found(
    protocol: Protocol, columns: Mapping[str, NDArray[Any]], block: Block, tied: Tensor
) -> InsertionDeletion:
    rows = pd.DataFrame({name: list(column) for name, column in columns.items()})
    rows["clean_score"] = block.clean_scores.cpu().numpy()
    found: dict[str, Any] = {"tied_fraction": tied.cpu().numpy()}
    found["targets"] = block.targets.cpu().numpy()
    for name in ("insertion", "deletion"):
        metric = protocol.metrics[name]
        found[name] = columns[f"{name}_curve"]
        found[f"{name}_auc"] = metric.values(metric.statistics[0], rows, protocol.auc)
    for metric in protocol.metrics.values():
        if isinstance(metric, MuFidelity):
            found["mufidelity"] = columns[metric.statistics[0].column]
        if isinstance(metric, HighestConfidence):
            found["confidence"] = columns[metric.curve]
    return InsertionDeletion(**found)


def _protocol(protocol: Any) -> Protocol:
    protocol = load_protocol(protocol) if isinstance(protocol, str) else protocol
    if not isinstance(protocol, Protocol):
        raise BenchError(f"protocol: expected a Protocol or a name, found {protocol!r}")
    lacking = [name for name in ("insertion", "deletion") if name not in protocol.metrics]
    if lacking:
        raise BenchError(
            f"protocol '{protocol.name}': expected insertion and deletion among its metrics, found "
            f"{', '.join(protocol.metrics)}"
        )
    return protocol


def _refuse_not_finite(broken: Mapping[int, str], images: int, score: str) -> None:
    """Raises `BenchError` that names the images with scores that are not finite."""
    if broken:
        told = "; ".join(f"image {number}: {what}" for number, what in [*broken.items()][:3])
        more = "; ..." if len(broken) > 3 else ""
        raise BenchError(
            f"scores of {len(broken)} of {images} images are not finite: {told}{more}; "
            f"{expected_finite(score)}"
        )


def _inputs(x: Any, model: BareModel) -> Tensor:
    """Inputs (N, C, H, W) on the model's device, in its dtype, but float32 at least."""
    x = as_inputs(x, model.device)
    return x.to(torch.float64 if model.dtype == torch.float64 else torch.float32)


def _targets(targets: Any, protocol: Protocol, x: Tensor) -> tuple[Tensor, Target]:
    """Classes (N,) int64 of inputs (N, C, H, W), and whether these are what is scored."""
    if targets is None:  # then nobody asks for the labels
        target = PREDICTION if protocol.target == LABEL else protocol.target
        return torch.zeros(len(x), dtype=torch.int64, device=x.device), target
    return as_classes(targets, len(x), x.device), LABEL


def _other_shape(maps: tuple[int, ...], x: tuple[int, ...]) -> str:
    """What to do about maps whose shape is not the inputs'."""
    if maps == x[:3]:
        return f": x {x} seems to be (N, H, W, C): give x.permute(0, 3, 1, 2)"
    if maps == (x[0], 1, *x[2:]):
        return ": give maps[:, 0]"
    if len(maps) == 4 and (maps[0], *maps[2:]) == (x[0], *x[2:]):
        return ": give one value a pixel, as maps.mean(1)"
    return ": give maps[None]" if (1, *maps) == (x[0], *x[2:]) else ""


def _maps(maps: Any, x: Tensor) -> Tensor:
    """Maps (N, H, W) of inputs (N, C, H, W)."""
    maps = as_tensor("maps", maps, x.device)
    expected = (len(x), *x.shape[2:])
    if maps.is_complex():
        raise BenchError(f"maps: expected real numbers, found {maps.dtype}")
    if tuple(maps.shape) != expected:
        mend = _other_shape(tuple(maps.shape), tuple(x.shape))
        raise BenchError(f"maps: expected (N, H, W) = {expected}, found {tuple(maps.shape)}{mend}")
    return check_maps("maps", maps, x, [f"number {i}" for i in range(len(x))])
