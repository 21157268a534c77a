"""What a run tells of itself while it goes on, and the figures that whoever shows it needs."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_MOST = 0.99
"""Of a run, as long as images are left."""


class Progress:
    """Is told what happens in a run; this one shows nothing.

    Whoever shows a run (a terminal, a log, a notebook) makes a subclass with the events that it
    needs, or one of `Tally`, which counts. Methods take turns block by block: all are started
    before the first one is done.

    Example:
        >>> class Printed(Progress):
        ...     def advanced(self, method, done, failed=0, skipped=0):
        ...         print(f"{method}: {done} more images, {failed} failed")
        >>> Printed().advanced("rise", 3, failed=1)
        rise: 3 more images, 1 failed
    """

    def planned(self, passes: int) -> None:
        """About so many forward and backward passes are to be made; 0: nobody knows."""

    def passed(self, passes: int) -> None:
        """Forward or backward passes were made for so many inputs."""

    def started(self, method: str, images: int) -> None:
        """A method has images to do: those that lack a row."""

    def working(self, method: str) -> None:
        """A method is asked for maps now."""

    def advanced(self, method: str, done: int, failed: int = 0, skipped: int = 0) -> None:
        """Images of a method are through.

        Args:
            method: Its name.
            done: Images whose rows have been taken, and stored where they are stored.
            failed: Images that it, or a metric of its map, failed on.
            skipped: Images that another process computes, or that were not tried because the
                method failed again and again.
        """

    def ended(self, method: str) -> None:
        """A method has no more images to do."""


@dataclass
class Count:
    """How far a method is, in images.

    Attributes:
        images: That it had to do.
        done: With rows by now.
        failed: Without.
        skipped: Not tried here.
    """

    images: int
    done: int = 0
    failed: int = 0
    skipped: int = 0

    @property
    def left(self) -> int:
        """Images still to do."""
        return self.images - self.done - self.failed - self.skipped


class Tally(Progress):
    """Counts what it is told; a subclass shows it, in `changed`.

    Args:
        clock: Gives seconds.

    Attributes:
        counts: By method, how far it is, in the order in which they were started.
        method: The one that is at work, or was last; "" before any is.

    Example:
        >>> tally = Tally()
        >>> tally.started("rise", 20)
        >>> tally.advanced("rise", 12, failed=1)
        >>> tally.counts["rise"].left
        7
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: dict[str, Count] = {}
        self.method = ""
        self._clock = clock
        self._since = clock()
        self._planned = self._passes = self._passes_before = 0

    def changed(self) -> None:
        """Is called after each event."""

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return self._clock() - self._since

    @property
    def fraction(self) -> float:
        """How much of the run is done, 0 to 1, by images.

        Passes since images were last through tell of the middle of a block: as many as those
        images took on average make another one. Before the first are through, what was planned
        counts. Batches are filled up, so passes are no measure of the whole.
        """
        counts = self.counts.values()
        images = sum(count.images - count.skipped for count in counts)
        left = sum(count.left for count in counts)
        through = 1 - left / images if images else 1.0 if counts else 0.0
        if through == 0:
            found = self._passes / self._planned if self._planned else 0.0
        else:
            found = through * self._passes / self._passes_before if self._passes_before else through
        return found if left == 0 else min(found, _MOST)

    @property
    def seconds_left(self) -> float | None:
        """Until all methods have ended; None: not known yet."""
        fraction = self.fraction
        return self.seconds * (1 - fraction) / fraction if fraction else None

    def figures(self, method: str) -> str:
        """A method's images, their rate, and how many failed: `12/20 images, 3.4/min, 1 failed`."""
        count = self.counts[method]
        parts = [f"{count.done + count.failed}/{count.images} images"]
        if count.done and self.seconds:
            parts.append(rate_text(count.done / self.seconds))
        parts.append(f"{count.failed} failed")
        if count.skipped:
            parts.append(f"{count.skipped} skipped")
        return ", ".join(parts)

    def planned(self, passes: int) -> None:
        """See `Progress`."""
        self._planned += passes
        self.changed()

    def passed(self, passes: int) -> None:
        """See `Progress`."""
        self._passes += passes
        self.changed()

    def started(self, method: str, images: int) -> None:
        """See `Progress`."""
        self.counts[method] = Count(images)
        self.changed()

    def working(self, method: str) -> None:
        """See `Progress`."""
        self.method = method
        self.changed()

    def advanced(self, method: str, done: int, failed: int = 0, skipped: int = 0) -> None:
        """See `Progress`."""
        count = self.counts[method]
        count.done += done
        count.failed += failed
        count.skipped += skipped
        self._passes_before = self._passes
        self.changed()


class Broadcast(Progress):
    """Tells several listeners, in their order."""

    def __init__(self, *listeners: Progress) -> None:
        self._listeners = listeners

    def planned(self, passes: int) -> None:
        """See `Progress`."""
        for listener in self._listeners:
            listener.planned(passes)

    def passed(self, passes: int) -> None:
        """See `Progress`."""
        for listener in self._listeners:
            listener.passed(passes)

    def started(self, method: str, images: int) -> None:
        """See `Progress`."""
        for listener in self._listeners:
            listener.started(method, images)

    def working(self, method: str) -> None:
        """See `Progress`."""
        for listener in self._listeners:
            listener.working(method)

    def advanced(self, method: str, done: int, failed: int = 0, skipped: int = 0) -> None:
        """See `Progress`."""
        for listener in self._listeners:
            listener.advanced(method, done, failed, skipped)

    def ended(self, method: str) -> None:
        """See `Progress`."""
        for listener in self._listeners:
            listener.ended(method)


class Countdown:
    """Tells a listener how far methods are, and of each one's end once and as soon as it is there.

    Args:
        progress: The listener.
        images: By method, how many it has to do.
    """

    def __init__(self, progress: Progress, images: Mapping[str, int]) -> None:
        self._progress = progress
        self._left = {method: count for method, count in images.items() if count}
        for method, count in self._left.items():
            progress.started(method, count)

    def left(self, method: str) -> int:
        """Images that a method has still to do."""
        return self._left.get(method, 0)

    def advance(self, method: str, done: int = 0, failed: int = 0, skipped: int = 0) -> None:
        """Tells that images are through."""
        through = done + failed + skipped
        if not through:
            return
        self._progress.advanced(method, done, failed, skipped)
        self._left[method] -= through
        if self._left[method] == 0:
            self._progress.ended(method)

    def skip_rest(self) -> None:
        """Tells that nothing more is tried."""
        for method, count in self._left.items():
            self.advance(method, skipped=count)


def rate_text(images_per_second: float) -> str:
    """A rate in the unit that fits: 2.5/s, 3.4/min, 1.2/h."""
    per_minute = images_per_second * 60
    if per_minute >= 60:
        return f"{images_per_second:.1f}/s"
    return f"{per_minute:.1f}/min" if per_minute >= 1 else f"{per_minute * 60:.1f}/h"


def duration(seconds: float) -> str:
    """In the unit that fits: 12 s, 3 min, 4.5 h."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
