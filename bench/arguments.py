"""Checks settings against the annotations of what they are given to, before it is built."""

import inspect
import math
import types
from collections.abc import Iterator, Mapping
from typing import Any, Union, Unpack, get_args, get_origin, get_type_hints

from hydra.utils import get_object

from bench.errors import LARGEST, BenchError

_WORDS = {
    int: "an integer",
    float: "a finite number",
    str: "text",
    bool: "true or false",
    types.NoneType: "null",
}


def check_types(settings: Mapping[str, Any], key: str) -> None:
    """Refuses settings of another type than the class or function that they name wants.

    Only what is ours is checked: annotations of other code need not be true.

    Args:
        settings: With `_target_`; settings inside, with a `_target_` of their own, are checked too.
        key: Where they stand.

    Raises:
        BenchError: A setting has another type; which, what was expected, what was found.
    """
    target = settings.get("_target_")
    if not isinstance(target, str) or not target.startswith("bench."):
        return
    try:
        hints = dict(_hints(get_object(target)))
    except (ImportError, ValueError):  # to build it will tell
        return
    for name, value in settings.items():
        if name in hints and not _fits(value, hints[name]):
            expected = " or ".join(_word(kind) for kind in _kinds(hints[name]))
            raise BenchError(f"{key}.{name}: expected {expected}, found {value!r}")
        if isinstance(value, Mapping):
            check_types(value, f"{key}.{name}")


def _hints(target: Any) -> Iterator[tuple[str, Any]]:
    """The parameters of a class or function with their annotations."""
    for name, parameter in inspect.signature(target, eval_str=True).parameters.items():
        hint = parameter.annotation
        if get_origin(hint) is Unpack:  # **settings: Unpack[SomeTypedDict]
            yield from get_type_hints(get_args(hint)[0]).items()
        elif hint is not parameter.empty and parameter.kind is not parameter.VAR_KEYWORD:
            yield name, hint


def _kinds(hint: Any) -> tuple[Any, ...]:
    """The types that an annotation allows."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _fits(value: Any, hint: Any) -> bool:
    return any(_is_a(value, kind) for kind in _kinds(hint))


def _is_a(value: Any, kind: Any) -> bool:
    if kind in (int, float):
        is_number = isinstance(value, int | kind) and not isinstance(value, bool)
        return is_number and math.isfinite(value) and abs(value) <= LARGEST
    if kind in _WORDS:
        return isinstance(value, kind)
    if get_origin(kind) is Mapping or _is_built(kind):
        return isinstance(value, Mapping)
    return True


def _is_built(kind: Any) -> bool:
    """Whether a parameter is something of ours, which has to be described by settings."""
    return isinstance(kind, type) and kind.__module__.startswith("bench.")


def _word(kind: Any) -> str:
    return _WORDS.get(kind, "settings")
