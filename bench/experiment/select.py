"""The images that an experiment is made on, as a list file that others can use."""

import copy
import hashlib
import io
import json
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pandas as pd
import pyarrow as pa
import torch
from rich.console import Console

from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.problems import Problems
from bench.datasets.reading import read_ahead
from bench.datasets.selection import Selection, to_list
from bench.errors import BenchError, BrokenFileError, warn
from bench.files import DAMAGED, file_name, read_whole, set_aside, write_atomically
from bench.score import predicted_classes


@dataclass(frozen=True)
class Predictions:
    """What a network says of a data set's images.

    Attributes:
        by: The network's name.
        classes: The predicted class of each image.
    """

    by: str
    classes: Sequence[int]


def select(
    dataset: Dataset,
    selection: Selection,
    predictions: Predictions | None,
    results_dir: Path,
    console: Console,
) -> Dataset:
    """The data set with the selected images only; they are written as a list.

    The list is `results_dir/lists/<dataset>[_<subset>_<backbone>]-<12 digits of its sha256>.txt`;
    the same data set reads it again by `dataset.list=`.

    Args:
        dataset: What to choose from.
        selection: What to choose.
        predictions: See `kept_predictions`; None where the selection needs none.
        results_dir: The results folder.
        console: Where the list and its sha256 are named.

    Raises:
        BenchError: No image is left.
    """
    by = "" if predictions is None else f"_{selection.subset}_{predictions.by}"
    classes = None if predictions is None else predictions.classes
    samples = selection.choose(dataset.samples, classes)
    if not samples:
        raise BenchError(
            f"select: none of the {len(dataset)} images of '{dataset.name}' is left by {selection}"
        )
    content = to_list(samples)
    digest = hashlib.sha256(content).hexdigest()
    path = results_dir / "lists" / f"{file_name(dataset.name + by)}-{digest[:12]}.txt"
    write_atomically(path, content)
    note = (
        f"Selected {len(samples)} of {len(dataset)} images ({selection}): {path}; sha256 {digest}"
    )
    console.print(note, soft_wrap=True, highlight=False, markup=False)
    selected = copy.copy(dataset)
    selected.samples = samples
    selected.notes = [*dataset.notes, note]
    return selected


def kept_predictions(
    dataset: Dataset, backbone: Backbone, results_dir: Path, make: Callable[[], list[int]]
) -> Predictions:
    """What a network says of a data set's images; kept in `results_dir/lists`.

    Args:
        dataset: The images.
        backbone: The network.
        results_dir: The results folder.
        make: Asks the network (`predict`); called where nothing is kept.

    Raises:
        BenchError: Images cannot be read, or a label is not the network's.
    """
    dataset.check_targets(backbone.num_classes)
    path = results_dir / "lists" / f"predictions-{_key(dataset, backbone)}.parquet"
    classes = _load(path, len(dataset))
    if classes is None:
        classes = make()
        _save(path, dataset.samples, classes)
    return Predictions(backbone.name, classes)


def predict(dataset: Dataset, scorer: Scorer, device: torch.device, workers: int = 1) -> list[int]:
    """Predicted class of each image, in batches of one fixed shape.

    See `bench.score.predicted_classes`.

    Args:
        dataset: The images.
        scorer: The network; its batch is halved when memory runs out, if it may be.
        device: Where the network lives.
        workers: Threads that read images ahead of the network.

    Raises:
        BenchError: Images cannot be read; names the first of them and counts all.
    """
    found: list[int] = []
    problems = Problems(f"dataset '{dataset.name}'")
    size = scorer.batch_size
    reads = (sample.read for sample in dataset.samples)
    with closing(read_ahead(reads, workers, ahead=size)) as images:
        while block := list(islice(images, size)):
            for error in block:
                if isinstance(error, BenchError):
                    problems.add("images that cannot be read", str(error))
            if problems.lines():  # the rest is only read to report everything that is wrong
                continue
            read = [image for image in block if not isinstance(image, BenchError)]
            x = scorer.backbone.preprocess(read).to(device)
            while True:
                try:
                    outputs = scorer.outputs_in_batches(x)
                    break
                except torch.OutOfMemoryError:
                    scorer.shrink()
            targets = torch.tensor(
                [sample.target for sample in dataset.samples[len(found) :][: len(block)]],
                device=outputs.device,
            )
            found += predicted_classes(outputs, targets, scorer.backbone.output_kind).tolist()
    problems.raise_any()
    return found


def _key(dataset: Dataset, backbone: Backbone) -> str:
    """Hash over what decides predictions.

    Sizes and times of the files stand for their pixels: to read those takes about as long as to
    predict from them.
    """
    speed = {"precision": backbone.precision, "compile": backbone.is_compiled}
    digest = hashlib.sha256(json.dumps(backbone.identity() | speed, sort_keys=True).encode())
    for sample in dataset.samples:
        try:
            state = sample.path.stat()
            written = f"{state.st_size} {state.st_mtime_ns}"
        except OSError:  # reading it raises the error
            written = ""
        digest.update(f"{sample.image_id}\x1f{sample.path.absolute()}\x1f{written}\n".encode())
    return digest.hexdigest()[:16]


def _load(path: Path, count: int) -> list[int] | None:
    """Predictions of `count` images that were kept, or None; broken ones are set aside."""
    if not path.exists():
        return None
    try:
        content = read_whole(path)
        try:
            predictions = pd.read_parquet(io.BytesIO(content))["prediction"]
        except (*DAMAGED, pa.ArrowException) as error:
            raise BrokenFileError(path, str(error) or type(error).__name__) from None
        if len(predictions) != count or predictions.dtype.kind not in "iu":
            raise BrokenFileError(path, f"expected {count} classes")
    except BrokenFileError as error:
        warn(set_aside(error))
        return None
    return predictions.tolist()


def _save(path: Path, samples: Sequence[Sample], predictions: Sequence[int]) -> None:
    buffer = io.BytesIO()
    pd.DataFrame(
        {
            "image_id": [sample.image_id for sample in samples],
            "target": [sample.target for sample in samples],
            "prediction": predictions,
        }
    ).to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())
