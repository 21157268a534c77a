"""What `docs/reference/methods.yaml` says of methods: formulas, comparisons, pictures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import yaml

from reference.docstrings import ROOT

FILE = ROOT / "docs/reference/methods.yaml"


@dataclass(frozen=True)
class Comparison:
    """A reference implementation, and how close a method is to it.

    Attributes:
        reference: What it was compared with.
        closeness: In words.
        test: The file of the repository that shows it.
    """

    reference: str
    closeness: str
    test: str


@dataclass(frozen=True)
class MethodFacts:
    """What the page of a method says that its class does not.

    Attributes:
        formula: Lines of LaTeX.
        where: What the symbols are, with LaTeX between dollars.
        compared: What it was compared with.
        no_formula: Why there is no formula; empty: there is one.
        no_picture: Why there is no picture; empty: there is one.
        picture: The settings that its picture was made with, where they are not the default.
    """

    formula: tuple[str, ...] = ()
    where: str = ""
    compared: tuple[Comparison, ...] = ()
    no_formula: str = ""
    no_picture: str = ""
    picture: Mapping[str, Any] = field(default_factory=dict)


@cache
def method_facts() -> dict[str, MethodFacts]:
    """The facts by the methods' names."""
    entries = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return {
        name: _facts(entries.get(entry.get("as"), {}) | entry) for name, entry in entries.items()
    }


def _facts(entry: Mapping[str, Any]) -> MethodFacts:
    known = {key: value for key, value in entry.items() if key not in ("as", "formula", "compared")}
    compared = (
        Comparison(one["with"], one["how"], _path(one["test"])) for one in entry["compared"]
    )
    return MethodFacts(tuple(entry.get("formula", ())), compared=tuple(compared), **known)


def _path(test: str) -> str:
    return test if "/" in test else f"tests/attribution/{test}"
