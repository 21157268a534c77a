"""One method's maps of one block of images: those that were kept, and those still to be made."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.errors import BenchError
from bench.map_store import MapStore


class Explainer:
    """Explains a score with methods, and keeps their maps.

    Args:
        scorer: The score to explain.
        methods: Methods by name.
        kept: Stores of their maps by name; a method that has none is called each time.
    """

    def __init__(
        self, scorer: Scorer, methods: Mapping[str, Method], kept: Mapping[str, MapStore]
    ) -> None:
        self.scorer = scorer
        self._methods = methods
        self._kept = kept

    def __call__(self, name: str, batch: Batch) -> tuple[Tensor, NDArray[np.float32]]:
        """A method's maps (B, H, W) float32 of a batch, and the seconds (B,) that each took.

        Raises:
            BenchError: What the method gave cannot be used.
        """
        if name not in self._kept:
            maps, seconds = self._make(name, batch)
            return maps, np.full(len(maps), seconds, np.float32)
        kept = self._kept[name]
        missing = [i for i, image_id in enumerate(batch.image_ids) if image_id not in kept]
        if missing:
            part = _part(batch, missing)
            maps, seconds = self._make(name, part)
            kept.save(part.image_ids, maps.cpu().numpy(), seconds)
        stored, taken = kept.load(batch.image_ids)  # what is evaluated is what is kept
        maps = torch.from_numpy(stored).to(batch.x.device)
        return check_maps(name, maps, batch.x, batch.image_ids), taken

    def _make(self, name: str, batch: Batch) -> tuple[Tensor, float]:
        started = now(batch.x.device)
        maps = self._methods[name](self.scorer, batch)
        maps = check_maps(name, maps, batch.x, batch.image_ids)
        return maps, (now(batch.x.device) - started) / len(maps)


def check_maps(method: str, maps: Any, x: Tensor, image_ids: Sequence[str]) -> Tensor:
    """Checks what a method gave against the contract.

    Args:
        method: Its name, for the message.
        maps: What it gave.
        x: (B, C, H, W) the inputs it was given.
        image_ids: B names, for the message.

    Returns:
        The maps (B, H, W) as float32, detached.

    Raises:
        BenchError: No tensor, another shape, or a value that is not finite.
    """
    expected = (len(x), *x.shape[2:])
    found = tuple(maps.shape) if isinstance(maps, Tensor) else type(maps).__name__
    if found != expected:
        raise BenchError(
            f"method '{method}': expected maps of shape (images, height, width) = {expected}, "
            f"found {found}"
        )
    maps = maps.detach().float()
    broken = (~maps.isfinite()).flatten(1).any(dim=1).nonzero()[:, 0].tolist()
    if broken:
        raise BenchError(
            f"method '{method}': the map of image '{image_ids[broken[0]]}' holds NaN or "
            f"infinite values ({len(broken)} of {len(maps)} maps in this block)"
        )
    return maps


def now(device: torch.device) -> float:
    """Seconds, after the device has finished what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _part(batch: Batch, positions: Sequence[int]) -> Batch:
    return replace(
        batch,
        x=batch.x[positions],
        targets=batch.targets[positions],
        image_ids=[batch.image_ids[i] for i in positions],
        images=[batch.images[i] for i in positions],
    )
