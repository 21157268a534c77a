"""Writes in which order numpy 1.23.5's `argsort` leaves equal values: ties.npz.

    python scripts/oracle/ties.py build/golden [--full]

Run by the Python that has the record's numpy. `keys/NAME` are integers (n,), `order/NAME` their
`np.argsort`, not reversed. As float32, float64 and int64 numpy orders them alike, which is checked
here: one algorithm serves all types.
"""

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

VERSION = "1.23.5"
SIZES = (*range(1, 21), 33, 49, 100, 257, 784)
LARGE = (12544, 50176)


class Adversary:
    """Values that are fixed as late as possible, so that a quicksort meets its worst case.

    McIlroy 1999, "A killer adversary for quicksort": a value that was compared and is still open
    becomes the next smallest fixed one when two open ones meet, and pivots are kept low.
    """

    def __init__(self, size: int) -> None:
        self.ranks = np.full(size, size)
        self.fixed = 0
        self.candidate = 0

    def compare(self, first: int, second: int) -> int:
        """Sign of value `first` minus value `second`, fixing one of them if both are open."""
        open_rank = len(self.ranks)
        if self.ranks[first] == self.ranks[second] == open_rank and first != second:
            low = first if first == self.candidate else second
            self.ranks[low] = self.fixed
            self.fixed += 1
        if self.ranks[first] == open_rank:
            self.candidate = first
        elif self.ranks[second] == open_rank:
            self.candidate = second
        return int(np.sign(self.ranks[first] - self.ranks[second]))


class Item:
    """An element that asks its adversary."""

    def __init__(self, adversary: Adversary, place: int) -> None:
        self.adversary, self.place = adversary, place

    def __lt__(self, other: "Item") -> bool:
        return self.adversary.compare(self.place, other.place) < 0

    def __gt__(self, other: "Item") -> bool:
        return self.adversary.compare(self.place, other.place) > 0

    def __eq__(self, other: object) -> bool:
        return self.adversary.compare(self.place, other.place) == 0

    __hash__ = None


def killer(size: int) -> NDArray[np.int64]:
    """Ranks that make this numpy's quicksort give up and sort heaps."""
    adversary = Adversary(size)
    items = np.empty(size, dtype=object)
    items[:] = [Item(adversary, place) for place in range(size)]
    np.argsort(items)
    return adversary.ranks


def kinds(size: int, seed: int) -> dict[str, NDArray[np.int64]]:
    """Keys with many kinds of ties."""
    draws = np.random.default_rng([seed, size])
    ramp, side = np.arange(size), max(round(size**0.5), 1)
    blocks = draws.integers(0, 9, (7, 7)).repeat(-(-side // 7), 0).repeat(-(-side // 7), 1)
    found = {
        "constant": np.zeros(size, int),
        "two": draws.integers(0, 2, size),
        "levels": draws.integers(0, 25, size),
        "many_levels": draws.integers(0, max(size // 3, 1), size),
        "distinct": draws.permutation(size),
        "mostly_zero": np.maximum(draws.normal(-1, 1, size) * 1000, 0).astype(int),
        "negative": -np.maximum(draws.normal(0, 1, size) * 10, 0).astype(int),
        "sorted": ramp // 3,
        "reversed": -ramp // 3,
        "organ_pipe": np.minimum(ramp, ramp[::-1]) // 2,
        "sawtooth": ramp % 17,
        "one_high": (ramp == size // 2).astype(int),
        "nearly_sorted": np.where(draws.random(size) < 0.02, 0, ramp // 4),
    }
    if side * side == size:
        found["blocks"] = blocks[:side, :side].ravel()
    return found


def deep(size: int) -> dict[str, NDArray[np.int64]]:
    """Keys whose parts go deeper than the budget, with ties in what is heap sorted."""
    ranks = killer(size)
    return {
        "killer": ranks,
        "killer_pairs": ranks // 2,
        "killer_clipped": np.minimum(ranks, size // 2),
        "killer_ends": np.where(ranks > size // 2, ranks % 5 + size, ranks),
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true", help="more draws, and large maps")
    arguments = parser.parse_args()
    if np.__version__ != VERSION:
        raise SystemExit(f"expected numpy {VERSION}, found {np.__version__}")
    arrays = {}
    for seed in range(10 if arguments.full else 1):
        for size in SIZES + (LARGE if arguments.full else ()):
            for name, keys in kinds(size, seed).items():
                arrays[f"{name}_{size}_{seed}"] = keys
    for size in (100, 784, 3136):
        arrays |= {f"{name}_{size}": keys for name, keys in deep(size).items()}
    written = {}
    for name, keys in arrays.items():
        order = np.argsort(keys)
        for dtype in (np.float32, np.float64, np.uint32, np.int16):
            kept = keys - keys.min()  # unsigned
            if kept.max() < 2**15 and not (np.argsort(kept.astype(dtype)) == order).all():
                raise SystemExit(f"{name}: {dtype.__name__} has another order than int64")
        written |= {f"keys/{name}": keys.astype(np.int32), f"order/{name}": order.astype(np.uint16)}
    arguments.folder.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(arguments.folder / "ties.npz", **written)
    print(f"{len(arrays)} orders of numpy {VERSION} in {arguments.folder / 'ties.npz'}")


if __name__ == "__main__":
    main()
