"""Batch sizes that fit in memory, remembered for the next run."""

import json
from collections import UserDict
from pathlib import Path
from typing import Any

import torch

from bench.device import device_name
from bench.errors import BrokenFileError, warn
from bench.files import read_json, set_aside, write_atomically

CURVES = "curves"
"""Whose batch size it is that scores curves; the others are methods'."""


class BatchSizes(UserDict[str, int]):
    """Batch sizes by method, and of the curves, on one device with one network.

    Args:
        file: JSON that keeps them; it need not exist.
        device: Where the network lives.
        backbone: The network's name.
        default: What a run begins with; what is remembered for another default does not count.

    Raises:
        BenchError: The file cannot be read, or not be set aside where it is broken.
    """

    def __init__(self, file: Path, device: torch.device, backbone: str, default: int) -> None:
        self._file = file
        self._key = f"{device_name(device)}, {backbone}, {default}"
        super().__init__()
        self.data = dict(self._read().get(self._key, {}))

    def __setitem__(self, name: str, size: int) -> None:
        """Remembers a batch size at once: who is killed has learnt it all the same."""
        if self.data.get(name) != size:
            self.data[name] = size
            content = json.dumps(self._read() | {self._key: self.data}, indent=2)
            write_atomically(self._file, content.encode())

    def _read(self) -> dict[str, dict[str, int]]:
        """All that is remembered; a broken file is set aside, and nothing is."""
        if not self._file.exists():
            return {}
        try:
            known = read_json(self._file)
            if not _are_batch_sizes(known):
                raise BrokenFileError(self._file, "expected batch sizes by device and method")
        except BrokenFileError as error:
            warn(set_aside(error))
            return {}
        return known


def _are_batch_sizes(known: Any) -> bool:
    if not isinstance(known, dict) or not all(isinstance(sizes, dict) for sizes in known.values()):
        return False
    all_sizes = (size for sizes in known.values() for size in sizes.values())
    return all(type(size) is int and size > 0 for size in all_sizes)
