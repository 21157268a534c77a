"""What the report's explorer of images draws from: photos, maps and curves, small enough to share.

A map is kept as the order in which its pixels change, and of that no more than the curves' steps
and a few levels between them: one 8-bit picture a map serves for both curves and for display.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.leaderboard.comparison import Comparison
from bench.pictures import Picture, load_picture, pictures_folder
from bench.report.steps import step_of_pixel
from bench.store import Run

DIRECTIONS = ("insertion", "deletion")
_LARGEST = 256  # pixels a side
_SHADES = 32  # of a map, where the steps give fewer
_POINTS = 224  # of a curve; with the shades no more than 8 bits hold


@dataclass(frozen=True)
class Levels:
    """A map's pixels, told apart as far as the report shows them.

    Attributes:
        of_position: (H*W,) uint8, the level of the pixels by their place in the order.
        points: By direction, the points of the curve that are shown, 0 the first.
        changed: By direction, how many pixels have changed at each of these points.
        first: By direction, at which of these points each level has changed; their number where
            none reaches it.
    """

    of_position: NDArray[np.uint8]
    points: Mapping[str, NDArray[np.int64]]
    changed: Mapping[str, NDArray[np.int64]]
    first: Mapping[str, NDArray[np.int64]]


def levels(
    protocol: Mapping[str, Any], lengths: Mapping[str, int], height: int, width: int
) -> Levels:
    """Which pixels may share a level: those between which no shown point of a curve lies.

    Args:
        protocol: `identity["protocol"]` of the runs.
        lengths: By direction, the points S+1 of its curves.
        height: Of the maps.
        width: Of the maps.
    """
    pixels = height * width
    # Of a map whose pixels fall in raster order, a pixel's place is its place in the order.
    falling = -np.arange(pixels, dtype=np.float32).reshape(height, width)
    steps = {own: step_of_pixel(falling, protocol, own).ravel() for own in DIRECTIONS}
    same = np.array_equal(*steps.values())
    points, first = {}, {}
    for direction, own in steps.items():
        shown = _evenly(lengths[direction], _POINTS if same else _POINTS // 2)
        points[direction], first[direction] = shown, np.searchsorted(shown, own)
    shades = np.arange(pixels) * _SHADES // pixels
    boundaries = shades + first["insertion"] + (0 if same else first["deletion"])
    _, where, of_position = np.unique(boundaries, return_index=True, return_inverse=True)
    return Levels(
        of_position.astype(np.uint8),
        points,
        {
            own: np.searchsorted(first[own], np.arange(len(points[own])), side="right")
            for own in DIRECTIONS
        },
        {own: first[own][where] for own in DIRECTIONS},
    )


def level_map(
    saliency_map: NDArray[np.float32], protocol: Mapping[str, Any], known: Levels
) -> NDArray[np.uint8]:
    """The level (H, W) of each of a map's pixels.

    Args:
        saliency_map: (H, W), higher = more important.
        protocol: `identity["protocol"]` of the map's run.
        known: Of this protocol and size.
    """
    each = {"steps": -1, "rows_per_step": None, "max_fraction": 1}
    place = step_of_pixel(saliency_map, {"ties": protocol["ties"], "insertion": each}, "insertion")
    return known.of_position[place - 1]


def explorer(
    comparison: Comparison,
    results_dir: Path,
    first: Mapping[str, str],
    budget: int,
) -> dict[str, Any] | None:
    """What the explorer shows of a comparison, ready for JSON.

    Args:
        comparison: The methods.
        results_dir: The results folder.
        first: Image ids that come before others with as many maps -> why.
        budget: Bytes that images may take; the first one is always there.

    Returns:
        None if no image has a picture and a map. Scores that are not finite are None.
    """
    folder = pictures_folder(results_dir, comparison.title, comparison.key)
    order = list(dict.fromkeys([*first, *comparison.image_ids]))
    maps = {
        own: _count_maps(comparison, kept) for own in order if (kept := load_picture(folder, own))
    }
    kept = sorted(filter(maps.get, maps), key=maps.get, reverse=True)  # stable
    if not kept:
        return None
    photo, rows = load_picture(folder, kept[0]).photo, next(iter(comparison.rows.values()))
    lengths = {own: len(rows[f"{own}_curve"].iloc[0]) for own in DIRECTIONS}
    known = levels(_protocol(comparison), lengths, *photo.shape[:2])
    areas = {own: comparison.values(own) for own in DIRECTIONS}
    images = []
    for image_id in kept:
        image = _image(comparison, load_picture(folder, image_id), known) | {
            "why": first.get(image_id, ""),
            "areas": {own: _numbers(areas[own].loc[image_id], 4) for own in DIRECTIONS},
        }
        budget -= len(json.dumps(image))
        if budget < 0 and images:
            break
        images.append(image)
    return {
        "kept": len(kept),
        "score": _protocol(comparison)["score"].replace("_", " "),
        "directions": {
            own: {
                "title": comparison.protocol.curves[own].title,
                "higher": comparison.protocol.curves[own].higher_is_better,
                "fractions": _numbers(known.changed[own] / len(known.of_position), 5),
                "first": known.first[own].tolist(),
            }
            for own in DIRECTIONS
        },
        "images": images,
    }


def _image(comparison: Comparison, picture: Picture, known: Levels) -> dict[str, Any]:
    height, width = picture.photo.shape[:2]
    scale = min(1, _LARGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    place = comparison.image_ids.index(picture.image_id)
    return {
        "id": picture.image_id,
        "label": picture.label,
        "size": size,
        "photo": _photo(picture.photo, size),
        "baselines": {
            "insertion": _baseline(picture.insertion, size),
            "deletion": _baseline(picture.deletion, size),
        },
        "maps": [
            _map(run, picture, _protocol(comparison), known, size)
            for run in comparison.runs.values()
        ],
        "curves": {
            own: [
                _numbers(rows[f"{own}_curve"].iloc[place][known.points[own]], 4)
                for rows in comparison.rows.values()
            ]
            for own in DIRECTIONS
        },
    }


def _map(
    run: Run, picture: Picture, protocol: Mapping[str, Any], known: Levels, size: Sequence[int]
) -> str | None:
    """A kept map as levels; None if it was not kept."""
    saliency_map = run.load_map(picture.image_id, picture.photo.shape[:2])
    if saliency_map is None or saliency_map.size != len(known.of_position):
        return None
    own = level_map(saliency_map, protocol, known)
    shown = cv2.resize(own, size, interpolation=cv2.INTER_NEAREST)
    return _uri("png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _protocol(comparison: Comparison) -> dict[str, Any]:
    return comparison.identity["protocol"]


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` + 1 of `count` points, the ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count - 1, most) + 1).round().astype(np.int64))


def _count_maps(comparison: Comparison, picture: Picture) -> int:
    image_id, size = picture.image_id, picture.photo.shape[:2]
    return sum(run.load_map(image_id, size) is not None for run in comparison.runs.values())


def _photo(photo: NDArray[np.uint8], size: Sequence[int]) -> str:
    if (photo.shape[1], photo.shape[0]) != tuple(size):
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA)
    bgr = np.ascontiguousarray(photo[:, :, ::-1])
    whole = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _uri("jpeg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92, *whole])


def _baseline(picture: NDArray[np.uint8], size: Sequence[int]) -> list[int] | str:
    """One colour, or a picture."""
    colour = picture[0, 0]
    return colour.tolist() if (picture == colour).all() else _photo(picture, size)


def _uri(kind: str, image: NDArray[np.uint8], settings: Sequence[int] = ()) -> str:
    encoded = cv2.imencode(f".{kind}", image, settings)[1]
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _numbers(values: Any, digits: int) -> list[float | None]:
    return [round(float(own), digits) if np.isfinite(own) else None for own in values]
