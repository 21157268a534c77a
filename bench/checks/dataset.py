"""`bench check dataset=...`: everything that is wrong with a data set, in one report."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from bench.datasets.dataset import Dataset
from bench.datasets.problems import Problems
from bench.datasets.reading import read_ahead
from bench.errors import BenchError
from bench.files import file_name, write_atomically
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
        same = _digest(path, kind) == expected
        tell(console, same, f"{path}: {kind} {'as it should be' if same else 'is another'}")
        if not same:
            problems.add("files unlike the official ones", f"'{path}' has another {kind}")
    tiles = _read(dataset, workers, problems, console)
    labels = {sample.target for sample in dataset.samples}
    console.print(
        f"labels: {len(labels):,} different, {min(labels)} to {max(labels)}", highlight=False
    )
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


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


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
        elif number % every == 0:
            scale = _TILE / max(image.shape[:2])
            size = [max(round(side * scale), 1) for side in image.shape[1::-1]]
            title = f"{sample.image_id} {sample.target}"
            tile = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
            tiles[title] = np.asarray(tile, np.uint8)
    read = len(dataset) - broken
    tell(console, not broken, f"images that can be read: {read:,} of {len(dataset):,}")
    return tiles
