"""Comparisons of methods whose curves and maps are given."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from toy_rows import identity, protocol, rows, typed

from bench.leaderboard.comparison import Comparison, comparisons
from bench.leaderboard.statistics import bootstrap_intervals
from bench.metrics.protocol import load_protocol
from bench.storage.store import open_run, stored_runs

INSERTION, DELETION, SRG = load_protocol("xplique").statistics
STATISTICS = {"insertion": INSERTION, "deletion": DELETION}


def comparison(
    folder: Path,
    insertion: dict[str, NDArray],
    deletion: dict[str, NDArray] | None = None,
    controls: tuple[str, ...] = (),
    passes: dict[str, tuple[int, int]] | None = None,
    *,
    maps: dict[str, dict[str, NDArray]] | None = None,
    **parts: dict,
) -> Comparison:
    """Stores runs and compares them.

    Args:
        folder: The results folder.
        insertion: Method -> curves (n, S+1); the images are a, b, c, ...
        deletion: Likewise; the insertion's if None.
        controls: The methods that are controls.
        passes: Method -> forward and backward passes, where they are known.
        maps: Method -> image -> map.
        parts: Changes to parts of the identity: `dataset`, `backbone`, `protocol`.
    """
    count = len(next(iter(insertion.values())))
    for method, curves in insertion.items():
        kind = {"kind": "Random"} if method in controls else {"_target_": "x.X"}
        settings = {"name": method, "version": 1, "settings": {**kind, "of": None, "is": method}}
        fields = identity(method=settings)
        fields["dataset"]["num_images"] = count
        for part, changes in parts.items():
            fields[part] = protocol(**changes) if part == "protocol" else fields[part] | changes
        known = dict(zip(("forward", "backward"), (passes or {}).get(method, ()), strict=False))
        run = open_run(folder, *typed(fields), {}, {"passes": known})
        run.set_label("board", method)
        images = [chr(ord("a") + number) for number in range(count)]
        stored = rows(*images)
        stored["insertion_curve"] = list(np.float32(curves))
        stored["deletion_curve"] = list(np.float32((deletion or insertion)[method]))
        if "confidence" in fields["protocol"]["metrics"]:
            points = fields["protocol"]["metrics"]["confidence"]["steps"] + 1
            stored["confidence_curve"] = [np.zeros(points, np.float32)] * count
        run.append(stored)
        for image_id, saliency_map in (maps or {}).get(method, {}).items():
            run.save_map(image_id, saliency_map)
    found = comparisons(stored_runs(folder, "board"), "board")
    return next(comparison for comparison in found if set(comparison.runs) == set(insertion))


def drawn_curves(methods: str, images: int = 5, points: int = 6) -> dict[str, NDArray]:
    """Random curves; the first method has the largest areas."""
    draws = np.random.default_rng(0)
    return {
        method: draws.uniform(size=(images, points)) * 0.9**number
        for number, method in enumerate(methods)
    }


def bootstrap_interval(values, **settings) -> tuple[float, float]:
    """That of a single column."""
    low, high = bootstrap_intervals(np.asarray(values)[:, None], **settings)[0]
    return float(low), float(high)
