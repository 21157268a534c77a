"""Figures and pages that are kept as long as nothing they are made of has changed.

What decides them is hashed by content: stored rows, maps and pictures, settings, published tables
of the user, the code of bench, and the packages that are installed. Where anything of it, or a
drawn file itself, is missing or differs, all is drawn anew. Nothing here imports torch, so that
what is kept costs no wait for it.
"""

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from bench.errors import BenchError
from bench.files import read_json, read_whole, write_atomically
from bench.leaderboard.published import published_files

_READ = ("runs", "pictures")
"""Folders of a results folder that figures and pages are made of."""

_PACKAGES = ("bench", "bench.conf", "bench.published")

_DECIDE_NOTHING = (".", "activity-")
"""How names of files begin that say what processes do: claims, locks, `bench status`."""

_MARK = re.compile(rb"<!-- made of ([0-9a-f]{64}), content ([0-9a-f]{64}) -->\n\Z")
_MARK_LENGTH = 160
"""More bytes than the mark at a page's end has."""


def sources_sha256(results_dirs: Sequence[Path], settings: Mapping[str, Any]) -> str:
    """A hash over everything that decides what is drawn of results folders.

    Args:
        results_dirs: The folders.
        settings: What else decides it: plain values. A text `key=FILE` or a path that names a file
            counts with the file's content.
    """
    found = hashlib.sha256()
    for name, value in sorted(settings.items()):
        texts = [*map(str, value)] if isinstance(value, list | tuple) else [str(value)]
        found.update(json.dumps([name, texts, [*_files_named(texts)]]).encode())
    for folder in results_dirs:
        found.update(json.dumps([str(folder), str(folder.resolve())]).encode())
        for part in _READ:
            _add_files(found, folder / part)
    for path in published_files():
        content = hashlib.sha256(read_whole(path)).hexdigest()
        found.update(json.dumps([str(path), content]).encode())
    found.update(_code_sha256().encode())
    return found.hexdigest()


def _files_named(texts: Iterable[str]) -> Iterator[str]:
    """Hashes of the files that texts name, as `FILE`, `key=FILE` or `key=FILE:COLUMN`."""
    for text in texts:
        value = text.partition("=")[2] or text
        for path in (Path(value), Path(value.rpartition(":")[0] or value)):
            try:
                is_file = path.is_file()
            except (OSError, ValueError):  # longer than names may be, say
                continue
            if is_file:
                yield hashlib.sha256(read_whole(path)).hexdigest()


def _add_files(found: "hashlib._Hash", folder: Path) -> None:
    """Adds names and contents of all files below a folder."""
    try:
        paths = sorted(path for path in folder.rglob("*") if path.is_file())
    except OSError as error:
        raise BenchError(f"'{error.filename}' cannot be read: {error.strerror}") from None
    for path in paths:
        name = path.relative_to(folder).as_posix()
        decides_nothing = path.name.startswith(_DECIDE_NOTHING) or "__pycache__" in path.parts
        if not decides_nothing:
            content = hashlib.sha256(read_whole(path)).hexdigest()
            found.update(f"{name}\0{content}\n".encode(errors="surrogateescape"))


@cache
def _code_sha256() -> str:
    """A hash over the code and data of bench, and over the versions of all packages and Python."""
    found = hashlib.sha256(platform.python_version().encode())
    for package in _PACKAGES:
        _add_files(found, Path(str(resources.files(package))))
    installed = {f"{each.metadata['Name']} {each.version}" for each in metadata.distributions()}
    found.update("\n".join(sorted(installed)).encode())
    return found.hexdigest()


def is_page_of(path: Path, sources: str) -> bool:
    """Whether a page is as it was written, and was made of what `sources_sha256` gives now."""
    try:
        content = read_whole(path)
    except BenchError:  # missing, or not to be read: writing it says what is wrong
        return False
    mark = _MARK.search(content, max(0, len(content) - _MARK_LENGTH))
    if mark is None:
        return False
    made_of, whole = mark[1].decode(), hashlib.sha256(content[: mark.start()]).hexdigest()
    return (made_of, whole) == (sources, mark[2].decode())


def mark_page(path: Path, sources: str) -> None:
    """Says at a page's end, in a comment, what it is made of.

    Raises:
        BenchError: It cannot be read or written.
    """
    content = read_whole(path)
    whole = hashlib.sha256(content).hexdigest()
    write_atomically(path, content + f"<!-- made of {sources}, content {whole} -->\n".encode())


def kept_files(record: Path, sources: str) -> list[str] | None:
    """The names of drawn files beside their record; None: they have to be drawn anew.

    Args:
        record: As `record_files` writes it.
        sources: What `sources_sha256` gives now.
    """
    try:
        content = read_json(record)
        files = dict(content["files"])
        if content["made_of"] != sources or files != _hashes(record.parent, files):
            return None
    except (BenchError, TypeError, KeyError, ValueError):  # nothing there, or nothing to go by
        return None
    return list(files)


def record_files(record: Path, sources: str, names: Iterable[str]) -> None:
    """Writes down what drawn files are made of, and their hashes.

    Args:
        record: A JSON file beside them.
        sources: What `sources_sha256` gave before they were drawn.
        names: Of the files.

    Raises:
        BenchError: One cannot be read, or the record not be written.
    """
    content = {"made_of": sources, "files": _hashes(record.parent, names)}
    write_atomically(record, json.dumps(content, indent=1).encode())


def _hashes(folder: Path, names: Iterable[str]) -> dict[str, str]:
    return {name: hashlib.sha256(read_whole(folder / name)).hexdigest() for name in names}
