"""Golden insertion and deletion curves, made by Xplique 1.1.0 itself on TensorFlow.

Runs in the environment of requirements.txt, not in the project's:

    .venv-oracle/bin/python scripts/oracle/curves.py tests/golden

Writes one `curves_<head>_<maps>.npz` for each network and kind of map. For setting number i of
`settings`: `counts_i` (S+1,) replaced pixels; `insertion_scores_i`, `deletion_scores_i` (N, S+1)
each image's scores; `insertion_digests_i`, `deletion_digests_i` (N, S+1) `digest` of each perturbed
input; `insertion_auc_i`, `deletion_auc_i` Xplique's result over all images at once.
"""

import argparse
import hashlib
import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

# One thread adds up in one fixed order; importing Xplique already starts TensorFlow's threads.
os.environ |= {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
import xplique
from networks import CLASSES, HEADS, build_network, draw_weights
from xplique.commons.operators import predictions_operator
from xplique.metrics import Deletion, Insertion

METRICS = {"insertion": Insertion, "deletion": Deletion}
BATCH_SIZE = 2
"""Less than the number of images, so that `evaluate` has to split them, unevenly. Calls with one
image go without: Xplique then skips tf.data, which takes most of the time."""

SHAPE = (13, 11, 3)
FULL_SHAPE = (29, 31, 3)
TARGETS = np.array([3, 0, 4])
KINDS = ("smooth", "tied")
FULL_KINDS = ("smooth", "tied", "blocks")

STEPS = (1, 7, 10, 25, -1)
PERCENTAGES = (1.0, 0.4)
BASELINES = (0.0, 0.3, "function")
FULL_SETTINGS = tuple(itertools.product(STEPS, PERCENTAGES, BASELINES))
SETTINGS = (
    (1, 1.0, 0.3),
    (1, 0.4, "function"),
    (7, 1.0, "function"),
    (7, 0.4, 0.0),
    (10, 1.0, 0.0),
    (10, 0.4, 0.3),
    (25, 1.0, 0.0),
    (25, 0.4, "function"),
    (-1, 0.4, 0.3),
)
"""Steps (-1: one pixel each), share of pixels that is replaced, baseline."""


def mirrored(x: np.ndarray) -> np.ndarray:
    """The baseline called `function`: each image turned by 180 degrees and halved."""
    return x[:, ::-1, ::-1, :] * 0.5


def make_images(shape: tuple[int, int, int]) -> np.ndarray:
    """Draws one image for each of `TARGETS`: a coarse pattern with noise, within [-1, 1.5].

    Args:
        shape: Height, width and channels.

    Returns:
        (N, *shape) float32.
    """
    random = np.random.RandomState(1)
    height, width, channels = shape
    cell = np.ones((-(-height // 3), -(-width // 3), 1))
    coarse = random.uniform(-0.7, 1.1, (len(TARGETS), 3, 3, channels))
    patterns = np.stack([np.kron(image, cell)[:height, :width] for image in coarse])
    noise = random.uniform(-0.4, 0.4, patterns.shape)
    return np.clip(patterns + noise, -1.0, 1.5).astype(np.float32)


def make_maps(kind: str, height: int, width: int) -> np.ndarray:
    """Draws one map for each of `TARGETS`.

    Args:
        kind: `smooth` has no ties. `tied` has one map of multiples of 0.5, one of which half is
            zero, and a constant one. `blocks` has few signed values, each over a rectangle.
        height: Pixels.
        width: Pixels.

    Returns:
        (N, height, width) float32.
    """
    random = np.random.RandomState(2)
    noise = random.standard_normal((len(TARGETS), height, width)).astype(np.float32)
    if kind == "smooth":
        return noise
    if kind == "tied":
        positive = np.maximum(noise[1] - np.median(noise[1]), np.float32(0))
        return np.stack([np.round(2 * noise[0]) / 2, positive, np.full_like(noise[2], 0.25)])
    blocks = noise[:, : -(-height // 5), : -(-width // 4)]
    return blocks.repeat(5, axis=1).repeat(4, axis=2)[:, :height, :width]


def one_hot(targets: np.ndarray) -> np.ndarray:
    """Turns (N,) labels into the (N, CLASSES) float32 rows that Xplique wants."""
    return np.eye(CLASSES, dtype=np.float32)[targets]


def digest(image: np.ndarray) -> int:
    """Hashes the bytes of an (H, W, C) float32 image to 64 bits."""
    raw = hashlib.blake2b(np.ascontiguousarray(image).tobytes(), digest_size=8).digest()
    return int.from_bytes(raw, "little")


def recorder(images: list[np.ndarray], scores: list[float]) -> Callable:
    """Makes an operator that is Xplique's own one and notes what it was given and gave.

    Args:
        images: Gets each input.
        scores: Gets each score.

    Returns:
        The operator, for the `operator` argument of a metric.
    """

    def operator(model: tf.keras.Model, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        result = predictions_operator(model, inputs, targets)
        images.extend(np.array(inputs))
        scores.extend(result.numpy())
        return result

    return operator


def make_metric(
    name: str,
    model: tf.keras.Model,
    x: np.ndarray,
    targets: np.ndarray,
    setting: tuple[int, float, float | str],
    *,
    operator: Callable | None = None,
) -> Insertion | Deletion:
    """Makes Xplique's metric.

    With steps=-1 Xplique 1.1.0 stores the number of steps as a float64 tensor, which np.linspace
    refuses with an AttributeError: what it was meant to be, an int, is set here.
    """
    steps, percentage, baseline = setting
    metric = METRICS[name](
        model,
        x,
        one_hot(targets),
        batch_size=BATCH_SIZE if len(x) > 1 else None,
        baseline_mode=mirrored if baseline == "function" else baseline,
        steps=steps,
        max_percentage_perturbed=percentage,
        operator=operator,
    )
    metric.steps = int(metric.steps)
    return metric


def replay(
    name: str, x: np.ndarray, baseline: float | str, order: np.ndarray, counts: np.ndarray
) -> list[int]:
    """Digests of the perturbed inputs of one image, (1, H, W, C), built from its order alone."""
    end = mirrored(x) if baseline == "function" else np.full_like(x, baseline)
    start = x
    if name == "insertion":
        start, end = end, start
    ranks = np.empty(order.size, np.int64)
    ranks[order] = np.arange(order.size)
    ranks = ranks.reshape(x.shape[1:3])[..., None]
    return [digest(np.where(ranks < count, end[0], start[0])) for count in counts]


def image_curve(
    name: str,
    model: tf.keras.Model,
    x: np.ndarray,
    targets: np.ndarray,
    maps: np.ndarray,
    *,
    order: np.ndarray,
    setting: tuple[int, float, float | str],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Runs one metric on one image, with and without the recorder.

    Args:
        name: Key of `METRICS`.
        model: The network.
        x: (1, H, W, C).
        targets: (1,).
        maps: (1, H, W).
        order: (H*W,) pixels from the most important one on.
        setting: One of `SETTINGS`.

    Returns:
        Counts, scores and digests, (S+1,) each.

    Raises:
        RuntimeError: The recorder changes the scores, or the order is not the one used.
    """
    plain = make_metric(name, model, x, targets, setting).detailed_evaluate(maps)
    images: list[np.ndarray] = []
    scores: list[float] = []
    operator = recorder(images, scores)
    recorded = make_metric(name, model, x, targets, setting, operator=operator).detailed_evaluate(
        maps
    )
    counts = np.array(list(plain), np.int32)
    digests = [digest(image) for image in images]
    if plain != recorded or list(plain.values()) != scores:
        raise RuntimeError(f"{name} {setting}: the recorder changes the scores")
    if digests != replay(name, x, setting[2], order, counts):
        raise RuntimeError(f"{name} {setting}: `order` does not give the inputs that were scored")
    return counts, np.array(list(plain.values())), np.array(digests, np.uint64)


def versions() -> str:
    """JSON of the packages' versions."""
    packages = {"xplique": xplique, "tensorflow": tf, "numpy": np}
    return json.dumps({name: package.__version__ for name, package in packages.items()})


def golden_curves(head: str, kind: str, full: bool) -> dict[str, Any]:
    """Makes the arrays of one file.

    Args:
        head: One of `networks.HEADS`.
        kind: One of `FULL_KINDS`.
        full: Larger images and all settings.

    Returns:
        Name to array.
    """
    x = make_images(FULL_SHAPE if full else SHAPE)
    model = build_network(head, x.shape[1:])
    maps = make_maps(kind, *x.shape[1:3])
    order = np.argsort(maps.reshape(len(maps), -1), axis=-1)[:, ::-1]
    settings = FULL_SETTINGS if full else SETTINGS
    named = [dict(zip(("steps", "max_percentage", "baseline"), s, strict=True)) for s in settings]
    arrays = {"x": x, "targets": TARGETS, "maps": maps, "order": order.astype(np.int32)}
    arrays |= draw_weights(head) | {"settings": json.dumps(named), "versions": versions()}
    for i, setting in enumerate(settings):
        for name in METRICS:
            curves = [
                image_curve(
                    name,
                    model,
                    x[n, None],
                    TARGETS[n, None],
                    maps[n, None],
                    order=of_image,
                    setting=setting,
                )
                for n, of_image in enumerate(order)
            ]
            counts, scores, digests = (np.stack(parts) for parts in zip(*curves, strict=True))
            arrays[f"counts_{i}"] = counts[0]
            arrays[f"{name}_scores_{i}"] = scores
            arrays[f"{name}_digests_{i}"] = digests
            together = make_metric(name, model, x, TARGETS, setting)
            arrays[f"{name}_auc_{i}"] = np.float64(together.evaluate(maps))
    return arrays


def main() -> None:
    """Writes all files and says how far the scores move in each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--full", action="store_true", help="all settings, larger, more maps")
    given = parser.parse_args()
    given.out_dir.mkdir(parents=True, exist_ok=True)
    tf.config.experimental.enable_op_determinism()
    tf.keras.utils.set_random_seed(0)
    for head, kind in itertools.product(HEADS, FULL_KINDS if given.full else KINDS):
        started = time.perf_counter()
        arrays = golden_curves(head, kind, given.full)
        path = given.out_dir / f"curves_{head}_{kind}.npz"
        np.savez_compressed(path, **arrays)
        scores = [value for key, value in arrays.items() if "_scores_" in key]
        moves = np.stack([np.ptp(score, axis=1) for score in scores])
        seconds = time.perf_counter() - started
        print(f"{path}: {path.stat().st_size / 1000:.1f} kB, {seconds:.0f} s, an image's scores")
        print(f"  move by {moves.min():.3f} to {moves.max():.3f}, median {np.median(moves):.3f}")


if __name__ == "__main__":
    main()
