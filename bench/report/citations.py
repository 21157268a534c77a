"""Citations as runs keep them, and as BibTeX.

A citation is a line, "Petsiuk et al. 2018, arXiv 1806.07421", or several with `;` between them.
`references.bib` has entries for what is shipped, found by arXiv id, DOI or URL; of anything else
an entry is made that says no more than its line.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

_ENTRY = re.compile(r"^@\w+\{(\S+),\n(.*?)^\}", re.MULTILINE | re.DOTALL)
_FIELD = re.compile(r"^\s*(\w+) = \{(.*)\},$", re.MULTILINE)
_ARXIV = re.compile(r"arxiv[:. /]*(?:abs/)?(\d{4}\.\d{4,5}|[a-z-]+(?:\.[a-z]{2})?/\d{7})", re.I)
_AUTHOR_YEAR = re.compile(r"\s*([^,;]+?) (\d{4})\b")


@dataclass(frozen=True)
class BibEntry:
    """A BibTeX entry.

    Attributes:
        key: What `cite` takes.
        fields: By name, without braces.
        text: The entry.
    """

    key: str
    fields: Mapping[str, str]
    text: str


@cache
def references() -> tuple[BibEntry, ...]:
    """The entries of `references.bib`."""
    text = (resources.files("bench.report") / "references.bib").read_text(encoding="utf-8")
    return tuple(
        BibEntry(found[1], dict(_FIELD.findall(found[2])), found[0])
        for found in _ENTRY.finditer(text)
    )


def entries(citation: str) -> list[BibEntry]:
    """The entries of a citation, in its order.

    Args:
        citation: Citations with `;` between them; what a manifest says, so it may be anything.
    """
    lines = (" ".join(line.split()) for line in citation.split(";"))
    return [_shipped(line) or _made(line) for line in lines if line]


def bibliography(cited: Iterable[tuple[str, str]], title: str) -> str:
    """The text of a .bib file: whom each thing cites, and all entries, once each.

    Args:
        cited: Names, and the citation of each, which may be empty.
        title: What the file is of.
    """
    keys = cited_keys(cited)
    texts: dict[str, str] = {}
    for _, citation in cited:
        texts |= {entry.key: entry.text for entry in entries(citation)}
    lines = [f"% {_outside(title)}", *(f"% {line}" for line in keys)]
    return "\n".join([*lines, *(f"\n{text}" for text in texts.values())]) + "\n"


def cited_keys(cited: Iterable[tuple[str, str]]) -> list[str]:
    """A line for each name: the keys of its entries, or that it has no citation.

    Args:
        cited: See `bibliography`.
    """
    lines = []
    for name, citation in cited:
        keys = ", ".join(entry.key for entry in entries(citation))
        name = _outside(name)
        lines.append(f"{name}: {keys}" if keys else f"no citation: {name}")
    return lines


def _shipped(line: str) -> BibEntry | None:
    arxiv = _ARXIV.search(line)
    for entry in references():
        if arxiv and entry.fields.get("eprint") == arxiv[1].lower():
            return entry
        urls = (entry.fields.get(field, "").partition("://") for field in ("doi", "url"))
        for before, _, after in urls:
            place = (after or before).rstrip("/")
            if place and re.search(rf"{re.escape(place)}(?![\w.-])", line, re.IGNORECASE):
                return entry
    return None


def _made(line: str) -> BibEntry:
    """An entry that says no more than a citation does."""
    arxiv, author_year = _ARXIV.search(line), _AUTHOR_YEAR.match(line)
    fields = {}
    if author_year:
        author = _inside(author_year[1])
        fields["author"] = re.sub(r",? et al\.?$", " and others", author)
        fields["year"] = author_year[2]
    fields["note"] = _inside(line)
    if arxiv:
        fields |= {"eprint": arxiv[1].lower(), "archivePrefix": "arXiv"}
        key = "arxiv:" + arxiv[1].lower()
    else:
        words = re.sub(r"[^a-z0-9]+", "-", line.lower()).strip("-")[:30]
        key = f"{words}-{hashlib.sha256(line.encode()).hexdigest()[:6]}"
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in fields.items())
    return BibEntry(key, fields, f"@misc{{{key},\n{body}}}")


def _inside(text: str) -> str:
    """Text in which no character means something to BibTeX or LaTeX."""
    bare = "".join(sign for sign in text if sign.isprintable() and sign not in '\\{}^~@"')
    return re.sub(r"([&%$#_])", r"\\\1", bare)


def _outside(text: str) -> str:
    """Text for a line between entries, where BibTeX looks for nothing but the sign at."""
    return "".join(sign if sign.isprintable() else " " for sign in text).replace("@", "(at)")
