"""Checkpoint files, read without running anything that is in them."""

import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from bench.errors import BenchError, warn
from bench.files import file_digest

CONTAINERS = (
    "state_dict",
    "model",
    "model_state_dict",
    "net",
    "net_state_dict",
    "model_state",
    "weights",
    "params",
)
"""Keys under which training scripts keep a state dict; the first that a file has is taken."""

AVERAGED = "n_averaged"
"""The counter that `torch.optim.swa_utils.AveragedModel` keeps beside its weights."""

_WRAPPERS = ("module.", "_orig_mod.")  # of DataParallel and torch.compile
_HDF5 = b"\x89HDF\r\n\x1a\n"


class _Unread:
    """Stands for an object beside the weights: takes what the file gives it and keeps nothing."""

    def __new__(cls, *_: object) -> "_Unread":
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


_READ_PAST = (
    "argparse.Namespace",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.ndarray",
    "numpy.dtype",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "pathlib._local.PosixPath",
    "pathlib._local.WindowsPath",
)
"""What training scripts save beside the weights: arguments, numbers, paths. None of these is looked
up or built: `_Unread` stands in the place of each."""


def file_sha256(path: Path) -> str:
    """Hash over a file's bytes.

    Args:
        path: The file.

    Returns:
        64 hexadecimal digits.

    Raises:
        BenchError: It is missing or cannot be read.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("weights.pth").write_bytes(b"abc")
        >>> file_sha256(Path("weights.pth"))[:16]
        'ba7816bf8f01cfea'
    """
    try:
        return file_digest(path)
    except FileNotFoundError:
        raise BenchError(f"weights: '{path}' is missing") from None
    except OSError as error:
        raise BenchError(f"weights: cannot read '{path}': {error.strerror}") from None


def verify(path: Path, sha256: str | None) -> str:
    """Hash over a file's bytes, compared with the one that is expected, if any.

    Args:
        path: The file.
        sha256: The one that is expected, in upper or lower case; None: any will do.

    Returns:
        The one that was found, 64 hexadecimal digits.

    Raises:
        BenchError: The file cannot be read, or is another one.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("downloaded.pth").write_bytes(b"abc")
        >>> found = verify(Path("downloaded.pth"), sha256=None)
        >>> verify(Path("downloaded.pth"), sha256=found.upper()) == found
        True
    """
    found = file_sha256(path)
    if sha256 is not None and found != str(sha256).lower():
        raise BenchError(
            f"weights: '{path}' is not the file that is meant: expected sha256 {sha256}, found "
            f"{found}; fetch it again, or leave out backbone.sha256"
        )
    return found


def read_state(
    path: Path, containers: Sequence[str] = CONTAINERS, key: str | None = None
) -> dict[str, Tensor]:
    """Reads a state dict from a .safetensors, .pth or .pt file; the content says which it is.

    Args:
        path: The file. Names may have `module.` or `_orig_mod.` in front, which is taken off.
        containers: Keys that the state dict may be under, in this order, if it is not bare; the
            only one that there is may have any key.
        key: The key of the state dict, with dots if it lies deeper, or what its names begin with.

    Returns:
        Names to tensors on the CPU.

    Raises:
        BenchError: The file is missing, broken, of another format, holds code, or no state dict,
            or several.

    Example:
        >>> from pathlib import Path
        >>> from torch import nn
        >>> net = nn.DataParallel(nn.Linear(2, 3))
        >>> torch.save({"state_dict": net.state_dict(), "epoch": 7}, "training.pth")
        >>> {name: tuple(values.shape) for name, values in read_state(Path("training.pth")).items()}
        {'weight': (3, 2), 'bias': (3,)}
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
    if not isinstance(content, Mapping) or not content:
        kind = type(content).__name__
        what = f"an empty {kind}" if isinstance(content, Mapping) else f"a {kind}"
        raise BenchError(f"weights: '{path}' holds no state dict, but {what}")
    if key is not None:
        return _entry(path, content, containers, key)
    return _without_wrappers(_only_entry(path, content, containers))


def _without_wrappers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Takes `module.` and `_orig_mod.` off, where all names have it (but SWA's counter)."""
    names = [name for name in state if name != AVERAGED]
    for prefix in _WRAPPERS:
        if names and all(name.startswith(prefix) for name in names):
            return _without_wrappers(
                {name.removeprefix(prefix): tensor for name, tensor in state.items()}
            )
    return dict(state)


def _read_safetensors(path: Path) -> object:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise BenchError(f"weights: '{path}' is broken: {error}") from None


def _read_pickle(path: Path) -> object:
    """Reads what torch.save wrote: tensors, plain containers, and nothing of `_READ_PAST`."""
    _refuse_programs(path)
    unread: list[Any] = [(_Unread, name) for name in _READ_PAST]
    try:
        with (
            path.open("rb") as file,
            torch.serialization.safe_globals(unread),
            warnings.catch_warnings(),
        ):
            # Of pickles that torch.save did not write: the error that follows says it.
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            # Not given the name: torch would go by its suffix.
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
        raise BenchError(
            f"weights: '{path}' is broken, or no checkpoint that torch.save wrote "
            f"({type(error).__name__}): fetch it again"
        ) from None


def _refuse_programs(path: Path) -> None:
    """Refuses archives of networks with their code, which torch.load would not read."""
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            names = {name.rpartition("/")[2] for name in archive.namelist()}
    except zipfile.BadZipFile:  # a broken file, which reading it says
        return
    for mark, what, load in (
        ("constants.pkl", "TorchScript", "torch.jit.load(FILE)"),
        ("archive_format", "torch.export", "torch.export.load(FILE)"),
    ):
        if mark in names:
            raise BenchError(
                f"weights: '{path}' is a {what} archive, a network with its code, which is not "
                "run: where you trust the file, save its weights alone, "
                f"torch.save({load}.state_dict(), 'weights.pth')"
            )


def _is_state(content: object) -> bool:
    return (
        isinstance(content, Mapping)
        and bool(content)
        and all(isinstance(value, Tensor) for value in content.values())
        and all(isinstance(name, str) for name in content)
    )


def _entries(content: Mapping[Any, Any], depth: int = 3) -> Iterator[tuple[str, Any]]:
    """The state dicts in a file, by key with dots."""
    for key, value in content.items():
        if not isinstance(key, str):  # an optimizer numbers what it keeps
            continue
        if _is_state(value):
            yield key, value
        elif isinstance(value, Mapping) and depth > 1:
            for inner, state in _entries(value, depth - 1):
                yield f"{key}.{inner}", state


def _only_entry(
    path: Path, content: Mapping[Any, Any], containers: Sequence[str]
) -> Mapping[str, Tensor]:
    """The state dict that is meant where no key is given."""
    if _is_state(content):
        return content
    entries = dict(_entries(content))
    known = [key for key in containers if key in entries]
    if not entries:
        raise BenchError(
            f"weights: '{path}' holds no state dict: expected tensors, bare or under "
            f"{', '.join(containers)}; found {_keys(content)}"
        )
    if not known and len(entries) > 1:
        raise BenchError(
            f"weights: '{path}' holds {len(entries)} state dicts ({_listed(entries)}): choose one, "
            f"backbone.key={next(iter(entries))}"
        )
    chosen = known[0] if known else next(iter(entries))
    names = _names(entries[chosen])
    same = [key for key in entries if key != chosen and _names(entries[key]) == names]
    if same:
        warn(
            f"weights: '{path}' holds the network {len(same) + 1} times: {chosen} is taken, "
            f"backbone.key={same[0]} takes {' or '.join(same)}"
        )
    return entries[chosen]


def _names(state: Mapping[str, Tensor]) -> set[str]:
    return set(_without_wrappers(state)) - {AVERAGED}


def _entry(
    path: Path, content: Mapping[Any, Any], containers: Sequence[str], key: str
) -> dict[str, Tensor]:
    """The state dict under a key, or what begins with it in the state dict that is meant."""
    entries = {"": content} if _is_state(content) else dict(_entries(content))
    if key in entries:
        return _without_wrappers(entries[key])
    candidates = [*entries]
    for outer in sorted(entries, key=lambda name: name not in containers):
        state = _without_wrappers(entries[outer])
        start = f"{key.removeprefix(f'{outer}.')}."
        inside = {name.removeprefix(start): state[name] for name in state if name.startswith(start)}
        if inside:
            return _without_wrappers(inside)
        candidates += dict.fromkeys(name.partition(".")[0] for name in state)
    raise BenchError(
        f"weights: '{path}' has nothing under backbone.key={key}: expected one of "
        f"{_listed([name for name in candidates if name]) or 'its keys'}; found {_keys(content)}"
    )


def _listed(keys: Sequence[str] | Mapping[str, Any]) -> str:
    names = list(dict.fromkeys(keys))
    return ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")


def _keys(content: Mapping[Any, Any]) -> str:
    return f"the keys {_listed([str(key) for key in content])}"
