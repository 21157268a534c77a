"""Exceptions and warnings for users, and the checks that raise them."""

import errno
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import TextIO

LARGEST = 2**63 - 1
"""What numpy, torch and files of rows hold as an integer."""


class BenchError(Exception):
    """Bad input, described in one line: what and where, expected, found, and how to mend it.

    Of a data set, in one line for each kind of problem (`bench.datasets.problems`).

    The command line prints the message without a traceback and exits with a non-zero code.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> try:
        ...     load_protocol("xpliqe")
        ... except BenchError as error:
        ...     print(str(error).partition(" Known")[0])
        protocol: unknown name 'xpliqe'. Did you mean 'xplique'?
    """


class BrokenFileError(BenchError):
    """A stored file that does not hold what it should.

    What reads results warns and leaves it out; `bench run` sets it aside
    (`bench.files.set_aside`) and computes what it held again.

    Attributes:
        path: The file.
        reason: What is wrong with it.

    Example:
        >>> from pathlib import Path
        >>> error = BrokenFileError(Path("rows.parquet"), "no footer")
        >>> print(error)
        'rows.parquet' is broken (no footer)
    """

    def __init__(self, path: Path, reason: str) -> None:
        self.path = path
        self.reason = " ".join(reason.split())[:200]
        super().__init__(f"'{path}' is broken ({self.reason})")


_LOST = {errno.EPIPE, errno.ENOSPC, errno.EIO, errno.EBADF}
"""What writing to a closed pipe, a full disk or a terminal that has gone gives."""


def is_lost_output(error: OSError) -> bool:
    """Whether writing the standard output failed: what writes files names the file.

    Args:
        error: What the system raised.

    Example:
        >>> import errno
        >>> is_lost_output(BrokenPipeError(errno.EPIPE, "Broken pipe"))
        True
        >>> is_lost_output(OSError(errno.ENOSPC, "No space left on device", "rows.parquet"))
        False
    """
    return error.filename is None and error.errno in _LOST


class BenchWarning(UserWarning):
    """Something was left out or could not be kept, and everything else went on.

    Example:
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always", BenchWarning)
        ...     warn("2 images have no boxes: left out")
        >>> [(found.category.__name__, str(found.message)) for found in caught]
        [('BenchWarning', '2 images have no boxes: left out')]
    """


def warn(message: str) -> None:
    """Warns in one line; what calls for it goes on.

    Args:
        message: What was left out, and why.

    Example:
        >>> with tell_warnings(print):
        ...     warn("2 images have no boxes: left out")
        2 images have no boxes: left out
    """
    warnings.warn(message, BenchWarning, stacklevel=3)


def warn_left_out(error: BenchError) -> None:
    """Warns that a stored file is left out, for what reads results and changes nothing.

    Args:
        error: What is wrong with the file; names it.

    Example:
        >>> from pathlib import Path
        >>> with tell_warnings(print):
        ...     warn_left_out(BrokenFileError(Path("rows.parquet"), "it is empty"))
        'rows.parquet' is broken (it is empty): left out; `bench run` sets it aside and
        makes it again
    """
    mend = "; `bench run` sets it aside and makes it again"
    warn(f"{error}: left out{mend if isinstance(error, BrokenFileError) else ''}")


@contextmanager
def tell_warnings(tell: Callable[[str], None]) -> Iterator[None]:
    """Hands the text of each `BenchWarning` in a `with` block on, and none of them twice.

    Args:
        tell: Called with the text of each, as it comes.

    Example:
        >>> with tell_warnings(print):
        ...     for _ in range(2):
        ...         warn("2 images have no boxes: left out")
        2 images have no boxes: left out
    """
    with warnings.catch_warnings():
        warnings.simplefilter("always", BenchWarning)
        show_others = warnings.showwarning
        told: set[str] = set()

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: TextIO | None = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, BenchWarning):
                show_others(message, category, filename, lineno, file, line)
            elif str(message) not in told:
                told.add(str(message))
                tell(str(message))

        warnings.showwarning = show
        yield


def require_integer(name: str, value: object, minimum: int, maximum: int = LARGEST) -> None:
    """Raises `BenchError` unless `value` is an integer (not a bool) in minimum..maximum.

    Args:
        name: The setting, for the message.
        value: What was given.
        minimum: The least that is allowed.
        maximum: The most that is allowed.

    Raises:
        BenchError: It is something else.

    Example:
        >>> require_integer("batch_size", 64, minimum=1)
        >>> require_integer("batch_size", 0, minimum=1)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: batch_size: expected an integer >= 1, found 0
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < minimum:
        raise BenchError(f"{name}: expected an integer >= {minimum}, found {value!r}")
    if value > maximum:
        raise BenchError(f"{name}: expected an integer <= {maximum}, found {value!r}")


def require_number(name: str, value: object, low: float, high: float) -> None:
    """Raises `BenchError` unless `value` is a number with low < value <= high.

    Args:
        name: The setting, for the message.
        value: What was given.
        low: Below all that is allowed.
        high: The most that is allowed.

    Raises:
        BenchError: It is something else.

    Example:
        >>> require_number("sigma", 0.25, low=0, high=10)
        >>> require_number("sigma", 0, low=0, high=10)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: sigma: expected a number in (0, 10], found 0
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
        raise BenchError(f"{name}: expected a number in ({low}, {high}], found {value!r}")


def require_text(name: str, value: object) -> None:
    """Raises `BenchError` unless `value` is text that is not empty.

    Args:
        name: The setting, for the message.
        value: What was given.

    Raises:
        BenchError: It is something else.

    Example:
        >>> require_text("name", "")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: name: expected text, found ''
    """
    if not isinstance(value, str) or not value:
        raise BenchError(f"{name}: expected text, found {value!r}")


def require_unicode(name: str, value: object) -> None:
    r"""Raises `BenchError` if `value` is text that no file of results can hold.

    Bytes of a command line that are no UTF-8 become such text.

    Args:
        name: The setting, for the message.
        value: What was given; only text is looked at.

    Raises:
        BenchError: It is such text.

    Example:
        >>> require_unicode("name", b"caf\xe9".decode(errors="surrogateescape"))
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: name: expected text in UTF-8, found 'caf\udce9'
    """
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):
        raise BenchError(f"{name}: expected text in UTF-8, found {value!r}")


def require_settings(name: str, value: object) -> None:
    """Raises `BenchError` unless `value` is a mapping of settings.

    Args:
        name: The setting, for the message.
        value: What was given.

    Raises:
        BenchError: It is something else.

    Example:
        >>> require_settings("baseline", "zero")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: baseline: expected settings, found 'zero'
    """
    if not isinstance(value, Mapping):
        raise BenchError(f"{name}: expected settings, found {value!r}")


def require_known(name: str, value: str, known: Collection[str]) -> None:
    """Raises `BenchError` with known names and the nearest one unless `value` is known.

    Args:
        name: The setting, for the message.
        value: What was given.
        known: The names that there are.

    Raises:
        BenchError: It is none of them.

    Example:
        >>> require_known("auc", "trapezium", ["mean", "trapezoid"])
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: auc: unknown name 'trapezium'. Did you mean 'trapezoid'?
        Known: mean, trapezoid
    """
    if isinstance(value, str) and value in known:
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
