"""What the report's explorer of images draws from: photos, maps and curves, small enough to share.

A map is kept as the order in which its pixels change, and of that no more than the curves' steps
and a few levels between them: one 8-bit picture a map serves for all curves and for display.
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
from bench.metrics.protocol import Protocol
from bench.report.steps import baseline_of, place_of_pixel, step_of_pixel
from bench.report.texts import label_in_words
from bench.storage.pictures import Picture, load_picture, pictures_folder
from bench.storage.store import Run

_LARGEST = 256  # pixels a side
_SHADES = 32  # of a map, where the steps give fewer
_POINTS = 224  # of all curves; with the shades no more than 8 bits hold


@dataclass(frozen=True)
class Levels:
    """A map's pixels, rounded to the levels that the report shows.

    Attributes:
        of_position: (H*W,) uint8, the level of the pixels by their place in the order.
        points: By curve, the points that are shown, 0 the first.
        changed: By curve, how many pixels have changed at each of these points.
        first: By curve, at which of these points each level has changed; their number where
            none reaches it.
    """

    of_position: NDArray[np.uint8]
    points: Mapping[str, NDArray[np.int64]]
    changed: Mapping[str, NDArray[np.int64]]
    first: Mapping[str, NDArray[np.int64]]


def levels(protocol: Protocol, lengths: Mapping[str, int], height: int, width: int) -> Levels:
    """Which pixels may share a level: those between which no shown point of a curve lies.

    Args:
        protocol: The protocol of the runs.
        lengths: By curve, the points S+1 that it has.
        height: The height of the maps.
        width: The width of the maps.
    """
    pixels = height * width
    # Of a map whose pixels fall in raster order, a pixel's place is its place in the order.
    falling = -np.arange(pixels, dtype=np.float32).reshape(height, width)
    steps = {name: step_of_pixel(falling, protocol, name).ravel() for name in lengths}
    # Curves that replace the same pixels at the same steps share their levels.
    like = {name: steps[name].tobytes() for name in lengths}
    most = _POINTS // len(set(like.values()))
    points = {name: _evenly(length, most) for name, length in lengths.items()}
    first = {name: np.searchsorted(points[name], steps[name]) for name in lengths}
    differing = {like[name]: first[name] for name in lengths}
    boundaries = np.arange(pixels) * _SHADES // pixels + sum(differing.values())
    _, where, of_position = np.unique(boundaries, return_index=True, return_inverse=True)
    changed = {
        name: np.searchsorted(first[name], np.arange(len(points[name])), side="right")
        for name in lengths
    }
    return Levels(
        of_position.astype(np.uint8),
        points,
        changed,
        {name: at[where] for name, at in first.items()},
    )


def level_map(
    saliency_map: NDArray[np.floating], protocol: Protocol, known: Levels
) -> NDArray[np.uint8]:
    """The level (H, W) of each of a map's pixels.

    Args:
        saliency_map: (H, W), higher = more important.
        protocol: The protocol of the map's run.
        known: The levels of this protocol and size.
    """
    return known.of_position[place_of_pixel(saliency_map, protocol.ties)]


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
        None if no image has a picture and a map, or no curve one of what removed pixels become.
        Scores that are not finite are None.
    """
    pictures = _most_maps_first(comparison, results_dir, first)
    if not pictures:
        return None
    protocol, picture = comparison.protocol, pictures[0]
    rows = next(iter(comparison.rows.values()))
    lengths = {
        name: len(rows[curve.curve].iloc[0])
        for name, curve in protocol.curves.items()
        if baseline_of(picture, name) is not None
    }
    if not lengths:
        return None
    known = levels(protocol, lengths, *picture.photo.shape[:2])
    values = {one.name: comparison.values(one) for one in comparison.statistics}
    images: list[dict[str, Any]] = []
    for picture in pictures:
        image_id = picture.image_id
        image = _image(comparison, picture, known) | {
            "why": first.get(image_id, ""),
            "values": {name: _numbers(of_one.loc[image_id], 4) for name, of_one in values.items()},
        }
        budget -= len(json.dumps(image))
        if budget < 0 and images:
            break
        images.append(image)
    return {
        "kept": len(pictures),
        "score": protocol.score.replace("_", " "),
        "statistics": {one.name: one.title for one in comparison.statistics},
        "curves": {name: _curve(protocol, known, name) for name in lengths},
        "images": images,
    }


def _most_maps_first(
    comparison: Comparison, results_dir: Path, first: Mapping[str, str]
) -> list[Picture]:
    """The kept pictures of images that have a map; as many maps as images before leave order."""
    folder = pictures_folder(results_dir, comparison.title, comparison.key)
    order = dict.fromkeys([*first, *comparison.image_ids])
    loaded = (load_picture(folder, image_id) for image_id in order)
    counted = [(one, _count_maps(comparison, one)) for one in loaded if one is not None]
    kept = [(picture, count) for picture, count in counted if count]
    return [picture for picture, _ in sorted(kept, key=lambda one: one[1], reverse=True)]  # stable


def _curve(protocol: Protocol, known: Levels, name: str) -> dict[str, Any]:
    curve = protocol.curves[name]
    return {
        "title": curve.title,
        "higher": curve.higher_is_better,
        "pixels_are": curve.pixels_are,
        "from_image": curve.starts_from_image,
        "fractions": _numbers(known.changed[name] / len(known.of_position), 5),
        "first": known.first[name].tolist(),
    }


def _image(comparison: Comparison, picture: Picture, known: Levels) -> dict[str, Any]:
    height, width = picture.photo.shape[:2]
    scale = min(1, _LARGEST / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    place = comparison.image_ids.index(picture.image_id)
    baselines = {name: baseline_of(picture, name) for name in known.points}
    return {
        "id": picture.image_id,
        "label": label_in_words(picture, comparison),
        "size": size,
        "photo": _photo(picture.photo, size),
        "baselines": {
            name: _baseline(pixels, size)
            for name, pixels in baselines.items()
            if pixels is not None
        },
        "maps": [
            _map(run, picture, comparison.protocol, known, size) for run in comparison.runs.values()
        ],
        "curves": {
            name: [
                _numbers(comparison.curves(method, name)[place][points], 4)
                for method in comparison.runs
            ]
            for name, points in known.points.items()
        },
    }


def _map(
    run: Run, picture: Picture, protocol: Protocol, known: Levels, size: tuple[int, int]
) -> str | None:
    """A kept map as levels; None if it was not kept."""
    saliency_map = run.load_map(picture.image_id, picture.photo.shape[:2])
    if saliency_map is None or saliency_map.size != len(known.of_position):
        return None
    shown = level_map(saliency_map, protocol, known)
    shown = cv2.resize(shown, size, interpolation=cv2.INTER_NEAREST).astype(np.uint8)
    return _uri("png", shown, [cv2.IMWRITE_PNG_COMPRESSION, 9])


def _evenly(count: int, most: int) -> NDArray[np.int64]:
    """At most `most` + 1 of `count` points, the ends among them."""
    return np.unique(np.linspace(0, count - 1, min(count - 1, most) + 1).round().astype(np.int64))


def _count_maps(comparison: Comparison, picture: Picture) -> int:
    image_id, size = picture.image_id, picture.photo.shape[:2]
    return sum(run.load_map(image_id, size) is not None for run in comparison.runs.values())


def _photo(photo: NDArray[np.uint8], size: tuple[int, int]) -> str:
    if (photo.shape[1], photo.shape[0]) != size:
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA).astype(np.uint8)
    bgr = np.ascontiguousarray(photo[:, :, ::-1])
    whole = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return _uri("jpeg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 92, *whole])


def _baseline(picture: NDArray[np.uint8], size: tuple[int, int]) -> list[int] | str:
    """One colour, or a picture."""
    colour: list[int] = picture[0, 0].tolist()
    return colour if (picture == picture[0, 0]).all() else _photo(picture, size)


def _uri(kind: str, image: NDArray[np.uint8], settings: Sequence[int] = ()) -> str:
    encoded = cv2.imencode(f".{kind}", image, settings)[1]
    return f"data:image/{kind};base64,{base64.b64encode(encoded.tobytes()).decode()}"


def _numbers(values: Any, digits: int) -> list[float | None]:
    return [round(float(value), digits) if np.isfinite(value) else None for value in values]
