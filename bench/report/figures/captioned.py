"""All figures that can be drawn of a leaderboard, one after the other, with their captions."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from bench.files import file_name
from bench.leaderboard.comparison import Comparison, extremes
from bench.leaderboard.robustness import shared_statistics
from bench.leaderboard.significance import Significance, significance
from bench.report.figures.boxes import (
    draw_boxes,
    draw_success,
    level_shown,
    pointing_metric,
)
from bench.report.figures.cost import Measure, draw_cost
from bench.report.figures.critical_difference import draw_critical_difference
from bench.report.figures.curves import draw_curves
from bench.report.figures.distributions import draw_distributions
from bench.report.figures.heatmaps import draw_ranks
from bench.report.figures.maps import draw_examples, draw_maps, drawn_curves
from bench.report.figures.scatter import draw_scatter
from bench.storage.pictures import Picture, load_picture, pictures_folder

_PHOTOS_DPI = 110
"""A photo of 224 pixels is shown on about an inch; finer, the files are mostly noise."""

_COSTS: dict[Measure, str] = {
    "passes": "what one map costs in passes through the network",
    "seconds": "the seconds that an image's map and curves took where they were run",
}
"""What methods cost, and how a caption says it."""

_ROWS = 8
"""Images of the overview of maps, at most."""


class CaptionedFigure(NamedTuple):
    """A figure that is ready to be shown.

    Attributes:
        name: For a file: `curves`, `gallery_<method>`, ...
        title: A few words.
        caption: What it shows, and how to read it.
        figure: What the functions of this package return.
        dpi: Pixels an inch that do it justice.
        method: The row that it is about, where it is about one.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    dpi: int = 200
    method: str | None = None


def diagrams(
    comparison: Comparison, significances: Sequence[Significance] | None = None
) -> Iterator[CaptionedFigure]:
    """Figures of numbers.

    Args:
        comparison: Whose numbers.
        significances: On its statistics, where they are known; made here if None.
    """
    has_many_images = len(comparison.image_ids) > 1
    if comparison.protocol.curves:
        yield _curves(comparison)
    if _boxed(comparison):
        yield _success(comparison)
    if has_many_images and comparison.statistics:
        yield CaptionedFigure(
            "distributions",
            "Values of single images",
            "A dot is an image, a large mark the mean with its 95 % bootstrap interval; boxes go "
            "from quartile to quartile.",
            draw_distributions(comparison),
        )
    if len(comparison.runs) > 1:
        yield from _of_methods(comparison, significances if has_many_images else [])


def _curves(comparison: Comparison) -> CaptionedFigure:
    ways = list(dict.fromkeys(curve.pixels_are for curve in comparison.protocol.curves.values()))
    caption = f"Mean score against the share of pixels {' or '.join(ways)}."
    if len(comparison.image_ids) > 1:
        caption += " Bands are pointwise 95 % intervals of the mean (Student's t)."
    return CaptionedFigure("curves", "Mean curves", caption, draw_curves(comparison))


def _success(comparison: Comparison) -> CaptionedFigure:
    lacking = len(comparison.image_ids) - len(_boxed(comparison))
    caption = (
        "Share of images whose object is found against the IoU that a map's box must have with a "
        "drawn one, each at the threshold that is best for all images. Dotted lines are the IoU "
        "that tables show."
    )
    return CaptionedFigure(
        "success",
        "Success against IoU",
        caption + _without_box(lacking, "image"),
        draw_success(comparison),
    )


def _boxed(comparison: Comparison) -> list[str]:
    """The images in which someone drew a box, where a metric asks for boxes."""
    rows = next(iter(comparison.rows.values()))
    for metric in comparison.protocol.boxes.values():
        return [str(image_id) for image_id in rows["image_id"][metric.has_box(rows)]]
    return []


def _without_box(count: int, what: str) -> str:
    """A sentence on images that are left out; none where there are none."""
    if not count:
        return ""
    several = count > 1
    return f" {count} {what}{'s' * several} without a box {'are' if several else 'is'} left out."


def _of_methods(
    comparison: Comparison, significances: Sequence[Significance] | None
) -> Iterator[CaptionedFigure]:
    """Figures that set methods against each other."""
    if len(comparison.statistics) > 1:
        first, second = comparison.statistics[:2]
        yield CaptionedFigure(
            "scatter",
            f"{first.title} against {second.title.lower()}",
            "Means with 95 % bootstrap intervals; the best corner is marked.",
            draw_scatter(comparison),
        )
    if significances is None:
        significances = [significance(comparison, statistic) for statistic in comparison.tested]
    if significances:
        yield CaptionedFigure(
            "ranks",
            "Average ranks",
            "Ranks within each image, averaged over images. A bar joins methods that differ by "
            "less than Nemenyi's critical difference at 0.05 (Demsar 2006).",
            draw_critical_difference(significances, comparison.controls),
        )
    for measure, words in _COSTS.items() if comparison.statistics else ():
        if measure == "seconds" or any(run.passes for run in comparison.runs.values()):
            yield CaptionedFigure(
                f"cost_{measure}",
                f"Means against {measure}",
                f"Means with 95 % bootstrap intervals against {words}; methods of equal cost "
                "stand side by side.",
                draw_cost(comparison, measure),
            )


def photographs(
    comparison: Comparison, results_dir: Path, beside: Sequence[Comparison] = ()
) -> Iterator[CaptionedFigure]:
    """Figures of images, as far as pictures and maps were kept.

    Args:
        comparison: Whose maps.
        results_dir: The results folder, where the pictures are.
        beside: All comparisons whose figures go into the same folder.

    Raises:
        BenchError: A picture or a map that was kept cannot be read.
    """
    folder = pictures_folder(results_dir, comparison.title, comparison.key)
    loaded = {image_id: load_picture(folder, image_id) for image_id in comparison.image_ids}
    pictures = {image_id: picture for image_id, picture in loaded.items() if picture is not None}
    if pictures:
        yield CaptionedFigure(
            "maps",
            "Maps",
            "Photos and each method's map over them; colours follow the rank of the pixels, which "
            "is all that the metrics see.",
            draw_maps(comparison, _overview(comparison, pictures)),
            _PHOTOS_DPI,
        )
    yield from _boxes(comparison, pictures)
    names = gallery_names(comparison, beside)
    for method in comparison.runs:
        images = extremes(comparison, method)
        if method not in comparison.controls and pictures.keys() & set(images.values()):
            caption = (
                f"Images on which {comparison.protocol.quality_in_words} is highest, in the middle "
                "and lowest."
            )
            if drawn_curves(comparison, pictures):
                caption += " Under each picture stands the score that the curve has there."
            yield CaptionedFigure(
                names[method],
                f"{method}: best, typical and worst image",
                caption,
                draw_examples(comparison, method, images, pictures),
                _PHOTOS_DPI,
                method,
            )


def gallery_names(comparison: Comparison, beside: Sequence[Comparison] = ()) -> dict[str, str]:
    """What the figures of single methods are called: `gallery_<method>`, by the methods' rows.

    Where files of two rows would be called alike, also where case makes no difference, the name
    has digits of the run; where a folder holds several comparisons, data set, network and protocol.

    Args:
        comparison: Whose rows.
        beside: All comparisons whose figures go into the same folder.
    """
    several = any(other.key != comparison.key for other in beside)
    place = "_" + comparison.title.replace(" · ", "_") if several else ""
    titles = [other.title for other in beside if other.key != comparison.key]
    if comparison.title in titles:  # networks with other weights, say
        place += f"-{comparison.key}"
    names = {method: file_name(f"gallery_{method}{place}") for method in comparison.runs}
    counts = Counter(name.casefold() for name in names.values())
    return {
        method: f"{name}-{comparison.runs[method].key[:8]}" if counts[name.casefold()] > 1 else name
        for method, name in names.items()
    }


def _boxes(comparison: Comparison, pictures: Mapping[str, Picture]) -> Iterator[CaptionedFigure]:
    """Photos with boxes, a figure for each metric that draws some."""
    boxed = set(_boxed(comparison))
    kept = {
        image_id: picture
        for image_id, picture in pictures.items()
        if image_id in boxed and picture.boxes is not None and len(picture.boxes)
    }
    lacking = _without_box(len(pictures.keys() - boxed), "kept image")
    pointing = pointing_metric(comparison)
    for name, metric in comparison.protocol.boxes.items() if kept else ():
        caption = (
            "Boxes that people drew (solid) and the one of each map's that overlaps them most "
            "(dashed), at the threshold that is best for all images. A hit has an IoU of "
            f"{level_shown(metric):g} at least."
        )
        if pointing is not None:
            words = " ".join(pointing.in_words(comparison.rule))
            caption += f" The cross is the map's point, a hit or a miss by itself: {words}"
        shown = _overview(comparison, kept)
        if len(shown) < len(kept):
            caption += f" {len(shown)} of {len(kept)} kept images are shown."
        yield CaptionedFigure(
            f"boxes_{name}",
            f"{metric.statistics[0].title}: boxes",
            caption + lacking,
            draw_boxes(comparison, name, shown),
            _PHOTOS_DPI,
        )


def ranks_over_benchmarks(comparisons: Sequence[Comparison]) -> Iterator[CaptionedFigure]:
    """How methods rank where there are several benchmarks, networks or protocols.

    Args:
        comparisons: The comparisons of one leaderboard.
    """
    for statistic in shared_statistics(comparisons) if len(comparisons) > 1 else ():
        yield CaptionedFigure(
            f"benchmarks_{statistic.name}",
            f"Ranks by {statistic.title.lower()}",
            "The rank of each method's mean within each benchmark; blank where it was not run.",
            draw_ranks(comparisons, statistic),
        )


def _overview(comparison: Comparison, pictures: Mapping[str, Picture]) -> list[Picture]:
    """The first pictures that most methods have maps of."""
    lacking = {
        image_id: sum(run.load_map(image_id) is None for run in comparison.runs.values())
        for image_id in pictures
    }
    least = min(lacking.values())
    return [one for image_id, one in pictures.items() if lacking[image_id] == least][:_ROWS]
