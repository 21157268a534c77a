"""How many images a block takes, so that what it found is stored in time."""

import time
from collections.abc import Callable

GROWTH = 8
"""A block has at most so many times the images of the one before, which may have been quick by
chance."""


CAUTION = 3
"""A first block is as long as if images took so many times what is expected of them."""


class Pace:
    """The length of blocks, by how long the one before took.

    Only how rows are divided into blocks depends on the clock, never what is in them.

    Args:
        most: Images in a block, at most.
        seconds: About how long a block may last.
        expected: Seconds that an image is expected to take; None: not known, so that the first
            block has one image, if blocks may not last for ever.
        clock: Gives seconds.

    Attributes:
        images: In the next block.

    Example:
        >>> pace = Pace(most=32, seconds=60)
        >>> pace.images
        1
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        expected: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.images = most
        if seconds < float("inf"):
            fitting = 0.0 if expected is None else seconds / CAUTION / max(expected, 1e-9)
            self.images = max(1, int(min(most, fitting)))
        self._most = most
        self._seconds = seconds
        self._clock = clock
        self._begun = clock()

    def begin(self) -> float:
        """Begins a block, or a part of one; returns when that was."""
        self._begun = self._clock()
        return self._begun

    def is_over(self) -> bool:
        """Whether the time of what was begun last is over."""
        return self._clock() - self._begun >= self._seconds

    def adapt(self, images: int, started: float) -> None:
        """Learns from a block.

        Args:
            images: That were evaluated; none say nothing.
            started: When it began.
        """
        if images:
            taken = max(self._clock() - started, 1e-9)
            fitting = min(self._most, GROWTH * images, self._seconds * images / taken)
            self.images = max(1, int(fitting))
