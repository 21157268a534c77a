import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.metrics.baseline import BlurBaseline, ZeroBaseline, make_baseline


def test_zero_is_one_colour_for_all_images():
    assert torch.equal(ZeroBaseline()(torch.rand(4, 3, 5, 6)), torch.zeros(1, 3, 1, 1))


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
    x = torch.rand(2, 3, 8, 6, generator=torch.Generator().manual_seed(0))
    kernel = BlurBaseline(3, 1).kernel().numpy()
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (1, 1), (1, 1)))
    expected = np.zeros(x.shape)
    for row in range(8):
        for column in range(6):
            window = padded[:, :, row : row + 3, column : column + 3]
            expected[:, :, row, column] = (window * kernel).sum(axis=(2, 3))
    assert np.abs(BlurBaseline(3, 1)(x).numpy() - expected).max() <= 1e-6


@pytest.mark.parametrize("settings", [{"kernel_size": 4}, {"kernel_size": 0}, {"sigma": 0}])
def test_bad_blur(settings):
    with pytest.raises(BenchError, match=next(iter(settings))):
        make_baseline("blur", **settings)
