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


def gradients(module, x, targets):
    x = x.clone().requires_grad_()
    module(x).gather(1, targets[:, None]).sum().backward()
    return x.grad


def test_it_is_kerass_network(golden, backbone):
    x = torch.from_numpy(golden["x"]).permute(0, 3, 1, 2)
    targets = torch.from_numpy(golden["targets"])
    layers = json.loads(str(golden["layers"]))
    assert layers
    found = {}
    hooks = [
        backbone.module.get_submodule(name).register_forward_hook(
            lambda *call, name=name: found.__setitem__(name, call[2])
        )
        for name in layers
    ]
    with torch.inference_mode():
        outputs = backbone.outputs(x)
    for hook in hooks:
        hook.remove()
    assert difference(outputs, golden["outputs"]) <= 1e-5
    for number, name in enumerate(layers):
        assert difference(found[name], golden[f"layer_{number}"]) <= 1e-5, name

    if x.shape[2] == 32:  # in a deep network a ReLU at zero is on or off by chance
        assert difference(gradients(backbone.module, x, targets), golden["gradients"]) <= 1e-4
    exact = gradients(backbone.module.double(), x.double(), targets)
    assert difference(exact, golden["gradients"]) <= 1e-5


def test_what_it_tells_of_itself(golden, backbone):
    assert backbone.output_kind == str(golden["output_kind"])
    assert backbone.num_classes == golden["outputs"].shape[1]
    assert backbone.preprocessing.size == golden["x"].shape[1]
    chosen = str(golden["cam_layer"])
    assert chosen in (backbone.cam_layer, "")
    assert backbone.layer() is not None
