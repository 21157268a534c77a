"""What the shipped configuration has by name: data sets, networks, metrics and methods."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from bench.config.choices import SHIPPED, choices
from bench.config.composing import load_nodes
from reference.docstrings import told_names
from reference.markdown import api, cited, page
from reference.settings import settings_table
from reference.yaml_settings import Setting, settings_in

_OF_ANY = {
    "label": "What tables call its row",
    "title": "What tables for papers call its row",
    "published": "What the published table calls its row",
    "citation": "Where it comes from",
}
"""Settings that all files of a group have, which need not say each time what they are."""

_OF_NETWORKS = {"device": "Where the network lives"}
_PREPROCESSING = "bench.backbones.backbone.Preprocessing"
"""What the settings `preprocessing` of networks are of."""


@dataclass(frozen=True)
class Component:
    """A name of `bench list`.

    Attributes:
        name: The name.
        description: The first comment of its file.
        path: Its file.
    """

    name: str
    description: str
    path: Path

    @cached_property
    def node(self) -> dict[str, Any]:
        """What its file builds, with its settings."""
        content = load_nodes(self.path)
        return content if "_target_" in content else next(iter(content.values()))

    @property
    def target(self) -> str:
        """The dotted path of the class or function that is built."""
        return self.node["_target_"]

    @property
    def settings(self) -> list[Setting]:
        """Its settings; what the file says nothing of is told by the docstring."""
        told = _OF_ANY | _OF_NETWORKS | _told(self.node)
        return [
            each if each.comment else replace(each, comment=told.get(each.key, ""))
            for each in self._written
        ]

    @property
    def _written(self) -> list[Setting]:
        written = settings_in(self.path.read_text(encoding="utf-8"))
        if "_target_" in load_nodes(self.path):
            return written
        inner = [(each, each.key.partition(".")[2]) for each in written]
        return [replace(each, key=key) for each, key in inner if key]


def _told(node: Mapping[str, Any]) -> dict[str, str]:
    """By setting, with dots, what the docstring of what is built with it says."""
    told = told_names(node["_target_"])
    for name, value in node.items():
        if not isinstance(value, Mapping):
            continue
        inner = _told(value) if "_target_" in value else {}
        if name == "preprocessing":
            inner = told_names(_PREPROCESSING)
        told |= {f"{name}.{key}": text for key, text in inner.items()}
    return told


def components(group: str) -> list[Component]:
    """All names that bench ships in a group, in alphabetical order."""
    return [
        Component(name, choice.description, choice.path)
        for name, choice in sorted(choices(group).items())
        if choice.path.is_relative_to(SHIPPED)
    ]


def section(component: Component, prefix: str, *facts: str) -> str:
    """A section of a page: what it is, where it comes from, what can be set.

    Args:
        component: The component.
        prefix: What its settings begin with on a command line.
        facts: Further paragraphs, between what it is and its settings.
    """
    citation = component.node.get("citation")
    settings = [replace(each, key=f"{prefix}.{each.key}") for each in component.settings]
    return page(
        f"## {component.name}",
        f"{component.description}.",
        *facts,
        f"Built by {api(component.target)}. {f'Cites {cited(citation)}.' if citation else ''}",
        settings_table(settings),
    )


def backbones_page() -> str:
    """Every network that can be named, with its settings."""
    return page(
        "# Backbones",
        "Networks with their preprocessing. Choose one by `backbone=NAME`, or beside the one that "
        "scores another that methods explain: `backbone@explain.backbone=NAME`. "
        "`bench check backbone=NAME ...` loads one and says what it is.",
        *(section(each, "backbone") for each in components("backbone")),
    )


def datasets_page() -> str:
    """Every data set that can be named, with its settings."""
    return page(
        "# Data sets",
        "Images with their labels. Choose one by `dataset=NAME`; `bench check dataset=NAME ...` "
        "looks for what is wrong with it.",
        *(section(each, "dataset") for each in components("dataset")),
    )
