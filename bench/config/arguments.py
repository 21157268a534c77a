"""Checks settings against the annotations of a class or function, before it is built."""

import inspect
import math
import types
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
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


def typed(settings: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Settings as the class or function that they name wants them.

    Only what is ours is held to its annotations: those of other code need not be true. Whole
    numbers become text where text is wanted, as a folder may be called 2024.

    Args:
        settings: With `_target_`; settings inside may have one, too, and are checked the same way.
        key: Where they stand.

    Raises:
        BenchError: A setting has another type; which, what was expected, what was found.
    """
    target = settings.get("_target_")
    if not isinstance(target, str) or not target.startswith("bench."):
        return dict(settings)
    try:
        made = get_object(target)
        hints, parameters = dict(_hints(made)), inspect.signature(made).parameters
    except (ImportError, ValueError):  # building it raises the error
        return dict(settings)
    takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
    for name in settings:
        if not (name.startswith("_") or takes_any or name in parameters):
            known = f"Known: {', '.join(parameters)}" if parameters else "It has none"
            nearest = get_close_matches(name, parameters, n=1, cutoff=0.5)
            meant = f"Did you mean '{nearest[0]}'? " if nearest else ""
            raise BenchError(f"{key}: unknown setting '{name}'. {meant}{known}")
    return {
        name: _typed(value, hints.get(name, Any), f"{key}.{name}")
        for name, value in settings.items()
    }


def _typed(value: Any, hint: Any, key: str) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and _takes_text_alone(hint):
        return str(value)
    if not _fits(value, hint):
        expected = " or ".join(_WORDS.get(kind, "settings") for kind in _kinds(hint))
        raise BenchError(f"{key}: expected {expected}, found {value!r}")
    return typed(value, key) if isinstance(value, Mapping) else value


def _takes_text_alone(hint: Any) -> bool:
    return str in _kinds(hint) and not {int, float} & {*_kinds(hint)}


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
    if get_origin(kind) is Mapping:
        return isinstance(value, Mapping)
    return True
