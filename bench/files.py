"""Writes files atomically, and sets broken ones aside."""

import hashlib
import json
import os
import re
import struct
import tempfile
import tokenize
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

from bench.errors import BenchError, BrokenFileError

LONGEST_NAME = 80
"""Bytes of a name that `file_name` gives. File systems allow 255 (encrypted ones about 140); a
file's name is made of up to two of these, a hash and an ending."""

DAMAGED = (
    OSError, EOFError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError,
    MemoryError, RuntimeError, SyntaxError, struct.error, tokenize.TokenError, zlib.error,
    zipfile.BadZipFile,
)  # fmt: skip
"""What readers of Parquet, .npy, .npz and JSON raise on damaged content."""

BESIDE = ("statistics", "pairs", "robustness", "audit", "by_class")
"""What else is written of a leaderboard, as NAME_statistics.md; no other may be called so."""

SIDE_BY_SIDE = "side_by_side"
"""The name under which several leaderboards stand in one table; no leaderboard may have it."""


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a temporary file beside it, flushed, then renamed.

    Who may read and write it is what the system says of any new file: the umask, the folder's
    group where that is inherited, default access lists.

    Args:
        path: The file; its folder is made if missing.
        content: What it will hold.

    Raises:
        BenchError: The file system refuses; what stood there before still stands.

    Example:
        >>> from pathlib import Path
        >>> write_atomically(Path("new/rows.json"), b"[1, 2]")
        >>> [path.name for path in Path("new").iterdir()]
        ['rows.json']
    """
    temporary = path.parent / f".{uuid4().hex}{path.suffix}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise BenchError(f"cannot write '{path}': {error.strerror}") from None
    finally:
        _remove(temporary)


def _remove(temporary: Path) -> None:
    """Removes a temporary file if it is there; one in a folder that cannot be written is not."""
    with suppress(OSError):
        temporary.unlink()


def read_whole(path: Path) -> bytes:
    """Reads a stored file.

    Args:
        path: The file.

    Raises:
        BrokenFileError: It is a folder.
        BenchError: The system does not let us read it; that says nothing of its content.

    Example:
        >>> from pathlib import Path
        >>> written = Path("rows.json").write_text("[1, 2]")
        >>> read_whole(Path("rows.json"))
        b'[1, 2]'
        >>> read_whole(Path("others.json"))
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: 'others.json' cannot be read: No such file or directory
    """
    try:
        return path.read_bytes()
    except IsADirectoryError:
        raise BrokenFileError(path, "it is a folder") from None
    except OSError as error:
        raise BenchError(f"'{path}' cannot be read: {error.strerror}") from None


def read_json(path: Path) -> Any:
    """Reads a stored JSON file.

    Args:
        path: The file.

    Returns:
        What it holds: mappings, lists, text, numbers.

    Raises:
        BrokenFileError: It holds no JSON.
        BenchError: The system does not let us read it.

    Example:
        >>> from pathlib import Path
        >>> written = Path("rows.json").write_text("[1, 2")
        >>> read_json(Path("rows.json"))
        Traceback (most recent call last):
            ...
        bench.errors.BrokenFileError: 'rows.json' is broken (Expecting ',' delimiter: line 1
        column 6 (char 5))
    """
    try:
        return json.loads(read_whole(path).decode())
    except (ValueError, RecursionError) as error:
        raise BrokenFileError(path, str(error)) from None


def file_digest(path: Path, kind: str = "sha256") -> str:
    """A file's hash in hexadecimal digits, read in pieces.

    Args:
        path: The file.
        kind: A name of hashlib, `sha256` or `md5`.

    Raises:
        OSError: It cannot be read.

    Example:
        >>> from pathlib import Path
        >>> written = Path("rows.json").write_bytes(b"abc")
        >>> file_digest(Path("rows.json"), "md5")
        '900150983cd24fb0d6963f7d28e17f72'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def checksum(content: bytes) -> str:
    """Sixteen hexadecimal digits of a content's sha256.

    Args:
        content: Any bytes.

    Example:
        >>> checksum(b"abc")
        'ba7816bf8f01cfea'
    """
    return hashlib.sha256(content).hexdigest()[:16]


def set_aside(broken: BrokenFileError) -> str:
    """Renames a broken file (or folder) to `broken-...`, so that what it held is missing.

    Args:
        broken: Says which file it is, and what is wrong.

    Returns:
        A line on it, with its new name. Where another process was faster there may be nothing
        under that.

    Raises:
        BenchError: The folder cannot be written.

    Example:
        >>> from pathlib import Path
        >>> from bench.errors import BrokenFileError
        >>> written = Path("rows.json").write_text("[1, 2")
        >>> set_aside(BrokenFileError(Path("rows.json"), "no JSON"))
        'Broken, set aside, to be computed again: broken-rows.json (no JSON)'
        >>> Path("broken-rows.json").read_text()
        '[1, 2'
    """
    path = broken.path
    name, number = f"broken-{path.name}", 1
    while path.with_name(name).exists():
        number += 1
        name = f"broken-{number}-{path.name}"
    aside = path.with_name(name)
    try:
        path.rename(aside)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise BenchError(f"cannot set '{path}' aside: {error.strerror}") from None
    return f"Broken, set aside, to be computed again: {aside} ({broken.reason})"


def expand_user(folder: Path, name: str) -> Path:
    """A folder with `~` replaced; raises `BenchError`, naming the setting, if it can be none.

    Args:
        folder: A path that may begin with `~`.
        name: The setting that gives it, for the message.

    Raises:
        BenchError: It can be no folder.

    Example:
        >>> from pathlib import Path
        >>> expand_user(Path("~"), "results_dir") == Path.home()
        True
    """
    try:
        expanded = folder.expanduser()
        expanded.exists()
    except (RuntimeError, OSError) as error:  # ~ of nobody; a name that is too long
        raise BenchError(f"{name}: '{folder}' names no folder: {error}") from None
    return expanded


def check_writable(folder: Path) -> None:
    """Raises `BenchError` unless the folder can be written, or be made where it is missing.

    Nothing stays behind: only its nearest existing parent is tried.

    Args:
        folder: Where results are to go.

    Raises:
        BenchError: It cannot be written.

    Example:
        >>> from pathlib import Path
        >>> check_writable(Path("results/demo"))
        >>> Path("results").exists()
        False
    """
    existing = expand_user(folder, "results_dir").absolute()
    try:
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryDirectory(dir=existing):
            pass
    except OSError as error:
        raise BenchError(
            f"results_dir: cannot write to '{folder}' ({error.strerror} at '{existing}'): choose "
            "another with results_dir=FOLDER"
        ) from None


def file_name(name: str) -> str:
    """A name reduced to letters, digits and `._+-`, fit for a file.

    A name of more than `LONGEST_NAME` bytes is cut, and ends with digits of its hash.

    Args:
        name: Any text.

    Example:
        >>> file_name("ResNet-50 (timm)/a1")
        'ResNet-50-timm-a1'
        >>> len(file_name(100 * "long"))
        80
    """
    reduced = re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "unnamed"
    if len(reduced.encode()) <= LONGEST_NAME:
        return reduced
    digits = checksum(name.encode(errors="backslashreplace"))[:12]
    kept = reduced.encode()[: LONGEST_NAME - len(digits) - 1].decode(errors="ignore")
    return f"{kept}-{digits}"
