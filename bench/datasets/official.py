"""Official downloads: their files in the folder that a user points at, and their tables."""

import csv
import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd

from bench.datasets.image_files import image_files
from bench.datasets.problems import Problems
from bench.errors import BenchError

_LOOKED_AT = 1000
"""Folders that a search for the right root opens at most: it may be pointed at anything."""


def locate(
    root: str | Path, names: Sequence[str], download: str, folders: Sequence[str] = ("",)
) -> dict[str, Path]:
    """Finds the files and folders of a download.

    Args:
        root: Where the user says it is.
        names: What it must hold.
        download: What it is called, for the message.
        folders: Where in the root each of them may lie, in the order of preference.

    Returns:
        Name -> path.

    Raises:
        BenchError: The root is no folder or something is missing; says what was looked for, and
            the nearest thing that is there.

    Example:
        >>> from pathlib import Path
        >>> Path("cub/images").mkdir(parents=True)
        >>> Path("cub/images.txt").touch()
        >>> found = locate("cub", ["images.txt", "images"], download="CUB-200-2011")
        >>> {name: path.as_posix() for name, path in found.items()}
        {'images.txt': 'cub/images.txt', 'images': 'cub/images'}
    """
    root = Path(root).expanduser()
    found = _found_in(root, names, folders)
    missing = [name for name in names if name not in found]
    if not missing:
        return found
    if not root.is_dir():
        raise BenchError(
            f"dataset.root: '{root}' is not a folder; expected that of {download}"
            f"{_nearest(root.parent, [root.name])}"
        )
    for other in _nearby(root):
        if len(_found_in(other, names, folders)) == len(names):
            hint = f". Did you mean '{other}'?"
            break
    else:
        hint = _nearest(root, missing)
    raise BenchError(
        f"dataset.root: '{root}' does not hold {', '.join(missing)}; expected the folder of "
        f"{download} with {', '.join(names)}{hint}"
    )


def read_table(path: Path, columns: Mapping[str, type[int] | type[str]]) -> pd.DataFrame:
    """Reads a table of columns that are separated by white space, without a header.

    Args:
        path: The file. One that ends in `.csv` has commas and a header, which is not looked at.
        columns: Name -> `int` or `str`, as many as the file has.

    Returns:
        The table with these columns.

    Raises:
        BenchError: The file cannot be read, or lines have other columns; names the first.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("images.txt").write_text("1 wren/1.jpg")
        >>> read_table(Path("images.txt"), {"image": int, "path": str}).to_dict("records")
        [{'image': 1, 'path': 'wren/1.jpg'}]
    """
    settings: dict[str, Any] = {
        "sep": r"\s+",
        "header": None,
        "quoting": csv.QUOTE_NONE,
        "keep_default_na": False,
    }
    if path.suffix == ".csv":
        settings |= {"sep": ",", "skiprows": 1}
    try:
        table = pd.read_csv(path, **settings, dtype=dict(enumerate(columns.values())))
        numbers = [number for number, kind in enumerate(columns.values()) if kind is int]
        complete = table.shape[1] == len(columns) and not (table.isna() | (table == "")).any(
            axis=None
        )
        if complete and (table[numbers] >= 0).all(axis=None):
            return table.set_axis([*columns], axis=1)
    except OSError as error:
        raise BenchError(f"cannot read '{path}': {error.strerror}") from None
    except (ValueError, OverflowError):  # also pandas' errors; where it is wrong takes longer
        pass
    raise _complaint(path, columns, settings)


def _complaint(
    path: Path, columns: Mapping[str, type[int] | type[str]], settings: dict[str, Any]
) -> BenchError:
    """What names the first line that a table should not have."""
    expected = f"'{path}': expected lines '{' '.join(columns)}'"
    try:
        table = pd.read_csv(path, **settings, dtype=str)
    except ValueError as error:
        return BenchError(f"{expected}: {' '.join(str(error).split())}")
    if table.shape[1] != len(columns):
        return BenchError(f"{expected}, found {table.shape[1]} columns: is this the original file?")
    table.columns = list(columns)
    good = pd.Series(True, table.index)
    for name, kind in columns.items():
        good &= table[name].str.fullmatch(r"[0-9]{1,18}" if kind is int else ".+", na=False)
    first = int((~good).to_numpy().argmax())
    line = " ".join(table.iloc[first].dropna()).strip()
    return BenchError(
        f"{expected} with whole numbers, found '{line}' as entry {first + 1} "
        f"({(~good).sum()} such lines)"
    )


def same_keys(tables: dict[str, pd.DataFrame], key: str, problems: Problems) -> None:
    """Checks that tables speak of the same things, each of them once.

    Args:
        tables: File name -> table; the first one is the measure of the others.
        key: The column that names things.
        problems: Gets the keys that are there twice, or in one file and not in another.

    Example:
        >>> import pandas as pd
        >>> from bench.datasets.problems import Problems
        >>> images = pd.DataFrame({"image": [1, 2]})
        >>> problems = Problems("tables")
        >>> same_keys({"images.txt": images, "labels.txt": images[:1]}, "image", problems)
        >>> problems.lines()
        ["entries of images.txt that labels.txt lacks (1): '2'"]
    """
    measure, *others = tables
    known = tables[measure][key]
    for file, table in tables.items():
        for value in table[key][table[key].duplicated()].unique():
            problems.add(f"entries twice in {file}", f"'{value}'")
    for file in others:
        keys = tables[file][key]
        if keys.equals(known):  # as in the originals; the rest takes a while for 200,000
            continue
        for value in known[~known.isin(keys)]:
            problems.add(f"entries of {measure} that {file} lacks", f"'{value}'")
        for value in keys[~keys.isin(known)]:
            problems.add(f"entries of {file} that {measure} lacks", f"'{value}'")


def count_files(folder: Path) -> int:
    """Number of images in a folder and below.

    Args:
        folder: Where to look; one that is missing has none.

    Example:
        >>> from pathlib import Path
        >>> Path("photos/wren").mkdir(parents=True)
        >>> for name in ("wren/1.jpg", "wren/2.jpg", "labels.txt"):
        ...     Path("photos", name).touch()
        >>> count_files(Path("photos"))
        2
    """
    return len(image_files(folder))


def _found_in(root: Path, names: Sequence[str], folders: Sequence[str]) -> dict[str, Path]:
    places = {name: [root / folder / name for folder in folders] for name in names}
    existing = {name: [p for p in paths if p.exists()] for name, paths in places.items()}
    return {name: paths[0] for name, paths in existing.items() if paths}


def _nearby(root: Path) -> list[Path]:
    """Folders around a root that a user may have meant: two floors down, and two up."""
    below = _subfolders(root)
    for folder in list(below):
        below += _subfolders(folder)[: max(_LOOKED_AT - len(below), 0)]
    absolute = root.absolute()
    return [*below, *absolute.parents[:2]]


def _subfolders(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(Path(entry.path) for entry in entries if entry.is_dir())[:_LOOKED_AT]
    except OSError:
        return []


def _nearest(folder: Path, names: Sequence[str]) -> str:
    """A hint at what in a folder is called most like one of the names, or nothing."""
    try:
        there = os.listdir(folder)  # noqa: PTH208 (names are all that is needed)
    except OSError:
        return ""
    for name in names:
        close = get_close_matches(name, there, n=1)
        if close:
            return f". The nearest name there is '{close[0]}'"
    shown = ", ".join(sorted(there)[:5]) or "nothing"
    return f". There is: {shown}{', ...' if len(there) > 5 else ''}"
