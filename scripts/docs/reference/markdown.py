"""Pieces of Markdown that the pages are put together of."""

import re
from collections.abc import Iterable, Sequence

_PLACES = re.compile(
    r"arXiv (?P<arxiv>\d{4}\.\d{4,5})|doi (?P<doi>10\.\S*\w)|"
    r"(?P<web>(?:github\.com|www\.)[\w./-]*\w)"
)
_ADDRESSES = {"arxiv": "https://arxiv.org/abs/", "doi": "https://doi.org/", "web": "https://"}


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars and line breaks inside of cells are written so that they stay there."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(map(_cell, line))} |" for line in lines) + "\n"


def _cell(text: str) -> str:
    text = re.sub(r"(`[^`]*`)|<(?=[a-z])", lambda found: found[1] or "&lt;", " ".join(text.split()))
    return text.replace("|", r"\|")


def code(text: object) -> str:
    """Text as code in a line; empty text stays empty."""
    return f"`{text}`" if str(text) else ""


def block(text: str, language: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def folded(title: str, text: str) -> str:
    """What is shown when its title is clicked."""
    inner = "\n".join(f"    {line}".rstrip() for line in text.splitlines())
    return f'??? note "{title}"\n\n{inner}\n'


def page(*parts: str) -> str:
    """Parts that are not empty, with a line between."""
    return "\n\n".join(part.strip("\n") for part in parts if part.strip()) + "\n"


def cited(citation: str) -> str:
    """A citation whose arXiv number, DOI or address is a link."""
    return _PLACES.sub(_linked, citation)


def _linked(found: re.Match[str]) -> str:
    (kind, place), *_ = ((kind, text) for kind, text in found.groupdict().items() if text)
    return f"[{found[0]}]({_ADDRESSES[kind]}{place})"


def api(path: str) -> str:
    """A dotted path that leads to its place in the Python API."""
    return f"[`{path}`][{path}]"
