"""All figures that can be drawn of a leaderboard, one after the other, with their captions."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from bench.leaderboard.comparison import Comparison, extremes
from bench.leaderboard.significance import Significance, significance
from bench.pictures import Picture, load_picture, pictures_folder
from bench.report.figures.cost import draw_cost
from bench.report.figures.critical_difference import draw_critical_difference
from bench.report.figures.curves import draw_curves
from bench.report.figures.distributions import draw_distributions
from bench.report.figures.heatmaps import draw_ranks
from bench.report.figures.maps import draw_gallery, draw_maps
from bench.report.figures.scatter import draw_scatter

_PHOTOS_DPI = 110
"""A photo of 224 pixels is shown on about an inch; finer, the files are mostly noise."""

_ROWS = 8
"""Images of the overview of maps, at most."""


class Plate(NamedTuple):
    """A figure that is ready to be shown.

    Attributes:
        name: For a file: `curves`, `gallery_<folder of the run>`, ...
        title: A few words.
        caption: What it shows, and how to read it.
        figure: What the functions of this package return.
        dpi: Pixels an inch that do it justice.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    dpi: int = 200


def diagrams(
    comparison: Comparison, significances: Sequence[Significance] | None = None
) -> Iterator[Plate]:
    """Figures of numbers.

    Args:
        comparison: Whose numbers.
        significances: On its metrics, where they are known; made here if None.
    """
    many = len(comparison.image_ids) > 1
    bands = "Bands are pointwise 95 % intervals of the mean (Student's t)." if many else ""
    yield Plate(
        "curves",
        "Mean curves",
        f"Mean score against the share of pixels inserted or deleted. {bands}".strip(),
        draw_curves(comparison),
    )
    if many:
        yield Plate(
            "distributions",
            "Areas of single images",
            "A dot is an image, a large mark the mean with its 95 % bootstrap interval; boxes go "
            "from quartile to quartile.",
            draw_distributions(comparison),
        )
    if len(comparison.runs) < 2:
        return
    yield Plate(
        "scatter",
        "Insertion against deletion",
        "Mean areas with 95 % bootstrap intervals; the upper left is better.",
        draw_scatter(comparison),
    )
    if significances is None and many:
        significances = [significance(comparison, metric) for metric in ("insertion", "deletion")]
    if significances and many:
        yield Plate(
            "ranks",
            "Average ranks",
            "Ranks within each image, averaged over images. A bar joins methods that differ by "
            "less than Nemenyi's critical difference at 0.05 (Demsar 2006).",
            draw_critical_difference(significances, comparison.controls),
        )
    known = sum(bool(run.passes) for run in comparison.runs.values())
    measures = {
        "passes": "what one map costs in passes through the network",
        "seconds": "the seconds that an image's map and curves took where they were run",
    }
    for measure, words in list(measures.items())[0 if known else 1 :]:
        yield Plate(
            f"cost_{measure}",
            f"Areas against {measure}",
            f"Mean areas with 95 % bootstrap intervals against {words}; methods of equal cost "
            "stand side by side.",
            draw_cost(comparison, measure),
        )


def photographs(comparison: Comparison, results_dir: Path) -> Iterator[Plate]:
    """Figures of images, as far as pictures and maps were kept.

    Args:
        comparison: Whose maps.
        results_dir: The results folder, where the pictures are.

    Raises:
        BenchError: A picture or a map that was kept cannot be read.
    """
    folder = pictures_folder(results_dir, comparison.title, comparison.key)
    loaded = {own: load_picture(folder, own) for own in comparison.image_ids}
    pictures = {image_id: own for image_id, own in loaded.items() if own is not None}
    if pictures:
        yield Plate(
            "maps",
            "Maps",
            "Photos and each method's map over them; colours follow the rank of the pixels, which "
            "is all that the metrics see.",
            draw_maps(comparison, _overview(comparison, pictures)),
            _PHOTOS_DPI,
        )
    for method in comparison.runs:
        images = extremes(comparison, method)
        if method not in comparison.controls and pictures.keys() & set(images.values()):
            yield Plate(
                f"gallery_{comparison.runs[method].folder.name}",
                f"{method}: best, typical and worst image",
                "Images on which insertion minus deletion is highest, in the middle and lowest. "
                "Under each picture stands the score that the curve has there.",
                draw_gallery(comparison, method, images, pictures),
                _PHOTOS_DPI,
            )


def ranks_over_benchmarks(comparisons: Sequence[Comparison]) -> Iterator[Plate]:
    """How methods rank where there are several benchmarks, networks or protocols.

    Args:
        comparisons: Of one leaderboard.
    """
    for metric in ("insertion", "deletion") if len(comparisons) > 1 else ():
        yield Plate(
            f"benchmarks_{metric}",
            f"Ranks by {metric}",
            "The rank of each method's mean within each benchmark; blank where it was not run.",
            draw_ranks(comparisons, metric),
        )


def _overview(comparison: Comparison, pictures: Mapping[str, Picture]) -> list[Picture]:
    """The first pictures that most methods have maps of."""
    lacking = {
        image_id: sum(run.load_map(image_id) is None for run in comparison.runs.values())
        for image_id in pictures
    }
    least = min(lacking.values())
    return [own for image_id, own in pictures.items() if lacking[image_id] == least][:_ROWS]
