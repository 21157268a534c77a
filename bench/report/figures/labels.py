"""Names beside points, where they hide least."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import PlaceHolderLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from numpy.typing import NDArray

from bench.report.figures.style import shown

Point = tuple[float, float]
"""(x, y) in data units."""

_RADII = (4, 9, 15, 22, 30, 40, 52, 66)
_ANGLES = np.deg2rad(np.arange(0, 360, 22.5))
_NEAR = 9
"""Points; a name farther from its point than this is tied to it by a line."""
_MARKER = 3.5
"""Points; half the side of the square that a marker takes."""
_OUTSIDE, _NAME, _POINT, _LINE = 30.0, 12.0, 8.0, 2.0
"""How bad it is to lie outside the panel, on a name, on a marker, on a line."""


def label_points(
    figure: Figure,
    axes: Axes,
    points: Mapping[str, tuple[float, float]],
    lines: Sequence[tuple[tuple[float, float], tuple[float, float]]] = (),
    limit: int = 28,
) -> None:
    """Writes names beside points of a panel: each where it hides least of what stands there.

    Names are placed one after the other, the first ones best. The panel's limits and the figure's
    layout are settled by then, and must not be changed later.

    Args:
        figure: The panel's.
        axes: The panel.
        points: Name -> (x, y) in data units.
        lines: Horizontal or vertical lines from (x, y) to (x, y) that names keep off.
        limit: Letters of a name.
    """
    points = {name: xy for name, xy in points.items() if np.isfinite(xy).all()}
    if not points:
        return
    if not isinstance(figure.get_layout_engine(), PlaceHolderLayoutEngine):
        figure.draw_without_rendering()  # once for all panels: it draws all of them
        figure.set_layout_engine("none")
    scale = figure.dpi / 72
    panel = np.array(axes.get_window_extent().extents) / scale
    places = axes.transData.transform(list(points.values())) / scale
    markers = np.concatenate([places - _MARKER, places + _MARKER], axis=1)
    ends = axes.transData.transform(np.reshape(lines, (-1, 2))).reshape(-1, 2, 2) / scale
    thin = np.concatenate([ends.min(axis=1) - 0.7, ends.max(axis=1) + 0.7], axis=1)
    taken = np.concatenate([markers, thin])
    weights = np.repeat([_POINT, _LINE], [len(markers), len(thin)])
    for (name, xy), place in zip(points.items(), places, strict=True):
        text = _centred(axes, shown(name, limit), xy)
        extent = text.get_window_extent()
        half = np.array([extent.width, extent.height]) / scale / 2
        offsets = np.concatenate([_around(half, radius) for radius in _RADII])
        boxes = np.concatenate([place + offsets - half, place + offsets + half], axis=1)
        badness = (_overlaps(boxes, taken) * weights).sum(axis=1)
        badness += _OUTSIDE * (np.prod(2 * half) - _overlaps(boxes, panel[None])[:, 0])
        badness += np.repeat(_RADII, len(_ANGLES)) * half[1] / 4
        best = badness.argmin()
        text.set_position(offsets[best])
        taken = np.concatenate([taken, boxes[best : best + 1]])
        weights = np.append(weights, _NAME)
        if _RADII[best // len(_ANGLES)] > _NEAR:
            _tie(axes, xy, place, boxes[best], scale)


def _centred(axes: Axes, name: str, xy: tuple[float, float]) -> Annotation:
    """A name on its point; `set_position` moves it, in points."""
    return axes.annotate(
        name,
        xy,
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        zorder=6,
    )


def _around(half: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Centres (k, 2) of a box of these half sides whose edge is about `radius` from a point."""
    return np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1) * (half + radius)


def _overlaps(boxes: NDArray[np.float64], others: NDArray[np.float64]) -> NDArray[np.float64]:
    """Areas (k, l) that boxes (k, 4) and (l, 4), as x0, y0, x1, y1, share."""
    low = np.maximum(boxes[:, None, :2], others[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], others[None, :, 2:])
    return (high - low).clip(min=0).prod(axis=2)


def _tie(
    axes: Axes,
    xy: tuple[float, float],
    place: NDArray[np.float64],
    box: NDArray[np.float64],
    scale: float,
) -> None:
    """A line from a point to the nearest edge of its name."""
    nearest = np.clip(place, box[:2], box[2:])
    end = axes.transData.inverted().transform(nearest * scale)
    line = Line2D([xy[0], end[0]], [xy[1], end[1]], color="#888888", linewidth=0.5, zorder=2)
    line.set_transform(axes.transData)
    axes.add_artist(line)  # which, unlike `plot`, leaves the limits as they are
