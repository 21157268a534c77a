"""Hashes over what functions, networks and other objects do: names for what has none.

Rows are kept under a hash over all that decides them. A function of a notebook has a name, but its
next edition has the same one, so it is its code that counts: the bytecode, the constants, what it
closes over, and whatever it refers to by name, however deep. Code of installed packages is known by
name and version. What a function reads while it runs, as files, is not seen.
"""

import dis
import hashlib
import inspect
import io
import sys
import sysconfig
import types
import uuid
import warnings
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from pickle import whichmodule  # type: ignore[attr-defined] # typeshed lacks it
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import BenchError, warn

_LENGTH = 16
"""Hex digits of a fingerprint: two of a million objects share one with a chance of 3e-8."""

_OF_EVERY_CLASS = {
    "__abstractmethods__",
    "__annotations__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
"""Entries of classes that decide nothing of what they do, or follow from others."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented))
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
_OF_TORCH = (torch.dtype, torch.device, torch.memory_format, torch.layout)


class NotIdentifiedError(BenchError):
    """An object holds something whose content cannot be told."""


def fingerprint(*objects: Any) -> str:
    """A hash over what objects are and do, the same in every session.

    Two objects with one fingerprint do the same; two that do the same may have different ones,
    where they were written in another way or by another version of Python.

    Args:
        *objects: Functions, modules of torch, arrays, classes, or whatever pickle could take.

    Returns:
        16 hexadecimal digits.

    Raises:
        NotIdentifiedError: They hold an open file, a lock, a generator that has begun, or the like.

    Example:
        >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 1)
        True
        >>> fingerprint(lambda x: x + 1) == fingerprint(lambda x: x + 2)
        False
    """
    found = _Fingerprint()
    try:
        for each in objects:
            found.add(each)
    except RecursionError:
        raise NotIdentifiedError("is nested too deeply to be identified") from None
    return found.hexdigest()[:_LENGTH]


def code_of(what: str, value: Any) -> str:
    """What rows are kept under that a function or a network decides which has no name.

    Args:
        what: The object in words, for the warning.
        value: The object.

    Returns:
        Its `fingerprint`; where its content cannot be told a number that nothing else has, and
        then there is a warning.
    """
    try:
        return fingerprint(value)
    except NotIdentifiedError as error:
        warn(f"{what}: {error}, so nothing that was stored of it is used, and all is computed anew")
        return f"once-{uuid.uuid4().hex[:12]}"


class _Fingerprint:
    """Feeds objects to a hash, each with its kind, so that no two sequences are alike."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._places: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is an object's only as long as that lives

    def hexdigest(self) -> str:
        return self._digest.hexdigest()

    def add(self, value: Any) -> None:
        """Feeds anything; what was fed before is only referred to."""
        if isinstance(value, _PLAIN):
            self._feed(type(value).__name__, repr(value))
        elif id(value) in self._places:
            self._feed("again", str(self._places[id(value)]))
        else:
            self._places[id(value)] = len(self._places)
            self._alive.append(value)
            self._add_new(value)

    def _feed(self, *parts: str | bytes) -> None:
        for part in parts:
            content = part.encode(errors="surrogatepass") if isinstance(part, str) else part
            self._digest.update(f"{len(content)}:".encode() + content)

    def _add_all(self, kind: str, values: Iterable[Any]) -> None:
        values = list(values)
        self._feed(kind, str(len(values)))
        for each in values:
            self.add(each)

    def _add_new(self, value: Any) -> None:
        match value:
            case Tensor():
                self._add_tensor(value)
            case np.ndarray() if not value.dtype.hasobject:
                self._feed("array", str(value.dtype), str(value.shape), value.tobytes())
            case nn.Module():
                self._add_module(value)
            case types.FunctionType():
                self._add_function(value)
            case types.CodeType():
                self._add_code(value)
            case types.MethodType():
                self._add_all("bound", [value.__func__, value.__self__])
            case types.ModuleType():
                self._add_python_module(value)
            case type():
                self._add_class(value)
            case staticmethod() | classmethod():
                self._add_all(type(value).__name__, [value.__func__])
            case property():
                self._add_all("property", [value.fget, value.fset, value.fdel])
            case types.MemberDescriptorType() | types.GetSetDescriptorType():
                self._feed("descriptor", value.__name__)
            case _ if isinstance(value, _BUILT_IN):
                self._feed("built in", value.__qualname__, _version_of(value))
                of = getattr(value, "__self__", None)  # a module, or what a method is bound to
                self.add(None if isinstance(of, types.ModuleType) else of)
            case _ if isinstance(value, _OF_TORCH):
                self._feed("torch", str(value))
            case _ if type(value) in (list, tuple):
                self._add_all(type(value).__name__, value)
            case _ if type(value) in (set, frozenset):
                self._add_all(type(value).__name__, sorted(map(fingerprint, value)))
            case _ if type(value) in (dict, types.MappingProxyType):
                self._add_all("mapping", (part for pair in value.items() for part in pair))
            case _:
                self._add_object(value)

    def _add_tensor(self, tensor: Tensor) -> None:
        try:
            content = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        except (RuntimeError, NotImplementedError, TypeError) as error:
            raise NotIdentifiedError(f"a tensor cannot be read: {error}") from None
        self._feed("tensor", str(tensor.dtype), str(tuple(tensor.shape)), content.tobytes())

    def _add_module(self, module: nn.Module) -> None:
        """Class, parameters and settings; not the mode, as only networks in eval mode are asked."""
        if isinstance(module, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            with warnings.catch_warnings(action="ignore", category=FutureWarning):
                torch.jit.save(module, buffer)
            self._feed("script", buffer.getvalue())
            return
        if isinstance(getattr(module, "_orig_mod", None), nn.Module):
            self._add_all("compiled", [module._orig_mod])
            return
        members = {key: value for key, value in vars(module).items() if key != "training"}
        if isinstance(module, torch.fx.GraphModule):
            kept = ("_parameters", "_buffers", "_modules")
            members = {
                key: value
                for key, value in members.items()
                if key in kept or isinstance(value, Tensor)
            }
            self._feed("graph", module.code)
        else:
            self.add(type(module))
        for key, value in members.items():
            self._feed("member", key)
            # Hooks are kept by numbers that count all hooks of the process.
            self.add(list(value.values()) if "_hooks" in key and value else value)

    def _add_function(self, function: types.FunctionType) -> None:
        # `functools.wraps` copies __module__ of what it wraps, and `exec` invents one.
        home = function.__globals__.get("__name__")
        self._add_all("defaults", [function.__defaults__, function.__kwdefaults__])
        self._add_all("closure", map(_content, function.__closure__ or ()))
        self.add(function.__dict__)
        if _is_installed(home):
            self._feed("function", str(home), function.__qualname__, _version(_package(home)))
            return
        self.add(function.__code__)
        for name in dict.fromkeys(_global_names(function.__code__)):
            if name in function.__globals__:
                self._feed("global", name)
                self.add(function.__globals__[name])
        for name in dict.fromkeys(_imported_names(function.__code__)):
            self._add_imported(name)

    def _add_code(self, code: types.CodeType) -> None:
        self._feed("code", code.co_code, code.co_exceptiontable, str(sys.version_info[:2]))
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)
        self._add_all("names", [*names, *counts, code.co_consts])

    def _add_python_module(self, module: types.ModuleType) -> None:
        """An installed package, or a file of the user's with those that it imports."""
        if _is_installed(module.__name__):
            self._feed("package", module.__name__, _version_of(module))
            return
        self._feed("module", module.__name__, _source_of(module.__name__, module.__file__))
        for name, value in vars(module).items():
            if isinstance(value, _IMPORTED):
                home = inspect.getmodule(value)  # of a module itself
                if home is not None and home is not module:
                    self._feed("imports", name)
                    self.add(home)

    def _add_imported(self, name: str) -> None:
        """What a function imports when it is called."""
        if name in sys.modules:
            self.add(sys.modules[name])
        elif not _is_installed(name):
            spec = find_spec(name)
            self._feed("module", name, _source_of(name, spec.origin if spec else None))
        else:
            self._feed("package", name, _version(_package(name)))

    def _add_class(self, kind: type) -> None:
        if _is_ours(kind.__module__):
            self._feed("class", kind.__qualname__, str(getattr(kind, "version", "")))
        elif _is_installed(kind.__module__):
            self._feed("class", kind.__module__, kind.__qualname__, _version_of(kind))
        else:
            self._feed("class", kind.__qualname__)
            self._add_all("bases", kind.__bases__)
            for name, value in vars(kind).items():
                if name not in _OF_EVERY_CLASS:
                    self._feed("member", name)
                    self.add(value)

    def _add_object(self, value: Any) -> None:
        """Anything else, by what pickle would keep of it; nothing is pickled."""
        try:
            reduced = value.__reduce_ex__(4)
        except Exception as error:  # objects say in many ways that they cannot be pickled
            raise NotIdentifiedError(
                f"a {type(value).__module__}.{type(value).__qualname__} cannot be identified "
                f"({' '.join(str(error).split())[:100]})"
            ) from None
        if not isinstance(reduced, str):
            self._add_all("object", [type(value), *map(_listed, reduced)])
        elif hasattr(value, "__wrapped__"):
            self._add_all("wrapper", [type(value), value.__wrapped__])
        else:  # pickle would keep the name alone
            home = whichmodule(value, reduced)
            if not _is_installed(home):
                raise NotIdentifiedError(f"'{reduced}' of '{home}' cannot be identified")
            self._feed("name", home, reduced, _version(_package(home)))


_IMPORTED = (types.ModuleType, types.FunctionType, type)


def _listed(part: Any) -> Any:
    """An iterator of an object's members as a list."""
    return list(part) if isinstance(part, Iterator) else part


def _content(cell: types.CellType) -> Any:
    """What a function closes over."""
    try:
        return cell.cell_contents
    except ValueError:  # not set yet
        return None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code and that of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)


def _global_names(code: types.CodeType) -> Iterator[str]:
    for each in _codes(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
                yield instruction.argval


def _imported_names(code: types.CodeType) -> Iterator[str]:
    for each in _codes(code):
        for instruction in dis.get_instructions(each):
            if instruction.opname == "IMPORT_NAME":
                yield instruction.argval


def _source_of(name: str, file: str | None) -> bytes:
    if file is None or not Path(file).is_file():
        raise NotIdentifiedError(f"module '{name}' has no file")
    return Path(file).read_bytes()


def _is_ours(module: str | None) -> bool:
    return _package(module) == "bench"


@cache
def _is_installed(module: str | None) -> bool:
    """Whether a module is of Python, of an installed package, or ours: known by its version."""
    top = _package(module)
    if top in ("", "__main__"):
        return False
    if top == "bench" or top in sys.stdlib_module_names:
        return True
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if file is None:
        spec = find_spec(top) if top not in sys.modules else None
        file = spec.origin if spec else None
    if file is None:
        return False
    paths = sysconfig.get_paths()
    folders = [Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    is_there = any(Path(file).is_relative_to(folder) for folder in folders)
    return is_there or bool({"site-packages", "dist-packages"} & {*Path(file).parts})


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _version_of(value: Any) -> str:
    is_module = isinstance(value, types.ModuleType)
    return _version(_package(value.__name__ if is_module else value.__module__))


@cache
def _version(package: str) -> str:
    """The version of a top-level package; Python's of those that come with it."""
    if package in ("", "builtins") or package in sys.stdlib_module_names:
        return ".".join(map(str, sys.version_info[:2]))
    owners: Mapping[str, list[str]] = _owners()
    return " ".join(f"{name} {metadata.version(name)}" for name in sorted(owners.get(package, [])))


@cache
def _owners() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
