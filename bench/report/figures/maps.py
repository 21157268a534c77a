"""Photos, maps over them, and pictures at steps of the curves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

from bench.leaderboard.comparison import Comparison
from bench.report.figures.style import (
    COLOURS,
    CONTROL,
    FONT,
    WIDTH,
    add_panel,
    letters_in,
    letters_wide,
    placed_figure,
    shown,
    styled,
    text_width,
)
from bench.report.steps import baseline_of, step_pictures
from bench.report.texts import label_in_words
from bench.storage.pictures import Picture

_COLOURS = np.asarray(mpl.colormaps["inferno"](np.arange(256)))[:, :3]
"""From the least important pixel to the most important one, (256, 3) in 0..1."""
_SHARES = (0.1, 0.2, 0.3, 0.5, 0.7)
"""Of a curve's steps, those that are shown."""
_STYLES: tuple[dict[str, Any], ...] = (
    {"color": COLOURS[0], "linestyle": "-", "marker": "o"},
    {"color": COLOURS[4], "linestyle": "--", "marker": "s"},
    {"color": COLOURS[2], "linestyle": "-.", "marker": "^"},
    {"color": COLOURS[3], "linestyle": ":", "marker": "D"},
)
"""Of the curves of an image, in the order of the protocol."""
TILE, _STEP, GAP = 1.05, 0.8, 0.05
"""Inches; the sides of pictures of the overview and of examples, and what is between them."""
_STEP_LINE = _STEP + 0.36
"""Inches; the height of a line of pictures with what is written about them."""
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
    heads = ["photo", *("\n".join(wrapped(method)) for method in comparison.runs)]
    top = 0.14 * max(head.count("\n") + 1 for head in heads) + 0.06
    step = TILE + GAP
    figure = placed_figure(top + step * len(pictures), GAP + step * len(heads))
    for line, picture in enumerate(pictures):
        for column, run in enumerate([None, *comparison.runs.values()]):
            left = GAP + step * column
            axes = add_tile(figure, left, top + step * line, TILE)
            if run is None:
                axes.imshow(picture.photo)
            else:
                _draw_map(axes, picture, run.load_map(picture.image_id, picture.photo.shape[:2]))
            if line == 0:
                axes.set_title(heads[column], fontsize=FONT, pad=3)
    return figure


@styled()
def draw_examples(
    comparison: Comparison,
    method: str,
    images: Mapping[str, str],
    pictures: Mapping[str, Picture],
) -> Figure:
    """Images with a method's map, what each curve makes of them, and the curves.

    Under each picture stands the score that the curve has there; all curves have one scale.

    Args:
        comparison: Whose rows, protocol and maps.
        method: A key of its `runs`.
        images: What an image is (`best`, `typical`, `worst`) -> its id.
        pictures: By image id. Where one, or its map, was not kept, there are the curves alone.
            Of a protocol without curves, photos and maps stand alone.
    """
    drawn = drawn_curves(comparison, pictures)
    if not drawn:
        return _draw_pairs(comparison, method, images, pictures)
    block = max(2, len(drawn)) * _STEP_LINE + 0.25
    figure = placed_figure(0.3 + block * len(images))
    height = figure.get_figheight()
    figure.text(
        0.5, 1 - 0.06 / height, shown(method, 80),
        ha="center", va="top", size=FONT + 1, weight="bold",
    )  # fmt: skip
    panels: list[Axes] = []
    for number, (what, image_id) in enumerate(images.items()):
        picture, top = pictures.get(image_id), 0.27 + block * number
        heading = f"{what}: {shown(image_id, 60)}"
        if picture is not None:
            heading += f" ({shown(label_in_words(picture, comparison), 40)})"
        figure.text(GAP / WIDTH, 1 - top / height, heading, va="top")
        example = _Example(comparison, method, image_id, picture, drawn)
        panels.append(example.draw(figure, top + 0.32, block - 0.65))
    _share_limits(panels)
    return figure


def _draw_pairs(
    comparison: Comparison,
    method: str,
    images: Mapping[str, str],
    pictures: Mapping[str, Picture],
) -> Figure:
    """As `draw_examples`, without curves: a photo beside its map for each image."""
    top, across = 0.3 + 0.14 * 3 + 0.16, WIDTH / len(images)
    figure = placed_figure(top + TILE + GAP)
    height = figure.get_figheight()
    figure.text(
        0.5, 1 - 0.06 / height, shown(method, 80),
        ha="center", va="top", size=FONT + 1, weight="bold",
    )  # fmt: skip
    letters = letters_in(across - GAP)
    for number, (what, image_id) in enumerate(images.items()):
        picture, left = pictures.get(image_id), GAP + across * number
        lines = [what, shown(image_id, letters)]
        if picture is not None:
            lines.append(shown(label_in_words(picture, comparison), letters))
        figure.text(left / WIDTH, 1 - 0.3 / height, "\n".join(lines), va="top")
        photo, over = (add_tile(figure, left + (TILE + GAP) * i, top, TILE) for i in (0, 1))
        _draw_pair(photo, over, picture, _kept_map(comparison, method, picture))
    return figure


def _kept_map(
    comparison: Comparison, method: str, picture: Picture | None
) -> NDArray[np.float32] | None:
    if picture is None:
        return None
    return comparison.runs[method].load_map(picture.image_id, picture.photo.shape[:2])


def _draw_pair(
    photo: Axes, over: Axes, picture: Picture | None, saliency_map: NDArray[np.float32] | None
) -> None:
    """Draws a photo and its map, or says what was not kept."""
    photo.set_title("photo", fontsize=FONT - 1, pad=2)
    over.set_title("map", fontsize=FONT - 1, pad=2)
    if picture is None:
        tell_lack(photo)
        tell_lack(over)
        return
    photo.imshow(picture.photo)
    _draw_map(over, picture, saliency_map)


def drawn_curves(
    comparison: Comparison, pictures: Mapping[str, Picture]
) -> dict[str, dict[str, Any]]:
    """The curves whose baselines are known from the pictures, each with its style."""
    names = [
        name
        for name in comparison.protocol.curves
        if all(baseline_of(picture, name) is not None for picture in pictures.values())
    ]
    return {name: _STYLES[place % len(_STYLES)] for place, name in enumerate(names)}


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


def wrapped(name: str) -> list[str]:
    """A name in lines as wide as a picture; they may break after an underscore."""
    for letters in range(letters_in(TILE), 3, -1):  # fewer of capitals
        lines = wrap(shown(name).replace("_", "_ "), width=letters)
        lines = [line.replace("_ ", "_") for line in lines] or [""]
        if max(map(text_width, lines)) <= TILE:
            break
    return lines


def add_tile(figure: Figure, left: float, top: float, side: float) -> Axes:
    """A place for a picture, without frame and ticks."""
    axes = add_panel(figure, left, top, side, side)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    return axes


def _draw_map(axes: Axes, picture: Picture, saliency_map: NDArray[np.float32] | None) -> None:
    if saliency_map is None:
        tell_lack(axes)
        return
    axes.imshow(_overlay(picture.photo, saliency_map))


def _overlay(photo: NDArray[np.uint8], saliency_map: NDArray[np.float32]) -> NDArray[np.uint8]:
    """A photo in grey (H, W, 3) under its map's ranks, the brightest the most important."""
    ranks = stats.rankdata(saliency_map, axis=None).reshape(saliency_map.shape)
    levels = (255 * (ranks - 1) / max(ranks.size - 1, 1)).astype(np.uint8)
    grey = photo.mean(axis=2, keepdims=True)
    return (0.25 * grey + 0.75 * (255 * _COLOURS)[levels]).astype(np.uint8)


def tell_lack(axes: Axes) -> None:
    """Says in the place of a picture that there is none."""
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
        _make_room(panel)


def _make_room(panel: Axes) -> None:
    """Takes from a panel's width what its scores need on the right, beyond two decimals."""
    ticks = panel.yaxis.get_major_formatter().format_ticks(panel.get_yticks().tolist())
    wider = max(0.0, letters_wide(ticks) - letters_wide(["0.00"]))
    place = panel.get_position()
    panel.set_position((place.x0, place.y0, place.width - wider / WIDTH, place.height))


@dataclass(frozen=True)
class _Example:
    """An image as a method's map and the curves of a protocol see it.

    Attributes:
        comparison: Whose rows, protocol and maps.
        method: A key of its `runs`.
        image_id: The image.
        picture: Its photo; None if it was not kept.
        curves: By name, the style of each.
    """

    comparison: Comparison
    method: str
    image_id: str
    picture: Picture | None
    curves: Mapping[str, dict[str, Any]]

    def draw(self, figure: Figure, top: float, height: float) -> Axes:
        """Draws photo above map, the steps of each curve in a line, and the curves.

        Args:
            figure: A figure of `placed_figure`.
            top: Inches from its upper edge.
            height: Inches of the panel of the curves.

        Returns:
            The panel of the curves.
        """
        saliency_map = _kept_map(self.comparison, self.method, self.picture)
        self._draw_photo(figure, top, saliency_map)
        left = GAP + (_STEP + GAP) * (1 + len(_SHARES)) + 0.1
        panel = add_panel(figure, left, top, WIDTH - left - _TICKS, height)
        for line, name in enumerate(self.curves):
            steps = self._draw_curve(panel, name)
            if self.picture is not None and saliency_map is not None:
                self._draw_steps(figure, top + _STEP_LINE * line, name, steps, saliency_map)
        _finish_panel(panel, self.comparison.protocol.score)
        return panel

    def _draw_photo(
        self, figure: Figure, top: float, saliency_map: NDArray[np.float32] | None
    ) -> None:
        photo, over = (add_tile(figure, GAP, top + _STEP_LINE * line, _STEP) for line in (0, 1))
        _draw_pair(photo, over, self.picture, saliency_map)

    def _curve(self, name: str) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
        """Scores along a curve, and the share of the pixels at each of its points."""
        place = self.comparison.image_ids.index(self.image_id)
        scores = self.comparison.curves(self.method, name)[place]
        reach = self.comparison.protocol.curves[name].max_fraction
        return scores, np.linspace(0, reach, len(scores))

    def _draw_curve(self, panel: Axes, name: str) -> list[int]:
        """Draws a curve; returns the points that pictures are shown of."""
        scores, share = self._curve(name)
        steps = np.round(np.multiply(_SHARES, len(scores) - 1)).astype(int).clip(min=1)
        points: list[int] = np.unique(steps).tolist()
        panel.plot(share, scores, **self.curves[name], markevery=points, label=name)
        return points

    def _draw_steps(
        self,
        figure: Figure,
        top: float,
        name: str,
        steps: Sequence[int],
        saliency_map: NDArray[np.float32],
    ) -> None:
        assert self.picture is not None
        scores, share = self._curve(name)
        protocol = self.comparison.protocol
        photos = step_pictures(self.picture, saliency_map, protocol, name, steps)
        pixels_are = self.comparison.protocol.curves[name].pixels_are
        for place, (step, photo) in enumerate(zip(steps, photos, strict=True), start=1):
            axes = add_tile(figure, GAP + (_STEP + GAP) * place, top, _STEP)
            axes.imshow(photo)
            axes.set_title(f"{share[step]:.0%} {pixels_are}", fontsize=FONT - 1, pad=2)
            axes.set_xlabel(f"{scores[step]:.3f}", labelpad=2)


def _finish_panel(panel: Axes, score: str) -> None:
    """What stands around the curves of an image."""
    panel.set_ylabel(score.replace("_", " "))
    panel.yaxis.set_label_position("right")
    panel.yaxis.tick_right()
    panel.yaxis.get_offset_text().set_horizontalalignment("left")  # off the legend
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
