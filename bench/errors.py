"""The one exception that a user is meant to read, and the checks that raise it."""

from collections.abc import Collection
from difflib import get_close_matches


class BenchError(Exception):
    """Bad input, told in one line: what and where, expected, found, and how to mend it.

    Of a data set, in one line for each kind of problem (`bench.datasets.problems`).

    The command line prints the message without a traceback and exits with a non-zero code.
    """


def require_integer(name: str, value: object, minimum: int) -> None:
    """Raises `BenchError` unless `value` is an integer (not a bool) of at least `minimum`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise BenchError(f"{name}: expected an integer >= {minimum}, found {value!r}")


def require_number(name: str, value: object, low: float, high: float) -> None:
    """Raises `BenchError` unless `value` is a number with low < value <= high."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise BenchError(f"{name}: expected a number in ({low}, {high}], found {value!r}")


def require_known(name: str, value: str, known: Collection[str]) -> None:
    """Raises `BenchError` with known names and the nearest one unless `value` is known."""
    if value in known:
        return
    nearest = get_close_matches(str(value), known, n=1, cutoff=0.5)
    hint = f" Did you mean '{nearest[0]}'?" if nearest else ""
    shown = sorted(known)
    if len(shown) > 60:  # a network's layers: the first few would say nothing
        shown = [
            *get_close_matches(str(value), known, n=10, cutoff=0),
            f"... ({len(known)} in all)",
        ]
    raise BenchError(f"{name}: unknown name '{value}'.{hint} Known: {', '.join(shown)}")
