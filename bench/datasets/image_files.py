"""Which files and folders of a data set are images and classes, and what is left out."""

import os
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SUFFIXES = frozenset(".bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())
"""Files with other endings are not taken for images; upper and lower case are the same."""
_SYSTEM = frozenset(
    name.casefold()
    for name in ("__MACOSX", "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information")
)
"""Folders that archivers and file servers leave beside the data, beside hidden ones."""


@dataclass
class LeftOut:
    """What a search for images passed by.

    Attributes:
        folders: Hidden folders and those of the system, and links to folders within a class.
        hidden: Hidden files, such as `._photo.jpg`.
        kinds: Ending of other files -> how many.

    Example:
        >>> left_out = LeftOut(hidden=1)
        >>> left_out.kinds[".txt"] += 3
        >>> left_out.note
        'Left out: files that are no images to us (3 .txt, 1 hidden)'
    """

    folders: list[str] = field(default_factory=list)
    hidden: int = 0
    kinds: Counter[str] = field(default_factory=Counter)

    @property
    def note(self) -> str | None:
        """One line for the reader of a run, or None if nothing was left out."""
        parts = [f"{number} {kind or 'without an ending'}" for kind, number in _sorted(self.kinds)]
        parts += [f"{self.hidden} hidden"] if self.hidden else []
        files = f"files that are no images to us ({', '.join(parts)})" if parts else ""
        shown = ", ".join(sorted(self.folders)[:5]) + (", ..." if len(self.folders) > 5 else "")
        folders = f"hidden, system or linked folders ({shown})" if self.folders else ""
        both = "; ".join(filter(None, (files, folders)))
        return f"Left out: {both}" if both else None


def is_hidden(name: str) -> bool:
    """Whether a file or folder is hidden, or a folder of the system.

    Example:
        >>> is_hidden("._photo.jpg"), is_hidden("__MACOSX"), is_hidden("photo.jpg")
        (True, True, False)
    """
    return name.startswith(".") or name.casefold() in _SYSTEM


def is_image(name: str) -> bool:
    """Whether a file is taken for an image, by its name.

    Example:
        >>> is_image("photo.JPG"), is_image("labels.txt"), is_image("._photo.jpg")
        (True, False, False)
    """
    return not is_hidden(name) and Path(name).suffix.lower() in SUFFIXES


def composed(name: str) -> str:
    r"""A name with its accents composed (NFC): some systems keep them apart from their letters.

    Example:
        >>> apart = "e\u0301"  # the letter, and its accent
        >>> len(apart), len(composed(apart)), composed(apart)
        (2, 1, 'é')
    """
    return unicodedata.normalize("NFC", name)


def subfolders(folder: Path, left_out: LeftOut | None = None) -> list[str]:
    """Names of the folders in a folder, sorted by code points; hidden ones are left out.

    Args:
        folder: Where to look.
        left_out: Where those are noted.

    Returns:
        Names, without the path of the folder.

    Example:
        >>> from pathlib import Path
        >>> for name in ("wren", "owl", ".cache"):
        ...     Path("birds", name).mkdir(parents=True)
        >>> subfolders(Path("birds"))
        ['owl', 'wren']
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.is_dir()]
    if left_out is not None:
        left_out.folders += filter(is_hidden, names)
    return sorted((name for name in names if not is_hidden(name)), key=composed)


def image_files(folder: Path, left_out: LeftOut | None = None) -> list[str]:
    """Paths of the images in a folder and below, relative to it, sorted by code points.

    Args:
        folder: Where to look; one that is missing has none.
        left_out: Where the other files and folders are noted.

    Returns:
        Paths with slashes.

    Example:
        >>> from pathlib import Path
        >>> Path("photos/wren").mkdir(parents=True)
        >>> for name in ("b.jpg", "wren/a.png", "labels.txt"):
        ...     Path("photos", name).touch()
        >>> left_out = LeftOut()
        >>> image_files(Path("photos"), left_out)
        ['b.jpg', 'wren/a.png']
        >>> left_out.note
        'Left out: files that are no images to us (1 .txt)'
    """
    left_out = LeftOut() if left_out is None else left_out
    found = []
    for where, files in _walk(folder, left_out):
        relative = Path(where).relative_to(folder)
        for name in files:
            if is_image(name):
                found.append((relative / name).as_posix())
            elif is_hidden(name):
                left_out.hidden += 1
            else:
                left_out.kinds[Path(name).suffix.lower()] += 1
    return sorted(found, key=composed)


def unnested(folder: Path) -> Path:
    """The folder of the same name within a folder that has nothing else to show, or the folder.

    Archives that are unpacked into a folder of the archive's name look like this.

    Args:
        folder: The folder that a user or an archive names.

    Example:
        >>> from pathlib import Path
        >>> Path("images/images/wren").mkdir(parents=True)
        >>> unnested(Path("images")).as_posix()
        'images/images'
    """
    inner = folder / folder.name
    if not inner.is_dir():
        return folder
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not is_hidden(entry.name)]
    return inner if names == [folder.name] else folder


def _walk(folder: Path, left_out: LeftOut) -> Iterator[tuple[str, list[str]]]:
    for where, folders, files in os.walk(folder):
        passed = {
            name
            for name in folders
            if is_hidden(name) or os.path.islink(os.path.join(where, name))  # noqa: PTH114, PTH118 (many)
        }
        left_out.folders += passed
        folders[:] = [name for name in folders if name not in passed]
        yield where, files


def _sorted(kinds: Counter[str]) -> list[tuple[str, int]]:
    return sorted(kinds.items(), key=lambda item: (-item[1], item[0]))
