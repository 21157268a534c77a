"""Docstrings as the site shows them; mkdocs.yml names this file to griffe, which reads them."""

import re
from typing import Any

import griffe


class Examples(griffe.Extension):
    """Lets examples under `Example:` be code, as those under `Examples:` are."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """See `griffe.Extension`."""
        if obj.docstring:
            obj.docstring.value = with_examples(obj.docstring.value)


def with_examples(docstring: str) -> str:
    """A docstring whose examples have the heading that griffe knows."""
    return re.sub(r"^(\s*)Example:$", r"\1Examples:", docstring, flags=re.MULTILINE)
