"""Progress of a run where people see it: a terminal's bar, lines, files for `bench status`."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from bench.evaluation.method_run import StoredMethodRun
from bench.evaluation.progress import Broadcast, Progress, Tally, duration
from bench.storage.activity import Activity, ActivityFile, kept_activity, timestamp

SECONDS_A_LINE = 60
"""Between two lines where there is no terminal."""


SECONDS_A_FILE = 10
"""Between two times that a process says beside a run's rows that it is at work."""


class Lines(Tally):
    """Prints a line each minute on the method at work, and one at each method's end.

    Args:
        console: Where to.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console
        self._told = 0.0

    def changed(self) -> None:
        """See `Tally`."""
        if self.method in self.counts and self.seconds - self._told >= SECONDS_A_LINE:
            left = self.seconds_left
            time = "not known" if left is None else duration(left)
            self._tell(f"{self.method}: {self.figures(self.method)}, time left {time}")

    def ended(self, method: str) -> None:
        """See `Progress`."""
        self._tell(f"{method}: {self.figures(method)}, ended after {duration(self.seconds)}")

    def _tell(self, line: str) -> None:
        self._told = self.seconds
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)


class TerminalBar(Tally):
    """Keeps one row of a terminal up to date: the method at work, and a bar over the whole run.

    Args:
        bar: What draws it; see `shown`.
    """

    def __init__(self, bar: Bar) -> None:
        super().__init__()
        self._bar = bar
        self._task = bar.add_task("", total=1.0, figures="", left="", visible=False)

    def changed(self) -> None:
        """See `Tally`."""
        if not self.counts:
            return
        method = self.method if self.method in self.counts else next(iter(self.counts))
        left = self.seconds_left
        self._bar.update(
            self._task,
            description=method,
            completed=self.fraction,
            figures=self.figures(method),
            left="" if left is None else f"{duration(left)} left",
            visible=True,
        )

    def close(self) -> None:
        """Shows, in place of the method that was at work last, all of them."""
        if not self.counts:
            return
        total = sum(count.images for count in self.counts.values())
        through = total - sum(count.left for count in self.counts.values())
        failed = sum(count.failed for count in self.counts.values())
        methods = f"{len(self.counts)} method{'s' * (len(self.counts) > 1)}"
        self._bar.update(
            self._task,
            description=methods,
            figures=f"{through}/{total} maps, {failed} failed",
            left=f"after {duration(self.seconds)}",
        )


@contextmanager
def shown(console: Console) -> Iterator[Progress]:
    """What shows a run's progress on a console, as long as the `with` block lasts."""
    if not console.is_terminal or console.is_dumb_terminal:
        yield Lines(console)
        return
    columns = (
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis")),
        BarColumn(None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[figures]}", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True)),
    )
    with Bar(*columns, console=console, expand=True) as bar:
        progress = TerminalBar(bar)
        yield progress
        progress.close()


class ActivityKeeper(Tally):
    """Keeps beside each run's rows how far it is; see `bench.storage.activity`.

    Args:
        runs: The runs.
        shard: The share of the images that is evaluated here: `k/n`.
        images: How many that are.
        files: Holds the files until it is closed.
    """

    def __init__(
        self, runs: Sequence[StoredMethodRun], shard: str, images: int, files: ExitStack
    ) -> None:
        super().__init__()
        self._runs = {run.name: run.stored for run in runs}
        self._shard = shard
        self._images = images
        self._open = files
        self._files: dict[str, ActivityFile] = {}
        self._activities: dict[str, Activity] = {}
        self._told = 0.0

    def started(self, method: str, images: int) -> None:
        """See `Progress`."""
        super().started(method, images)
        run = self._runs[method]
        file = self._open.enter_context(kept_activity(run.folder, run.protocol.key, self._shard))
        if file is None:
            return
        self._files[method] = file
        self._activities[method] = Activity(
            run.protocol.key,
            self._shard,
            self._images,
            before=self._images - images,
            metrics=[part.folder.name for part in run.metrics.values()],
        )
        self._write(method)

    def changed(self) -> None:
        """See `Tally`."""
        if self.seconds - self._told >= SECONDS_A_FILE:
            self._told = self.seconds
            for method in self._files:
                self._write(method)

    def advanced(self, method: str, done: int, failed: int = 0, skipped: int = 0) -> None:
        """See `Progress`."""
        super().advanced(method, done, failed, skipped)
        self._write(method)

    def ended(self, method: str) -> None:
        """See `Progress`."""
        self._write(method, has_ended=True)
        self._files.pop(method, None)

    def _write(self, method: str, has_ended: bool = False) -> None:
        if method not in self._files:
            return
        count = self.counts[method]
        told = replace(
            self._activities[method],
            done=count.done,
            failed=count.failed,
            skipped=count.skipped,
            seconds=self.seconds,
            seconds_left=self.seconds_left,
            has_ended=has_ended,
            updated=timestamp(),
        )
        self._files[method].write(told)


@contextmanager
def kept(
    progress: Progress, runs: Sequence[StoredMethodRun], shard: str, images: int
) -> Iterator[Progress]:
    """A listener that keeps beside the rows what it hears, for the time of a `with` block.

    Args:
        progress: Another one, which hears the same.
        runs: The runs.
        shard: The share of the images that is evaluated here: `k/n`.
        images: How many that are.
    """
    with ExitStack() as files:
        yield Broadcast(progress, ActivityKeeper(runs, shard, images, files))
