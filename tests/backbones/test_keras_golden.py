"""Keras's own files against what Keras computes from them (scripts/oracle/backbones.py)."""

import json

import numpy as np
import pytest
import torch
from keras_files import unpacked

from bench.backbones.keras_h5 import keras_h5


def pytest_generate_tests(metafunc):
    folder = metafunc.config.getoption("golden") / "backbones"
    files = sorted(folder.glob("*.npz"))
    assert files, f"expected golden files in {folder}"
    metafunc.parametrize("npz", files, ids=lambda path: path.stem)


@pytest.fixture
def golden(npz):
    with np.load(npz, allow_pickle=False) as arrays:
        return dict(arrays)


@pytest.fixture
def backbone(npz, tmp_path):
    return keras_h5(str(unpacked(npz, tmp_path)), preprocessing="none")


def difference(found, expected):
    """Largest difference, relative to the largest value."""
    found = found.permute(0, 2, 3, 1) if found.dim() == 4 else found
    assert found.shape == expected.shape
    return np.abs(found.detach().numpy() - expected).max() / np.abs(expected).max()


def run(module, x, targets, layers):
    """Outputs, gradients of the targets' summed outputs, and the layers' outputs."""
    found = {}
    hooks = [
        module.get_submodule(name).register_forward_hook(
            lambda *call, name=name: found.__setitem__(name, call[2])
        )
        for name in layers
    ]
    x = x.clone().requires_grad_()
    outputs = module(x)
    for hook in hooks:
        hook.remove()
    outputs.gather(1, targets[:, None]).sum().backward()
    return outputs, x.grad, [found[name] for name in layers]


def test_it_is_kerass_network(golden, backbone):
    x = torch.from_numpy(golden["x"]).permute(0, 3, 1, 2)
    targets = torch.from_numpy(golden["targets"])
    layers = json.loads(str(golden["layers"]))
    assert layers
    # In a network of full size rounding in float32 adds up, in Keras as well: the layers to more
    # than 1e-5, and a ReLU at zero, which is on or off by chance, moves gradients by some percent.
    is_deep = x.shape[2] > 32

    outputs, gradients, inner = run(backbone.module, x, targets, layers)
    assert difference(outputs, golden["outputs"]) <= 1e-5
    for number, found in enumerate(inner):
        assert difference(found, golden[f"layer_{number}"]) <= (5e-5 if is_deep else 1e-5)
    assert is_deep or difference(gradients, golden["gradients"]) <= 1e-4

    outputs, gradients, inner = run(backbone.module.double(), x.double(), targets, layers)
    assert difference(outputs, golden["outputs"]) <= 1e-5
    for number, found in enumerate(inner):
        assert difference(found, golden[f"layer_{number}"]) <= 1e-6
    assert difference(gradients, golden["gradients"]) <= 1e-6


def test_what_it_tells_of_itself(golden, backbone):
    assert backbone.output_kind == str(golden["output_kind"])
    assert backbone.num_classes == golden["outputs"].shape[1]
    assert backbone.preprocessing.size == golden["x"].shape[1]
    chosen = str(golden["cam_layer"])
    *_, last = backbone.module.convolutions()
    assert chosen in (last, "")  # Xplique's
    gives_maps = min(backbone.output_shape(last)[1:]) > 1  # GDC_conv comes after pooling
    assert (backbone.cam_layer == last) == gives_maps
    assert backbone.layer() is not None
