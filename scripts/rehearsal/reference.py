"""What the published tables would be on the stand-ins, by real Xplique on real Keras.

    .venv-oracle/bin/python scripts/rehearsal/reference.py FOLDER OUT [--full] [--only NAME ...]

Runs in the environment of scripts/oracle/requirements.txt, on what assets.py has written to FOLDER.
Does what the scripts behind arXiv 2402.09164 do: lists, colours, networks as they are loaded,
labels as targets, Xplique's explainers and metrics. For each experiment OUT gets

    EXPERIMENT/METHOD/maps/LABEL/FILE.npy    the map (H, W), channels averaged
    EXPERIMENT/METHOD/regions/LABEL/FILE.npy SMDL's regions (K, H, W, 3), as its scripts store them
    EXPERIMENT/METHOD/priors/LABEL/FILE.npy  the map (H, W) that ordered its cells
    EXPERIMENT/results.json                  method -> insertion_auc, deletion_auc, their mean
                                             curves, and on black: curves and highest confidence
"""

import argparse
import json
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # plain float32 arithmetic

import cv2
import keras
import numpy as np
import tensorflow as tf

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
from backbones import NormDense
from plan import (
    DELETION_STEPS,
    EXPERIMENTS,
    GRADIENTS,
    NETWORKS,
    SHOWN_STEPS,
    Experiment,
    methods,
    settings,
)
from smdl import SEARCHES, choose, region_map
from xplique import attributions
from xplique.metrics import Deletion, Insertion

ROOTS = {"celeba": "celeba", "vggface2": "vggface2"}
XPLIQUES_WORDS = {
    "num_samples": "nb_samples",
    "num_masks": "nb_samples",
    "num_designs": "nb_design",
    "stride": "patch_stride",
}
"""Our names of settings -> Xplique's."""
EXPLAINERS = {
    "saliency": attributions.Saliency,
    "gradient_input": attributions.GradientInput,
    "guided_backprop": attributions.GuidedBackprop,
    "integrated_gradients": attributions.IntegratedGradients,
    "smooth_grad": attributions.SmoothGrad,
    "square_grad": attributions.SquareGrad,
    "var_grad": attributions.VarGrad,
    "grad_cam": attributions.GradCAM,
    "grad_cam_pp": attributions.GradCAMPP,
    "occlusion": attributions.Occlusion,
    "rise_500": attributions.Rise,
    "sobol": attributions.SobolAttributionMethod,
    "hsic": attributions.HsicAttributionMethod,
    "hsic_vggface2": attributions.HsicAttributionMethod,
    "lime": attributions.Lime,
    "kernel_shap": attributions.KernelShap,
}
Model = keras.Model


def read_image(path: Path, size: int) -> np.ndarray:
    """Reads an image as the authors' scripts do: RGB uint8 (size, size, 3)."""
    image = cv2.imread(str(path))
    if image is None:
        raise OSError(f"cannot read '{path}'")
    return cv2.resize(image[..., ::-1], (size, size))


def preprocess(images: np.ndarray, kind: str) -> np.ndarray:
    """RGB uint8 (N, H, W, 3) to inputs, as the authors' scripts do for a `Network`."""
    x = images.astype(np.float32)
    if kind == "face":
        return (x - np.float32(127.5)) * np.float32(0.0078125)
    if kind == "caffe":
        return keras.applications.resnet.preprocess_input(x)
    if kind == "tf":
        return keras.applications.mobilenet_v2.preprocess_input(x)
    return keras.applications.efficientnet_v2.preprocess_input(x)


def read_list(file: Path) -> list[tuple[str, int]]:
    """Reads a list: image ids `LABEL/FILE`, and labels."""
    pairs = (line.split(" ") for line in file.read_text(encoding="utf-8").split("\n"))
    return [(image_id, int(label)) for image_id, label in pairs]


def find_files(folder: Path, data: str, image_ids: list[str]) -> list[Path]:
    """Where the images of a list are; birds lie in the official folders of their classes."""
    if data != "cub":
        return [folder / data / image_id for image_id in image_ids]
    root = folder / "CUB_200_2011" / "images"
    classes = sorted(path for path in root.iterdir())
    pairs = (image_id.split("/") for image_id in image_ids)
    return [classes[int(label)] / name for label, name in pairs]


def score_cam(model: Model, x: np.ndarray, batch_size: int = 32) -> np.ndarray:
    """Score-CAM as the authors have it, at Xplique's choice of layer.

    The class is the one that the network puts first; channels are divided by their range, their
    minimum stays.

    Args:
        model: The model of probabilities.
        x: (N, H, W, 3).
        batch_size: Masked images in a pass.

    Returns:
        (N, H, W).
    """
    layer = attributions.GradCAM(model).conv_layer
    size = x.shape[1:3]
    channels = keras.Model(model.input, layer.output).predict(x, verbose=0)
    predicted = model.predict(x, verbose=0).argmax(axis=1)
    maps = []
    for image, activation, label in zip(x, channels, predicted, strict=True):
        weights = np.zeros(activation.shape[-1], np.float32)
        spans = np.ptp(activation, axis=(0, 1))
        used = np.flatnonzero(spans)
        for start in range(0, len(used), batch_size):
            part = used[start : start + batch_size]
            masks = np.stack([cv2.resize(activation[..., each], size[::-1]) for each in part])
            masks /= np.ptp(masks, axis=(1, 2), keepdims=True)
            weights[part] = model(image * masks[..., None]).numpy()[:, label]
        small = np.maximum((activation * weights).sum(axis=-1), 0)
        maps.append(cv2.resize(small / max(small.max(), 1e-30), size[::-1]))
    return np.array(maps, np.float32)


def in_double(model: Model) -> Model:
    """The same network, float32 outside and float64 inside; see `GRADIENTS`."""
    keras.backend.set_floatx("float64")
    as_double = model.to_json().replace('"float32"', '"float64"')
    double = keras.models.model_from_json(as_double, {"keras_insightface>NormDense": NormDense})
    double.set_weights(model.get_weights())
    keras.backend.set_floatx("float32")
    x = keras.Input(model.input_shape[1:])
    return keras.Model(x, tf.cast(double(tf.cast(x, tf.float64)), tf.float32))


def explain(method: str, model: Model, x: np.ndarray, hot: np.ndarray, full: bool) -> np.ndarray:
    """Maps (N, H, W) float32 of inputs (N, H, W, 3) with one-hot targets (N, classes)."""
    if method == "score_cam_paper":
        return score_cam(model, x)
    arguments = {
        XPLIQUES_WORDS.get(key, key): value for key, value in settings(method, full).items()
    }
    tf.random.set_seed(0)
    warnings.filterwarnings("ignore", message="You set a number of perturbed samples")
    maps = np.asarray(EXPLAINERS[method](model, **arguments)(x, hot), np.float32)
    return maps.mean(axis=-1) if maps.ndim == 4 else maps


def metric_results(
    kind: Callable[..., Any],
    model: Model,
    x: np.ndarray,
    hot: np.ndarray,
    maps: np.ndarray,
    *,
    steps: int,
) -> tuple[float, list[float]]:
    """Xplique's area over all images, and the mean curve that it is the area of."""
    metric = kind(model, x, hot, batch_size=None, steps=steps)  # no tf.data, which takes most time
    curve = metric.detailed_evaluate(maps)
    metric.detailed_evaluate = lambda _: curve  # not twice
    return float(metric.evaluate(maps)), [float(value) for value in curve.values()]


def confidences_on_black(
    model: Model, kind: str, images: np.ndarray, labels: np.ndarray, orders: np.ndarray
) -> np.ndarray:
    """Probability of the labels while the first pixels of an order are shown on black.

    Args:
        model: The model of probabilities.
        kind: Its preprocessing.
        images: (N, H, W, 3) RGB uint8 in the network's size.
        labels: (N,).
        orders: (N, H*W) pixels, most important first.

    Returns:
        (N, SHOWN_STEPS - 1): the record's `range(1, 25)` of 25 steps.
    """
    pixels = images.reshape(len(images), -1, 3)
    curves = []
    for photo, label, order in zip(pixels, labels, orders, strict=True):
        shown = np.zeros((SHOWN_STEPS - 1, *photo.shape), np.uint8)
        for row, step in zip(shown, range(1, SHOWN_STEPS), strict=True):
            first = order[: int(len(photo) * step / SHOWN_STEPS)]
            row[first] = photo[first]
        x = preprocess(shown.reshape(-1, *images.shape[1:]), kind)
        curves.append(model.predict(x, batch_size=16, verbose=0)[:, label])
    return np.array(curves)


def load(folder: Path, network: str) -> Model:
    """Loads one of the authors' files."""
    file = folder / "weights" / "keras_model" / NETWORKS[network].file
    classes = {"keras_insightface>NormDense": NormDense}
    return keras.models.load_model(file, classes, compile=False)


def write(experiment: Experiment, folder: Path, out: Path, full: bool) -> None:
    """Writes what an experiment should find."""
    started = time.perf_counter()
    network = NETWORKS[experiment.scored]
    scored = load(folder, experiment.scored)
    explained = scored
    if experiment.explained != experiment.scored:
        explained = load(folder, experiment.explained)
    entries = read_list(folder / "lists" / experiment.list)
    ids, labels = [image_id for image_id, _ in entries], np.array([label for _, label in entries])
    size = scored.input_shape[1]
    files = find_files(folder, experiment.data, ids)
    images = np.stack([read_image(path, size) for path in files])
    x = preprocess(images, network.preprocessing)
    preprocessing = NETWORKS[experiment.explained].preprocessing
    explained_x = preprocess(images, preprocessing)
    hot = np.eye(scored.output_shape[1], dtype=np.float32)[labels]
    results, times = {}, {}
    for method in methods(experiment, full):
        began = time.perf_counter()
        exactly = in_double(explained) if full and method in GRADIENTS else explained
        if method in SEARCHES:
            priors = explain(SEARCHES[method].prior, explained, explained_x, hot, full)
            regions = searched(method, explained, preprocessing, images, labels, priors=priors)
            save(out / experiment.name / method / "priors", ids, priors)
            save(out / experiment.name / method / "regions", ids, regions)
            maps = np.stack(
                [region_map(image_regions, SEARCHES[method].smooth) for image_regions in regions]
            )
        else:
            maps = explain(method, exactly, explained_x, hot, full)
        times[method] = time.perf_counter() - began
        orders = np.argsort(maps.reshape(len(maps), -1), axis=-1)[:, ::-1]
        save(out / experiment.name / method / "maps", ids, maps)
        results[method] = {}
        for name, kind, steps in (
            ("insertion", Insertion, experiment.insertion_steps),
            ("deletion", Deletion, DELETION_STEPS),
        ):
            area, curve = metric_results(kind, scored, x, hot, maps, steps=steps)
            results[method] |= {f"{name}_auc": area, f"{name}_curve": curve}
        if experiment.shows_on_black:
            curves = confidences_on_black(scored, network.preprocessing, images, labels, orders)
            results[method]["confidence_curves"] = curves.tolist()
            results[method]["highest_confidence"] = float(curves.max(axis=1).mean())
    (out / experiment.name / "results.json").write_text(json.dumps(results), encoding="utf-8")
    slow = sorted(times, key=times.get)[-3:]
    print(
        f"{experiment.name}: {len(ids)} images, {time.perf_counter() - started:.0f} s; slowest "
        f"maps: {', '.join(f'{name} {times[name]:.1f} s' for name in slow)}",
        flush=True,
    )


def searched(
    method: str,
    model: Model,
    kind: str,
    images: np.ndarray,
    labels: np.ndarray,
    *,
    priors: np.ndarray,
) -> list[np.ndarray]:
    """SMDL's regions (K, H, W, 3) of each image (H, W, 3)."""
    search = SEARCHES[method]
    return [
        choose(model, partial(preprocess, kind=kind), image, prior, label, search=search)
        for image, prior, label in zip(images, priors, labels, strict=True)
    ]


def save(folder: Path, ids: list[str], arrays: Iterable[np.ndarray]) -> None:
    """Writes an array an image."""
    for image_id, array in zip(ids, arrays, strict=True):
        path = (folder / image_id).with_suffix(".npy")
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, array)


def main() -> None:
    """Writes what all experiments should find."""
    tf.get_logger().setLevel("ERROR")  # it takes predicting in a loop for a mistake
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--full", action="store_true", help="what assets.py was told")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of experiments; default: all")
    given = parser.parse_args()
    for experiment in EXPERIMENTS:
        if not given.only or experiment.name in given.only:
            write(experiment, given.folder, given.out, given.full)
            keras.backend.clear_session()
            attributions.base.BlackBoxExplainer._cache_models.clear()  # keyed by memory address


if __name__ == "__main__":
    main()
