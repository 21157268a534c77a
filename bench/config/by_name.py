"""Components by the names of their files, shipped or of installed packages: nothing is composed."""

from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bench.config.choices import choices
from bench.config.composing import load_nodes, named_method
from bench.config.settings import Component
from bench.errors import BenchError, require_known
from bench.storage.identity import ROW_KEYS

_AROUND = {"device": "auto", "results_dir": "results"}
"""What the settings of a network refer to."""


def component(group: str, name: str, settings: Mapping[str, Any]) -> Component:
    """A data set or network as its file says, with some settings changed.

    Args:
        group: `dataset` or `backbone`.
        name: One of `bench list`.
        settings: Those that are changed; settings in settings as mappings.

    Raises:
        BenchError: The name or a setting is unknown.
    """
    known = choices(group)
    require_known(group, name, known)
    node = load_nodes(known[name].path)
    node |= {_package(entry): None for entry in node.pop("defaults", ()) if entry != "_self_"}
    is_open = isinstance(node.get("module"), dict)  # a class of the user's has any arguments
    for key, value in settings.items():
        require_known(f"{group}.{key}", key, node.keys() - {"_target_"})
        if isinstance(node[key], dict) and isinstance(value, Mapping) and not is_open:
            for inner in value:
                require_known(f"{group}.{key}.{inner}", inner, node[key].keys())
    try:
        made = OmegaConf.create({**_AROUND, group: node})
        made.merge_with({group: dict(settings)})
        whole: Any = OmegaConf.to_container(made, resolve=True)
    except OmegaConfBaseException as error:
        raise BenchError(f"{group}: {' '.join(str(error).split())}") from None
    found = whole[group]
    target, citation = found.pop("_target_"), found.pop("citation", None)
    return Component(group, target, found, citation=citation)


def method_component(label: str, name: str, settings: Mapping[str, Any]) -> Component:
    """A method as its file says, with some settings changed.

    Args:
        label: What its row is called.
        name: One of `bench list methods`.
        settings: Those that are changed.

    Raises:
        BenchError: The name or a setting is unknown.
    """
    known = named_method(name, {})
    for key in settings:
        require_known(f"setting of {name}", key, known.keys() - {"_target_", *ROW_KEYS})
    node = named_method(name, settings)
    return Component(f"method.{label}", node.pop("_target_"), node, label=label)


def _package(entry: Any) -> str:
    """`gallery` of `/dataset@gallery: null`, an entry of a defaults list."""
    (choice,) = entry
    return str(choice).partition("@")[2]
