"""Settings as a YAML file has them: names, defaults as they are written, and comments."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

NOT_SETTINGS = ("defaults", "_target_", "hydra")
"""Keys that say what is built, and of what; they are no settings."""


@dataclass(frozen=True)
class Setting:
    """A setting of a file.

    Attributes:
        key: Its name, with dots.
        default: Its value as the file has it; empty for a group of settings.
        comment: What the file says of it.
    """

    key: str
    default: str
    comment: str


def settings_in(text: str) -> list[Setting]:
    """The settings that a YAML file has, in its order.

    Args:
        text: The file.
    """
    root = yaml.compose(text)
    return list(_settings(root, "", text.splitlines(), text)) if root is not None else []


def _settings(
    node: yaml.MappingNode, prefix: str, lines: list[str], text: str
) -> Iterator[Setting]:
    for key, value in node.value:
        if key.value in NOT_SETTINGS:
            continue
        name = f"{prefix}{key.value}"
        is_group = isinstance(value, yaml.MappingNode) and not value.flow_style
        yield Setting(name, "" if is_group else _written(value, text), _comment(key, value, lines))
        if is_group:
            yield from _settings(value, f"{name}.", lines, text)


def _written(value: yaml.Node, text: str) -> str:
    """A value as it stands in the file; a list over several lines in one."""
    if isinstance(value, yaml.SequenceNode) and not value.flow_style:
        return f"[{', '.join(_written(each, text) for each in value.value)}]"
    if isinstance(value, yaml.MappingNode) and not value.flow_style:
        pairs = (f"{key.value}: {_written(each, text)}" for key, each in value.value)
        return f"{{{', '.join(pairs)}}}"
    return " ".join(text[value.start_mark.index : value.end_mark.index].split())


def _comment(key: yaml.Node, value: yaml.Node, lines: list[str]) -> str:
    """What stands behind a value, or else above its key."""
    ends_here = value.end_mark.line == key.start_mark.line
    mark = value.end_mark if ends_here else key.end_mark
    behind = re.match(r":?\s*#\s*(.*)", lines[mark.line][mark.column :])
    if behind:
        return behind[1].strip()
    above: list[str] = []
    for line in reversed(lines[: key.start_mark.line]):
        if not line.startswith(" " * key.start_mark.column + "#"):
            break
        above.insert(0, line.strip().removeprefix("#").strip())
    return " ".join(above)
