"""Golden MuFidelity values, made by Xplique 1.1.0 itself on TensorFlow.

Runs in the environment of requirements.txt, not in the project's:

    .venv-oracle/bin/python scripts/oracle/mufidelity.py tests/golden

Writes `mufidelity.npz`: the softmax network, images and targets of curves.py, and

- `masks` (M, GRID, GRID) uint8, the random subsets, the same for all images: 1 keeps a cell and 0
  replaces it. Pixel (r, c) belongs to cell (`cell_rows[r]`, `cell_columns[c]`);
- `base_scores` (N,), and for baseline number i of `baselines` `scores_i` (N, M) of the perturbed
  inputs and `digests_i` (N, M) of these;
- for each kind of map `maps_<kind>` (N, H, W), `sums_<kind>` (N, M) of the map over the replaced
  pixels, `fidelity_<kind>_i` (N,) of calls with one image, `mean_<kind>_i` of one with all.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import tensorflow as tf
from curves import (
    BATCH_SIZE,
    SHAPE,
    TARGETS,
    digest,
    make_images,
    make_maps,
    one_hot,
    recorder,
    versions,
)
from networks import build_network, draw_weights
from scipy.stats import spearmanr
from xplique.metrics import MuFidelity

GRID = 5
SAMPLES = 40
SUBSET = 0.2
SEED = 3
BASELINES = (0.0, 0.3)
KINDS = ("smooth", "tied", "zero")


def make_metric(
    model: tf.keras.Model,
    x: np.ndarray,
    targets: np.ndarray,
    baseline: float,
    operator: Callable | None = None,
) -> MuFidelity:
    """Makes Xplique's metric, with the same masks each time."""
    np.random.seed(SEED)  # noqa: NPY002  Xplique draws its masks from numpy's global state
    return MuFidelity(
        model,
        x,
        one_hot(targets),
        batch_size=BATCH_SIZE,
        grid_size=GRID,
        subset_percent=SUBSET,
        baseline_mode=baseline,
        nb_samples=SAMPLES,
        operator=operator,
    )


def cells(size: int) -> np.ndarray:
    """The grid's row (or column) that each of `size` pixels takes its mask from."""
    return np.floor((np.arange(size) + 0.5) * GRID / size).astype(np.int32)


def grid_masks(metric: MuFidelity) -> np.ndarray:
    """Reads a metric's masks back to the grid's resolution.

    Args:
        metric: A metric.

    Returns:
        (SAMPLES, GRID, GRID) uint8.

    Raises:
        RuntimeError: `cells` does not say how the masks were enlarged.
    """
    enlarged = metric.subset_masks.numpy()[..., 0].astype(np.uint8)
    rows, columns = (cells(size) for size in SHAPE[:2])
    first_row, first_column = (np.searchsorted(numbers, range(GRID)) for numbers in (rows, columns))
    masks = enlarged[:, first_row[:, None], first_column]
    if not np.array_equal(masks[:, rows[:, None], columns], enlarged):
        raise RuntimeError("the masks are enlarged in another way")
    return masks


def run(
    model: tf.keras.Model, x: np.ndarray, targets: np.ndarray, maps: np.ndarray, baseline: float
) -> dict[str, np.ndarray]:
    """Runs the metric on one image, with and without noting what it does.

    Args:
        model: The network.
        x: (1, H, W, C).
        targets: (1,).
        maps: (1, H, W).
        baseline: What replaced pixels become.

    Returns:
        `fidelity` and `base` (), `scores`, `digests` and `sums` (SAMPLES,).

    Raises:
        RuntimeError: Noting it changes the result, or `base` - `scores` and `sums` are not what
            is correlated.
    """
    # A map without a channel axis is broadcast wrongly: (H, W) against masks of (M, H, W, 1).
    with_channel = maps[..., None]
    plain = make_metric(model, x, targets, baseline).evaluate(with_channel)
    images: list[np.ndarray] = []
    scores: list[float] = []
    metric = make_metric(model, x, targets, baseline, recorder(images, scores))
    with mock.patch("xplique.metrics.fidelity.spearmanr", wraps=spearmanr) as correlate:
        noted = metric.evaluate(with_channel)
    drops, sums = (np.array(given) for given in correlate.call_args.args)
    base, *inner = scores
    if noted != plain or not np.array_equal(drops, base - np.array(inner)):
        raise RuntimeError(f"baseline {baseline}: what was noted is not what Xplique computes")
    digests = np.array([digest(image) for image in images[1:]], np.uint64)
    return {
        "fidelity": np.float64(noted),
        "base": np.array(base),
        "scores": np.array(inner),
        "digests": digests,
        "sums": sums,
    }


def golden_mufidelity() -> dict[str, Any]:
    """Makes the arrays of the file.

    Returns:
        Name to array.
    """
    x = make_images(SHAPE)
    model = build_network("softmax", SHAPE)
    rows, columns = (cells(size) for size in SHAPE[:2])
    masks = grid_masks(make_metric(model, x, TARGETS, 0.0))
    arrays = {"x": x, "targets": TARGETS, "baselines": np.array(BASELINES), "masks": masks}
    arrays |= {"cell_rows": rows, "cell_columns": columns, "versions": versions()}
    arrays |= draw_weights("softmax")
    for kind in KINDS:
        maps = np.zeros(x.shape[:3], np.float32) if kind == "zero" else make_maps(kind, *SHAPE[:2])
        arrays[f"maps_{kind}"] = maps
        for i, baseline in enumerate(BASELINES):
            parts = [
                run(model, x[n, None], TARGETS[n, None], maps[n, None], baseline)
                for n in range(len(x))
            ]
            stacked = {name: np.stack([part[name] for part in parts]) for name in parts[0]}
            arrays[f"fidelity_{kind}_{i}"] = stacked["fidelity"]
            arrays[f"mean_{kind}_{i}"] = np.float64(
                make_metric(model, x, TARGETS, baseline).evaluate(maps[..., None])
            )
            arrays |= {f"scores_{i}": stacked["scores"], f"digests_{i}": stacked["digests"]}
            arrays |= {"base_scores": stacked["base"], f"sums_{kind}": stacked["sums"]}
    return arrays


def main() -> None:
    """Writes the file and prints the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out_dir", type=Path)
    given = parser.parse_args()
    given.out_dir.mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()
    started = time.perf_counter()
    arrays = golden_mufidelity()
    path = given.out_dir / "mufidelity.npz"
    np.savez_compressed(path, **arrays)
    print(f"{path}: {path.stat().st_size / 1000:.1f} kB, {time.perf_counter() - started:.0f} s")
    for name, value in arrays.items():
        if name.startswith(("fidelity_", "mean_")):
            print(f"  {name}: {np.round(value, 4)}")


if __name__ == "__main__":
    main()
