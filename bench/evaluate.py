"""The loop: images outside, methods inside, end points shared, everything else in batches."""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.datasets.dataset import Sample
from bench.datasets.reading import read_ahead
from bench.errors import BenchError
from bench.explain import Explainer, Explanation, Failed, now
from bench.method_run import MethodRun
from bench.metrics.baseline import Inputs
from bench.metrics.block import EndPoints, measure
from bench.metrics.finite import expected_finite
from bench.metrics.metric import Block, Maps
from bench.metrics.protocol import Protocol


@dataclass(frozen=True)
class Evaluated:
    """One method's rows for the images of one block.

    Attributes:
        method: The name of its run.
        rows: One row an image: image_id, target, prediction, clean_score, the columns of the
            protocol's metrics (curves are lists of float32), tied_fraction, constant_map (whether
            the map has one value everywhere), seconds.
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
    end_points = EndPoints(scorer, [*protocol.metrics.values()])
    sizes = {} if batch_sizes is None else batch_sizes
    explainer = Explainer(explained or scorer, sizes, networks=[scorer.backbone.module])
    blocks = _missing_blocks(samples, runs, block_size)
    reads = (sample.read for block, _ in blocks for sample in block)
    with closing(read_ahead(reads, workers, ahead=block_size)) as read:
        for block, missing in blocks:
            wanted = {r: places for r, places in missing.items() if not explainer.has_given_up(r)}
            found = list(islice(read, len(block)))
            if not wanted:
                continue
            images = _images(found)
            with ExitStack() as claims:
                wanted = _claimed(block, wanted, claims)
                evaluated = partial(
                    _evaluate_block, block, images, wanted, explainer, scorer=scorer,
                    end_points=end_points, protocol=protocol, device=device, seed=seed,
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


def _images(found: Sequence[NDArray[np.uint8] | BenchError]) -> list[NDArray[np.uint8]]:
    """The images that were read; raises what kept one from being read."""
    images = []
    for image in found:
        if isinstance(image, BenchError):
            raise image
        images.append(image)
    return images


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


def _evaluate_block(
    block: Sequence[Sample],
    images: Sequence[NDArray[np.uint8]],
    wanted: Mapping[MethodRun, Sequence[int]],
    explainer: Explainer,
    *,
    scorer: Scorer,
    end_points: EndPoints,
    protocol: Protocol,
    device: torch.device,
    seed: int,
) -> Iterator[Evaluated | Failed]:
    """What methods give for the images of one block, and what their maps are worth."""
    ids = [sample.image_id for sample in block]
    x = inputs_explained = scorer.backbone.preprocess(images).to(device)
    if explainer.scorer.backbone is not scorer.backbone:
        inputs_explained = explainer.scorer.backbone.preprocess(images).to(device)
    targets = torch.tensor([sample.target for sample in block], device=device)
    scored = end_points(Inputs(x, ids, seed, scorer.backbone.to_input), targets)
    broken = end_points.not_finite(scored)
    explained: dict[str, Explanation] = {}
    for run, missing in wanted.items():
        yield from (
            _not_finite(run.name, ids[i], broken[i], scorer.score) for i in missing if i in broken
        )
        positions = [i for i in missing if i not in broken]
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
            explained[run.name] = replace(found, positions=[positions[i] for i in found.positions])
    if explained:
        yield from _measure_block(explained, scored, protocol, device)


def _measure_block(
    explained: Mapping[str, Explanation], block: Block, protocol: Protocol, device: torch.device
) -> Iterator[Evaluated | Failed]:
    """Asks all metrics about the maps that methods made of a block's images."""
    started = now(device)
    images = [position for found in explained.values() for position in found.positions]
    values = torch.cat([found.maps for found in explained.values() if found.maps is not None])
    maps = Maps(values, torch.tensor(images, device=device), protocol.ties)
    columns: dict[str, NDArray[Any]] = {}
    broken: dict[int, str] = {}
    for metric in protocol.metrics.values():
        measured = measure(metric, block, maps)
        columns |= measured.columns
        broken = {**measured.not_finite, **broken}  # of the first metric that has any
    table = _table(block, maps, columns)
    seconds = (now(device) - started) / len(maps)
    first = 0
    for name, found in explained.items():
        rows = table.iloc[first : first + len(found.positions)].reset_index(drop=True)
        rows["seconds"] = np.float32(seconds) + found.seconds
        for number, image_id in enumerate(rows["image_id"]):
            if first + number in broken:
                yield _not_finite(name, image_id, broken[first + number], block.scorer.score)
        finite = [number for number in range(len(rows)) if first + number not in broken]
        if finite and found.maps is not None:
            maps_of_rows = found.maps[finite].cpu()
            yield Evaluated(name, rows.iloc[finite].reset_index(drop=True), maps_of_rows)
        first += len(rows)


def _table(block: Block, maps: Maps, columns: Mapping[str, NDArray[Any]]) -> pd.DataFrame:
    """One row a map, without the time that it took."""
    images = maps.images
    return pd.DataFrame(
        {
            "image_id": [block.inputs.image_ids[i] for i in images.tolist()],
            "target": block.targets[images].cpu().numpy(),
            "prediction": block.predictions[images].cpu().numpy(),
            "clean_score": block.clean_scores[images].float().cpu().numpy(),
            **{name: _cells(column) for name, column in columns.items()},
            "tied_fraction": maps.tied_fraction.cpu().numpy(),
            "constant_map": maps.is_constant.cpu().numpy(),
        }
    )


def _cells(column: NDArray[Any]) -> Any:
    """A column of numbers as it is, one of curves (N, points) as a list."""
    return list(column) if column.ndim > 1 else column


def _not_finite(method: str, image_id: str, what: str, score: str) -> Failed:
    return Failed(method, image_id, f"image '{image_id}': {what}; {expected_finite(score)}")
