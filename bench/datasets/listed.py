"""List files, one `relative/path label` a line, and images from any root with such a list."""

import hashlib
import os
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from bench.datasets.annotation_files import annotated
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.image_files import subfolders
from bench.datasets.problems import Problems
from bench.datasets.published_lists import PublishedList, find_published
from bench.errors import BenchError

_LABEL_COLUMNS = frozenset(
    "category class class_id class_index identity label labels target".split()
)
"""What the last column of a header may be called."""
_DIGITS = "0123456789"
_MOST_DIGITS = 9
"""Of a label."""
_SHOWN = 200
"""Characters of a line that a message shows."""


@dataclass(frozen=True)
class Entry:
    """One line of a list.

    Attributes:
        number: The number of the line, from 1.
        image_id: The path as it stands there, without `./` and doubled slashes, relative to the
            root.
        target: The label.

    Example:
        >>> str(Entry(number=3, image_id="wren/1.jpg", target=7))
        "line 3: 'wren/1.jpg 7'"
    """

    number: int
    image_id: str
    target: int

    def __str__(self) -> str:
        return f"line {self.number}: '{_shortened(f'{self.image_id} {self.target}')}'"


FindImage = Callable[[Entry], tuple[Path, int] | str]
"""An entry to its file and the label that the data set has for it, or to why there is none (a few
words)."""


@dataclass(frozen=True)
class ListFile:
    """A list as it was read.

    Attributes:
        path: The file.
        sha256: The sha256 of its bytes.
        published: Which published list it is, or None.
        entries: Its lines, in their order.
        header: Its first line, where that names columns; else None.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> _ = Path("eval.txt").write_text("wren/1.jpg 7")
        >>> listing = read_list("eval.txt", Problems("eval.txt"))
        >>> len(listing.entries), listing.published
        (1, None)
        >>> listing.note.partition(";")[0]
        'List: eval.txt: 1 lines, none of the published lists'
    """

    path: Path
    sha256: str
    published: PublishedList | None
    entries: tuple[Entry, ...]
    header: str | None = None

    @property
    def note(self) -> str:
        """One line for the reader of a run: which list this is."""
        kind = self.published or f"{len(self.entries)} lines, none of the published lists"
        header = f" (without the header '{self.header}')" if self.header else ""
        return f"List: {self.path}: {kind}{header}; sha256 {self.sha256}"


class ImageList(Dataset):
    """Images that a list file names, relative to a root folder.

    Args:
        name: Name of the benchmark in tables.
        root: Folder that the paths are relative to.
        list: The list file; see `read_list`.
        max_images: Keep the first so many only.
        boxes: A file or folder of boxes, or None; see `bench.datasets.annotation_files.annotated`.
        masks: A folder of masks, or None.
        mask_above: The grey level above which a mask's pixels belong to the object.

    Raises:
        BenchError: The root or the list is missing, or lines of it, boxes or masks cannot be used;
            all of them are reported at once.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Path("birds/wren").mkdir(parents=True)
        >>> Image.new("RGB", (6, 4)).save("birds/wren/1.png")
        >>> _ = Path("birds.txt").write_text("wren/1.png 7")
        >>> data = ImageList("birds", root="birds", list="birds.txt")
        >>> [(sample.image_id, sample.target) for sample in data.samples]
        [('wren/1.png', 7)]
    """

    def __init__(
        self,
        name: str,
        root: str,
        list: str,
        max_images: int | None = None,
        *,
        boxes: str | None = None,
        masks: str | None = None,
        mask_above: int = 0,
    ) -> None:
        folder = Path(root).expanduser()
        if not folder.is_dir():
            raise BenchError(f"dataset.root: '{folder}' is not a folder")
        listing, samples = find_listed(
            name, list, lambda entry: (folder / entry.image_id, entry.target), folder
        )
        samples, told = annotated(samples, boxes=boxes, masks=masks, mask_above=mask_above)
        super().__init__(name, samples, max_images, notes=[listing.note, *told], root=folder)


def read_list(
    file: str | Path, problems: Problems, key: str = "list", root: Path | None = None
) -> ListFile:
    r"""Reads a list: `relative/path label` a line, split at the last space, tab, `,` or `;`.

    Args:
        file: UTF-8; empty lines and a header such as `path,label` are skipped, line ends and a
            byte order mark do not matter. A path that has a comma or spaces may stand in `"`.
        problems: Gets the lines that are no path inside a root and a label >= 0.
        key: The setting that names the file, for the message.
        root: Absolute paths in this folder are made relative to it; others leave the root.

    Returns:
        The list, with the entries whose lines could be read.

    Raises:
        BenchError: The file cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from bench.datasets.problems import Problems
        >>> _ = Path("list.csv").write_text("path,label\nwren/1.jpg,7\nowl.jpg,x\n")
        >>> problems = Problems("list.csv")
        >>> listing = read_list("list.csv", problems)
        >>> listing.header, [(entry.image_id, entry.target) for entry in listing.entries]
        ('path,label', [('wren/1.jpg', 7)])
        >>> problems.lines()[0].rpartition(": ")[2]
        "'owl.jpg,x'"
    """
    file = Path(file).expanduser()
    content, text = _read_text(file, key)
    entries: list[Entry] = []
    header: str | None = None
    lines = text.split("\n" if "\n" in text else "\r")  # the latter as old Macs and Excel do
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line:
            continue
        parts = _split(line)
        if parts is None and not entries and header is None and _is_header(line):
            header = line
            continue
        if parts is None:
            kind = (
                "lines that are not 'relative/path label' with a whole number after a space, "
                "tab or comma"
            )
            problems.add(kind, f"line {number}: '{_shortened(line)}'")
            continue
        path = _relative(parts[0], root)
        if path is None:
            kind = "paths that leave the root"
            problems.add(kind, f"line {number}: '{_shortened(parts[0])}'")
            continue
        entries.append(Entry(number, path, parts[1]))
    digest = hashlib.sha256(content).hexdigest()
    return ListFile(file, digest, find_published(content), tuple(entries), header)


def find_listed(
    name: str, file: str | Path, find: FindImage, root: Path
) -> tuple[ListFile, list[Sample]]:
    """Reads a list and finds its images.

    A path that is not there is also looked for with slashes in place of backslashes, and with
    accents written the other way (composed or not), as other systems write them.

    Args:
        name: Name of the data set, for the message.
        file: The list; see `read_list`.
        find: Where the data set has an image.
        root: Folder that the list's paths are relative to.

    Returns:
        The list, and its images in their order.

    Raises:
        BenchError: The list cannot be read, or lines of it cannot be used: no path and label, or
            an image that is unknown, missing, listed twice or has another label. All are listed.

    Example:
        >>> from pathlib import Path
        >>> Path("found").mkdir()
        >>> Path("found/owl.jpg").touch()
        >>> _ = Path("owls.txt").write_text("owl.jpg 7")
        >>> def find(entry):
        ...     return Path("found", entry.image_id), 7  # the file, and its label in the data set
        >>> listing, samples = find_listed("owls", "owls.txt", find, root=Path("found"))
        >>> [(sample.image_id, sample.path.as_posix(), sample.target) for sample in samples]
        [('owl.jpg', 'found/owl.jpg', 7)]
    """
    problems = Problems(f"dataset '{name}', list '{file}'")
    listing = read_list(file, problems, root=root)
    seen: set[str] = set()
    missing: list[Entry] = []
    files: dict[Path, Entry] = {}
    for written in listing.entries:
        entry, found = _look_up(written, find)
        if entry.image_id in seen:
            problems.add("images listed twice", str(entry))
            continue
        seen.add(entry.image_id)
        if isinstance(found, str):
            problems.add("images that the data set does not have", f"{entry}: {found}")
            continue
        path, label = found
        if label != entry.target:
            problems.add("labels that contradict the data set", f"{entry}, expected label {label}")
        elif not _is_file(path):
            missing.append(entry)
            problems.add("images that are missing", f"{entry}: no file '{path}'")
        elif path in files:
            problems.add("images listed twice", f"{entry}, the same file as {files[path]}")
        else:
            files[path] = entry
    if missing and len(missing) == len(listing.entries):
        _suggest_root(root, missing[0].image_id, problems)
    problems.raise_any()
    samples = [Sample(entry.image_id, path, entry.target) for path, entry in files.items()]
    return listing, samples


def _read_text(file: Path, key: str) -> tuple[bytes, str]:
    """A list's bytes, and the same as text."""
    try:
        content = file.read_bytes()
        return content, content.decode("utf-8-sig")
    except OSError as error:
        raise BenchError(f"dataset.{key}: cannot read '{file}': {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise BenchError(
            f"dataset.{key}: cannot read '{file}': {error}: save it as UTF-8 text"
        ) from None


def _split(line: str) -> tuple[str, int] | None:
    """Path and label of a line, or None if it has none."""
    if line.endswith('"'):
        before, _, label = line[:-1].rpartition('"')
    else:
        before = line.rstrip(_DIGITS)
        label = line[len(before) :]
    path = before.rstrip()
    is_separated = path != before
    if path.endswith((",", ";")):
        path, is_separated = path[:-1].rstrip(), True
    if len(path) > 2 and path[0] == path[-1] == '"':
        path = path[1:-1]
    is_label = 0 < len(label) <= _MOST_DIGITS and not label.strip(_DIGITS)
    is_path = bool(path) and "\0" not in path
    return (path, int(label)) if is_path and is_label and is_separated else None


def _is_header(line: str) -> bool:
    """Whether a line without a label names columns, as `path,label` does."""
    return re.split(r"[\s,;]+", line.lower())[-1].strip('"') in _LABEL_COLUMNS


def _relative(path: str, root: Path | None) -> str | None:
    """A path of a list as it is relative to the root, or None if it lies outside."""
    written = PurePosixPath(path)
    if written.is_absolute() and root is not None:
        for folder in (root.absolute(), root.resolve()):
            if written.is_relative_to(folder):
                written = written.relative_to(folder)
                break
    if written.is_absolute() or ".." in written.parts:
        return None
    return written.as_posix()


def _look_up(entry: Entry, find: FindImage) -> tuple[Entry, tuple[Path, int] | str]:
    """An entry and what is found for it, under the way to write its path that is found first."""
    found = find(entry)
    if not isinstance(found, str) and _is_file(found[0]):
        return entry, found
    slashes = _relative(entry.image_id.replace("\\", "/"), None)
    for image_id in (entry.image_id, slashes):
        if image_id is None:
            continue
        other = replace(entry, image_id=image_id)
        for form in ("NFC", "NFD"):
            respelt = find(replace(other, image_id=unicodedata.normalize(form, image_id)))
            if not isinstance(respelt, str) and _is_file(respelt[0]):
                return other, respelt
    return entry, found


def _is_file(path: Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113 (Path.is_file raises where a name is too long)


def _suggest_root(root: Path, image_id: str, problems: Problems) -> None:
    """Names a folder beside, above or below a root that has an image which the root lacks."""
    folders = (*root.absolute().parents[:3], *(root / name for name in subfolders(root)))
    other = next((folder for folder in folders if _is_file(folder / image_id)), None)
    if other is not None:
        problems.add("all images are missing", f"did you mean dataset.root='{other}'?")


def _shortened(text: str) -> str:
    text = text.replace("\0", "\\0")
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
