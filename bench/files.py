"""Writing files so that nobody ever sees half of one."""

import os
import re
import tempfile
from pathlib import Path

from bench.errors import BenchError


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all: a temporary file beside it, flushed, then renamed.

    Args:
        path: The file; its folder is made if missing.
        content: What it will hold.

    Raises:
        BenchError: The file system refuses; what stood there before still stands.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=path.suffix)
        temporary = Path(name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        temporary.replace(path)
    except OSError as error:
        raise BenchError(f"cannot write '{path}': {error.strerror}") from None
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def check_writable(folder: Path) -> None:
    """Raises `BenchError` unless the folder can be written, or be made where it is missing.

    Nothing stays behind: only its nearest existing parent is tried.
    """
    existing = folder.expanduser().absolute()
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
    """A name reduced to letters, digits and `._+-`, fit for a file."""
    return re.sub(r"[^\w.+-]+", "-", name).strip(".-") or "unnamed"
