"""JSON to dataclasses: what a file holds, checked field by field."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

Record = TypeVar("Record")


def record_of(kind: type[Record], content: Any, place: str = "") -> Record:
    """Builds a dataclass from a mapping.

    Args:
        kind: The dataclass; its fields may be dataclasses, mappings of them, or unions with None.
        content: What a JSON file holds.
        place: Where it stands, for messages.

    Raises:
        ValueError: A field is missing, unknown or of another type; names it.
    """
    if not isinstance(content, Mapping):
        raise ValueError(f"{place or 'content'}: expected a mapping, found {content!r:.60}")
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        where = f"{place}.{field.name}" if place else field.name
        if field.name in content:
            given[field.name] = _value(hints[field.name], content[field.name], where)
        elif field.default is field.default_factory is dataclasses.MISSING:
            raise ValueError(f"expected the key {where}")
    unknown = sorted(set(content) - set(hints))
    if unknown:
        raise ValueError(f"{place or 'content'}: unknown key {unknown[0]}")
    return kind(**given)


def _value(hint: Any, value: Any, place: str) -> Any:
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and types.NoneType in inner:
            return None
        kinds = [kind for kind in inner if kind is not types.NoneType]
        return _value(kinds[0], value, place)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return record_of(hint, value, place)
    if origin in (Mapping, dict):
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{place}: expected a mapping, found {value!r:.60}")
        kind = inner[1]
        return {key: _value(kind, each, f"{place}.{key}") for key, each in value.items()}
    if origin is list:
        if not isinstance(value, list):
            raise ValueError(f"{place}: expected a list, found {value!r:.60}")
        return [_value(inner[0], each, place) for each in value]
    is_right = hint is Any or (
        isinstance(value, hint) and (hint is bool) == isinstance(value, bool)
    )
    if not is_right:
        raise ValueError(f"{place}: expected {hint.__name__}, found {value!r:.60}")
    return value
