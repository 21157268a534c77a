"""`bench check dataset=...`: everything that is wrong with a data set, in one report."""

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.datasets.annotation import Annotation
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.problems import Problems
from bench.datasets.reading import read_ahead
from bench.errors import BenchError
from bench.files import file_digest, file_name, write_atomically
from bench.report.figures import draw_contact_sheet, to_png

SHOWN = 48
"""Images on a contact sheet, spread evenly over the data set."""
_TILE = 160
"""Longer side of an image on it, in pixels."""


def check_dataset(
    dataset: Dataset, console: Console, output_dir: Path, workers: int = 1
) -> list[str]:
    """Counts, verifies checksums, reads every image, and draws a contact sheet.

    Args:
        dataset: What to check. Of its images those are read that it lists.
        console: Where the findings go.
        output_dir: Where the contact sheet goes, as `<dataset>.png`.
        workers: Threads that read.

    Returns:
        What is wrong, one line a kind; empty if nothing is.

    Raises:
        BenchError: The contact sheet cannot be written.
    """
    problems = Problems(f"dataset '{dataset.name}'")
    for name, (found, official) in dataset.figures().items():
        tell(console, found == official, f"{name}: {found:,}, officially {official:,}")
        if found != official:
            problems.add("counts unlike the official ones", f"{found:,} {name}, not {official:,}")
    for path, checksum in _known_files(dataset):
        kind, _, expected = checksum.partition(":")
        same = file_digest(path, kind) == expected
        tell(console, same, f"{path}: {kind} {'as it should be' if same else 'is another'}")
        if not same:
            problems.add("files unlike the official ones", f"'{path}' has another {kind}")
    tiles = _read(dataset, workers, problems, console)
    labels = {sample.target for sample in dataset.samples}
    console.print(
        f"labels: {len(labels):,} different, {min(labels)} to {max(labels)}", highlight=False
    )
    _tell_annotations(dataset, console)
    if tiles:
        sheet = output_dir / f"{file_name(dataset.name)}.png"
        write_atomically(sheet, to_png(draw_contact_sheet(tiles), dpi=100))
        console.print(f"Contact sheet: {sheet}", soft_wrap=True, highlight=False)
    return problems.lines()


def tell(console: Console, good: bool, finding: str) -> None:
    """Prints a finding with its verdict."""
    line = f"{'ok     ' if good else 'PROBLEM'} {finding}"
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def _known_files(dataset: Dataset) -> Iterator[tuple[Path, str]]:
    """Files with a known checksum, in the root, beside it, or one floor down in it."""
    if dataset.root is None:
        return
    for name, checksum in dataset.checksums.items():
        places = [dataset.root.parent / name, dataset.root / name, *dataset.root.glob(f"*/{name}")]
        yield from ((path, checksum) for path in places if path.is_file())


def _read(
    dataset: Dataset, workers: int, problems: Problems, console: Console
) -> dict[str, NDArray[np.uint8]]:
    """Reads all images; returns small ones for the contact sheet, by their titles."""
    every = -(-len(dataset) // SHOWN)
    tiles, broken = {}, 0
    images = read_ahead((sample.read for sample in dataset.samples), workers, 2 * workers)
    pairs = zip(dataset.samples, images, strict=True)
    shown = track(pairs, "images", len(dataset), console=console, transient=True)
    for number, (sample, image) in enumerate(shown):
        if isinstance(image, BenchError):
            broken += 1
            problems.add("images that cannot be read", str(image))
            continue
        mask = _checked(sample, image, problems)
        if number % every == 0:
            tiles[f"{sample.image_id} {sample.target}"] = _tile(image, sample.annotation, mask)
    read = len(dataset) - broken
    tell(console, not broken, f"images that can be read: {read:,} of {len(dataset):,}")
    return tiles


def _tell_annotations(dataset: Dataset, console: Console) -> None:
    """Counts boxes and masks, if any image has one."""
    given = [sample.annotation for sample in dataset.samples]
    having = [annotation for annotation in given if annotation is not None]
    boxes = [len(annotation.boxes) for annotation in having]
    if having:
        console.print(
            f"boxes: {sum(boxes):,} in {sum(map(bool, boxes)):,} images; masks: of "
            f"{sum(annotation.mask is not None for annotation in having):,} images; neither: "
            f"{len(given) - len(having):,} of {len(given):,} images",
            soft_wrap=True,
            highlight=False,
        )


def _checked(
    sample: Sample, image: NDArray[np.uint8], problems: Problems
) -> NDArray[np.bool_] | None:
    """An image's mask, if there is one that can be read; what is wrong is a problem."""
    annotation, size = sample.annotation, (image.shape[0], image.shape[1])
    if annotation is None:
        return None
    if annotation.outside(size)[0]:
        kind = "images with boxes that lie outside them"
        problems.add(kind, f"'{sample.image_id}' ({annotation.source})")
    if annotation.mask is None:
        return None
    try:
        mask = annotation.mask(size)
    except BenchError as error:
        problems.add("masks that cannot be used", str(error))
        return None
    if not mask.any():
        problems.add("masks that are empty", f"'{sample.image_id}' ({annotation.source})")
    return mask


def _tile(
    image: NDArray[np.uint8], annotation: Annotation | None, mask: NDArray[np.bool_] | None
) -> NDArray[np.uint8]:
    """A small image for the contact sheet, with its boxes and the outline of its mask."""
    scale = _TILE / max(image.shape[:2])
    width, height = (max(round(side * scale), 1) for side in image.shape[1::-1])
    tile = np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    lines = [] if annotation is None else [_corners(box) for box in annotation.boxes]
    if mask is not None:
        found = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
        lines += [np.add(contour[:, 0], 0.5, dtype=np.float64) for contour in found[0]]
    for colour, thickness in (((0, 0, 0), 3), ((255, 255, 255), 1)):  # seen on any ground
        for line in lines:
            points = (line * [width / image.shape[1], height / image.shape[0]]).round()
            corners = points.clip(0, [width - 1, height - 1]).astype(np.int32)
            cv2.polylines(tile, [corners], True, colour, thickness)
    return tile


def _corners(box: NDArray[np.float64]) -> NDArray[np.float64]:
    left, top, right, bottom = box
    return np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
