"""Against orders that numpy 1.23.5 made: scripts/oracle/ties.py."""

from collections import Counter

import numpy as np
import pytest
import torch

from bench import ties
from bench.metrics.perturbation import order_pixels
from bench.ties import argsort_numpy_1_23


@pytest.fixture(scope="module")
def golden(request):
    path = request.config.getoption("golden") / "ties.npz"
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def cases(golden):
    return {name[5:]: (golden[name], golden[f"order/{name[5:]}"])
            for name in golden if name.startswith("keys/")}  # fmt: skip


@pytest.fixture(params=["numba", "python"])
def either(request, monkeypatch):
    """Compiled, if that can be, and not."""
    if request.param == "python":
        monkeypatch.setattr(ties, "_compiled", lambda: None)
    else:
        pytest.importorskip("numba")


def test_orders_are_numpys(golden, either):
    found = cases(golden)
    assert len(found) > 300
    for name, (keys, order) in found.items():
        assert (argsort_numpy_1_23(keys) == order).all(), name


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8, np.uint16])
def test_the_order_does_not_depend_on_the_dtype(golden, dtype):
    for name, (keys, order) in cases(golden).items():
        if keys.min() >= 0 and keys.max() < 128:
            assert (argsort_numpy_1_23(keys.astype(dtype)) == order).all(), name


def test_golden_parts_go_deep_enough_for_the_heap_sort(golden):
    """Without it these orders would be others."""
    calls = Counter()

    def counted(function):
        def call(*arguments):
            calls[function.__name__] += 1
            return function(*arguments)

        return call

    split = ties._splitter(counted)
    for name, (keys, _) in cases(golden).items():
        calls.clear()
        split(keys.tolist(), list(range(len(keys))))
        if name.startswith("killer") and len(keys) > 100:
            assert calls["heap_sort"] > 0, name
        elif name.startswith(("constant", "distinct")):
            assert calls["heap_sort"] == 0, name


def test_pixels_go_in_the_reversed_order_of_numpy_1_23(golden, either):
    squares = [(keys, order) for keys, order in cases(golden).values() if len(keys) == 784]
    assert len(squares) > 10
    for dtype in (torch.float32, torch.float64, torch.int32):
        maps = torch.from_numpy(np.stack([keys for keys, _ in squares])).view(-1, 28, 28).to(dtype)
        found = order_pixels(maps, "numpy_1_23")
        assert found.dtype == torch.int32
        for row, (_, order) in zip(found, squares, strict=True):
            assert (row.numpy() == order[::-1]).all()


def test_both_zeros_are_one_value():
    maps = torch.zeros(2, 8, 8)
    maps[1, ::2] = -0.0
    first, second = order_pixels(maps, "numpy_1_23")
    assert torch.equal(first, second)


def test_maps_without_ties_are_never_split(monkeypatch):
    monkeypatch.setattr(ties, "_splitter", None)
    monkeypatch.setattr(ties, "_compiled", lambda: None)
    maps = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(0)) - 0.5
    found = order_pixels(maps, "numpy_1_23")
    assert torch.equal(found, order_pixels(maps, "stable"))
    maps[1, 0, 0] = maps[1, 3, 3]
    with pytest.raises(TypeError):
        order_pixels(maps, "numpy_1_23")
