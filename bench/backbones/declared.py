"""Preprocessing as libraries of networks declare it, in the settings of `Preprocessing`."""

from collections.abc import Mapping, Sequence
from typing import Any

from bench.backbones.backbone import RESIZES
from bench.errors import BenchError

SQUASH = "squash"
"""`crop=squash`: no crop, straight to the input's size, where null is what the library declares."""


def declared(
    size: Sequence[int],
    mean: Sequence[float],
    std: Sequence[float],
    *,
    filter_: str,
    resized: int | None,
) -> dict[str, Any]:
    """Settings of `Preprocessing`.

    Args:
        size: Height and width of the input.
        mean: A number a channel, in units of 0..1.
        std: A number a channel, in units of 0..1.
        filter_: Pillow's name of the filter: `bilinear`, `bicubic`.
        resized: The shorter side before the centre of it is taken; None: no crop.

    Returns:
        Settings of `Preprocessing`, with mean and std in units of 0..255.

    Raises:
        BenchError: The filter is not one of `RESIZES`.

    Example:
        >>> declared((224, 224), [0.5], [0.25], filter_="bicubic", resized=256)
        {'size': 224, 'mean': (127.5,), 'std': (63.75,), 'resize': 'pil_bicubic', 'crop': 0.875}
    """
    resize = f"pil_{filter_}"
    if resize not in RESIZES:
        raise BenchError(
            f"preprocessing: the network declares the filter {filter_}; expected one of "
            f"{', '.join(RESIZES)}: set backbone.preprocessing.resize to the one that is nearest"
        )
    height, width = size
    return {
        "size": height if height == width else [height, width],
        "mean": tuple(255 * value for value in mean),
        "std": tuple(255 * value for value in std),
        "resize": resize,
        "crop": None if resized is None else min(size) / resized,
    }


def chosen(declared: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """What is declared, with what a user gives in its place; null is nothing given.

    Args:
        declared: Settings of `Preprocessing`.
        given: The user's, of which `crop` may be `squash`.

    Returns:
        Settings of `Preprocessing`, with `crop` None where the user's is `squash`.

    Example:
        >>> chosen({"size": 224, "crop": 0.875}, {"size": 112, "crop": SQUASH, "mean": None})
        {'size': 112, 'crop': None}
    """
    settings = dict(declared) | {key: value for key, value in given.items() if value is not None}
    return settings | {"crop": None if settings.get("crop") == SQUASH else settings.get("crop")}


def are_complete(given: Mapping[str, Any]) -> bool:
    """Whether a user gives all that decides the input, so that nothing has to be declared.

    Args:
        given: The user's settings of `Preprocessing`.

    Example:
        >>> given = {"size": 224, "mean": 127.5, "std": 127.5, "crop": "squash"}
        >>> are_complete(given), are_complete(given | {"resize": "pil_bicubic"})
        (False, True)
    """
    return all(given.get(key) is not None for key in ("size", "mean", "std", "crop", "resize"))
