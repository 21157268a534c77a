"""A list of pictures that is made of a tensor of labels."""

import hashlib
import pickle
from pathlib import Path

import torch

from bench.assets.registry import Labels
from bench.errors import BenchError, BrokenFileError
from bench.files import read_whole, write_atomically


def write_labels(folder: Path, labels: Labels) -> None:
    """Writes lines `N.png LABEL`, one an entry of a tensor; nothing in its file is run.

    Args:
        folder: Where the tensor is and the list goes.
        labels: Their names and hashes.

    Raises:
        BrokenFileError: The tensor is another one, or none.
        BenchError: The list is not the one on record, or cannot be written.
    """
    tensor = folder / labels.tensor
    found = hashlib.sha256(read_whole(tensor)).hexdigest()
    if found != labels.tensor_sha256:
        told = f"expected the sha256 {labels.tensor_sha256}, found {found}"
        raise BrokenFileError(tensor, told)
    try:
        values = torch.load(tensor, weights_only=True).tolist()
    except (OSError, RuntimeError, pickle.UnpicklingError, AttributeError) as error:
        raise BrokenFileError(tensor, str(error)) from None
    text = "\n".join(f"{number}.png {label}" for number, label in enumerate(values))
    digest = hashlib.sha256(text.encode()).hexdigest()
    if digest != labels.list_sha256:
        raise BenchError(
            f"'{labels.list}', made of '{labels.tensor}': expected the sha256 "
            f"{labels.list_sha256}, found {digest}"
        )
    write_atomically(folder / labels.list, f"{text}\n".encode())
