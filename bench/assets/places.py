"""`assets.yaml`: where the assets of experiments lie; what the user wrote there stays."""

from pathlib import Path

import yaml

from bench.config.composing import read_places
from bench.errors import BenchError
from bench.files import write_atomically

PLACES = Path("assets.yaml")
"""In the working directory; see `bench.config.composing.with_assets`."""


def add_place(key: str, place: Path, file: Path = PLACES) -> str:
    """Adds a line `key: place` to assets.yaml, if it has none of that key.

    Args:
        key: As in `assets.key` of an experiment.
        place: A folder or file.
        file: It is made if it is missing; all that it holds stays as it is.

    Returns:
        What is in the way: another place under the key. Empty: the key now says this place.

    Raises:
        BenchError: The file cannot be read or written.
    """
    known = read_places(file).get(key)
    if known is not None:
        if Path(known).expanduser().resolve() == place.resolve():
            return ""
        return (
            f"'{file}' has {key}: {known}, which is kept; to use what is fetched make it "
            f"{key}: {place}"
        )
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
    except (OSError, ValueError) as error:
        raise BenchError(f"'{file}' cannot be read: {error}") from None
    line = yaml.safe_dump({key: place.as_posix()}, allow_unicode=True)
    end = "" if not before or before.endswith("\n") else "\n"
    write_atomically(file, (before + end + line).encode())
    return ""
