"""Checkpoint files: read without running anything that is in them, and loaded strictly."""

import hashlib
import pickle
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.errors import BenchError

CONTAINERS = ("state_dict", "model", "model_state_dict", "net")
"""Keys under which training scripts keep a state dict."""

_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_HDF5 = b"\x89HDF\r\n\x1a\n"


def file_sha256(path: Path) -> str:
    """Hash over a file's bytes.

    Raises:
        BenchError: It is missing or cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise BenchError(f"weights: '{path}' is missing") from None
    except OSError as error:
        raise BenchError(f"weights: cannot read '{path}': {error.strerror}") from None


def verify(path: Path, sha256: str | None) -> str:
    """Hash over a file's bytes, compared with the one that is expected, if any.

    Raises:
        BenchError: The file cannot be read, or is another one.
    """
    found = file_sha256(path)
    if sha256 is not None and found != str(sha256).lower():
        raise BenchError(
            f"weights: '{path}' is not the file that is meant: expected sha256 {sha256}, found "
            f"{found}; fetch it again, or leave out backbone.sha256"
        )
    return found


def read_state(path: Path, containers: Sequence[str] = CONTAINERS) -> dict[str, Tensor]:
    """Reads a state dict from a .safetensors, .pth or .pt file; the content says which it is.

    Args:
        path: The file. The state dict may be bare or under one of `containers`, its names with or
            without `module.` or `_orig_mod.` in front.
        containers: Keys to look under, in this order.

    Returns:
        Names to tensors on the CPU.

    Raises:
        BenchError: The file is missing, broken, of another format, holds code, or no state dict.
    """
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise BenchError(f"weights: cannot read '{path}': {error.strerror}") from None
    if head.startswith(_HDF5):
        raise BenchError(
            f"weights: '{path}' is an HDF5 file: if Keras wrote it, choose backbone=keras_h5"
        )
    content = _read_safetensors(path) if head[8:] == b"{" else _read_pickle(path)
    return _without_prefix(_state_dict(path, content, containers))


def load_strictly(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Loads a state dict whose names and shapes must all fit.

    BatchNorm's `num_batches_tracked`, which older files lack, plays no part in evaluation.

    Args:
        module: Gets the values.
        state: As `read_state` gives it.
        path: Where it comes from, for the message.

    Raises:
        BenchError: Names are missing or unexpected, or shapes differ; it names the first ten.
    """
    expected = module.state_dict()
    counters = {name for name in expected if name.endswith("num_batches_tracked")}
    missing = [name for name in expected if name not in state and name not in counters]
    unexpected = [name for name in state if name not in expected]
    reshaped = [
        f"{name}: expected {tuple(expected[name].shape)}, found {tuple(state[name].shape)}"
        for name in expected
        if name in state and expected[name].shape != state[name].shape
    ]
    problems = [
        f"{len(names)} {what} ({'; '.join(names[:10])}{', ...' if len(names) > 10 else ''})"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", reshaped),
        )
        if names
    ]
    if problems:
        raise BenchError(
            f"weights: '{path}' does not fit the network: {', '.join(problems)}; check "
            "backbone.name and backbone.num_classes"
        )
    module.load_state_dict({name: state.get(name, expected[name]) for name in expected})


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BenchError(f"weights: '{path}' is broken: {error}") from None


def _read_pickle(path: Path) -> object:
    """Reads what torch.save wrote, tensors and plain containers only."""
    try:
        with path.open("rb") as file:  # given a name, torch goes by its suffix
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = re.search(r"GLOBAL ([\w.]+)", str(error))
        if code is None:
            raise BenchError(
                f"weights: '{path}' is broken, or no checkpoint that torch.save wrote"
            ) from None
        raise BenchError(
            f"weights: '{path}' holds more than tensors ({code[1]}); loading that would run code, "
            "which is refused: where you trust the file, load it with the code that wrote it and "
            "save the tensors alone, torch.save(model.state_dict(), 'weights.pth')"
        ) from None
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError, OSError) as error:
        raise BenchError(f"weights: '{path}' is broken: {type(error).__name__}") from None


def _state_dict(path: Path, content: object, containers: Sequence[str]) -> Mapping[str, Tensor]:
    for key in containers:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping) or not content:
        raise BenchError(f"weights: '{path}' holds no state dict, but a {type(content).__name__}")
    others = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if others:
        raise BenchError(
            f"weights: '{path}' holds no state dict: expected tensors, bare or under "
            f"{', '.join(containers)}; found the keys {', '.join(map(str, list(content)[:10]))}"
        )
    return content


def _without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    for prefix in _PREFIXES:
        if all(name.startswith(prefix) for name in state):
            return _without_prefix({name[len(prefix) :]: tensor for name, tensor in state.items()})
    return dict(state)
