"""What is wrong with a data set, reported all at once rather than one a run."""

from bench.errors import BenchError

SHOWN = 10
"""How many of each kind are named."""


class Problems:
    """Collects problems by kind.

    Args:
        about: What they are problems of; the message begins with it.

    Example:
        >>> problems = Problems("dataset 'birds'")
        >>> problems.add("images that are missing", "'wren.jpg'")
        >>> problems.add("images that are missing", "'owl.jpg'")
        >>> problems.raise_any()
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: dataset 'birds': images that are missing (2): 'wren.jpg'; 'owl.jpg'
    """

    def __init__(self, about: str) -> None:
        self._about = about
        self._items: dict[str, list[str]] = {}

    def add(self, kind: str, item: str) -> None:
        """Adds one problem; `kind` is a heading: `images that are missing`."""
        self._items.setdefault(kind, []).append(item)

    def lines(self) -> list[str]:
        """One line a kind: how many, and the first of them."""
        lines = []
        for kind, items in self._items.items():
            more = f" (and {len(items) - SHOWN} more)" if len(items) > SHOWN else ""
            lines.append(f"{kind} ({len(items)}): {'; '.join(items[:SHOWN])}{more}")
        return lines

    def raise_any(self) -> None:
        """Raises `BenchError` with one line a kind if there are any."""
        lines = self.lines()
        if lines:
            raise BenchError(f"{self._about}: " + "\n  ".join(lines))
