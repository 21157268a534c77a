"""What the shipped configuration builds, where it builds it, and with which settings.

`bench rerun` holds a manifest of somebody else's against this.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from bench.config.choices import OTHER_METHODS, SHIPPED
from bench.config.composing import load_nodes

_BUILT = ("dataset", "backbone", "metric", "method")
"""The groups whose files name classes and functions."""


@dataclass
class Settings:
    """The settings that the shipped configuration has of one class or function.

    Attributes:
        names: The names of all settings.
        parts: By setting, the classes and functions that may be built in its place.
    """

    names: set[str] = field(default_factory=set)
    parts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


@dataclass(frozen=True)
class Shipped:
    """The shipped configuration, by what it builds.

    Attributes:
        groups: By configuration group, the dotted paths that its files build.
        settings: By dotted path, also of what is built inside of something else.
    """

    groups: Mapping[str, set[str]]
    settings: Mapping[str, Settings]


@cache
def shipped() -> Shipped:
    """Reads the shipped configuration files; installed packages and user folders do not count."""
    nodes = [(group, node) for group in _BUILT for node in _nodes(group)]
    groups: dict[str, set[str]] = defaultdict(set)
    for group, node in nodes:
        groups[group].add(node["_target_"])
    settings: dict[str, Settings] = defaultdict(Settings)
    for _, node in nodes:
        _add(node, settings, groups)
    return Shipped(groups, settings)


def _nodes(group: str) -> list[dict[str, Any]]:
    """What the files of a group build: their own node, or those that they have by name."""
    files = sorted((SHIPPED / group).rglob("*.yaml"))
    return [
        node
        for content in map(load_nodes, files)
        for node in ([content] if "_target_" in content else content.values())
    ]


def _add(
    node: Mapping[str, Any], settings: dict[str, Settings], groups: Mapping[str, set[str]]
) -> None:
    known = settings[node["_target_"]]
    for entry in node.get("defaults", ()):
        for choice in entry if isinstance(entry, dict) else ():
            group, _, package = choice.removeprefix("/").partition("@")
            known.parts[package] |= groups[group]
    for name, value in node.items():
        if name in ("defaults", "_target_"):
            continue
        known.names.add(name)
        if name in OTHER_METHODS:
            known.parts[name] |= groups["method"]
        if isinstance(value, dict) and "_target_" in value:
            known.parts[name].add(value["_target_"])
            _add(value, settings, groups)
