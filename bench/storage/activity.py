"""What processes do to a run's rows, kept beside these: who, which images, how far, since when.

    results_dir/runs/<dataset>_<backbone>/<method>-<key>/activity-<protocol>-<k>of<n>.json

A process that computes rows of a run keeps such a file, locked as long as it lives, so that others
can tell whether it does. The next one with the same share of the images overwrites what a dead one
left. No number depends on it.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from itertools import count
from pathlib import Path

from bench.errors import BenchError, BrokenFileError, warn, warn_left_out
from bench.files import read_json
from bench.storage.claims import lives, try_lock
from bench.storage.records import record_of


def timestamp() -> str:
    """Now, as activities say it: ISO 8601, UTC."""
    return datetime.now(UTC).isoformat()


@dataclass(frozen=True)
class Activity:
    """How far one process is with its share of a run.

    Attributes:
        protocol: Key of the protocol whose rows it makes.
        shard: Its share of the images: `k/n`.
        images: In that share.
        before: Images of the share that had all rows when it began.
        metrics: Names of the folders that the rows go into.
        done: Images with rows since.
        failed: Images that the method failed on since.
        skipped: Images that it left to other processes, or did not try.
        seconds: Since it began.
        seconds_left: Until it has done all that it was asked for, other methods too; None: not
            known.
        has_ended: Whether it has come to an end, and was not killed or stopped.
        host: The machine.
        pid: The process.
        updated: When this was written: ISO 8601, UTC.
    """

    protocol: str
    shard: str
    images: int
    before: int
    metrics: list[str]
    done: int = 0
    failed: int = 0
    skipped: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    has_ended: bool = False
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    updated: str = field(default_factory=timestamp)

    @property
    def age(self) -> float:
        """Seconds since it was written."""
        return (datetime.now(UTC) - datetime.fromisoformat(self.updated)).total_seconds()


class ActivityFile:
    """A file that says what this process does to a run; see `kept_activity`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._length = 0

    def write(self, activity: Activity) -> None:
        """Replaces what the file says.

        A disk that refuses costs nobody a row: whoever stores rows will say so.
        """
        content = json.dumps(asdict(activity)).encode()
        self._length = max(self._length, len(content), 1024)
        with suppress(OSError):  # in one piece, as who reads takes no lock
            os.lseek(self._descriptor, 0, os.SEEK_SET)
            os.write(self._descriptor, content.ljust(self._length))
            os.ftruncate(self._descriptor, self._length)


@contextmanager
def kept_activity(run_folder: Path, protocol: str, shard: str) -> Iterator[ActivityFile | None]:
    """A file for what this process does to a run, for the time of a `with` block.

    Args:
        run_folder: The folder of the run.
        protocol: Key of the protocol whose rows are made.
        shard: The share of the images: `k/n`.

    Yields:
        The file; None, with a warning, where none can be written.
    """
    name = f"activity-{protocol[:8]}-{shard.replace('/', 'of')}"
    descriptor = None
    try:
        descriptor = _locked_file(run_folder, name)
    except OSError as error:
        warn(f"'{run_folder / name}.json' cannot be written ({error.strerror}): `bench status` "
             "will not know of this run")  # fmt: skip
    try:
        yield None if descriptor is None else ActivityFile(descriptor)
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _locked_file(folder: Path, name: str) -> int:
    """Opens and locks the first file of that name which no other process has."""
    for number in count(1):
        path = folder / (f"{name}.json" if number == 1 else f"{name}-{number}.json")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        if try_lock(descriptor):
            return descriptor
        os.close(descriptor)
    raise AssertionError


def read_activities(run_folder: Path) -> list[tuple[Activity, bool | None]]:
    """What processes do to a run, or did last, and whether each of them lives; None: unknown.

    Warns of files that hold something else, and leaves them out.
    """
    found = []
    for path in sorted(run_folder.glob("activity-*.json")):
        try:
            activity = _read(path)
        except BenchError as error:
            warn_left_out(error)
            continue
        found.append((activity, lives(path, activity.host, activity.pid)))
    return found


def _read(path: Path) -> Activity:
    try:
        activity = record_of(Activity, read_json(path))
        if datetime.fromisoformat(activity.updated).tzinfo is None:
            raise ValueError("updated: expected a time zone")
    except ValueError as error:
        raise BrokenFileError(path, str(error)) from None
    return activity
