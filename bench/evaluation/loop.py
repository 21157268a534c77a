"""The loop: images outside, methods inside, end points shared, everything else in batches."""

import math
from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.maps import in_one_channel, with_channels
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.datasets.dataset import Sample
from bench.datasets.reading import read_ahead
from bench.errors import BenchError
from bench.evaluation.again import AskAgain, Asked
from bench.evaluation.explain import Explainer, Explanation, Failed, now, part_of
from bench.evaluation.method_run import MethodRun
from bench.evaluation.pace import Pace
from bench.evaluation.progress import Countdown, Progress
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints, measure
from bench.metrics.finite import expected_finite
from bench.metrics.metric import Block, Maps
from bench.metrics.protocol import Protocol
from bench.metrics.region import Region
from bench.target import Target


@dataclass(frozen=True)
class Evaluated:
    """One method's rows for images of one block that lacked the same metrics.

    Attributes:
        method: The name of its run.
        rows: One row an image: image_id, label, target, prediction, clean_score, tied_fraction,
            constant_map (whether the map has one value everywhere), the columns of the metrics
            that these images lacked (curves are lists of float32), map_seconds, seconds.
        maps: (n, H, W), float32 or float64, on the CPU, in the order of the rows.
    """

    method: str
    rows: pd.DataFrame
    maps: Tensor


Lacking = Mapping[str, Sequence[int]]
"""By metric, the positions of the images in a block that lack its rows."""


class _Part(NamedTuple):
    """What some methods gave for a block, and what the others lack."""

    results: list[Evaluated | Failed]
    rest: Mapping[MethodRun, Lacking]


def evaluate_runs(
    samples: Sequence[Sample],
    scorer: Scorer,
    runs: Sequence[MethodRun],
    protocol: Protocol,
    *,
    device: torch.device,
    seed: int = 0,
    block_size: int = 32,
    block_seconds: float = math.inf,
    expected_seconds: float | None = None,
    workers: int = 1,
    explained: Scorer | None = None,
    explained_target: Target | None = None,
    batch_sizes: MutableMapping[str, int] | None = None,
    progress: Progress | None = None,
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
        block_size: Images a block, at most.
        block_seconds: About how long a block may last. It takes fewer images if need be; where one
            image takes longer, what some of its methods gave is yielded before the others go on.
        expected_seconds: About how long all of it takes, which the first block is cut by; None: not
            known.
        workers: Threads that read the next block's images while this one is evaluated.
        explained: The score that methods explain, if it is not `scorer`'s; its network takes
            inputs of the same size.
        explained_target: The class that methods explain, if it is not the protocol's target: see
            `bench.evaluation.explain.Explainer`.
        batch_sizes: See `bench.evaluation.explain.Explainer`.
        progress: Is told how far methods are. Passes are the scorers' to tell.

    Yields:
        For each block, what each of its methods gave, and the images that they failed on. A method
        that fails again and again is left out of the blocks that follow. An image whose clean or
        baseline score is NaN or infinite is a failure of all methods; where another score of a map
        is, it is a failure of that method.

    Raises:
        BenchError: An image cannot be read, or memory runs out at the smallest batch.
    """
    end_points = EndPoints(scorer, [*protocol.metrics.values()], protocol.target)
    explainer = Explainer(
        explained or scorer,
        {} if batch_sizes is None else batch_sizes,
        networks=[scorer.backbone.module],
        target=protocol.target if explained_target is None else explained_target,
    )
    progress = Progress() if progress is None else progress
    lacking = {run: _positions(run.missing(samples, protocol.metrics)) for run in runs}
    to_do = [samples[i] for i in sorted(set().union(*lacking.values()))]
    an_image = None if expected_seconds is None else expected_seconds / max(len(to_do), 1)
    pace = Pace(block_size, block_seconds, an_image)
    evaluate = partial(
        _evaluate_block, explainer=explainer, scorer=scorer, end_points=end_points,
        protocol=protocol, device=device, seed=seed, progress=progress, is_over=pace.is_over,
    )  # fmt: skip
    countdown = Countdown(progress, {run.name: len(images) for run, images in lacking.items()})
    reads = (sample.read for sample in to_do)
    with closing(read_ahead(reads, workers, ahead=block_size)) as read:
        for block in _blocks(to_do, pace):
            found = list(islice(read, len(block)))
            missing = _missing(block, runs, protocol)
            left = {run.name: len(_positions(lacks)) for run, lacks in missing.items()}
            wanted = {r: lacks for r, lacks in missing.items() if not explainer.has_given_up(r)}
            if wanted:
                evaluate_part = partial(evaluate, block, _images(found))
                for result in _in_parts(block, wanted, evaluate_part, scorer, pace):
                    yield result
                    left[result.method] -= _tell(result, countdown)
            for method, count in left.items():
                countdown.advance(method, skipped=count)
            if all(map(explainer.has_given_up, runs)):
                break
    countdown.skip_rest()


def _blocks(samples: Sequence[Sample], pace: Pace) -> Iterator[Sequence[Sample]]:
    """Samples in blocks, each as long as the pace says when its turn comes."""
    start = 0
    while start < len(samples):
        block = samples[start : start + pace.images]
        yield block
        start += len(block)


def _tell(result: Evaluated | Failed, countdown: Countdown) -> int:
    """Tells how many images a result is of, and gives their number."""
    done, failed = (0, 1) if isinstance(result, Failed) else (len(result.rows), 0)
    countdown.advance(result.method, done, failed)
    return done + failed


def _in_parts(
    block: Sequence[Sample],
    wanted: Mapping[MethodRun, Lacking],
    evaluate: Callable[[Mapping[MethodRun, Lacking]], _Part],
    scorer: Scorer,
    pace: Pace,
) -> Iterator[Evaluated | Failed]:
    """What methods give for a block, as many methods at a time as the pace allows."""
    with ExitStack() as claims:
        wanted = _claimed(block, wanted, claims)
        images = len(set().union(*map(_positions, wanted.values())))
        started = pace.begin()
        while wanted:
            try:
                results, wanted = evaluate(wanted)
            except torch.OutOfMemoryError:
                scorer.shrink()  # the part is begun again; those before it are finished
                continue
            yield from results
            pace.begin()
        pace.adapt(images, started)


def _images(found: Sequence[NDArray[np.uint8] | BenchError]) -> list[NDArray[np.uint8]]:
    """The images that were read; raises what kept one from being read."""
    images = []
    for image in found:
        if isinstance(image, BenchError):
            raise image
        images.append(image)
    return images


def _regions(
    block: Sequence[Sample], images: Sequence[NDArray[np.uint8]], explained: Backbone
) -> list[Region]:
    """What is marked in each image, in pixels of its maps: those of the explained network."""
    made = explained.preprocessing
    return [
        Region(sample.annotation, image.shape[:2], made, image)
        for sample, image in zip(block, images, strict=True)
    ]


def _claimed(
    block: Sequence[Sample], wanted: Mapping[MethodRun, Lacking], claims: ExitStack
) -> dict[MethodRun, Lacking]:
    """What is ours, of what methods lack in a block, as long as `claims` lasts."""
    ours = {}
    for run, lacking in wanted.items():
        ids = {metric: [block[i].image_id for i in lacking[metric]] for metric in lacking}
        claimed = claims.enter_context(run.claim(ids))
        found = {
            metric: [i for i in positions if block[i].image_id in claimed[metric]]
            for metric, positions in lacking.items()
        }
        ours[run] = {metric: positions for metric, positions in found.items() if positions}
    return {run: lacking for run, lacking in ours.items() if lacking}


def _missing(
    block: Sequence[Sample], runs: Sequence[MethodRun], protocol: Protocol
) -> dict[MethodRun, Lacking]:
    """By method, what is missing of a block, where anything is."""
    missing = {run: run.missing(block, protocol.metrics) for run in runs}
    return {run: lacking for run, lacking in missing.items() if lacking}


def _positions(lacking: Lacking) -> list[int]:
    """The images that lack anything, in their order."""
    return sorted(set().union(*lacking.values()))


def _evaluate_block(
    block: Sequence[Sample],
    images: Sequence[NDArray[np.uint8]],
    wanted: Mapping[MethodRun, Lacking],
    *,
    explainer: Explainer,
    scorer: Scorer,
    end_points: EndPoints,
    protocol: Protocol,
    device: torch.device,
    seed: int,
    progress: Progress,
    is_over: Callable[[], bool],
) -> _Part:
    """What methods give for the images of one block, and what their maps are worth.

    When the time is over, what is explained by then is measured, and other methods are left.
    """
    ids = [sample.image_id for sample in block]
    x = inputs_explained = scorer.backbone.preprocess(images).to(device)
    if explainer.scorer.backbone is not scorer.backbone:
        inputs_explained = explainer.scorer.backbone.preprocess(images).to(device)
    labels = torch.tensor([sample.target for sample in block], device=device)
    photos = [scorer.backbone.preprocessing.to_photo(image) for image in images]
    scored = end_points(Inputs(x, ids, seed, scorer.backbone.to_input), labels)
    scored = replace(scored, regions=_regions(block, photos, explainer.scorer.backbone))
    is_what_scores = explainer.scorer.backbone is scorer.backbone
    outputs = scored.outputs if is_what_scores else None
    classes = explainer.classes(labels, inputs_explained, outputs)
    batch = Batch(inputs_explained, classes, ids, photos, seed)
    broken = end_points.not_finite(scored)
    explained: dict[MethodRun, Explanation] = {}
    results: list[Evaluated | Failed] = []
    rest = dict(wanted)
    for run, lacking in wanted.items():
        del rest[run]
        missing = _positions(lacking)
        results.extend(
            _not_finite(run.name, ids[i], broken[i], scorer.score) for i in missing if i in broken
        )
        positions = [i for i in missing if i not in broken]
        if not positions:
            continue
        progress.working(run.name)
        found = explainer(run, part_of(batch, positions))
        results.extend(found.failures)
        if found.maps is not None:
            explained[run] = replace(found, positions=[positions[i] for i in found.positions])
        if is_over():
            break
    if explained:
        asked = [Asked(run, found.positions) for run, found in explained.items()]
        again = AskAgain(explainer, batch, asked)
        results.extend(_measure_block(explained, wanted, scored, protocol, again))
    return _Part(results, rest)


def _measure_block(
    explained: Mapping[MethodRun, Explanation],
    wanted: Mapping[MethodRun, Lacking],
    block: Block,
    protocol: Protocol,
    again: AskAgain,
) -> Iterator[Evaluated | Failed]:
    """Asks metrics about the maps that methods made of a block's images."""
    device = block.inputs.x.device
    started = now(device)
    images = [position for found in explained.values() for position in found.positions]
    made = [found.maps for found in explained.values() if found.maps is not None]
    values = torch.cat([in_one_channel(each) for each in made])
    of_images = torch.tensor(images, device=device)
    maps = Maps(values, of_images, protocol.ties, again, _by_channel(made))
    asked = [
        frozenset(metric for metric, lacking in wanted[run].items() if position in lacking)
        for run, found in explained.items()
        for position in found.positions
    ]
    tables, broken = _measure_all(protocol, block, maps, asked)
    seconds = (now(device) - started) / len(maps)
    first = 0
    for run, found in explained.items():
        groups: dict[frozenset[str], list[int]] = {}
        for number in range(len(found.positions)):
            if first + number in again.failures:
                yield again.failures[first + number]
            elif first + number in broken:
                image_id = block.inputs.image_ids[found.positions[number]]
                yield _not_finite(run.name, image_id, broken[first + number], block.scorer.score)
            else:
                groups.setdefault(asked[first + number], []).append(number)
        for metrics, numbers in groups.items():
            rows = _rows(block, maps, [first + number for number in numbers])
            of_group = [tables[metric].loc[rows.index] for metric in tables if metric in metrics]
            rows = pd.concat([rows, *of_group], axis=1).reset_index(drop=True)
            rows["map_seconds"] = found.seconds[numbers]
            rows["seconds"] = np.float32(seconds) + found.seconds[numbers]
            assert found.maps is not None
            yield Evaluated(run.name, rows, in_one_channel(found.maps[numbers]).cpu())
        first += len(found.positions)


def _by_channel(maps: Sequence[Tensor]) -> Tensor | None:
    """Maps of several methods as (N, C, H, W); None if none of them keeps channels."""
    channels = next((made.shape[1] for made in maps if made.ndim == 4), None)
    if channels is None:
        return None
    return torch.cat([with_channels(made, channels) for made in maps])


def _measure_all(
    protocol: Protocol, block: Block, maps: Maps, asked: Sequence[frozenset[str]]
) -> tuple[dict[str, pd.DataFrame], dict[int, str]]:
    """Each metric's columns of the maps that it is asked about, and what is not finite of them."""
    tables: dict[str, pd.DataFrame] = {}
    broken: dict[int, str] = {}
    parts = {tuple(range(len(maps))): maps}
    for name, metric in protocol.metrics.items():
        numbers = [number for number, metrics in enumerate(asked) if name in metrics]
        if not numbers:
            continue
        if tuple(numbers) not in parts:  # metrics of the same maps share what they compute
            positions = torch.tensor(numbers, device=maps.images.device)
            parts[tuple(numbers)] = maps.part(positions)
        measured = measure(metric, block, parts[tuple(numbers)])
        columns = {column: _cells(found) for column, found in measured.columns.items()}
        tables[name] = pd.DataFrame(columns, index=numbers)
        told = {numbers[number]: what for number, what in measured.not_finite.items()}
        broken = {**told, **broken}  # of the first metric that has any
    return tables, broken


def _rows(block: Block, maps: Maps, numbers: Sequence[int]) -> pd.DataFrame:
    """What all metrics' rows of some maps share, but for the time."""
    images = maps.images[numbers]
    return pd.DataFrame(
        {
            "image_id": [block.inputs.image_ids[i] for i in images.tolist()],
            "image_label": block.labels[images].cpu().numpy(),
            "target": block.targets[images].cpu().numpy(),
            "prediction": block.predictions[images].cpu().numpy(),
            "clean_score": block.clean_scores[images].float().cpu().numpy(),
            "tied_fraction": maps.tied_fraction[numbers].cpu().numpy(),
            "constant_map": maps.is_constant[numbers].cpu().numpy(),
        },
        index=pd.Index(numbers),
    )


def _cells(column: NDArray[Any]) -> Any:
    """A column of numbers as it is, one of curves (N, points) as a list."""
    return list(column) if column.ndim > 1 else column


def _not_finite(method: str, image_id: str, what: str, score: str) -> Failed:
    return Failed(method, image_id, f"image '{image_id}': {what}; {expected_finite(score)}")
