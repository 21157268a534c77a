"""Boxes around the bright parts of maps: on photos, and how many of them find the object."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from bench.leaderboard.comparison import Comparison
from bench.metrics.metric import Metric
from bench.metrics.thresholded_boxes import ThresholdedBoxes
from bench.report.figures.maps import GAP, TILE, add_tile, tell_lack, wrapped
from bench.report.figures.style import (
    COLOURS,
    FONT,
    add_legend,
    marks_of,
    new_figure,
    placed_figure,
    shown,
    styled,
)
from bench.report.texts import label_in_words
from bench.storage.pictures import Picture

_LEVELS = np.arange(101) / 100
"""Least IoU at which success is drawn, beside those that the metric asks for."""
_LINE = 0.13
"""Inches; a line of text below a photo."""
_OUTLINE = [patheffects.Stroke(linewidth=2.2, foreground="black"), patheffects.Normal()]
"""So that lines are seen on photos of any colour."""
_DRAWN: dict[str, Any] = {"color": "white", "linestyle": "-", "linewidth": 1.2}
_FOUND: dict[str, Any] = {"color": COLOURS[1], "linestyle": (0, (4, 2)), "linewidth": 1.2}
_POINT: dict[str, Any] = {
    "color": COLOURS[5], "marker": "X", "markersize": 6, "markeredgecolor": "black",
    "markeredgewidth": 0.8, "linestyle": "",
}  # fmt: skip


@styled()
def draw_success(comparison: Comparison) -> Figure:
    """The share of images that each method finds against the IoU that is asked for.

    For each IoU the threshold of the maps is the one at which most images are found, as the metric
    chooses it.

    Args:
        comparison: Whose rows; a panel for each metric of `protocol.boxes`, one at least. Some
            image has a box.
    """
    metrics, methods = comparison.protocol.boxes, marks_of(comparison)
    figure = new_figure(2.9)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(wspace=0.04)
    panels: list[Axes] = list(figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0])
    for axes, metric in zip(panels, metrics.values(), strict=True):
        levels = np.union1d(_LEVELS, metric.iou)
        for level in metric.iou:
            axes.axvline(level, color="#999999", linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        for number, (method, mark) in enumerate(methods.items()):
            of_draws = [metric.success(rows, levels.tolist()) for rows in comparison.tables(method)]
            share = np.mean(of_draws, axis=0)
            every = len(levels) // 5  # markers of different methods at different points
            style = {**mark.line, **mark.point, "markevery": (number * 4 % every, every)}
            # An image whose IoU is that of a level is found there, and nowhere to its right.
            axes.plot(levels, share, label=method, clip_on=False, drawstyle="steps-pre", **style)
        axes.set_title(f"{metric.statistics[0].title}: higher is better")
        axes.set(xlabel="least IoU", xlim=(0, 1), ylim=(0, 1))
        axes.yaxis.set_major_formatter("{x:.0%}")
        axes.grid()
    panels[0].set_ylabel("images whose object is found")
    add_legend(figure, methods)
    return figure


@styled()
def draw_boxes(comparison: Comparison, name: str, pictures: Sequence[Picture]) -> Figure:
    """Photos with the boxes that people drew and the one that each method's map found.

    The map's box is the one at the threshold that is best for all images; beside the IoU stands
    whether that is a hit.

    Args:
        comparison: Whose rows and maps; the place of a map that was not kept says so.
        name: A key of `protocol.boxes`.
        pictures: A row each; they have boxes.
    """
    grid = _Grid(comparison, comparison.protocol.boxes[name])
    heads = ["photo", *("\n".join(wrapped(method)) for method in comparison.runs)]
    top = 0.14 * max(head.count("\n") + 1 for head in heads) + 0.06
    step = TILE + _LINE * (1 + (grid.pointing is not None)) + 2 * GAP
    width = max(GAP + (TILE + GAP) * len(heads), 4.6)  # of the legend
    figure = placed_figure(top + step * len(pictures) + 0.42, width)
    for line, picture in enumerate(pictures):
        for column, method in enumerate([None, *comparison.runs]):
            axes = add_tile(figure, GAP + (TILE + GAP) * column, top + step * line, TILE)
            grid.draw(axes, picture, method)
            if line == 0:
                axes.set_title(heads[column], fontsize=FONT, pad=3)
    _add_key(figure, grid.pointing is not None)
    figure.text(
        GAP / width, GAP / figure.get_figheight(),
        f"{grid.metric.statistics[0].title}; hit: an IoU of {level_shown(grid.metric):g} at least",
    )  # fmt: skip
    return figure


def level_shown(metric: ThresholdedBoxes) -> float:
    """Of the IoU that a metric asks for, the one by which photos say hit or miss: the middle."""
    return sorted(metric.iou)[len(metric.iou) // 2]


def pointing_metric(comparison: Comparison) -> Metric | None:
    """The first metric of a comparison that asks about one pixel of a map; None: none does."""
    blank = np.zeros((1, 1), np.float32)
    metrics = comparison.protocol.metrics.values()
    return next((metric for metric in metrics if metric.point(blank) is not None), None)


@dataclass(frozen=True)
class _Grid:
    """What is drawn on the photos of a figure.

    Attributes:
        comparison: Whose rows and maps.
        metric: Draws the boxes.
    """

    comparison: Comparison
    metric: ThresholdedBoxes

    @cached_property
    def pointing(self) -> Metric | None:
        """See `pointing_metric`."""
        return pointing_metric(self.comparison)

    @cached_property
    def thresholds(self) -> dict[str, int]:
        """By method, the threshold that is best for all images."""
        level, rows = level_shown(self.metric), self.comparison.rows
        return {method: self.metric.best_threshold(rows[method], level) for method in rows}

    def draw(self, axes: Axes, picture: Picture, method: str | None) -> None:
        """Draws a photo with its boxes and what a method found; None: only what people drew."""
        saliency_map = None
        if method is not None:
            run = self.comparison.runs[method]
            saliency_map = run.load_map(picture.image_id, picture.photo.shape[:2])
            if saliency_map is None:
                tell_lack(axes)
                return
        assert picture.boxes is not None
        axes.imshow(picture.photo)
        for box in picture.boxes:
            _add_box(axes, box, _DRAWN)
        if saliency_map is None:
            label = label_in_words(picture, self.comparison)
            axes.set_xlabel(shown(label, 20), labelpad=2, fontsize=FONT - 1)
        else:
            assert method is not None
            self._draw_found(axes, picture, method, saliency_map)

    def _draw_found(
        self, axes: Axes, picture: Picture, method: str, saliency_map: NDArray[np.float32]
    ) -> None:
        assert picture.boxes is not None
        threshold = self.thresholds[method]
        box = self.metric.box_at(saliency_map, picture.boxes, threshold)
        _add_box(axes, box, _FOUND)
        overlap = self.metric.overlaps(self._row(method, picture))[0, threshold]
        is_hit = overlap >= np.float32(level_shown(self.metric))
        cut = np.floor(100 * overlap + 1e-3) / 100  # 0.499 would read as 0.50, and a miss
        words = [f"IoU {cut:.2f}: {_verdict(is_hit)}"]
        point = None if self.pointing is None else self.pointing.point(saliency_map)
        if point is not None:
            row, column = point
            axes.plot(column, row, **_POINT)
            words.append(f"point: {_verdict(self._is_pointed_at(method, picture))}")
        axes.set_xlabel("\n".join(words), labelpad=2, fontsize=FONT - 1)

    def _row(self, method: str, picture: Picture) -> pd.DataFrame:
        rows = self.comparison.rows[method]
        return rows[rows["image_id"] == picture.image_id]

    def _is_pointed_at(self, method: str, picture: Picture) -> bool:
        assert self.pointing is not None
        statistic, row = self.pointing.statistics[0], self._row(method, picture)
        return bool(self.pointing.values(statistic, row, self.comparison.rule)[0] == 1)


def _verdict(is_hit: bool) -> str:
    return "hit" if is_hit else "miss"


def _add_box(axes: Axes, box: NDArray[Any], style: dict[str, Any]) -> None:
    """Draws left, top, right, bottom in pixels; the centre of the first one is at 0."""
    left, top, right, bottom = np.asarray(box, float) - 0.5
    axes.add_patch(
        Rectangle(
            (left, top), right - left, bottom - top, fill=False, path_effects=_OUTLINE, **style
        )
    )


def _add_key(figure: Figure, has_point: bool) -> None:
    """Says below the photos what lines and crosses are."""
    lines = [("drawn by people", _DRAWN), ("found by the map", _FOUND)]
    handles = [Line2D([], [], path_effects=_OUTLINE, **style) for _, style in lines]
    names = [name for name, _ in lines]
    if has_point:
        handles.append(Line2D([], [], **_POINT))
        names.append("the map's point")
    figure.legend(
        handles,
        names,
        loc="lower left",
        bbox_to_anchor=(0, 0.17 / figure.get_figheight()),
        ncols=len(names),
        handlelength=2.4,
        columnspacing=1.2,
        borderpad=0.3,
    )
