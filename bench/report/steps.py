"""Which pixels a step of a curve replaces, and what the image looks like then.

The order is computed again from a stored map by the tie rule of the run. It is the same order,
except for ties under `running_numpy`, whose order depends on numpy and CPU.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.metrics.perturbation import order_pixels
from bench.metrics.protocol import Protocol
from bench.storage.pictures import Picture


def place_of_pixel(saliency_map: NDArray[np.floating], ties: str) -> NDArray[np.int32]:
    """Each pixel's place (H, W) in the order of a map, from 0, the most important first.

    Args:
        saliency_map: (H, W), float32 or float64, higher = more important.
        ties: A key of `bench.metrics.perturbation.TIE_RULES`.
    """
    values = torch.from_numpy(np.ascontiguousarray(saliency_map))
    place = np.empty(saliency_map.size, dtype=np.int32)
    place[order_pixels(values[None], ties)[0].numpy()] = np.arange(saliency_map.size)
    return place.reshape(saliency_map.shape)


def step_of_pixel(
    saliency_map: NDArray[np.floating], protocol: Protocol, metric: str
) -> NDArray[np.int32]:
    """At which step of a curve each pixel is replaced.

    Args:
        saliency_map: (H, W), float32 or float64, higher = more important.
        protocol: The protocol of the map's run.
        metric: A key of `protocol.curves`.

    Returns:
        (H, W) in 1..S for a curve of S steps; S+1 where the last step does not reach the pixel.
        int32: a step may be a single pixel.
    """
    counts = protocol.curves[metric].counts(*saliency_map.shape)
    places = place_of_pixel(saliency_map, protocol.ties)
    return np.searchsorted(counts, places, side="right").astype(np.int32)


def baseline_of(picture: Picture, metric: str) -> NDArray[np.uint8] | None:
    """What removed pixels become (H, W, 3) for a metric; None if that was not kept."""
    return picture.baselines.get(metric)


def step_pictures(
    picture: Picture,
    saliency_map: NDArray[np.floating],
    protocol: Protocol,
    metric: str,
    steps: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """What an image looks like at points of a curve.

    Args:
        picture: The image, and what removed pixels become.
        saliency_map: (H, W), the size of the photo.
        protocol: The protocol of the map's run.
        metric: A key of `protocol.curves` whose baseline the picture has.
        steps: K points of the curve, 0 its first; all S+1 if None.

    Returns:
        (K, H, W, 3) RGB uint8.

    Raises:
        BenchError: Map and photo differ in size.
    """
    if saliency_map.shape != picture.photo.shape[:2]:
        height, width = picture.photo.shape[:2]
        raise BenchError(
            f"image '{picture.image_id}': its photo is {height} x {width}, expected a map of that "
            f"size, found {' x '.join(map(str, saliency_map.shape))}: delete both and run again"
        )
    curve, baseline = protocol.curves[metric], baseline_of(picture, metric)
    if baseline is None:
        raise BenchError(
            f"image '{picture.image_id}': what {metric} makes of removed pixels was not kept"
        )
    step = step_of_pixel(saliency_map, protocol, metric)
    if steps is None:
        steps = range(len(curve.counts(*step.shape)))
    start, end = (picture.photo, baseline) if curve.starts_from_image else (baseline, picture.photo)
    wanted = np.asarray(steps, dtype=np.int32)[:, None, None]
    return np.where((step <= wanted)[..., None], end, start)
