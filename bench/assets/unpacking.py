"""Unpacks archives that somebody else made: whole or not at all, and nowhere but where told."""

import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, NoReturn

from rich.filesize import decimal

from bench.errors import BenchError, BrokenFileError

MOST_FILES = 5_000_000
"""Files and folders of an archive; VGGFace2, the largest on record, has 3.1 million."""

_DAMAGED = (
    tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError,
    RuntimeError,
)  # fmt: skip
"""What reading a damaged archive raises, beside `OSError`."""

_ENCRYPTED = 1
"""The bit of a zip member's flags."""


@dataclass(frozen=True)
class Part:
    """What of an archive is unpacked.

    Attributes:
        folder: A folder in the archive, whose content goes into the target; empty: all of it.
        only: Patterns of paths in that folder, `*.png`; empty: everything.
        count: How many files these are; None: any number but none.
    """

    folder: str = ""
    only: tuple[str, ...] = ()
    count: int | None = None

    def path_of(self, name: str) -> PurePosixPath | None:
        """Where a member goes in the target; None: it is no part of this.

        Args:
            name: The member's path in the archive.

        Example:
            >>> part = Part("birds-1.0", only=("images/*.png",))
            >>> part.path_of("./birds-1.0/images/wren.png")
            PurePosixPath('images/wren.png')
            >>> print(part.path_of("birds-1.0/setup.py"))
            None
        """
        path = PurePosixPath(name)
        if self.folder:
            if not path.is_relative_to(self.folder):
                return None
            path = path.relative_to(self.folder)
        if not path.parts or (
            self.only and not any(fnmatchcase(str(path), each) for each in self.only)
        ):
            return None
        return path


@dataclass(frozen=True)
class _Member:
    """A file or folder of an archive.

    Attributes:
        name: Its path there.
        size: Bytes, as the archive declares them.
        fault: What it is that must not be unpacked; empty: nothing of the kind.
        is_folder: Whether it is a folder.
        open: Opens a file for reading, as long as it is the current member.
    """

    name: str
    size: int
    fault: str
    is_folder: bool
    open: Callable[[], IO[bytes]]


def unpack(
    archive: Path,
    target: Path,
    part: Part | None = None,
    finish: Callable[[Path], None] | None = None,
    on_file: Callable[[int], None] | None = None,
) -> None:
    """Unpacks an archive into a new folder, which appears when it is whole.

    All members are looked at first. Absolute paths, `..`, links, devices, encrypted files, more
    than `MOST_FILES` members and more than the disk has room for are refused, and nothing is
    written then. What an interrupted process has left is removed. No member keeps its owner or its
    permissions.

    Args:
        archive: A tar file (also gz, bz2, xz) or a zip file.
        target: The folder that appears.
        part: What of the archive; None: all of it.
        finish: Given the folder before it appears, to add to it.
        on_file: Given the size of each file that has been written.

    Raises:
        BrokenFileError: It is no archive, or damaged.
        BenchError: It is refused, the target is there already, or it cannot be written.

    Example:
        >>> import tarfile
        >>> from pathlib import Path
        >>> Path("birds").mkdir()
        >>> written = Path("birds/list.txt").write_text("wren.jpg 7")
        >>> with tarfile.open("birds.tgz", "w:gz") as file:
        ...     file.add("birds")
        >>> unpack(Path("birds.tgz"), Path("data"), Part("birds"))
        >>> Path("data/list.txt").read_text()
        'wren.jpg 7'
    """
    part = part or Part()
    if target.exists():
        raise BenchError(f"'{target}' is there already: '{archive}' is not unpacked over it")
    with _told(archive, target):
        _look_at_all(archive, target, part)
    temporary = target.with_name(f".{target.name}.unpacking")
    with _told(archive, target):
        try:
            if temporary.exists():  # of a process that was interrupted
                shutil.rmtree(temporary)
            temporary.mkdir(parents=True)
            for member in _members(archive):
                written = _write(member, temporary, part)
                if on_file is not None and written:
                    on_file(member.size)
            if finish is not None:
                finish(temporary)
            temporary.rename(target)
        finally:
            with suppress(OSError):
                shutil.rmtree(temporary)


@contextmanager
def _told(archive: Path, target: Path) -> Iterator[None]:
    """Tells what reading and writing raise in one line."""
    try:
        yield
    except _DAMAGED as error:
        raise BrokenFileError(archive, f"{error or type(error).__name__}") from None
    except OSError as error:
        if error.filename is None and error.errno is None:  # what tarfile and gzip say of content
            raise BrokenFileError(archive, str(error)) from None
        raise BenchError(
            f"cannot unpack '{archive}' into '{target}': {error.strerror}; what was unpacked is "
            "removed"
        ) from None


def _look_at_all(archive: Path, target: Path, part: Part) -> None:
    """Raises `BenchError` if anything of an archive must not be unpacked, or nothing fits."""
    free = free_space(target)
    files = size = 0
    for number, member in enumerate(_members(archive)):
        fault = member.fault or _fault_of_name(member.name)
        if fault:
            _refuse(archive, f"'{member.name}' {fault}")
        if number >= MOST_FILES:
            _refuse(archive, f"it has more than {MOST_FILES:,} members")
        if not member.is_folder and part.path_of(member.name) is not None:
            files += 1
            size += member.size
        if size > free:  # at once: what a bomb declares takes long to walk through
            told = f"it declares files of {decimal(size)} or more, and {decimal(free)} are free"
            _refuse(archive, f"{told} at '{target.parent}'")
    if not files or (part.count is not None and files != part.count):
        wanted = "files" if part.count is None else f"{part.count:,} files"
        where = f"{part.folder}/".lstrip("/") + (" or ".join(part.only) or "*")
        raise BenchError(
            f"'{archive}': expected {wanted} {where} in it, found {files:,}: is it another archive?"
        )


def _refuse(archive: Path, reason: str) -> NoReturn:
    raise BenchError(f"'{archive}' is refused: {reason}; nothing is written")


def free_space(path: Path) -> int:
    """Bytes that are free where a file or folder is or will be.

    Args:
        path: It need not exist.

    Example:
        >>> from pathlib import Path
        >>> free_space(Path("not/yet/there")) > 0
        True
    """
    existing = path.absolute()
    while not existing.exists():
        existing = existing.parent
    return shutil.disk_usage(existing).free


def _fault_of_name(name: str) -> str:
    """What is wrong with where a member wants to go; the rules of Windows count, too."""
    posix, windows = PurePosixPath(name), PureWindowsPath(name)
    if posix.is_absolute() or windows.drive or windows.root:
        return "is an absolute path"
    if ".." in {*posix.parts, *windows.parts}:
        return "leads out of the folder"
    return "has no name" if "\0" in name else ""


def _write(member: _Member, folder: Path, part: Part) -> bool:
    """Writes a member if it is part of what is wanted; whether that was a file."""
    path = part.path_of(member.name)
    if path is None:
        return False
    place = folder / path
    if member.is_folder:
        place.mkdir(parents=True, exist_ok=True)
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    with member.open() as source, place.open("xb") as written:  # x: no member twice
        shutil.copyfileobj(source, written, 2**20)
    if place.stat().st_size != member.size:
        raise EOFError(f"'{member.name}' ends early")
    return True


def _members(archive: Path) -> Iterator[_Member]:
    """All members in their order; the memory that this takes does not grow with them."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for info in file.infolist():
                yield _zipped(file, info)
        return
    with tarfile.open(archive, "r|*") as stream:
        while (member := stream.next()) is not None:
            yield _tarred(stream, member)
            stream.members.clear()  # type: ignore[attr-defined]  # it keeps all that it has seen


def _zipped(file: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    fault = ""
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        fault = "is a link" if kind == stat.S_IFLNK else "is no file"
    elif info.flag_bits & _ENCRYPTED:
        fault = "is encrypted"
    return _Member(info.filename, info.file_size, fault, info.is_dir(), lambda: file.open(info))


def _tarred(stream: tarfile.TarFile, info: tarfile.TarInfo) -> _Member:
    fault = ""
    if info.issym() or info.islnk():
        fault = "is a link"
    elif not (info.isfile() or info.isdir()):
        fault = "is no file"
    elif not _fault_of_name(info.name) and hasattr(tarfile, "data_filter"):
        try:
            tarfile.data_filter(info, "/nowhere")  # what Python itself refuses
        except tarfile.FilterError as error:
            fault = f"is refused by Python ({error})"

    def opened() -> IO[bytes]:
        content = stream.extractfile(info)
        assert content is not None, "only files are opened"
        return content

    return _Member(info.name, info.size, fault, info.isdir(), opened)
