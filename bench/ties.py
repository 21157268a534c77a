"""The order in which numpy 1.23 leaves equal values, on every machine and with any numpy.

`np.argsort` by default is no stable sort: which of two equal pixels comes first depends on how the
array was taken apart. The published numbers were made with numpy 1.23.5, whose sort is the same on
every CPU; from 1.25 on numpy has others, chosen by the CPU (AVX-512, AVX2).

numpy 1.23's is an introsort (Musser 1997), for all types of numbers alike, described here from
`numpy/core/src/npysort/quicksort.cpp` and `heapsort.cpp`:

- A part of more than 16 elements is split around the median of its first, middle and last element,
  which are put in order on the way. The scans from both ends (Hoare's) stop at equal values too.
- Of the two parts, the smaller is split on at once and the larger waits on a stack.
- Each split takes one from a budget that starts at twice floor(log2(n)) and that both parts
  inherit. A part that waited and whose budget is below zero is heap sorted.
- Parts of at most 16 elements are insertion sorted, which keeps equal values in their order. So all
  of them are sorted here at the end at once, by one stable sort of the whole.

The same code runs compiled where numba is installed (the extra `fast`), and else in Python.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SMALL = 16
"""Parts of so many elements are split no more."""

Numbers = list[int] | NDArray[np.int64]
"""Integers that are sorted in place."""
Splitter = Callable[[Numbers, Numbers], None]
"""Keys, and the indices that they had, both changed in place."""


def argsort_numpy_1_23(values: NDArray[np.generic]) -> NDArray[np.int64]:
    """What `np.argsort(values)` gives in numpy 1.23.5, ties included.

    Args:
        values: (n,) numbers; no NaN.

    Returns:
        (n,) indices, ascending.

    Example:
        >>> argsort_numpy_1_23(np.zeros(20))[::-1][:4].tolist()
        [19, 18, 1, 2]
    """
    ranks = np.unique(values, return_inverse=True)[1].reshape(-1)
    return argsort_ranks(torch.from_numpy(ranks.astype(np.int64))[None])[0].numpy()


def argsort_ranks(ranks: Tensor) -> Tensor:
    """Orders rows of integers as numpy 1.23.5's `argsort` does.

    Args:
        ranks: (N, n) int64 on the CPU; equal ones are ties.

    Returns:
        (N, n) int64 indices, ascending.

    Example:
        >>> argsort_ranks(torch.zeros(1, 20, dtype=torch.int64))[0, :5].tolist()
        [0, 17, 16, 15, 14]
        >>> argsort_ranks(torch.tensor([[2, 0, 1, 0]])).tolist()
        [[1, 3, 2, 0]]
    """
    split = _compiled()
    if split is None:
        return torch.stack([_argsort_in_python(row) for row in ranks])

    def argsort(row: Tensor) -> Tensor:
        keys, order = row.numpy().copy(), np.arange(len(row), dtype=np.int64)
        split(keys, order)
        return _finished(torch.from_numpy(keys), torch.from_numpy(order))

    with ThreadPoolExecutor(os.cpu_count()) as threads:  # compiled, it needs no interpreter lock
        return torch.stack(list(threads.map(argsort, ranks)))


def _argsort_in_python(row: Tensor) -> Tensor:
    keys, order = row.tolist(), list(range(len(row)))
    _splitter()(keys, order)
    return _finished(torch.tensor(keys), torch.tensor(order))


def _finished(keys: Tensor, order: Tensor) -> Tensor:
    """Does what the insertion sort of the small parts does."""
    return order[keys.argsort(stable=True)]


@cache
def _compiled() -> Splitter | None:
    """The splitter for arrays of int64, if numba is there and takes the running numpy."""
    try:
        from numba import njit
    except ImportError:
        return None
    split = _splitter(njit(nogil=True))
    split(
        np.zeros(20, np.int64), np.arange(20, dtype=np.int64)
    )  # compiled before threads are begun
    return split


Compile = Callable[[Callable[..., Any]], Callable[..., Any]]
"""A decorator, numba's or none."""


def _splitter(compiled: Compile = lambda function: function) -> Splitter:
    """Makes the function that splits keys until no part has more than 16, moving indices along.

    Args:
        compiled: Decorator of what it is made of.
    """
    swap = _swapper(compiled)
    partition = _partitioner(compiled, swap)
    heap_sort = _heap_sorter(compiled, swap)

    @compiled
    def split(keys: Numbers, order: Numbers) -> None:
        budget, size = 0, len(keys)
        while size > 1:
            size, budget = size // 2, budget + 2
        waiting = [(0, len(keys) - 1, budget)]
        while len(waiting) > 0:
            left, right, budget = waiting.pop()
            if budget < 0:
                heap_sort(keys, order, left, right)
                continue
            while right - left >= SMALL:
                i = partition(keys, order, left, right)
                budget -= 1
                if i - left < right - i:
                    waiting.append((i + 1, right, budget))
                    right = i - 1
                else:
                    waiting.append((left, i - 1, budget))
                    left = i + 1

    return split


def _swapper(compiled: Compile) -> Callable[[Numbers, Numbers, int, int], None]:
    @compiled
    def swap(keys: Numbers, order: Numbers, i: int, j: int) -> None:
        keys[i], keys[j] = keys[j], keys[i]
        order[i], order[j] = order[j], order[i]

    return swap


def _partitioner(
    compiled: Compile, swap: Callable[[Numbers, Numbers, int, int], None]
) -> Callable[[Numbers, Numbers, int, int], int]:
    """Makes the function that splits a part around its pivot, and says where that lies then."""

    @compiled
    def partition(keys: Numbers, order: Numbers, left: int, right: int) -> int:
        middle = left + (right - left) // 2
        if keys[middle] < keys[left]:
            swap(keys, order, middle, left)
        if keys[right] < keys[middle]:
            swap(keys, order, right, middle)
        if keys[middle] < keys[left]:
            swap(keys, order, middle, left)
        pivot = keys[middle]
        i, j = left, right - 1
        swap(keys, order, middle, j)
        while True:
            i += 1
            while keys[i] < pivot:
                i += 1
            j -= 1
            while pivot < keys[j]:
                j -= 1
            if i >= j:
                break
            # Written out: a call for each swap would double the time without a compiler.
            keys[i], keys[j] = keys[j], keys[i]
            order[i], order[j] = order[j], order[i]
        swap(keys, order, i, right - 1)
        return i

    return partition


def _heap_sorter(
    compiled: Compile, swap: Callable[[Numbers, Numbers, int, int], None]
) -> Callable[[Numbers, Numbers, int, int], None]:
    """Makes the function that heap sorts a part."""

    @compiled
    def sink(keys: Numbers, order: Numbers, before: int, place: int, end: int) -> None:
        """Lets a heap's entry sink below larger ones; places count from 1, after `before`."""
        key, index = keys[before + place], order[before + place]
        child = 2 * place
        while child <= end:
            if child < end and keys[before + child] < keys[before + child + 1]:
                child += 1
            if not key < keys[before + child]:
                break
            keys[before + place] = keys[before + child]
            order[before + place] = order[before + child]
            place, child = child, 2 * child
        keys[before + place], order[before + place] = key, index

    @compiled
    def heap_sort(keys: Numbers, order: Numbers, left: int, right: int) -> None:
        before, count = left - 1, right - left + 1
        for place in range(count // 2, 0, -1):
            sink(keys, order, before, place, count)
        for end in range(count - 1, 0, -1):
            swap(keys, order, left, left + end)
            sink(keys, order, before, 1, end)

    return heap_sort
