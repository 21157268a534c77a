"""Maps against those of the real Xplique (scripts/oracle/methods.py), on Keras's own network."""

import numpy as np
import pytest
import torch

from bench.attribution.cam import GradCAM, GradCAMPlusPlus
from bench.attribution.gradient import (
    GradientInput,
    GuidedBackprop,
    IntegratedGradients,
    Saliency,
)
from bench.attribution.masking import Occlusion
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.attribution.sensitivity import Hsic, Sobol
from bench.backbones.keras_h5 import keras_h5

EXACT, CUBIC = 1e-4, 1e-3  # of the largest value; cubic enlargements round differently
METHODS = {
    "saliency": (Saliency(), EXACT),
    "gradient_input": (GradientInput(), EXACT),
    "guided_backprop": (GuidedBackprop(), EXACT),
    "integrated_gradients": (IntegratedGradients(20), EXACT),
    "grad_cam": (GradCAM(), CUBIC),
    "grad_cam_pp": (GradCAMPlusPlus(), CUBIC),
    "occlusion": (Occlusion(10, 5), EXACT),
    "sobol": (Sobol(4, 8), CUBIC),
    "hsic": (Hsic(4, 60), CUBIC),
}


@pytest.fixture
def golden(request):
    folder = request.config.getoption("golden")
    backbone = keras_h5(str(folder / "methods.h5"), "none")
    with np.load(folder / "methods.npz", allow_pickle=False) as arrays:
        return backbone, dict(arrays)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("batch_size", [2, 16])
def test_maps_equal_xpliques(golden, name, batch_size):
    backbone, arrays = golden
    x = torch.from_numpy(arrays["x"]).permute(0, 3, 1, 2)
    ids = [str(number) for number in range(len(x))]
    batch = Batch(x, torch.from_numpy(arrays["targets"]), ids, [])
    method, tolerance = METHODS[name]
    maps = method(Scorer(backbone, "probability", batch_size), batch).numpy()
    for found, expected in zip(maps, arrays[name], strict=True):
        assert np.ptp(expected) > 0
        assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
