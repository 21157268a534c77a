"""What docstrings say; mkdocs.yml names this file to griffe, which reads them for the site, too."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import griffe

ROOT = Path(__file__).parents[3]


class Examples(griffe.Extension):
    """Lets examples under `Example:` be code, as those under `Examples:` are."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = with_examples(obj.docstring.value)


def with_examples(docstring: str) -> str:
    """A docstring whose examples have the heading that griffe knows."""
    return re.sub(r"^(\s*)Example:$", r"\1Examples:", docstring, flags=re.MULTILINE)


@cache
def package() -> griffe.Module:
    """All of `bench` as griffe reads it; nothing is imported."""
    return griffe.load("bench", search_paths=[ROOT], docstring_parser="google")


def of(path: str) -> griffe.Object:
    """The class, function or module of a dotted path that begins with `bench.`."""
    found = package()[path.removeprefix("bench.")]
    return found.final_target if found.is_alias else found


def told_names(path: str) -> dict[str, str]:
    """What `Args` and `Attributes` of a class or function say, those of base classes included.

    Args:
        path: Its dotted path.
    """
    first = of(path)
    classes = [first, *first.mro()] if first.is_class else [first]
    told: dict[str, str] = {}
    for name, text in (pair for each in classes for pair in fields_of(each)):
        told.setdefault(name, text)
    return told


def fields_of(each: griffe.Object) -> Iterator[tuple[str, str]]:
    """Names and descriptions under `Args` and `Attributes` of one docstring."""
    kinds = (griffe.DocstringSectionKind.attributes, griffe.DocstringSectionKind.parameters)
    for section in each.docstring.parsed if each.docstring else ():
        if section.kind in kinds:
            yield from ((item.name, item.description) for item in section.value)


def told_constant(path: str) -> str:
    """What the docstring behind a constant says, on one line."""
    docstring = of(path).docstring
    return " ".join(docstring.value.split()) if docstring else ""


def prose(path: str) -> str:
    """What a docstring says before its first section."""
    docstring = of(path).docstring
    if docstring is None:
        return ""
    texts = (each for each in docstring.parsed if each.kind is griffe.DocstringSectionKind.text)
    return next((each.value for each in texts), "")
