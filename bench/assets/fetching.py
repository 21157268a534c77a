"""Gets what is needed: downloads, verifies, unpacks, puts in place."""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from bench.assets.aligning import align
from bench.assets.download import download, download_from_hub
from bench.assets.labels import write_labels
from bench.assets.lock import LOCK, lock, locked
from bench.assets.needs import Need
from bench.assets.registry import AssetFile, load_asset
from bench.assets.unpacking import unpack
from bench.errors import BenchError, BrokenFileError
from bench.files import file_digest

_STAGE = ".fetching"
"""The folder of downloads that are not in their place yet, in that of all assets."""


class _TaskBar:
    """A row of a display of progress."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task

    def begin(self, total: int | None) -> None:
        """See `bench.assets.download.Bar`."""
        self._progress.reset(self._task, total=total)

    def advance(self, size: int) -> None:
        """See `bench.assets.download.Bar`."""
        self._progress.advance(self._task, size)


class Fetcher:
    """Fetches assets into a folder.

    Args:
        to: The folder of all assets.
        console: Where it says what it has done.
        folders: Configuration folders beside the shipped one.
        elsewhere: Asset -> its folder, where the user has it in another place.
        lock_file: Hashes of what was fetched before; see `bench.assets.lock`.
    """

    def __init__(
        self,
        to: Path,
        console: Console,
        folders: Sequence[Path] = (),
        elsewhere: Mapping[str, Path] | None = None,
        *,
        lock_file: Path = LOCK,
    ) -> None:
        self._to = to
        self._folders = folders
        self._elsewhere = elsewhere or {}
        self._console = console
        self._lock = lock_file

    def fetch(self, need: Need) -> list[str]:
        """Fetches what is missing of a need; what cannot be had does not stop the rest.

        Args:
            need: The asset and its files.

        Returns:
            What is left, in a line each, with what to do.
        """
        left, by_hand = [], []
        for file in need.files:
            try:
                if not self._fetch_file(need, file):
                    by_hand.append(self.by_hand(need, file))
            except BenchError as error:
                left.append(f"{need.asset.name}: {error}")
        if by_hand:
            places = ", ".join(f"'{path}'" for path in by_hand)
            told = f"{need.asset.by_hand} ({need.asset.page}); put what you get at {places}"
            left.append(f"{need.asset.name}: {told}; the same command goes on")
        if need.asset.align is not None:
            left += self._align(need)
        with suppress(OSError):  # empty if all is in its place
            (self._to / _STAGE).rmdir()
        return left

    def _fetch_file(self, need: Need, file: AssetFile) -> bool:
        """Sees to it that a file is there; False: the user has to get it."""
        place = need.place_of(file, self._to)
        if place.exists():
            if file.unpacked is not None or self._fits(need, file, place):
                return True
            aside = _set_aside(place)
            told = f"'{place}' is not {self._origin(need, file)}: it is kept as '{aside}'"
            self._say(told)
        by_hand = self.by_hand(need, file)
        if by_hand.exists():
            self._take(need, file, by_hand)
            return True
        if need.asset.source(file) is None:
            return False
        stage = self._to / _STAGE / need.asset.name
        path = self._download(need, file, stage)
        self._take(need, file, path)
        shutil.rmtree(stage, ignore_errors=True)
        return True

    def by_hand(self, need: Need, file: AssetFile) -> Path:
        """Where a user puts a file: an archive beside all assets, another one in its place.

        Args:
            need: Has the file.
            file: One of its files.
        """
        return need.place_of(file, self._to) if file.unpacked is None else self._to / file.name

    def _download(self, need: Need, file: AssetFile, stage: Path) -> Path:
        with _bar(self._console, f"fetch {file.name}") as bar:
            if file.url is not None:
                path = stage / Path(file.name).name
                download(file.url, path, bar)
                return path
            assert need.asset.hub is not None, "what has no source is not downloaded"
            revision = need.asset.revision
            return download_from_hub(need.asset.hub, revision, file.name, stage, bar)

    def _take(self, need: Need, file: AssetFile, path: Path) -> None:
        """Verifies a file that is here whole and puts it, or what is in it, in its place."""
        place = need.place_of(file, self._to)
        expected = self._expected(need, file)
        if expected is not None:
            kind, digest = expected
            found = _digest(path, kind)
            if found != digest:
                aside = _set_aside(path, self.by_hand(need, file))
                origin = self._origin(need, file)
                raise BenchError(
                    f"'{file.name}': expected the {kind} {digest}, that of {origin}, found "
                    f"{found}; what was found is kept as '{aside}'"
                )
        if file.unpacked is not None:
            self._unpack(need, file, path, place)
        elif path != place:
            _move(path, place)
        if expected is None:
            self._write_down(need, file, place if file.unpacked is None else path)
        self._say(f"{need.asset.name}: {place}")

    def _unpack(self, need: Need, file: AssetFile, path: Path, place: Path) -> None:
        assert file.unpacked is not None, "only archives are unpacked"
        finish: Callable[[Path], None] | None = None
        if file.unpacked.labels is not None:
            finish = partial(write_labels, labels=file.unpacked.labels)
        try:
            with _bar(self._console, f"unpack {file.name}") as bar:
                bar.begin(file.unpacked.size)
                unpack(path, place, file.unpacked.part, finish, bar.advance)
        except BrokenFileError as error:
            aside = _set_aside(path, self.by_hand(need, file))
            raise BenchError(f"'{file.name}' is kept as '{aside}': {error}") from None

    def _write_down(self, need: Need, file: AssetFile, path: Path) -> None:
        """Locks a file that was seen for the first time."""
        known = {
            "sha256": _digest(path, "sha256"),
            "size": path.stat().st_size,
            "url": need.asset.source(file) or "put there by hand",
        }
        lock(_key(need, file), known, self._lock)

    def _fits(self, need: Need, file: AssetFile, path: Path) -> bool:
        """Whether a file that is there is the one on record; one that nobody knows is."""
        expected = self._expected(need, file)
        if expected is None:
            self._write_down(need, file, path)
            return True
        return _digest(path, expected[0]) == expected[1]

    def _expected(self, need: Need, file: AssetFile) -> tuple[str, str] | None:
        known = locked(_key(need, file), self._lock)
        return file.hash_on_record or (None if known is None else ("sha256", known["sha256"]))

    def _origin(self, need: Need, file: AssetFile) -> str:
        """Who says what a file has to be."""
        if file.hash_on_record is not None:
            return "the published file"
        return f"'{self._lock}' (take '{_key(need, file)}' out of it if another one is right)"

    def _align(self, need: Need) -> list[str]:
        made, target = need.asset.align, need.folder(self._to)
        if made is None or target.exists():
            return []
        pictures = load_asset(made.pictures, self._folders)
        lists = load_asset(made.lists, self._folders)
        list_ = self._elsewhere.get(lists.name, self._to / lists.place) / made.list
        root = self._to / pictures.place
        missing = [file.name for file in pictures.files
                   if not Need(pictures, ()).place_of(file, self._to).exists()]  # fmt: skip
        if missing or not list_.exists():
            told = f"faces are aligned once {', '.join(missing) or list_} can be had"
            return [f"{need.asset.name}: {told}; the same command goes on"]
        try:
            with _bar(self._console, f"align {need.asset.name}", MofNCompleteColumn()) as bar:
                self._say(align(str(pictures.dataset), root, list_, target, bar))
        except BenchError as error:
            return [f"{need.asset.name}: {error}"]
        self._say(f"{need.asset.name}: {target}")
        return []

    def _say(self, line: str) -> None:
        self._console.print(line, soft_wrap=True, highlight=False)


def _key(need: Need, file: AssetFile) -> str:
    return f"{need.asset.name}/{file.name}"


@contextmanager
def _bar(console: Console, title: str, *counted: ProgressColumn) -> Iterator[_TaskBar]:
    """A display of one row; what is counted is bytes if nothing else is said."""
    counts = counted or (DownloadColumn(), TransferSpeedColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), *counts, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        yield _TaskBar(progress, progress.add_task(title, total=None))


def _digest(path: Path, kind: str) -> str:
    try:
        return file_digest(path, kind)
    except OSError as error:
        raise BenchError(f"'{path}' cannot be read: {error.strerror}") from None


def _move(path: Path, place: Path) -> None:
    """Puts a whole file in its place at once: both are in the folder of all assets."""
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        path.replace(place)
    except OSError as error:
        raise BenchError(f"cannot write '{place}': {error.strerror}") from None


def _set_aside(path: Path, name: Path | None = None) -> Path:
    """Renames a file that is not what it should be to NAME.unexpected."""
    name = path if name is None else name
    aside = name.with_name(f"{name.name}.unexpected")
    _move(path, aside)
    return aside


def require_writable(to: Path) -> None:
    """Raises `BenchError` unless the folder of assets can be written, or made.

    Args:
        to: The folder of all assets.

    Raises:
        BenchError: It cannot.
    """
    tried = to / _STAGE
    try:
        tried.mkdir(parents=True, exist_ok=True)
        (tried / "tried").touch()
        (tried / "tried").unlink()
        with suppress(OSError):
            tried.rmdir()
    except OSError as error:
        raise BenchError(
            f"--to: cannot write to '{to}' ({error.strerror}): choose another folder with --to "
            "FOLDER"
        ) from None


def missing_in(need: Need, folder: Path) -> Sequence[str]:
    """What of a need is not in a folder that the user has of it.

    Args:
        need: The asset and its files.
        folder: Where the user says that it is.
    """
    if not folder.exists():
        return [folder.name]
    if need.asset.align is not None:
        return []
    return [
        file.name
        for file in need.files
        if not (folder / (file.name if file.unpacked is None else file.unpacked.to)).exists()
    ]
