"""Small .h5 files as Keras writes them, written with h5py."""

import json
import lzma

import h5py
import numpy as np


def unpacked(npz, folder):
    """The .h5 beside a golden .npz; where it is packed, unpacked into `folder`."""
    plain = npz.with_suffix(".h5")
    if plain.is_file():
        return plain
    path = folder / plain.name
    path.write_bytes(lzma.decompress(npz.with_suffix(".h5.xz").read_bytes()))
    return path


def layer(kind, name, *inputs, **config):
    """A layer's entry in Keras 2's words; inputs are names or (name, call)."""
    nodes = [[key, 0, 0, {}] if isinstance(key, str) else [*key, 0, {}] for key in inputs]
    called = {"inbound_nodes": [nodes] if nodes else []}
    return {"class_name": kind, "name": name, "config": {"name": name} | config} | called


def image(name="image", size=8, channels=3):
    return layer("InputLayer", name, batch_input_shape=[None, size, size, channels])


def functional(layers, output, name="model"):
    """A Functional model's entry; its inputs are its InputLayers."""
    inputs = [[layer["name"], 0, 0] for layer in layers if layer["class_name"] == "InputLayer"]
    outputs = [[output, 0, 0]] if isinstance(output, str) else output
    config = {"name": name, "layers": layers, "input_layers": inputs, "output_layers": outputs}
    return {"class_name": "Functional", "name": name, "config": config}


def write_h5(path, model, arrays):
    """Writes a file; arrays: layer's group -> name -> array."""
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(model)
        weights = file.create_group("model_weights")
        weights.attrs["layer_names"] = [layer["name"] for layer in model["config"]["layers"]]
        for layer in model["config"]["layers"]:
            group = weights.create_group(layer["name"])
            found = arrays.get(layer["name"], {})
            group.attrs["weight_names"] = list(found)
            for name, values in found.items():
                group[name] = np.asarray(values)
    return path


def small_model(size=8, **changes):
    """A convolution, pooling and three classes: entry and arrays."""
    conv = {"filters": 4, "kernel_size": [3, 3], "strides": [1, 1], "padding": "same"}
    layers = [
        image(size=size),
        layer("Conv2D", "conv", "image", **conv | changes),
        layer("GlobalAveragePooling2D", "pool", "conv"),
        layer("Dense", "predictions", "pool", units=3, activation="softmax"),
    ]
    draw = np.random.default_rng(0).standard_normal
    shapes = {
        "conv": {"kernel": (3, 3, 3, 4), "bias": (4,)},
        "predictions": {"kernel": (4, 3), "bias": (3,)},
    }
    arrays = {
        layer: {
            f"{layer}/{name}:0": draw(shape).astype(np.float32) for name, shape in named.items()
        }
        for layer, named in shapes.items()
    }
    return functional(layers, "predictions"), arrays
