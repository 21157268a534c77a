"""What users have in notebooks as methods: names, objects, functions."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from bench.attribution.adapters import Function
from bench.attribution.method import Method, require_declared
from bench.config.building import build_method
from bench.config.by_name import method_component
from bench.config.settings import Component
from bench.errors import BenchError
from bench.notebook.fingerprint import code_of

_EXPECTED = (
    "expected a name of `bench list methods`, a mapping of its settings, an object of a subclass "
    "of bench.attribution.method.Method, or a function f(model, x, targets)"
)


@dataclass(frozen=True)
class Chosen:
    """A method with what its rows are kept under.

    Attributes:
        method: The method.
        component: What decides its numbers: settings, or a hash over code and state.

    Example:
        >>> chosen = as_method("rise500", {"method": "rise", "num_masks": 500})
        >>> type(chosen.method).__name__, chosen.component.settings["num_masks"]
        ('Rise', 500)
    """

    method: Method
    component: Component


def as_methods(methods: Any) -> dict[str, Chosen]:
    """Methods of what a user gave, by the labels of their rows.

    Args:
        methods: One of the following, several, or a mapping of labels to them: a name; a mapping of
            settings, with the name as `method` where the label is another; a `Method`; a function
            `f(model, x, targets)`, see `bench.attribution.adapters.Function`.

    Returns:
        By label, in the order in which they were given.

    Raises:
        BenchError: One is none of these, or cannot be built, or two have one label.

    Example:
        >>> def mine(model, x, targets):
        ...     return x.abs().sum(1)
        >>> list(as_methods(["rise", {"method": "lime"}, mine]))
        ['rise', 'lime', 'mine']
        >>> list(as_methods({"rise500": {"method": "rise", "num_masks": 500}}))
        ['rise500']
    """
    if isinstance(methods, str | Method) or not isinstance(methods, Iterable):
        methods = [methods]
    pairs = methods.items() if isinstance(methods, Mapping) else map(_labelled, methods)
    chosen: dict[str, Chosen] = {}
    for label, method in pairs:
        if not isinstance(label, str) or not label:
            raise BenchError(f"methods: expected text as a label, found {label!r}")
        if label in chosen:
            raise BenchError(
                f"methods: two are called '{label}': give a mapping of labels to methods"
            )
        chosen[label] = as_method(label, method)
    if not chosen:
        raise BenchError("methods: expected at least one, found none")
    return chosen


def as_method(label: str, method: Any) -> Chosen:
    """One method; see `as_methods`.

    Args:
        label: What its row is called.
        method: What a user gave.

    Returns:
        The method, with what its rows are kept under.

    Raises:
        BenchError: See `as_methods`.

    Example:
        >>> chosen = as_method("mine", lambda model, x, targets: x.abs().sum(1))
        >>> type(chosen.method).__name__, sorted(chosen.component.settings)
        ('Function', ['code', 'function'])
    """
    match method:
        case str():
            return _shipped(label, method, {})
        case Mapping():
            settings = dict(method)
            return _shipped(label, settings.pop("method", label), settings)
        case Method():
            require_declared(label, method)
            return Chosen(method, _known_by_state(label, method))
        case type():
            raise BenchError(
                f"method '{label}': {_EXPECTED}, found the class {method.__name__}: give an object "
                "of it"
            )
        case _ if callable(method):
            made = Function(method)
            component = Component(
                f"method.{label}",
                "bench.attribution.adapters.Function",
                {"function": made.path, "code": code_of(f"method '{label}'", method)},
                label=label,
            )
            return Chosen(made, component)
    raise BenchError(f"method '{label}': {_EXPECTED}, found {method!r:.80}")


def _labelled(method: Any) -> tuple[Any, Any]:
    """A method of a list with the label that it gives itself."""
    match method:
        case str():
            return method, method
        case Mapping():
            return method.get("method"), method
        case Method():
            return _snake_case(type(method).__name__), method
    return getattr(method, "__name__", type(method).__name__), method


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def _shipped(label: str, name: Any, settings: Mapping[str, Any]) -> Chosen:
    component = method_component(label, name, settings)
    return Chosen(build_method(component), component)


def _known_by_state(label: str, method: Method) -> Component:
    kind = type(method)
    target = f"{kind.__module__}.{kind.__qualname__}"
    return Component(
        f"method.{label}", target, {"code": code_of(f"method '{label}'", method)}, label=label
    )
