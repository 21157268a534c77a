"""Progress of a run where people see it: a bar in a terminal, lines where there is none."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn
from rich.progress import Progress as Bar
from rich.table import Column

from bench.evaluation.progress import Progress, Tally, duration

SECONDS_A_LINE = 60
"""Between two lines where there is no terminal."""


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
    if not console.is_terminal:
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
