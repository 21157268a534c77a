import numpy as np
import pytest
import torch

from bench.backbones.backbone import Preprocessing
from bench.errors import BenchError
from bench.metrics.baseline import (
    BlurBaseline,
    ConstantBaseline,
    Inputs,
    MeanBaseline,
    UniformBaseline,
    ZeroBaseline,
    make_baseline,
)

X = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
PREPROCESSING = Preprocessing(8, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))


def test_zero_is_one_colour_for_all_images():
    assert torch.equal(ZeroBaseline()(Inputs(X)), torch.zeros(1, 3, 1, 1))


def reflected_gaussian(size, sigma):
    """A Gaussian filter of a unit impulse that reflects at the border, by explicit sums."""
    radius = int(4 * sigma + 0.5)
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    taps /= taps.sum()
    line = np.zeros(size)
    for cell in range(size):
        for offset, weight in zip(range(-radius, radius + 1), taps, strict=True):
            source = (cell + offset) % (2 * size)
            source = source if source < size else 2 * size - 1 - source
            line[cell] += weight * (source == size // 2)
    return np.outer(line, line)


def test_rise_kernel():
    kernel = BlurBaseline(11, 5).kernel().numpy()
    assert np.abs(kernel - reflected_gaussian(11, 5)).max() <= 1e-7
    assert kernel.sum() == pytest.approx(1, abs=1e-6)
    # Nearly a box, unlike a truncated Gaussian whose ratio is 0.368.
    assert kernel.min() / kernel.max() == pytest.approx(0.876, abs=0.001)


def test_blur_is_a_zero_padded_convolution_of_each_channel():
    kernel = BlurBaseline(3, 1).kernel().numpy()
    padded = np.pad(X.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros(X.shape)
    for row in range(8):
        for column in range(6):
            window = padded[:, :, row : row + 3, column : column + 3]
            expected[:, :, row, column] = (window * kernel).sum(axis=(2, 3))
    assert np.abs(BlurBaseline(3, 1)(Inputs(X)).numpy() - expected).max() <= 1e-6


def test_constant_goes_through_the_backbones_preprocessing():
    colour = ConstantBaseline((12, 24, 40))(Inputs(X, to_input=PREPROCESSING.to_input))
    assert colour.shape == (1, 3, 1, 1)
    assert colour.flatten().tolist() == [1, 1, 2]


def test_mean_is_the_mean_colour_of_each_image():
    pixels = torch.randint(0, 256, (2, 5, 7, 3), generator=torch.Generator().manual_seed(0)).float()
    x = PREPROCESSING.to_input(pixels).permute(0, 3, 1, 2)
    found = PREPROCESSING.to_rgb(MeanBaseline()(Inputs(x))[:, :, 0, 0])
    assert (found - pixels.mean(dim=(1, 2))).abs().max() <= 1e-3


def test_uniform_noise_is_keyed_by_seed_and_image():
    def noise(*ids, seed=0):
        inputs = Inputs(X[: len(ids)], ids, seed, PREPROCESSING.to_input)
        return UniformBaseline()(inputs)

    both = noise("a", "b")
    assert both.shape == X.shape
    assert torch.equal(both[1], noise("b")[0])
    assert not torch.equal(both[0], both[1])
    assert not torch.equal(both, noise("a", "b", seed=1))
    rgb = PREPROCESSING.to_rgb(both.permute(0, 2, 3, 1))
    assert (rgb.min() > -1e-3) & (rgb.max() < 255 + 1e-3)
    assert rgb.mean().item() == pytest.approx(127.5, abs=15)
    assert rgb.std().item() == pytest.approx(255 / 12**0.5, abs=10)


@pytest.mark.parametrize("rgb", [None, 3, [1, 2], [1, 2, 300], [1, 2, "x"], [1, 2, -1]])
def test_bad_colours(rgb):
    with pytest.raises(BenchError, match="rgb"):
        make_baseline("constant", rgb=rgb)
    with pytest.raises(BenchError, match="rgb"):
        make_baseline("constant")


@pytest.mark.parametrize("settings", [{"kernel_size": 4}, {"kernel_size": 0}, {"sigma": 0}])
def test_bad_blur(settings):
    with pytest.raises(BenchError, match=next(iter(settings))):
        make_baseline("blur", **settings)
