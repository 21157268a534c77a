"""Which pixels a step of a curve replaces, and what the image looks like then.

The order is made anew from a kept map by the rule that the run went by. It is the run's own, but
for ties under `running_numpy`, whose order depends on numpy and CPU.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bench.errors import BenchError
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.perturbation import order_pixels
from bench.metrics.protocol import Perturbation
from bench.pictures import Picture

_RENAMED = {"numpy_legacy": "running_numpy"}
"""Tie rules as rows of before have them."""


def step_of_pixel(
    saliency_map: NDArray[np.float32], protocol: Mapping[str, Any], direction: str
) -> NDArray[np.int32]:
    """At which step of a curve each pixel is replaced.

    Args:
        saliency_map: (H, W), float32 or float64, higher = more important.
        protocol: `identity["protocol"]` of the map's run.
        direction: `insertion` or `deletion`.

    Returns:
        (H, W) in 1..S for a curve of S steps; S+1 where the last step does not reach the pixel.
        int32: a step may be a single pixel.
    """
    counts = _perturbation(protocol, direction).counts(*saliency_map.shape)
    values = torch.from_numpy(np.ascontiguousarray(saliency_map))
    rule = protocol["ties"]
    order = order_pixels(values[None], _RENAMED.get(rule, rule))[0].numpy()
    step = np.empty(saliency_map.size, dtype=np.int32)
    step[order] = np.searchsorted(counts, np.arange(saliency_map.size), side="right")
    return step.reshape(saliency_map.shape)


def step_pictures(
    picture: Picture,
    saliency_map: NDArray[np.float32],
    protocol: Mapping[str, Any],
    direction: str,
    steps: Sequence[int] | None = None,
) -> NDArray[np.uint8]:
    """What an image looks like at points of a curve.

    Args:
        picture: The image, and what removed pixels become.
        saliency_map: (H, W), the size of the photo.
        protocol: `identity["protocol"]` of the map's run.
        direction: `insertion` (towards the photo) or `deletion` (away from it).
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
    step = step_of_pixel(saliency_map, protocol, direction)
    if steps is None:
        steps = range(len(_perturbation(protocol, direction).counts(*step.shape)))
    start, end = {
        "insertion": (picture.insertion, picture.photo),
        "deletion": (picture.photo, picture.deletion),
    }[direction]
    wanted = np.asarray(steps, dtype=np.int32)[:, None, None]
    return np.where((step <= wanted)[..., None], end, start)


def _perturbation(protocol: Mapping[str, Any], direction: str) -> Perturbation:
    """The direction's steps; its baseline says nothing of them and stays out."""
    own = {key: value for key, value in protocol[direction].items() if key != "baseline"}
    return Perturbation(ZeroBaseline(), **own)
