"""Faces that experiments need aligned, cut out of a data set that is there."""

from pathlib import Path

from rich.console import Console

from bench.assets.download import Bar
from bench.config.building import build_dataset
from bench.config.composing import compose_run
from bench.config.reading import read_settings
from bench.datasets.alignment import Alignment, align_samples, mtcnn
from bench.device import resolve_device
from bench.errors import BenchError


def align(dataset: str, root: Path, list_: Path, target: Path, bar: Bar) -> str:
    """Aligns the faces of a list into a folder that appears when all of them are done.

    It can be stopped, and goes on where it was.

    Args:
        dataset: The `dataset=` that reads the pictures.
        root: Where they are.
        list_: Which of them, under which names.
        target: The folder.
        bar: Shows how many are done.

    Returns:
        A line on what was found.

    Raises:
        BenchError: Pictures cannot be read, faces cannot be written, or there is no detector.
    """
    settings = read_settings(
        compose_run([f"dataset={dataset}", f'dataset.root="{root}"', f'dataset.list="{list_}"'])
    )
    samples = build_dataset(settings.dataset, Console(quiet=True)).samples
    try:
        detect = mtcnn(resolve_device(settings.device))
    except ImportError as error:
        raise BenchError(
            f"'{target}': the detector of faces cannot be loaded ({error}): install "
            "facenet-pytorch, or put aligned faces there"
        ) from None
    bar.begin(len(samples))
    half = target.with_name(f".{target.name}.aligning")
    done = align_samples(
        samples,
        detect,
        half,
        Alignment(),
        workers=settings.workers,
        on_image=lambda: bar.advance(1),
    )
    try:
        half.rename(target)
    except OSError as error:
        raise BenchError(f"cannot make '{target}': {error.strerror}") from None
    lost = sum(not record["found"] for record in done.values())
    return f"faces found: {len(done) - lost:,} of {len(done):,}; the others are kept whole"
