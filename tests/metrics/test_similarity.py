from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats

from bench.metrics.similarity import rank_correlation, ssim

GOLDEN = Path(__file__).parents[1] / "golden/quantus_again.npz"


@pytest.fixture
def pairs():
    """More pairs than are compared at once; ties, and blocks of one value."""
    draws = np.random.default_rng(0)
    first, second = draws.standard_normal((2, 19, 9, 12))
    second[5:12] = 0.5 * first[5:12] + second[5:12]
    for maps in (first, second):
        maps[::3] = maps[::3].round()
        maps[1, :5] = 0
    return torch.tensor(first), torch.tensor(second)


def test_rank_correlation_is_scipys(pairs):
    expected = [
        stats.spearmanr(one.flatten(), other.flatten()).statistic
        for one, other in zip(*pairs, strict=True)
    ]
    np.testing.assert_allclose(rank_correlation(*pairs), expected, atol=1e-14)


def test_ssim_is_scikit_images():
    golden = np.load(GOLDEN)
    pairs = torch.tensor(golden["pairs"])
    np.testing.assert_allclose(ssim(pairs[:, 0], pairs[:, 1]), golden["ssim"], atol=1e-12)


@pytest.mark.parametrize("compare", [rank_correlation, ssim])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [(23, 18), (4, 6), (2, 3)])
def test_equal_maps_have_exactly_1(compare, dtype, size):
    maps = torch.randn(40, *size, generator=torch.Generator().manual_seed(0), dtype=dtype)
    maps[1] = 0
    maps[2] = -3
    maps[3] *= 1e-30
    maps[4] = maps[4].round()
    assert (compare(maps, maps.clone()) == 1).all()
    assert (compare(maps, 4 * maps) == 1).all()  # an exact multiple
    assert compare(maps, maps.flip(0))[5:15].mean() < 0.9


def test_constant_maps_have_no_order():
    varied = torch.arange(64.0).view(1, 8, 8)
    two, three = torch.full((2, 1, 8, 8), 2.0)
    assert rank_correlation(two, 1.5 * three).tolist() == [1]
    assert ssim(two, 1.5 * three).tolist() == [1]
    for pair in ((two, varied), (varied, two)):
        assert rank_correlation(*pair).tolist() == [0]
        assert -1 < ssim(*pair).item() < 0.5


def test_nan_is_of_its_pair_alone():
    first = torch.randn(3, 8, 8)
    second = first.clone()
    second[1, 2, 3] = torch.nan
    for compare in (rank_correlation, ssim):
        for found in (compare(first, second), compare(second, first)):
            assert found.isnan().tolist() == [False, True, False]
            assert found[0] == 1
    assert len(ssim(first[:0], second[:0])) == 0
