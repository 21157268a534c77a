r"""Crops and aligns the faces of a data set, for networks that are trained on aligned faces.

    python scripts/align_faces.py datasets/celeba_112 dataset=celeba dataset.list=eval.txt
    bench run dataset=list dataset.name=celeba dataset.root=datasets/celeba_112 \
        dataset.list=datasets/celeba_112/list.txt

It can be stopped and goes on where it was. Look at contact_sheet.png before you use the faces.
"""

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

from bench.config.building import build_dataset
from bench.config.composing import compose_run
from bench.config.reading import read_settings
from bench.datasets.alignment import MISSING, TEMPLATES, Alignment, align_samples, mtcnn, spread
from bench.datasets.reading import read_image
from bench.device import resolve_device
from bench.errors import BenchError
from bench.files import write_atomically
from bench.report.figures import draw_contact_sheet, to_png


def main() -> None:
    """Aligns, tells what was not found, and draws the contact sheet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("output", type=Path, help="folder of its own for the aligned faces")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="as of `bench run`")
    parser.add_argument("--template", default="arcface", choices=TEMPLATES)
    parser.add_argument("--size", type=int, default=112, help="side of the crops")
    parser.add_argument("--missing", default="keep", choices=MISSING, help="if no face is found")
    given = parser.parse_args()
    try:
        _align(given)
    except BenchError as error:
        sys.exit(f"align_faces: error: {error}")


def _align(given: argparse.Namespace) -> None:
    console = Console()
    settings = read_settings(compose_run(given.settings))
    samples = build_dataset(settings.dataset, console).samples
    detect = mtcnn(resolve_device(settings.device))
    columns = (BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("", total=len(samples))
        done = align_samples(
            samples,
            detect,
            given.output,
            Alignment(given.template, given.size),
            given.missing,
            workers=settings.workers,
            on_image=lambda: progress.advance(task),
        )
    lost = [image_id for image_id, record in done.items() if not record["found"]]
    console.print(f"faces found: {len(done) - len(lost):,} of {len(done):,}", highlight=False)
    if lost:
        console.print(f"not found ({given.missing}): {', '.join(lost)}", soft_wrap=True)
    tiles = {}
    for image_id in spread(done, count=48):
        path = given.output / image_id
        if path.exists():
            tiles[f"{image_id}{' NO FACE' if image_id in lost else ''}"] = read_image(path)
    if tiles:
        sheet = to_png(draw_contact_sheet(tiles), dpi=100)
        write_atomically(given.output / "contact_sheet.png", sheet)
    console.print(f"Aligned: {given.output}/list.txt, manifest.jsonl, contact_sheet.png")


if __name__ == "__main__":
    main()
