"""`assets.lock`: what was fetched the first time, where no hash is on record."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from bench.errors import BenchError
from bench.files import write_atomically

LOCK = Path("assets.lock")
"""In the working directory, beside assets.yaml."""

_HEADER = """\
# What `bench fetch` got the first time, of files whose hashes are not on record. From then on they
# have to be the same. Keep this file with your results; take out what you want to be seen anew.
"""


def locked(key: str, file: Path = LOCK) -> dict[str, Any] | None:
    """What is known of a file that was fetched before; None: nothing.

    Args:
        key: The asset and its file, `smdl_weights/keras_model/cub-vgg19.h5`.
        file: The lock.

    Raises:
        BenchError: The lock cannot be read.
    """
    return _read(file).get(key)


def lock(key: str, known: Mapping[str, Any], file: Path = LOCK) -> None:
    """Writes down what was fetched, with today's date.

    Args:
        key: The asset and its file.
        known: `sha256`, `size` and `url`.
        file: The lock; it is made if it is missing.

    Raises:
        BenchError: The lock cannot be read or written.
    """
    entries = _read(file) | {key: {**known, "date": datetime.now(UTC).date().isoformat()}}
    text = yaml.safe_dump(dict(sorted(entries.items())), sort_keys=False, allow_unicode=True)
    write_atomically(file, (_HEADER + text).encode())


def _read(file: Path) -> dict[str, dict[str, Any]]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise BenchError(f"'{file}' cannot be read: {reason}") from None
    fits = isinstance(content, dict) and all(
        isinstance(entry, dict) and isinstance(entry.get("sha256"), str)
        for entry in content.values()
    )
    if not fits:
        raise BenchError(
            f"'{file}': expected files with their sha256, found something else: mend it, or move "
            "it away to have all seen anew"
        )
    return content
