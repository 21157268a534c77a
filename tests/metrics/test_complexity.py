import math
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.metrics.complexity import Complexity, EffectiveComplexity, Sparseness
from bench.metrics.metric import Maps

GOLDEN = Path(__file__).parents[1] / "golden/quantus_complexity.npz"


def ask(metric, maps):
    """Values (N,) of maps (N, H, W)."""
    maps = torch.as_tensor(maps)
    (values,) = metric(None, Maps(maps, torch.arange(len(maps)), "stable")).values()
    return values.numpy()


@pytest.mark.parametrize(
    ("metric", "tolerance"),
    # Quantus adds 1e-7 to each magnitude before it takes the Gini index.
    [(Sparseness(), 5e-5), (Complexity(), 1e-6), (EffectiveComplexity(), 0)],
)
def test_quantus(metric, tolerance):
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    expected = golden[type(metric).__name__]
    np.testing.assert_allclose(ask(metric, golden["maps"]), expected, atol=tolerance)


def test_sparseness_is_the_gini_index():
    """Half the mean difference of all pairs, over the mean."""
    maps = torch.randn(3, 5, 7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    maps[1] = maps[1].round()
    values = maps.abs().flatten(1).numpy()
    pairs = np.abs(values[:, :, None] - values[:, None]).mean(axis=(1, 2))
    np.testing.assert_allclose(ask(Sparseness(), maps), pairs / 2 / values.mean(axis=1))


def test_closed_forms():
    maps = np.zeros((4, 3, 5))
    maps[0] = -2  # constant, as zeros are
    maps[1, 1, 2] = 1e-30  # one pixel
    maps[2, 0, :4] = [1, -1, 1, -1]
    gini = [0, 1 - 1 / 15, 1 - 4 / 15, 0]
    np.testing.assert_allclose(ask(Sparseness(), maps), gini, atol=1e-15)
    np.testing.assert_allclose(
        ask(Complexity(), maps), [math.log(15), 0, math.log(4), math.log(15)]
    )
    assert ask(EffectiveComplexity(), maps).tolist() == [15, 1, 4, 15]
    for metric in (Sparseness(), Complexity(), EffectiveComplexity()):
        np.testing.assert_allclose(ask(metric, 1e6 * maps), ask(metric, maps))


def test_the_threshold_is_a_share_of_the_largest():
    maps = [[[4.0, 3.0, -2.0, 1.0]]]
    assert ask(EffectiveComplexity(threshold=0.5), maps).tolist() == [2]
    with pytest.raises(BenchError, match=r"threshold: expected a number in \(0, 1\], found 2"):
        EffectiveComplexity(threshold=2)
