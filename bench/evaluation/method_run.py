"""One method on its way to being rows: what it is, what is stored of it, and what is missing."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from bench.attribution.method import Method, Passes
from bench.datasets.dataset import Sample
from bench.storage.map_store import MapStore
from bench.storage.store import Run


@dataclass(eq=False)
class MethodRun:
    """One method and what it has still to do; its rows are only handed on.

    Attributes:
        name: What the configuration and messages call it.
        method: What makes the maps.
        passes: What one image costs on the network that it explains; None: unknown.
        maps: Where its maps are kept; None: they are made each time.
        done: Ids of images that need no evaluation.
    """

    name: str
    method: Method
    passes: Passes | None = None
    maps: MapStore | None = None
    done: Collection[str] = frozenset()

    @property
    def is_free(self) -> bool:
        """Whether it is known to make no passes, so that it may be called as often as one likes."""
        return self.passes == Passes()

    def is_done(self, image_id: str, metric: str) -> bool:
        """Whether an image needs no evaluation by a metric."""
        return image_id in self.done

    def missing(self, samples: Sequence[Sample], metrics: Iterable[str]) -> dict[str, list[int]]:
        """By metric, the positions of those samples that are to be evaluated, where there are any.

        Args:
            samples: The images.
            metrics: Names of the metrics asked for.
        """
        lacking = {
            metric: [i for i, each in enumerate(samples) if not self.is_done(each.image_id, metric)]
            for metric in metrics
        }
        return {metric: positions for metric, positions in lacking.items() if positions}

    @contextmanager
    def claim(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[Mapping[str, Collection[str]]]:
        """Claims images for the time of a `with` block, so that no other process computes them.

        Args:
            wanted: By metric, the images.

        Yields:
            By metric, those of them that are to be evaluated here: all, as nobody else is asked.
        """
        yield wanted


@dataclass(eq=False, kw_only=True)
class StoredMethodRun(MethodRun):
    """One method whose rows are kept on disk, where other processes may add some.

    Attributes:
        stored: The rows.
        label: What tables call it.
        published: What the published table calls it that the experiment repeats, if it does.
        again: Whether images are evaluated that have a row by now.
    """

    stored: Run
    label: str
    published: str | None = None
    again: bool = False
    _done_of: dict[str, set[str]] = field(default_factory=dict, init=False, repr=False)
    _elsewhere: set[str] = field(default_factory=set, init=False, repr=False)

    def apply_policy(self, policy: str, samples: Iterable[Sample]) -> None:
        """Decides which images are done.

        Args:
            policy: `missing` (those with a row are done), `always` (none is) or `never` (all are).
            samples: All images.
        """
        self.again = policy == "always"
        match policy:
            case "always":
                self.done = frozenset()
            case "never":
                self.done = {sample.image_id for sample in samples}
            case _:
                self._done_of = {
                    name: part.image_ids() for name, part in self.stored.metrics.items()
                }

    def is_done(self, image_id: str, metric: str) -> bool:
        """See `MethodRun`."""
        return image_id in self._done_of.get(metric, self.done)

    @contextmanager
    def claim(self, wanted: Mapping[str, Sequence[str]]) -> Iterator[Mapping[str, Collection[str]]]:
        """See `MethodRun`; what another process is at, or has done by now, is left to it."""
        with self.stored.claim(wanted, again=self.again) as ours:
            for metric, image_ids in wanted.items():
                self._elsewhere |= set(image_ids) - set(ours[metric])
            yield ours

    def left_to_others(self) -> set[str]:
        """Images that another process was at when they were wanted, and that have no row yet."""
        return self._elsewhere - self.stored.image_ids() if self._elsewhere else set()
