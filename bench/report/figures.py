"""Figures of a leaderboard: mean curves with bands, and maps beside their photos."""

import io
from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy import stats

_COLOURS = mpl.colormaps["tab10"].colors
_STYLES = ("-", "--", ":", "-.")


def draw_curves(
    curves: Mapping[str, tuple[NDArray[np.float32], NDArray[np.float32]]], score: str
) -> bytes:
    """Mean insertion and deletion curve of each method with a 95 % band.

    Args:
        curves: Method -> insertion (n, S+1) and deletion (n, T+1) scores.
        score: What the vertical axis shows.

    Returns:
        A PNG. Bands are pointwise Student-t intervals of the mean over images, cut at the range
        of the method's scores.
    """
    figure = Figure(figsize=(11, 4.6), layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, 2, sharey=True)
    for direction, axes in enumerate(panels):
        for number, (method, both) in enumerate(curves.items()):
            _draw_band(axes, both[direction], method, number)
        axes.set_xlabel(f"pixels {('inserted', 'deleted')[direction]}, most important first")
        axes.set_title(("Insertion: higher is better", "Deletion: lower is better")[direction])
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.set_xlim(0, 1)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel(score.replace("_", " "))
    handles, labels = panels[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside right center", frameon=False)
    for text in legend.get_texts():
        text.set_parse_math(False)  # a name is no formula
    return _png(figure, dpi=110)


def draw_maps(
    photos: Mapping[str, NDArray[np.uint8]],
    maps: Mapping[str, Mapping[str, NDArray[np.float32] | None]],
) -> bytes:
    """Photos and, beside each, its map by every method.

    Args:
        photos: Image id -> RGB uint8 (H, W, 3) at the size of the maps.
        maps: Method -> image id -> (H, W), or None if it was not kept.

    Returns:
        A PNG. Colours follow the rank of the pixels, which is all that the metric sees.
    """
    rows, columns = len(photos), len(maps) + 1
    figure = Figure(figsize=(1.5 * columns, 1.55 * rows + 0.3), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for row, (image_id, photo) in enumerate(photos.items()):
        grid[row, 0].imshow(photo)
        for column, (method, own) in enumerate(maps.items(), start=1):
            if own[image_id] is not None:
                ranks = stats.rankdata(own[image_id], axis=None).reshape(own[image_id].shape)
                grid[row, column].imshow(photo.mean(axis=2), cmap="gray")
                grid[row, column].imshow(ranks, cmap="inferno", alpha=0.75)
            if row == 0:
                grid[row, column].set_title(method, fontsize=9, parse_math=False)
    grid[0, 0].set_title("photo", fontsize=9)
    for axes in grid.flat:
        axes.set_axis_off()
    return _png(figure, dpi=72)


def draw_contact_sheet(images: Mapping[str, NDArray[np.uint8]], columns: int = 8) -> bytes:
    """Images in rows, each under its title.

    Args:
        images: Title -> RGB uint8 (H, W, 3). Of a long title the end is shown.
        columns: Images in a row.

    Returns:
        A PNG.
    """
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.5 * columns, 1.7 * rows))
    grid = figure.subplots(rows, columns, squeeze=False)
    figure.subplots_adjust(0.005, 0.005, 0.995, 1 - 0.2 / (1.7 * rows), 0.03, 0.13)
    for axes, (title, image) in zip(grid.flat, images.items(), strict=False):
        axes.imshow(image)
        shown = title if len(title) <= 26 else f"...{title[-23:]}"
        axes.set_title(shown, fontsize=6, pad=2, parse_math=False)
    for axes in grid.flat:
        axes.set_axis_off()
    return _png(figure, dpi=100)


def _draw_band(axes: Axes, scores: NDArray[np.float32], method: str, number: int) -> None:
    fraction = np.linspace(0, 1, scores.shape[1])
    mean = scores.mean(axis=0)
    colour = _COLOURS[number % len(_COLOURS)]
    style = _STYLES[number // len(_COLOURS) % len(_STYLES)]
    axes.plot(fraction, mean, style, color=colour, label=method, linewidth=1.8)
    if len(scores) > 1:
        half = stats.sem(scores, axis=0) * stats.t.ppf(0.975, len(scores) - 1)
        # With a handful of images a symmetric band would leave the range that scores can have.
        low, high = np.clip([mean - half, mean + half], scores.min(), scores.max())
        axes.fill_between(fraction, low, high, color=colour, alpha=0.12, lw=0)


def _png(figure: Figure, dpi: int) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()
