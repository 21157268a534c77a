"""Photos, maps over them, and what a curve makes of them."""

from collections.abc import Mapping, Sequence
from textwrap import wrap

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from bench.leaderboard.comparison import Comparison
from bench.pictures import Picture
from bench.report.figures.style import (
    COLOURS,
    CONTROL,
    FONT,
    WIDTH,
    add_panel,
    letters_wide,
    placed_figure,
    shown,
    styled,
)
from bench.report.steps import step_pictures

_COLOURS = np.array(mpl.colormaps["inferno"].colors)
"""From the least important pixel to the most important one, (256, 3) in 0..1."""
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Of a curve's steps, those that a gallery shows."""
_CURVES = {
    "insertion": {"color": COLOURS[0], "linestyle": "-", "marker": "o"},
    "deletion": {"color": COLOURS[4], "linestyle": "--", "marker": "s"},
}
_TILE, _STEP, _GAP = 1.05, 0.8, 0.05
"""Inches; the sides of pictures of the overview and of a gallery, and what is between them."""
_STEP_LINE = _STEP + 0.36
_BLOCK = 2 * _STEP_LINE + 0.25
"""Inches; the heights of a line of pictures with what is written about them, and of an image."""
_TICKS = 0.62
"""Inches; what the scores at a panel of curves take, as wide as -0.025."""


@styled()
def draw_maps(comparison: Comparison, pictures: Sequence[Picture]) -> Figure:
    """Photos and, beside each, its map by every method.

    Colours follow the rank of the pixels, which is all that the metrics see.

    Args:
        comparison: Whose maps; the place of one that was not kept says so.
        pictures: A row each.
    """
    heads = ["photo", *("\n".join(_wrapped(method)) for method in comparison.runs)]
    top = 0.14 * max(own.count("\n") + 1 for own in heads) + 0.06
    step = _TILE + _GAP
    figure = placed_figure(top + step * len(pictures), _GAP + step * len(heads))
    for line, picture in enumerate(pictures):
        for column, run in enumerate([None, *comparison.runs.values()]):
            left = _GAP + step * column
            axes = _add_tile(figure, left, top + step * line, _TILE)
            if run is None:
                axes.imshow(picture.photo)
            else:
                _draw_map(axes, picture, run.load_map(picture.image_id, picture.photo.shape[:2]))
            if line == 0:
                axes.set_title(heads[column], fontsize=FONT, pad=3)
    return figure


@styled()
def draw_gallery(
    comparison: Comparison,
    method: str,
    images: Mapping[str, str],
    pictures: Mapping[str, Picture],
) -> Figure:
    """Images with a method's map, what both curves make of them, and the curves.

    Under each picture stands the score that the curve has there; all curves have one scale.

    Args:
        comparison: Whose rows, protocol and maps.
        method: A key of its `runs`.
        images: What an image is (`best`, `typical`, `worst`) -> its id.
        pictures: By image id. Where one, or its map, was not kept, there are the curves alone.
    """
    figure = placed_figure(0.3 + _BLOCK * len(images))
    height = figure.get_figheight()
    title = {"ha": "center", "va": "top", "size": FONT + 1, "weight": "bold"}
    figure.text(0.5, 1 - 0.06 / height, shown(method, 80), **title)
    panels: list[Axes] = []
    for number, (what, image_id) in enumerate(images.items()):
        picture, top = pictures.get(image_id), 0.27 + _BLOCK * number
        label = "" if picture is None else f" ({shown(picture.label, 40)})"
        heading = f"{what}: {shown(image_id, 60)}{label}"
        figure.text(_GAP / WIDTH, 1 - top / height, heading, va="top")
        panels.append(_draw_image(figure, top + 0.16, comparison, method, image_id, picture))
    _share_limits(panels)
    return figure


@styled()
def draw_contact_sheet(images: Mapping[str, NDArray[np.uint8]], columns: int = 8) -> Figure:
    """Images in rows, each under its title.

    Args:
        images: Title -> RGB uint8 (H, W, 3). Of a long title the end is shown.
        columns: Images in a row.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.7 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.2 / (1.7 * rows), 0.03, 0.13)
    for axes, (title, image) in zip(grid.flat, images.items(), strict=False):
        axes.imshow(image)
        text = title if len(title) <= 26 else f"...{title[-23:]}"
        axes.set_title(text, fontsize=6, pad=2)
    for axes in grid.flat:
        axes.set_axis_off()
    return figure


def _wrapped(name: str) -> list[str]:
    """A name in lines as wide as a picture; they may break after an underscore."""
    lines = wrap(shown(name).replace("_", "_ "), width=int(_TILE / letters_wide("m")))
    return [line.replace("_ ", "_") for line in lines] or [""]


def _add_tile(figure: Figure, left: float, top: float, side: float) -> Axes:
    """A place for a picture, without frame and ticks."""
    axes = add_panel(figure, left, top, side, side)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def _draw_map(axes: Axes, picture: Picture, saliency_map: NDArray[np.float32] | None) -> None:
    if saliency_map is None:
        _tell_lack(axes)
        return
    axes.imshow(_overlay(picture.photo, saliency_map))


def _overlay(photo: NDArray[np.uint8], saliency_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A photo in grey (H, W, 3) under its map's ranks, the brightest the most important."""
    ranks = stats.rankdata(saliency_map, axis=None).reshape(saliency_map.shape)
    levels = (255 * (ranks - 1) / max(ranks.size - 1, 1)).astype(np.uint8)
    grey = photo.mean(axis=2, keepdims=True)
    return (0.25 * grey + 0.75 * (255 * _COLOURS)[levels]).astype(np.uint8)


def _tell_lack(axes: Axes) -> None:
    axes.text(
        0.5, 0.5, "not kept", transform=axes.transAxes, ha="center", va="center", color=CONTROL
    )


def _share_limits(panels: Sequence[Axes]) -> None:
    """Gives panels one scale that holds the lines of all.

    To share axes after plotting would give all panels the limits of the first.
    """
    limits = [(*panel.get_xlim(), *panel.get_ylim()) for panel in panels]
    left, right, bottom, top = np.transpose(limits)
    for panel in panels:
        panel.set(xlim=(left.min(), right.max()), ylim=(bottom.min(), top.max()))


def _draw_image(
    figure: Figure,
    top: float,
    comparison: Comparison,
    method: str,
    image_id: str,
    picture: Picture | None,
) -> Axes:
    """One image: photo above map, steps of insertion above those of deletion; and both curves.

    Returns:
        The panel of the curves.
    """
    rows, protocol = comparison.rows[method], comparison.identity["protocol"]
    row = rows[rows["image_id"] == image_id].iloc[0]
    saliency_map = None
    if picture is not None:
        saliency_map = comparison.runs[method].load_map(image_id, picture.photo.shape[:2])
    photo, over = (
        _add_tile(figure, _GAP, top + 0.16 + _STEP_LINE * line, _STEP) for line in (0, 1)
    )
    photo.set_title("photo", fontsize=FONT - 1, pad=2)
    over.set_title("map", fontsize=FONT - 1, pad=2)
    if picture is None:
        _tell_lack(photo)
        _tell_lack(over)
    else:
        photo.imshow(picture.photo)
        _draw_map(over, picture, saliency_map)
    left = _GAP + (_STEP + _GAP) * (1 + len(_SHARES)) + 0.1
    panel = add_panel(figure, left, top + 0.16, WIDTH - left - _TICKS, _BLOCK - 0.65)
    for line, (direction, style) in enumerate(_CURVES.items()):
        curve = row[f"{direction}_curve"]
        share = np.linspace(0, protocol[direction].get("max_fraction", 1), len(curve))
        steps = np.unique(np.round(np.multiply(_SHARES, len(curve) - 1)).astype(int).clip(min=1))
        panel.plot(share, curve, **style, markevery=steps.tolist(), label=direction)
        if saliency_map is None:
            continue
        photos = step_pictures(picture, saliency_map, protocol, direction, steps.tolist())
        for place, (step, own) in enumerate(zip(steps, photos, strict=True), start=1):
            axes = _add_tile(
                figure, _GAP + (_STEP + _GAP) * place, top + 0.16 + _STEP_LINE * line, _STEP
            )
            axes.imshow(own)
            axes.set_title(f"{share[step]:.0%} {direction[:-3]}ed", fontsize=FONT - 1, pad=2)
            axes.set_xlabel(f"{curve[step]:.3f}", labelpad=2)
    panel.set_ylabel(protocol["score"].replace("_", " "))
    panel.yaxis.set_label_position("right")
    panel.yaxis.tick_right()
    panel.yaxis.get_offset_text().set_ha("left")  # off the legend
    panel.spines[:].set_visible(True)
    panel.xaxis.set_major_formatter("{x:.0%}")
    panel.set_xlim(0, None)
    panel.grid()
    panel.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        fontsize=FONT - 1,
        handlelength=1.1,  # wider, it would run into the title of the last step
        handletextpad=0.3,
        columnspacing=0.5,
        borderpad=0,
    )
    return panel
