"""Locks on images, so that two runs at once share the work.

A claim is a locked file that names images, and the process that computes them. The system releases
the lock when the process ends, however it ends, so a claim never outlives its process.
"""

import errno
import json
import os
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TextIO
from uuid import uuid4

from bench.errors import BenchError, warn, warn_left_out
from bench.files import read_json
from bench.storage.records import record_of

if sys.platform != "win32":  # there, runs at once may compute the same image twice
    import fcntl

_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}
"""What file systems without locks answer."""


@dataclass(frozen=True)
class Claim:
    """Images that a process computes, or computed when it was stopped.

    Attributes:
        images: Their ids.
        host: The machine.
        pid: The process.
    """

    images: list[str]
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keeps other processes out of a folder's files for a moment; waits for its turn.

    Where the system or the file system has no locks, or the folder may not be written, it does
    nothing.
    """
    with ExitStack() as stack:
        file = _open_lock(folder)
        if file is not None:
            _lock(stack.enter_context(file).fileno(), wait=True)
        yield


def _open_lock(folder: Path) -> TextIO | None:
    path = folder / ".lock"
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        return path.open("a")
    with suppress(OSError):  # another user's: who may read it can take the lock all the same
        return path.open()
    return None


@contextmanager
def claimed(folder: Path, image_ids: Sequence[str]) -> Iterator[list[str]]:
    """Claims images for the time of a `with` block.

    Args:
        folder: The folder of the run.
        image_ids: The images wanted.

    Yields:
        Those of them that no other process has claimed.

    Raises:
        BenchError: The file system refuses.
    """
    with locked(folder):
        taken = _taken(folder)
        ours = [image_id for image_id in image_ids if image_id not in taken]
        path = folder / f".claim-{uuid4().hex}"  # processes of two machines may share a number
        file = _write_claim(path, ours)
    try:
        yield ours
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _write_claim(path: Path, image_ids: Sequence[str]) -> TextIO:
    """Writes and locks a claim; gives the open file, with which the lock ends."""
    try:
        file = path.open("w")
        try:
            file.write(json.dumps(asdict(Claim(list(image_ids)))))
            file.flush()
            _lock(file.fileno(), wait=False)
        except OSError:
            path.unlink(missing_ok=True)
            with suppress(OSError):  # closing tries once more to write
                file.close()
            raise
    except OSError as error:
        raise BenchError(f"cannot write '{path}': {error.strerror}") from None
    return file


def _taken(folder: Path) -> set[str]:
    """Images with a living claim; dead ones are cleared away."""
    taken: set[str] = set()
    for path in folder.glob(".claim-*"):
        try:
            with path.open() as file:
                if _lock(file.fileno(), wait=False):
                    path.unlink()
                else:
                    taken |= set(record_of(Claim, json.loads(file.read())).images)
        except FileNotFoundError:  # just given back
            continue
        except (OSError, ValueError) as error:  # at worst images are computed twice
            warn(f"claim '{path}' is ignored: it cannot be read or removed ({error})")
    return taken


def dead_claims(folder: Path) -> list[Claim]:
    """Claims whose processes are gone; images that they name have a row, or are free to take.

    Changes nothing. Warns of what is no claim, and leaves it out.
    """
    if not any(folder.glob(".claim-*")):
        return []
    dead = []
    with locked(folder):  # so that no run takes the look for a process that lives
        for path in sorted(folder.glob(".claim-*")):
            try:
                claim = record_of(Claim, read_json(path))
            except BenchError as error:
                if path.exists():
                    warn_left_out(error)
                continue
            except ValueError as error:
                warn(f"'{path}' is no claim ({error}): left out")
                continue
            if lives(path, claim.host, claim.pid) is False:
                dead.append(claim)
    return dead


def lives(path: Path, host: str, pid: int) -> bool | None:
    """Whether the process lives that locked a file; None: this cannot be known from here.

    Args:
        path: The file.
        host: The machine of the process.
        pid: The process.
    """
    if sys.platform != "win32":
        try:
            with path.open() as file:
                fcntl.flock(file.fileno(), fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        except OSError:  # a file system without locks, or a file that may not be read
            pass
        if host == socket.gethostname():
            return Path(f"/proc/{pid}").exists() if Path("/proc/self").exists() else None
    return None


def try_lock(descriptor: int) -> bool:
    """Locks an open file until it is closed; False if another process has it."""
    return _lock(descriptor, wait=False)


def _lock(descriptor: int, wait: bool) -> bool:
    """Locks an open file; False if another process has it and this one does not wait."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True
