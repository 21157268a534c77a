"""Progress of `bench.evaluate`: in a notebook, or where a terminal is."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from markupsafe import Markup
from rich.console import Console

from bench.evaluation.progress import Progress, Tally, duration
from bench.experiment.progress import shown

_SECONDS_A_CHANGE = 0.3
"""Between two changes of what a notebook shows: each is a message to the browser."""


class NotebookBar(Tally):
    """Keeps a bar in a notebook's output up to date; needs no widgets, and stays when saved.

    Args:
        handle: What `IPython.display.display` gives: `update` shows something else in its place.

    Example:
        >>> class Cell:  # in a notebook: IPython.display.display(HTML(""), display_id=True)
        ...     def update(self, html):
        ...         self.shown = html.data
        >>> cell = Cell()
        >>> bar = NotebookBar(cell)
        >>> bar.started("rise", images=8)
        >>> bar.advanced("rise", 8)
        >>> bar.close()
        >>> print(cell.shown.partition(", 0 failed")[0])
        <progress value="1.000"></progress> 8 of 8 maps
    """

    def __init__(self, handle: Any) -> None:
        super().__init__()
        self._handle = handle
        self._shown = -_SECONDS_A_CHANGE

    def changed(self) -> None:
        """See `Tally`."""
        if self.counts and self.seconds - self._shown >= _SECONDS_A_CHANGE:
            self._shown = self.seconds
            left = self.seconds_left
            self._show(f"{self.method}: " if self.method else "", left)

    def close(self) -> None:
        """Shows how all methods ended."""
        if self.counts:
            self._show("", 0.0)

    def _show(self, method: str, left: float | None) -> None:
        from IPython.display import HTML

        images = sum(count.images for count in self.counts.values())
        through = images - sum(count.left for count in self.counts.values())
        failed = sum(count.failed for count in self.counts.values())
        time = f"{duration(left)} left" if left else f"{duration(self.seconds)}"
        text = f"{method}{through} of {images} maps, {failed} failed, {time}"
        bar = Markup('<progress value="{:.3f}"></progress> {}').format(self.fraction, text)
        self._handle.update(HTML(bar))


@contextmanager
def shown_here(progress: bool | Progress) -> Iterator[Progress]:
    """What shows progress, as long as the `with` block lasts.

    Args:
        progress: Whether anything is shown; or what is told instead.

    Yields:
        What is to be told of the run.

    Example:
        >>> from bench.evaluation.progress import Progress
        >>> with shown_here(False) as told:
        ...     print(type(told).__name__)  # it is told everything, and shows nothing
        Progress
    """
    if isinstance(progress, Progress):
        yield progress
    elif not progress:
        yield Progress()
    elif _is_notebook():
        from IPython.display import HTML, display

        bar = NotebookBar(display(HTML(""), display_id=True))
        yield bar
        bar.close()
    else:
        with shown(Console(stderr=True)) as told:
            yield told


def _is_notebook() -> bool:
    """Whether what is displayed goes to a browser: the kernel of a notebook runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None) is not None
