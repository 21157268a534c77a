"""Hashes over what functions, networks and other objects do: names for what has none.

Rows are kept under a hash over all that decides them. A function of a notebook has a name, but its
next edition has the same one, so it is its code that counts: the bytecode, the constants, what it
closes over, and whatever it refers to by name, however deep. Code of installed packages is known by
name and version, and what a user has put in its place by itself. Of a user's module both count: the
file, and what is loaded of it, which may be older or have been set since. What a function reads
while it runs, as files, is not seen.
"""

import functools
import hashlib
import importlib.util
import inspect
import io
import sys
import types
import uuid
import warnings
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from pickle import whichmodule  # type: ignore[attr-defined] # typeshed lacks it
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bench.errors import BenchError, warn
from bench.notebook.bytecode import Import, attribute_names, global_names, imports
from bench.notebook.packages import is_installed, is_ours, package_of, version_of

_LENGTH = 16
"""Hex digits of a fingerprint: two of a million objects share one with a chance of 3e-8."""

_OF_EVERY_CLASS = {
    "__abstractmethods__",
    "__annotations__",
    "__dict__",
    "__doc__",
    "__firstlineno__",
    "__module__",
    "__slotnames__",
    "__static_attributes__",
    "__weakref__",
    "_abc_impl",
}
"""Entries of classes that decide nothing of what they do, or follow from others."""

_PLAIN = {type(None), bool, int, float, complex, str, bytes, type(...), type(NotImplemented)}
_BUILT_IN = (types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType)
_OF_TORCH = (torch.dtype, torch.device, torch.memory_format, torch.layout)


class NotIdentifiedError(BenchError):
    """An object holds something whose content cannot be told.

    Example:
        >>> import threading
        >>> try:
        ...     fingerprint(threading.Lock())
        ... except NotIdentifiedError as error:
        ...     print(str(error).partition(" (")[0])
        a _thread.lock cannot be identified
    """


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

    Example:
        >>> import threading, warnings
        >>> code_of("method 'mine'", max) == fingerprint(max)
        True
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore")
        ...     code_of("method 'locked'", threading.Lock())[:5]  # never found again
        'once-'
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
        if type(value) in _PLAIN:
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
            case np.ndarray() if type(value) is np.ndarray and not value.dtype.hasobject:
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
            case functools.cached_property():  # holds a lock until Python 3.12
                self._add_all("cached property", [value.func])
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
        if type(tensor) not in (Tensor, nn.Parameter):
            self._add_all("subclass", [type(tensor), vars(tensor)])

    def _add_module(self, module: nn.Module) -> None:
        """Class, parameters, settings, mode and hooks."""
        if isinstance(module, torch.jit.ScriptModule):
            buffer = io.BytesIO()
            with warnings.catch_warnings(action="ignore", category=FutureWarning):
                torch.jit.save(module, buffer)
            self._feed("script", buffer.getvalue())
            return
        if isinstance(getattr(module, "_orig_mod", None), nn.Module):
            self._add_all("compiled", [module._orig_mod])
            return
        members = vars(module)
        if isinstance(module, torch.fx.GraphModule):
            kept = ("_parameters", "_buffers", "_modules", "training")
            members = {
                key: value
                for key, value in members.items()
                if key in kept or "_hooks" in key or isinstance(value, Tensor)
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
        compiled = function.__dict__.get("_torchdynamo_orig_callable")
        if compiled is not None and package_of(home) == "torch":
            self._add_all("compiled", [compiled])
            return
        self._add_all("defaults", [function.__defaults__, function.__kwdefaults__])
        self._add_all("closure", map(_content, function.__closure__ or ()))
        self.add(function.__dict__)
        if is_installed(home):
            self._feed("function", str(home), function.__qualname__, version_of(package_of(home)))
            return
        self.add(function.__code__)
        members = attribute_names(function.__code__)
        for name in global_names(function.__code__):
            if name in function.__globals__:
                self._feed("global", name)
                self.add(function.__globals__[name])
                self._add_members(function.__globals__[name], members)
        for each in imports(function.__code__):
            self._add_import(each, function.__globals__.get("__package__") or "", members)

    def _add_code(self, code: types.CodeType) -> None:
        self._feed("code", code.co_code, code.co_exceptiontable, str(sys.version_info[:2]))
        names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars)
        counts = (code.co_argcount, code.co_kwonlyargcount, code.co_posonlyargcount, code.co_flags)
        self._add_all("names", [*names, *counts, code.co_consts])

    def _add_python_module(self, module: types.ModuleType) -> None:
        """An installed package, or a file of the user's with those that it imports."""
        if is_installed(module.__name__):
            self._feed("package", module.__name__, _version_of(module))
            return
        self._feed("module", module.__name__, _source_of(module))
        for name, value in vars(module).items():
            if isinstance(value, _IMPORTED):
                home = inspect.getmodule(value)  # of a module itself
                # A package holds those of its modules that anybody has imported so far.
                is_part = home is value and home.__name__ == f"{module.__name__}.{name}"
                if home is not None and home is not module and not is_part:
                    self._feed("imports", name)
                    self.add(home)

    def _add_members(self, owner: Any, names: Iterable[str]) -> None:
        """What code may read of a module: it may have been set since, or be older than the file.

        Of an installed package this is only what a user has put there.
        """
        modules = [owner] if isinstance(owner, types.ModuleType) else []
        for module in modules:  # grows by those that are members of others
            for name in names:
                value = vars(module).get(name)
                if isinstance(value, type) or not is_installed(module.__name__) or _is_patch(value):
                    self._feed("member", name)
                    self.add(value)
                if isinstance(value, types.ModuleType) and value not in modules:
                    modules.append(value)

    def _add_import(self, found: Import, package: str, members: Iterable[str]) -> None:
        """What a function imports when it is called; it is imported here for that."""
        name = f"{'.' * found.level}{found.name}"
        try:
            name = importlib.util.resolve_name(name, package)
            if is_installed(name):
                self._feed("package", name, version_of(package_of(name)))
                self._add_members(sys.modules.get(name), [*found.members, *members])
                return
            module = importlib.import_module(name)
        except ImportError:  # the function does without it, or will fail
            self._feed("no module", name)
            return
        except Exception as error:  # a file of the user's, which may raise anything
            raise NotIdentifiedError(f"module '{name}' cannot be imported ({error})") from None
        if hasattr(module, "__path__"):
            for member in found.members:
                with suppress(ImportError):  # it is no submodule
                    importlib.import_module(f"{name}.{member}")
        self.add(module)
        self._add_members(module, [*found.members, *members])

    def _add_class(self, kind: type) -> None:
        if is_ours(kind.__module__):
            self._feed("class", kind.__qualname__, str(getattr(kind, "version", "")))
        elif is_installed(kind.__module__):
            self._feed("class", kind.__module__, kind.__qualname__, _version_of(kind))
            for base in kind.__mro__:
                for name, value in vars(base).items():
                    if is_installed(base.__module__) and _is_patch(value):
                        self._feed("patch", base.__qualname__, name)
                        self.add(value)
        else:
            self._feed("class", kind.__qualname__)
            self._add_all("bases", kind.__bases__)
            if not is_installed(type(kind).__module__):
                self._add_all("metaclass", [type(kind)])
            for name, value in vars(kind).items():
                if name not in _OF_EVERY_CLASS:
                    self._feed("member", name)
                    self.add(value)

    def _add_object(self, value: Any) -> None:
        """Anything else, by what pickle would keep of it; nothing is pickled."""
        if _leaves_out(type(value)):
            self._add_all("state", [getattr(value, "__dict__", None)])
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
            if not is_installed(home):
                raise NotIdentifiedError(f"'{reduced}' of '{home}' cannot be identified")
            self._feed("name", home, reduced, version_of(package_of(home)))


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


def _source_of(module: types.ModuleType) -> bytes:
    file = getattr(module, "__file__", None)
    if file is None and hasattr(module, "__path__"):
        return b""  # a folder without __init__.py
    if file is None or not Path(file).is_file():
        raise NotIdentifiedError(f"module '{module.__name__}' has no file")
    return Path(file).read_bytes()


def _is_patch(value: Any) -> bool:
    """Whether something in an installed package is a user's function."""
    if isinstance(value, property):
        value = value.fget
    function = getattr(value, "__func__", value)
    if not isinstance(function, types.FunctionType):
        return False
    home = function.__globals__.get("__name__")
    return home in sys.modules and not is_installed(home)  # `namedtuple` invents names of modules


def _leaves_out(kind: type) -> bool:
    """Whether a class of the user's says itself what pickle keeps, which may not be all."""
    written = ("__getstate__", "__reduce__", "__reduce_ex__")
    return any(
        name in vars(base)
        for base in kind.__mro__
        if not is_installed(base.__module__)
        for name in written
    )


def _version_of(value: Any) -> str:
    is_module = isinstance(value, types.ModuleType)
    home = value.__name__ if is_module else getattr(value, "__module__", None)
    return version_of(package_of(home))
