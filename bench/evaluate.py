"""The loop: images outside, methods inside, end points shared, everything else in batches."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from bench.arrays import as_integer, as_tensor
from bench.attribution.method import Batch
from bench.attribution.scorer import OutputScorer, Scorer
from bench.backbones.bare import BareModel
from bench.datasets.dataset import Sample
from bench.datasets.reading import read_ahead
from bench.errors import BenchError, require_integer
from bench.explain import Explainer, Explanation, Failed, check_maps, now
from bench.method_run import MethodRun
from bench.metrics.auc import auc
from bench.metrics.baseline import Baseline, Inputs
from bench.metrics.confidence import Confidence
from bench.metrics.finite import expected_finite, not_finite
from bench.metrics.mufidelity import MuFidelity, cell_of_pixel, correlate, score_drops
from bench.metrics.perturbation import curves, order_pixels, tied_fraction
from bench.metrics.protocol import Perturbation, Protocol, load_protocol
from bench.metrics.score import check_outputs, predicted_classes


@dataclass(frozen=True)
class Evaluated:
    """One method's rows for the images of one block.

    Attributes:
        method: The name of its run.
        rows: One row an image: image_id, target, prediction, clean_score, baseline_score,
            insertion_curve, deletion_curve (lists of float32), tied_fraction, constant_map (whether
            the map has one value everywhere), seconds. `baseline_score` is the score of the
            fully deleted image; where the insertion curve starts from another baseline, that one's
            score is the curve's first point. Where the protocol asks for it, MuFidelity has a
            column too (`MuFidelity.column`), and so has the curve of confidence
            (`Confidence.column`).
        maps: (n, H, W), float32 or float64, on the CPU, in the order of the rows.
    """

    method: str
    rows: pd.DataFrame
    maps: Tensor


def evaluate_runs(
    samples: Sequence[Sample],
    scorer: Scorer,
    runs: Sequence[MethodRun],
    protocol: Protocol,
    *,
    device: torch.device,
    seed: int = 0,
    block_size: int = 32,
    workers: int = 1,
    explained: Scorer | None = None,
    batch_sizes: MutableMapping[str, int] | None = None,
) -> Iterator[Evaluated | Failed]:
    """Evaluates what is missing of methods, block by block, as soon as each block is finished.

    Args:
        samples: The images.
        scorer: Gives the scores of the curves.
        runs: The methods; each says which images it lacks, and claims them block by block until
            the block's results have been taken.
        protocol: How maps become curves. Its score is the scorer's.
        device: Where the network lives.
        seed: Seed of the methods' draws.
        block_size: Images a block.
        workers: Threads that read the next block's images while this one is evaluated.
        explained: The score that methods explain, if it is not `scorer`'s; its network takes
            inputs of the same size.
        batch_sizes: See `bench.explain.Explainer`.

    Yields:
        For each block, what each of its methods gave, and the images that they failed on. A method
        that fails again and again is left out of the blocks that follow. An image whose clean or
        baseline score is NaN or infinite is a failure of all methods; where another score of a map
        is, it is a failure of that method.

    Raises:
        BenchError: An image cannot be read, or memory runs out at the smallest batch.
    """
    ends = _EndPoints(scorer, protocol)
    sizes = {} if batch_sizes is None else batch_sizes
    explainer = Explainer(explained or scorer, sizes, networks=[scorer.backbone.module])
    blocks = _missing_blocks(samples, runs, block_size)
    reads = (sample.read for block, _ in blocks for sample in block)
    with closing(read_ahead(reads, workers, ahead=block_size)) as read:
        for block, missing in blocks:
            wanted = {r: places for r, places in missing.items() if not explainer.has_given_up(r)}
            images = list(islice(read, len(block)))
            if not wanted:
                continue
            for image in images:
                if isinstance(image, BenchError):
                    raise image
            with ExitStack() as claims:
                wanted = _claimed(block, wanted, claims)
                evaluated = partial(
                    _evaluate_block, block, images, wanted, explainer, scorer,
                    end_points=ends, device=device, seed=seed,
                )  # fmt: skip
                while wanted:
                    try:
                        results = list(evaluated())
                    except torch.OutOfMemoryError:
                        scorer.shrink()  # the block is begun again; those before it are finished
                        continue
                    yield from results
                    break
            if all(map(explainer.has_given_up, runs)):
                return


def _claimed(
    block: Sequence[Sample], wanted: Mapping[MethodRun, list[int]], claims: ExitStack
) -> dict[MethodRun, list[int]]:
    """The positions in a block, by method, that are ours to evaluate as long as `claims` lasts."""
    ours = {}
    for run, positions in wanted.items():
        ids = claims.enter_context(run.claim([block[i].image_id for i in positions]))
        ours[run] = [i for i in positions if block[i].image_id in ids]
    return {run: positions for run, positions in ours.items() if positions}


def _missing_blocks(
    samples: Sequence[Sample], runs: Sequence[MethodRun], block_size: int
) -> list[tuple[Sequence[Sample], dict[MethodRun, list[int]]]]:
    """The blocks that are not done, and by method the positions in them that are missing."""
    blocks = []
    for start in range(0, len(samples), block_size):
        block = samples[start : start + block_size]
        missing = {run: run.missing(block) for run in runs}
        missing = {run: positions for run, positions in missing.items() if positions}
        if missing:
            blocks.append((block, missing))
    return blocks


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
            `Confidence.highest` reads it.
    """

    insertion: NDArray[np.float32]
    deletion: NDArray[np.float32]
    insertion_auc: NDArray[np.float64]
    deletion_auc: NDArray[np.float64]
    tied_fraction: NDArray[np.float32]
    mufidelity: NDArray[np.float64] | None = None
    confidence: NDArray[np.float32] | None = None


def insertion_deletion(
    model: nn.Module,
    x: ArrayLike,
    targets: ArrayLike,
    maps: ArrayLike,
    protocol: str | Protocol = "xplique",
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
        targets: (N,) integer classes.
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

    Raises:
        BenchError: Shapes do not fit, a number is not finite (a score included), the model is in
            training mode, fails, or gives something else than (B, K), or the protocol's score
            cannot be read off that.
    """
    batch_size, seed = as_integer(batch_size), as_integer(seed)
    require_integer("batch_size", batch_size, 1)
    require_integer("seed", seed, 0)
    protocol = load_protocol(protocol) if isinstance(protocol, str) else protocol
    if not isinstance(protocol, Protocol):
        raise BenchError(f"protocol: expected a Protocol or a name, found {protocol!r}")
    bare = BareModel(model, output_kind)
    x = _inputs(x, bare)
    fit = x.device.type == "cpu" and bare.takes_any_batch
    scorer = OutputScorer(bare, protocol.score, batch_size, fit_batches=fit)
    targets = _targets(targets, x)
    maps = _maps(maps, x)
    with torch.no_grad():
        ids = [str(i) for i in range(len(x))]
        inputs = Inputs(x, ids, seed)
        ends = _EndPoints(scorer, protocol)(inputs, targets)
        _refuse_not_finite(ends.not_finite(), len(x), protocol.score)
        every = torch.arange(len(x), device=x.device)
        order = order_pixels(maps, protocol.ties)
        scores = _score_maps(scorer, protocol, inputs, ends, maps, order, every)
        _refuse_not_finite(scores.not_finite, len(x), protocol.score)
    clean = ends.clean_scores.cpu().numpy()
    return InsertionDeletion(
        insertion=scores.insertion,
        deletion=scores.deletion,
        insertion_auc=auc(scores.insertion, protocol.auc, clean),
        deletion_auc=auc(scores.deletion, protocol.auc, clean),
        tied_fraction=tied_fraction(maps, order).cpu().numpy(),
        mufidelity=scores.mufidelity,
        confidence=scores.confidence,
    )


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
    x = as_tensor("x", x, model.device)
    if x.ndim != 4 or len(x) == 0:
        raise BenchError(f"x: expected (N, C, H, W) with N >= 1, found {tuple(x.shape)}")
    if not x.is_floating_point():
        raise BenchError(
            f"x: expected finite floating point numbers, found {x.dtype}: give the network's "
            "inputs, after its preprocessing"
        )
    broken = (~x.isfinite()).flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    if broken:
        raise BenchError(
            "x: expected finite floating point numbers, found NaN or infinity in number "
            f"{broken[0]} ({len(broken)} of {len(x)} images)"
        )
    return x.to(torch.float64 if model.dtype == torch.float64 else torch.float32)


def _targets(targets: Any, x: Tensor) -> Tensor:
    """Classes (N,) int64 of inputs (N, C, H, W)."""
    targets = as_tensor("targets", targets, x.device)
    if targets.shape != x.shape[:1]:
        one_hot = targets.ndim == 2 and targets.shape[1] > 1
        mend = ": of one-hot rows or scores, give targets.argmax(1)" if one_hot else ""
        raise BenchError(
            f"targets: expected a class for each input, targets (N,) = {tuple(x.shape[:1])}, "
            f"found {tuple(targets.shape)}{mend}"
        )
    if targets.is_floating_point() or targets.is_complex() or targets.dtype == torch.bool:
        raise BenchError(f"targets: expected integers, found {targets.dtype}")
    return targets.long()


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


@dataclass(frozen=True)
class _Ends:
    """A block's images, its baselines, and their scores: what all its maps share."""

    x: Tensor
    targets: Tensor
    predictions: Tensor
    clean_scores: Tensor
    insertion_baseline: Tensor
    insertion_scores: Tensor
    deletion_baseline: Tensor
    deletion_scores: Tensor
    confidence_baseline: Tensor | None
    confidence_scores: Tensor | None

    def not_finite(self) -> dict[int, str]:
        """Image -> which of its scores is NaN or infinite; one copy to the host for all."""
        scores = {
            "clean score": self.clean_scores,
            "score of the insertion baseline": self.insertion_scores,
            "score of the deletion baseline": self.deletion_scores,
        }
        if self.confidence_scores is not None:
            scores["score of the confidence baseline"] = self.confidence_scores
        together = torch.stack([own.float() for own in scores.values()], dim=1)
        return not_finite(together.cpu().numpy(), list(scores).__getitem__)


@dataclass(frozen=True)
class _Scores:
    """What the scores of N maps' perturbed images give.

    Attributes:
        insertion: (N, S+1).
        deletion: (N, T+1).
        mufidelity: (N,) if the protocol asks for it.
        confidence: (N, steps+1) if the protocol asks for it.
        not_finite: Map -> which of its scores is NaN or infinite.
    """

    insertion: NDArray[np.float32]
    deletion: NDArray[np.float32]
    mufidelity: NDArray[np.float64] | None
    confidence: NDArray[np.float32] | None
    not_finite: Mapping[int, str]


class _EndPoints:
    """Scores clean images and baselines; a constant baseline is passed through once in all."""

    def __init__(self, scorer: OutputScorer, protocol: Protocol) -> None:
        self._scorer = scorer
        self.protocol = protocol
        self._constant: dict[Baseline, Tensor] = {}

    def __call__(self, inputs: Inputs, targets: Tensor) -> _Ends:
        outputs = self._scorer.outputs_in_batches(inputs.x)
        network = self._scorer.backbone
        check_outputs(outputs, self._scorer.score, network.output_kind, network.dtype)
        classes = outputs.shape[1]
        outside = ((targets < 0) | (targets >= classes)).nonzero()[:, 0].tolist()
        if outside:
            raise BenchError(
                f"target {targets[outside[0]]} of image {outside[0]} is outside the model's "
                f"classes 0..{classes - 1}"
            )
        first, second = self.protocol.insertion.baseline, self.protocol.deletion.baseline
        insertion = self._baseline(first, inputs, targets)
        deletion = insertion if first == second else self._baseline(second, inputs, targets)
        # With NaN among the outputs it is not known which class is the prediction.
        clean = self._scorer.select(outputs, targets).masked_fill(
            outputs.isnan().any(dim=1), torch.nan
        )
        confidence = None, None
        if self.protocol.confidence is not None:
            confidence = self._baseline(self.protocol.confidence.baseline, inputs, targets)
        predicted = predicted_classes(outputs, targets, network.output_kind)
        return _Ends(inputs.x, targets, predicted, clean, *insertion, *deletion, *confidence)

    def _baseline(
        self, baseline: Baseline, inputs: Inputs, targets: Tensor
    ) -> tuple[Tensor, Tensor]:
        pixels = baseline(inputs)
        if baseline.depends_on_image:
            outputs = self._scorer.outputs_in_batches(pixels.expand(inputs.x.shape))
        else:
            if baseline not in self._constant:
                image = pixels.expand(1, *inputs.x.shape[1:])
                self._constant[baseline] = self._scorer.outputs_in_batches(image)
            outputs = self._constant[baseline].expand(len(targets), -1)
        return pixels, self._scorer.select(outputs, targets)


_Scored = tuple[Tensor, Tensor]
"""Inputs (B, C, H, W), or a baseline that broadcasts to them, and their scores (B,)."""


def _score_maps(
    scorer: OutputScorer,
    protocol: Protocol,
    inputs: Inputs,
    ends: _Ends,
    maps: Tensor,
    order: Tensor,
    images: Tensor,
) -> _Scores:
    """Scores maps (N, H, W) of orders (N, H*W) that belong to images (N,)."""
    x, clean, side = ends.x, ends.clean_scores, ends.x.shape[2:]
    broken: list[dict[int, str]] = []

    def curve(
        name: str, settings: Perturbation | Confidence, start: _Scored, end: _Scored
    ) -> NDArray[np.float32]:
        """Curves (N, points) of images whose pixels go from `start` to `end`."""
        counts = settings.counts(*side)
        scores = curves(
            scorer,
            start[0],
            end[0],
            ends.targets,
            order,
            images=images,
            counts=torch.from_numpy(counts),
            start_scores=start[1],
            end_scores=end[1],
            batch_size=scorer.batch_size_for(len(order) * len(counts)),
        )
        found = scores.cpu().numpy()

        def point(number: int) -> str:
            at = f"point {number} of {len(counts) - 1} ({counts[number]:,} pixels)"
            return f"{name} score at {at}"

        broken.append(not_finite(found, point))
        return found

    whole = x, clean
    insertion = curve(
        "insertion", protocol.insertion, (ends.insertion_baseline, ends.insertion_scores), whole
    )
    deletion = curve(
        "deletion", protocol.deletion, whole, (ends.deletion_baseline, ends.deletion_scores)
    )
    mufidelity = confidence = None
    if protocol.mufidelity is not None:
        drops, mufidelity = _mufidelity(scorer, protocol.mufidelity, inputs, ends, maps, images)
        masks = drops.shape[1]
        broken.append(
            not_finite(drops, lambda mask: f"score at mask {mask + 1} of {masks} (MuFidelity)")
        )
    if protocol.confidence is not None:
        black = ends.confidence_baseline, ends.confidence_scores
        confidence = curve("confidence", protocol.confidence, black, whole)
    first_of_each = dict(ChainMap(*broken))
    return _Scores(insertion, deletion, mufidelity, confidence, first_of_each)


def _mufidelity(
    scorer: OutputScorer,
    settings: MuFidelity,
    inputs: Inputs,
    ends: _Ends,
    maps: Tensor,
    images: Tensor,
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Drops (N, masks) and MuFidelity (N,) of maps (N, H, W) that belong to images (N,).

    The passes are shared by an image's maps.
    """
    replaced = settings.replaced(inputs.seed).to(maps.device)
    cells = cell_of_pixel(settings.grid_size, *maps.shape[1:]).to(maps.device)
    baseline = settings.baseline(inputs)
    drops = score_drops(
        scorer, ends.x, baseline, ends.targets, ends.clean_scores, replaced, cells,
        scorer.batch_size_for(len(ends.x) * len(replaced)),
    )  # fmt: skip
    drops, *host = (tensor.cpu().numpy() for tensor in (drops[images], maps, replaced, cells))
    return drops, correlate(drops, *host)


def _evaluate_block(
    block: Sequence[Sample],
    images: Sequence[NDArray[np.uint8]],
    wanted: Mapping[MethodRun, Sequence[int]],
    explainer: Explainer,
    scorer: Scorer,
    *,
    end_points: _EndPoints,
    device: torch.device,
    seed: int,
) -> Iterator[Evaluated | Failed]:
    x = inputs_explained = scorer.backbone.preprocess(images).to(device)
    if explainer.scorer.backbone is not scorer.backbone:
        inputs_explained = explainer.scorer.backbone.preprocess(images).to(device)
    targets = torch.tensor([sample.target for sample in block], device=device)
    ids = [sample.image_id for sample in block]
    inputs = Inputs(x, ids, seed, scorer.backbone.to_input)
    ends = end_points(inputs, targets)
    broken = ends.not_finite()

    def failed(name: str, image: int, what: str) -> Failed:
        reason = f"image '{ids[image]}': {what}; {expected_finite(scorer.score)}"
        return Failed(name, ids[image], reason)

    explained: dict[str, Explanation] = {}
    for run, positions in wanted.items():
        yield from (failed(run.name, i, broken[i]) for i in positions if i in broken)
        positions = [i for i in positions if i not in broken]
        if not positions:
            continue
        batch = Batch(
            x=inputs_explained[positions],
            targets=targets[positions],
            image_ids=[ids[i] for i in positions],
            images=[images[i] for i in positions],
            seed=seed,
        )
        found = explainer(run, batch)
        yield from found.failures
        if found.maps is not None:
            own = [positions[i] for i in found.positions]
            explained[run.name] = replace(found, positions=own)
    if not explained:
        return

    started = now(device)
    maps = torch.cat([own.maps for own in explained.values()])
    owners = [position for own in explained.values() for position in own.positions]
    owners = torch.tensor(owners, device=device)
    protocol, extra = end_points.protocol, {}
    order = order_pixels(maps, protocol.ties)
    scores = _score_maps(scorer, protocol, inputs, ends, maps, order, owners)
    if scores.mufidelity is not None:
        extra[MuFidelity.column] = scores.mufidelity
    if scores.confidence is not None:
        extra[Confidence.column] = list(scores.confidence)
    seconds = (now(device) - started) / len(maps)
    table = pd.DataFrame(
        {
            "image_id": [ids[i] for i in owners.tolist()],
            "target": targets[owners].cpu().numpy(),
            "prediction": ends.predictions[owners].cpu().numpy(),
            "clean_score": ends.clean_scores[owners].float().cpu().numpy(),
            "baseline_score": ends.deletion_scores[owners].float().cpu().numpy(),
            "insertion_curve": list(scores.insertion),
            "deletion_curve": list(scores.deletion),
            "tied_fraction": tied_fraction(maps, order).cpu().numpy(),
            "constant_map": (maps == maps[:, :1, :1]).flatten(1).all(dim=1).cpu().numpy(),
            "seconds": np.float32(seconds),
            **extra,
        }
    )
    first = 0
    for name, own in explained.items():
        rows = table.iloc[first : first + len(own.maps)].reset_index(drop=True)
        rows["seconds"] += own.seconds
        told = [scores.not_finite.get(first + number) for number in range(len(rows))]
        for image, what in zip(own.positions, told, strict=True):
            if what is not None:
                yield failed(name, image, what)
        finite = [number for number, what in enumerate(told) if what is None]
        if finite:
            yield Evaluated(name, rows.iloc[finite].reset_index(drop=True), own.maps[finite].cpu())
        first += len(rows)
