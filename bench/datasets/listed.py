"""List files, one `relative/path label` a line, and images from any root with such a list."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from bench.datasets.dataset import Dataset, Sample
from bench.datasets.problems import Problems
from bench.datasets.published_lists import PublishedList, find_published
from bench.errors import BenchError


@dataclass(frozen=True)
class Entry:
    """One line of a list.

    Attributes:
        number: Of the line, from 1.
        image_id: The path as it stands there.
        target: The label.
    """

    number: int
    image_id: str
    target: int

    def __str__(self) -> str:
        return f"line {self.number}: '{self.image_id} {self.target}'"


@dataclass(frozen=True)
class ListFile:
    """A list as it was read.

    Attributes:
        path: The file.
        sha256: Of its bytes.
        published: Which published list it is, or None.
        entries: Its lines, in their order.
    """

    path: Path
    sha256: str
    published: PublishedList | None
    entries: tuple[Entry, ...]

    @property
    def note(self) -> str:
        """One line for the reader of a run: which list this is."""
        kind = self.published or f"{len(self.entries)} lines, none of the published lists"
        return f"List: {self.path}: {kind}; sha256 {self.sha256}"


class ImageList(Dataset):
    """Images that a list file names, relative to a root folder.

    Args:
        name: Name of the benchmark in tables.
        root: Folder that the paths are relative to.
        list: The list file; see `read_list`.
        max_images: Keep the first so many only.

    Raises:
        BenchError: The root or the list is missing, or lines of it cannot be used; all of them
            are told at once.
    """

    def __init__(self, name: str, root: str, list: str, max_images: int | None = None) -> None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise BenchError(f"dataset.root: '{folder}' is not a folder")
        listing, samples = find_listed(
            name, list, lambda entry: (folder / entry.image_id, entry.target)
        )
        super().__init__(name, samples, max_images, notes=[listing.note], root=folder)


def read_list(file: str | Path, problems: Problems, key: str = "list") -> ListFile:
    """Reads a list: `relative/path label` a line, split at the last space.

    Args:
        file: UTF-8; empty lines are skipped, line ends and a byte order mark do not matter.
        problems: Where lines are told that are no path inside a root and a label >= 0.
        key: The setting that names the file, for the message.

    Raises:
        BenchError: The file cannot be read.
    """
    file = Path(file).expanduser()
    try:
        content = file.read_bytes()
        lines = content.decode("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"dataset.{key}: cannot read '{file}': {error}") from None
    entries = []
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line:
            continue
        image_id, _, label = line.rpartition(" ")
        if not image_id or not (label.isascii() and label.isdecimal()):
            kind = "lines that are not 'relative/path label' with a whole number after a space"
            problems.add(kind, f"line {number}: '{line}'")
            continue
        path = PurePosixPath(image_id)
        if path.is_absolute() or ".." in path.parts:
            problems.add("paths that leave the root", f"line {number}: '{image_id}'")
            continue
        entries.append(Entry(number, image_id, int(label)))
    digest = hashlib.sha256(content).hexdigest()
    return ListFile(file, digest, find_published(content), tuple(entries))


def find_listed(
    name: str, file: str | Path, find: Callable[[Entry], tuple[Path, int] | str]
) -> tuple[ListFile, list[Sample]]:
    """Reads a list and finds its images.

    Args:
        name: Name of the data set, for the message.
        file: The list; see `read_list`.
        find: Gives the file of an entry and the label that the data set has for it, or why there
            is none (a few words).

    Returns:
        The list, and its images in their order.

    Raises:
        BenchError: The list cannot be read, or lines of it cannot be used: no path and label, or
            an image that is unknown, missing, listed twice or has another label. All are told.
    """
    problems = Problems(f"dataset '{name}', list '{file}'")
    listing = read_list(file, problems)
    samples, seen = [], set()
    for entry in listing.entries:
        if entry.image_id in seen:
            problems.add("images listed twice", str(entry))
            continue
        seen.add(entry.image_id)
        found = find(entry)
        if isinstance(found, str):
            problems.add("images that the data set does not have", f"{entry}: {found}")
            continue
        path, label = found
        if label != entry.target:
            problems.add("labels that contradict the data set", f"{entry}, expected label {label}")
        elif not path.is_file():
            problems.add("images that are missing", f"{entry}: no file '{path}'")
        else:
            samples.append(Sample(entry.image_id, path, entry.target))
    problems.raise_any()
    return listing, samples
