"""Maps against those of the real Xplique (scripts/oracle/methods.py), on Keras's own network."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from bench.attribution import gradient, masking
from bench.attribution.cam import GradCAM, GradCAMPlusPlus
from bench.attribution.gradient import (
    GradientInput,
    GuidedBackprop,
    IntegratedGradients,
    Saliency,
    SmoothGrad,
    SquareGrad,
    VarGrad,
)
from bench.attribution.masking import Occlusion, Rise
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.attribution.sensitivity import Hsic, Sobol
from bench.attribution.surrogate import KernelShap, Lime
from bench.backbones.keras_h5 import keras_h5

EXACT, CUBIC = 1e-4, 1e-3  # of the largest value; cubic enlargements round differently
COARSE = {"quickshift_kernel_size": 5, "quickshift_max_dist": 30}
DETERMINISTIC = {
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
NOISY = {"smooth_grad": SmoothGrad(10), "square_grad": SquareGrad(10), "var_grad": VarGrad(10)}
SURROGATES = {
    "lime": Lime(120),
    "kernel_shap": KernelShap(120),
    "coarse_lime": Lime(120, kernel_width=12.0, **COARSE),
    "coarse_kernel_shap": KernelShap(120, **COARSE),
}
MANY = {
    "smooth_grad": SmoothGrad(400),
    "rise": Rise(8000),
    "lime": Lime(2000, **COARSE),
    "kernel_shap": KernelShap(6000, **COARSE),
}


class Golden:
    """A Keras network, its inputs and targets, and Xplique's maps and draws by name."""

    def __init__(self, folder):
        self.backbone = keras_h5(str(folder / "methods.h5"), "none")
        self.arrays = {}
        for name in ("methods", "methods_drawn"):
            with np.load(folder / f"{name}.npz", allow_pickle=False) as arrays:
                self.arrays |= dict(arrays)
        self.x = torch.from_numpy(self["x"]).permute(0, 3, 1, 2)

    def __getitem__(self, name):
        return self.arrays[name]

    def maps(self, method, images=slice(None), batch_size=16):
        x, targets = self.x[images], torch.from_numpy(self["targets"])[images]
        ids = [str(number) for number in range(len(self.x))][images]
        scorer = Scorer(self.backbone, "probability", batch_size)
        return method(scorer, Batch(x, targets, ids, [])).numpy()


@pytest.fixture(scope="module")
def golden(request):
    return Golden(request.config.getoption("golden"))


def assert_equal(maps, expected, tolerance=EXACT):
    for found, reference in zip(maps, expected, strict=True):
        assert np.ptp(reference) > 0
        assert np.abs(found - reference).max() <= tolerance * np.abs(reference).max()


@pytest.mark.parametrize("name", DETERMINISTIC)
@pytest.mark.parametrize("batch_size", [2, 16])
def test_maps_equal_xpliques(golden, name, batch_size):
    method, tolerance = DETERMINISTIC[name]
    assert_equal(golden.maps(method, batch_size=batch_size), golden[name], tolerance)


@pytest.mark.parametrize("name", NOISY)
def test_maps_equal_xpliques_given_its_noise(golden, name, monkeypatch):
    noise = torch.from_numpy(golden["noise"]).permute(0, 3, 1, 2)
    monkeypatch.setattr(gradient._Noise, "_draw", lambda self, sample: noise[sample])
    assert_equal(golden.maps(NOISY[name]), golden[name])


@pytest.mark.parametrize("image", range(3))
def test_rise_equals_xpliques_given_its_masks(golden, image, monkeypatch):
    """Xplique crops a batch of masks at one offset, anew for each image; ours has one a mask."""

    class Replayed(masking._Masks):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.grids = torch.from_numpy(golden["rise_grids"]).float()[:, None]
            self.offsets = torch.from_numpy(golden["rise_offsets"][image])

    monkeypatch.setattr(masking, "_Masks", Replayed)
    chosen = slice(image, image + 1)
    assert_equal(golden.maps(Rise(80, grid_size=5), chosen), golden["rise"][chosen])


@pytest.mark.parametrize("name", SURROGATES)
def test_maps_equal_xpliques_given_its_samples(golden, name, monkeypatch):
    method = SURROGATES[name]
    segments = iter(torch.from_numpy(golden[f"{name}_segments"]).long())
    draws = iter(torch.from_numpy(golden[f"{name}_draws_{image}"]) for image in range(3))
    monkeypatch.setattr(method, "_segments", lambda image: next(segments))
    monkeypatch.setattr(method, "_draws", lambda number, generator: next(draws))
    assert_equal(golden.maps(method), golden[name])


@pytest.mark.parametrize("name", SURROGATES)
def test_segments_equal_xpliques(golden, name):
    found = [SURROGATES[name]._segments(image).numpy() for image in golden.x]
    assert np.array_equal(found, golden[f"{name}_segments"])


@pytest.mark.parametrize("name", MANY)
def test_maps_of_many_draws_rank_pixels_as_xpliques_do(golden, name):
    pairs = zip(golden.maps(MANY[name]), golden[f"many_{name}"], strict=True)
    assert (
        np.mean([spearmanr(found.ravel(), reference.ravel())[0] for found, reference in pairs])
        >= 0.95
    )
