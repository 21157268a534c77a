"""What the code of a function refers to by name: globals, attributes, imports."""

import dis
import types
from collections.abc import Iterator
from typing import Any, NamedTuple

_GLOBAL = ("LOAD_GLOBAL", "LOAD_NAME", "LOAD_FROM_DICT_OR_GLOBALS")
_ATTRIBUTE = ("LOAD_ATTR", "LOAD_METHOD", "IMPORT_FROM")


class Import(NamedTuple):
    """An import that a function makes when it is called.

    Attributes:
        name: Of the module, behind the dots.
        level: The number of dots.
        members: What is taken from it, which may be submodules.

    Example:
        >>> def relative():
        ...     from ..datasets import folder
        >>> imports(relative.__code__) == [Import("datasets", level=2, members=("folder",))]
        True
    """

    name: str
    level: int
    members: tuple[str, ...]


def global_names(code: types.CodeType) -> list[str]:
    """Names that are looked up among the globals, in the order of the code.

    Args:
        code: Of a function; functions within it count, too.

    Example:
        >>> def double(x):
        ...     return torch.add(x, scale) * 2
        >>> global_names(double.__code__)
        ['torch', 'scale']
    """
    return _names(code, _GLOBAL)


def attribute_names(code: types.CodeType) -> list[str]:
    """Names of attributes that are read, of whatever object.

    Args:
        code: Of a function; functions within it count, too.

    Example:
        >>> def brightness(x):
        ...     return x.flatten(1).mean(1)
        >>> attribute_names(brightness.__code__)
        ['flatten', 'mean']
    """
    return _names(code, _ATTRIBUTE)


def imports(code: types.CodeType) -> list[Import]:
    """Imports within the functions.

    Args:
        code: Of a function; functions within it count, too.

    Returns:
        Each once, in the order of the code.

    Example:
        >>> def f():
        ...     from os import path
        >>> imports(f.__code__)
        [Import(name='os', level=0, members=('path',))]
    """
    found = []
    for each in _codes(code):
        before: list[Any] = [None, None]  # level and members are the two constants loaded before
        for instruction in dis.get_instructions(each):
            if instruction.opname == "IMPORT_NAME":
                level, members = before
                found.append(Import(instruction.argval, level or 0, members or ()))
            before = [before[1], instruction.argval]
    return list(dict.fromkeys(found))


def _names(code: types.CodeType, operations: tuple[str, ...]) -> list[str]:
    found = (
        instruction.argval
        for each in _codes(code)
        for instruction in dis.get_instructions(each)
        if instruction.opname in operations
    )
    return list(dict.fromkeys(found))


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    """A function's code and that of the functions in it."""
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _codes(constant)
