"""Backbones from Keras's .h5 files, read without Keras."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.backbones.backbone import AUTO, Backbone, Preprocessing, height_and_width
from bench.backbones.checkpoint import verify
from bench.backbones.keras_graph import GRAPHS, Arrays, Config, KerasGraph, input_shape
from bench.errors import BenchError, require_known

PREPROCESSINGS: dict[str, dict[str, Any]] = {
    "caffe": {"mean": (123.68, 116.779, 103.939), "std": (1.0,) * 3, "channel_order": "bgr"},
    "tf": {"mean": (127.5,) * 3, "std": (127.5,) * 3},
    "torch": {"mean": (123.675, 116.28, 103.53), "std": (58.395, 57.12, 57.375)},
    "arcface": {"mean": (127.5,) * 3, "std": (128.0,) * 3},
    "none": {"mean": (0.0,) * 3, "std": (1.0,) * 3},
}
"""Names of preprocessings -> what they set: those of keras.applications, ArcFace's, and none."""

_SAVE_AGAIN = "in Keras, load the weights into the model and write it with model.save('model.h5')"


def keras_h5(
    weights: str,
    preprocessing: str | Mapping[str, Any],
    sha256: str | None = None,
    input_size: int | Sequence[int] | None = None,
    *,
    output_kind: str | None = None,
    cam_layer: str | None = AUTO,
    feature_layer: str | None = None,
    name: str | None = None,
) -> Backbone:
    """A network that Keras 2 (`model.save("x.h5")`) or Keras 3 (to the same format) has saved.

    Args:
        weights: The file.
        preprocessing: A key of `PREPROCESSINGS`, or settings of `Preprocessing` except its size.
            Networks of one channel, grey, need one number as mean and as std.
        sha256: The sha256 of the file, if it is to be verified.
        input_size: Side of the input in pixels, or its height and width; needed only where the
            file leaves it open.
        output_kind: What the outputs are; read from the graph if None.
        cam_layer: Name of a layer (`outer.inner` in a nested model) for class activation maps;
            `auto`, as a rule the one that Xplique 1.1.0 takes (see `LayerTrace.find`); or None.
        feature_layer: Name of the layer whose output `Backbone.features` gives.
        name: Name in tables; the file's, without .h5, if None.

    Returns:
        The network, whose submodules have the names of the Keras layers.

    Raises:
        BenchError: The file cannot be read, holds no model, or one with something that is not
            supported; or a setting is missing or contradicts the file.

    Example:
        >>> import json
        >>> import h5py
        >>> first = {"name": "mean", "batch_input_shape": [None, 8, 8, 3]}
        >>> layers = [{"class_name": "GlobalAveragePooling2D", "config": first}]
        >>> model = {"class_name": "Sequential", "config": {"layers": layers}}
        >>> with h5py.File("colours.h5", "w") as file:  # what model.save("colours.h5") writes
        ...     file.attrs["model_config"] = json.dumps(model)
        ...     file.create_group("model_weights").attrs["layer_names"] = []
        >>> network = keras_h5("colours.h5", "tf", output_kind="logits", cam_layer=None)
        >>> network.name, network.outputs(torch.ones(1, 3, 8, 8)).tolist()
        ('colours', [[1.0, 1.0, 1.0]])
    """
    path = Path(weights).expanduser()
    digest = verify(path, sha256)  # first: HDF5 can hang on a file that is damaged in some places
    module, num_classes, (*shape, channels) = _read_network(path, input_size)
    output_kind = output_kind or module.output_kind()
    if output_kind is None:
        raise BenchError(
            f"output_kind: the last layer of '{path}' does not tell what the outputs are: set "
            "backbone.output_kind to logits, probabilities, cosines or multilabel"
        )
    backbone = Backbone(
        name=path.stem if name is None else str(name),
        module=module,
        preprocessing=_preprocessing(preprocessing, shape, channels),
        output_kind=output_kind,
        num_classes=num_classes,
        cam_layer=None if cam_layer == AUTO else cam_layer,
        feature_layer=feature_layer,
        file_sha256=digest,
    )
    backbone.settle_cam_layer(cam_layer, module.convolutions())
    return backbone


def _read_network(
    path: Path, input_size: int | Sequence[int] | None
) -> tuple[KerasGraph, int, tuple[int, int, int]]:
    """A file's network, the number of its classes, and its input: height, width, channels."""
    model, groups = _read_h5(path)
    try:
        *fixed, channels = _fixed_input(model)
        height, width = _input_size(fixed, input_size)
        blank = torch.zeros(1, channels, height, width)
        return *_build(model["config"], groups, blank), (height, width, channels)
    except BenchError as error:
        if str(error).startswith("input_size:"):
            raise
        raise BenchError(f"weights: '{path}': {error}") from error
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        raise BenchError(
            f"weights: '{path}': its model_config is not one that Keras writes "
            f"({type(error).__name__}: {error}): {_SAVE_AGAIN}"
        ) from error


def _read_h5(path: Path) -> tuple[dict[str, Any], dict[str, dict[str, NDArray[np.generic]]]]:
    """Reads a file into memory.

    Args:
        path: What `model.save("x.h5")` wrote.

    Returns:
        `model_config`, and the outermost layers' names -> names of arrays -> arrays.

    Raises:
        BenchError: The file is missing, damaged, not HDF5, or holds weights alone.
    """
    if not h5py.is_hdf5(path):
        raise BenchError(
            f"weights: '{path}' is not an HDF5 file (.h5), or its beginning is damaged: fetch it "
            f"again or, {_SAVE_AGAIN}"
        )
    try:
        with h5py.File(path, "r") as file:
            if "model_config" not in file.attrs:
                raise BenchError(
                    f"weights: '{path}' holds weights alone (save_weights), but no model_config "
                    f"that says what to do with them: {_SAVE_AGAIN}"
                )
            model = json.loads(file.attrs["model_config"])
            return model, _read_arrays(file["model_weights"])
    except (OSError, RuntimeError, LookupError, TypeError, ValueError) as error:
        raise BenchError(
            f"weights: '{path}' is damaged or cut off ({' '.join(str(error).split())}): fetch it "
            "again"
        ) from error


def _read_arrays(weights: h5py.Group) -> dict[str, dict[str, NDArray[np.generic]]]:
    groups = {}
    for name in [*_names(weights, "layer_names"), "top_level_model_weights"]:
        if name in weights:
            group = weights[name]
            groups[name] = {path: group[path][()] for path in _names(group, "weight_names")}
    return groups


def _names(group: h5py.Group, key: str) -> list[str]:
    """A list among a group's attributes; Keras splits a long one into `key0`, `key1`, ..."""
    parts = [key] if key in group.attrs else []
    while f"{key}{len(parts)}" in group.attrs:
        parts.append(f"{key}{len(parts)}")
    if not parts:
        raise KeyError(f"{group.name} lacks {key}")
    names = (name for part in parts for name in group.attrs[part])
    return [name.decode() if isinstance(name, bytes) else str(name) for name in names]


def _build(
    config: Config, groups: dict[str, dict[str, NDArray[np.generic]]], blank: Tensor
) -> tuple[KerasGraph, int]:
    """Builds the network and finds the number of its classes, by a blank input (1, C, H, W)."""
    arrays = Arrays(groups)
    with torch.inference_mode(False), torch.no_grad():
        module = KerasGraph(config, arrays, [blank])
        outputs = module(blank)
    if arrays.left():
        raise BenchError(f"arrays that no layer asks for: {', '.join(arrays.left()[:5])}")
    if outputs.dim() != 2:
        raise BenchError(
            f"expected outputs of shape (B, classes), found {('B', *outputs.shape[1:])}"
        )
    # Settings decide the outputs, too: so they are part of `Backbone.identity`, as a buffer.
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).digest()
    module.register_buffer("config_sha256_", torch.tensor(list(digest), dtype=torch.uint8))
    return module, outputs.shape[1]


def _fixed_input(model: Mapping[str, Any]) -> tuple[int | None, int | None, int]:
    """Height, width and channels of the input that a file asks for; a side is None if any does."""
    if model["class_name"] not in GRAPHS:
        raise BenchError(
            f"expected a Functional or Sequential model, found {model['class_name']}, whose code "
            "is not in the file"
        )
    shape = input_shape(model["config"])
    if len(shape) != 3 or shape[2] not in (1, 3):
        raise BenchError(f"expected an input of shape (height, width, 3 or 1), found {shape}")
    return shape[0], shape[1], shape[2]


def _input_size(fixed: Sequence[int | None], given: int | Sequence[int] | None) -> tuple[int, int]:
    """Height and width, by the file and by the user, who must not contradict it."""
    if given is None:
        # Of a square whose file leaves one side open the other says both.
        height, width = (side or next(filter(None, fixed), None) for side in fixed)
        if height is not None and width is not None:
            return height, width
        raise BenchError(
            "input_size: the file takes images of any size: set backbone.input_size to the side "
            "in pixels that the network was trained with"
        )
    height, width = height_and_width("input_size", given)
    if any(side not in (None, asked) for side, asked in zip(fixed, (height, width), strict=True)):
        sides = " x ".join(dict.fromkeys(str(side or "any") for side in fixed))
        raise BenchError(f"input_size: the file fixes it to {sides}, found {given}: leave it out")
    return height, width


def _preprocessing(
    given: str | Mapping[str, Any], shape: Sequence[int], channels: int
) -> Preprocessing:
    if isinstance(given, str):
        require_known("preprocessing", given, PREPROCESSINGS)
        given = _of_channels(given, channels)
    settings = {"mean", "std", "channel_order", "resize", "crop"}
    for key in given:
        require_known("preprocessing", key, settings)
    for key in ("mean", "std"):
        if key not in given:
            raise BenchError(f"preprocessing: '{key}' is missing, three numbers for R, G and B")
    try:
        made = Preprocessing(size=(shape[0], shape[1]), **given)
        if made.channels != channels:
            raise BenchError(
                f"mean: expected {'one number' if channels == 1 else 'three numbers'}, the file's "
                f"input having {channels}, found {list(made.mean)}"
            )
        return made
    except BenchError as error:
        raise BenchError(f"backbone.preprocessing.{error}") from error


def _of_channels(name: str, channels: int) -> Mapping[str, Any]:
    """Settings of a preprocessing by name, for inputs of so many channels.

    Raises:
        BenchError: Its channels differ, and the input has one.
    """
    settings = PREPROCESSINGS[name]
    if channels == 3:
        return settings
    if any(len(set(settings[key])) > 1 for key in ("mean", "std")):
        raise BenchError(
            f"preprocessing: '{name}' is one of three channels, the file's input has one: set "
            "backbone.preprocessing to {mean: NUMBER, std: NUMBER}"
        )
    return {key: settings[key][0] for key in ("mean", "std")}
