"""A share of a run's images, so that several processes or machines divide them."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from bench.datasets.dataset import Sample
from bench.errors import BenchError


@dataclass(frozen=True)
class Shard:
    """The `number`-th of `count` shares.

    A share takes each `count`-th image of the list, so it depends on nothing but their order there.
    Lists are mostly sorted by class and folder: shares that are dealt out like cards are alike in
    what they show and in what they cost, runs of neighbours are not.

    Attributes:
        number: From 1.
        count: The count of all shares.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.dataset import Sample
        >>> samples = [Sample(f"{label}.jpg", Path(f"{label}.jpg"), label) for label in range(5)]
        >>> [sample.image_id for sample in Shard(number=2, count=3).choose(samples)]
        ['1.jpg', '4.jpg']
    """

    number: int = 1
    count: int = 1

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def choose(self, samples: Sequence[Sample]) -> list[Sample]:
        """The share's images, in their order; none where there are fewer images than shares."""
        return list(samples[self.number - 1 :: self.count])


def read_shard(value: object) -> Shard:
    """The share that the setting `shard` names; the whole where it is None.

    Args:
        value: Text, as `3/8`, or None.

    Raises:
        BenchError: It is no `k/n` with 1 <= k <= n.

    Example:
        >>> read_shard("3/8"), read_shard(None)
        (Shard(number=3, count=8), Shard(number=1, count=1))
        >>> read_shard("9/8")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: shard: expected k/n with 1 <= k <= n, as in shard=3/8, found '9/8'
    """
    if value is None:
        return Shard()
    found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", str(value))
    shard = Shard(*map(int, found.groups())) if found else None
    if shard is None or not 1 <= shard.number <= shard.count:
        raise BenchError(f"shard: expected k/n with 1 <= k <= n, as in shard=3/8, found {value!r}")
    return shard
