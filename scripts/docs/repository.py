"""Pages and files outside of docs/ that pages lead to: the site has them below `repository/`."""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]

DOCS, OUTSIDE = "docs/", "repository/"
"""Where the site's pages lie in the repository, and where the site has the rest of it."""

_LINK = re.compile(r"(\]\(|(?:src|href)=\")([^)\s\"]+)(?=[)\"])")
_CODE = re.compile(r"(^```.*?^```|`[^`\n]+`)", re.DOTALL | re.MULTILINE)


def links(text: str) -> list[str]:
    """The addresses that a page of Markdown leads to, but for those in code."""
    return [found[2] for prose in _CODE.split(text)[::2] for found in _LINK.finditer(prose)]


def target(link: str, page: str) -> str | None:
    """The file of the repository that a link leads to; None: it leads elsewhere.

    Args:
        link: As the page has it.
        page: The page's own path in the repository.
    """
    path = link.partition("#")[0]
    if not path or re.match(r"[a-z]+:|/", path):
        return None
    return os.path.normpath(PurePosixPath(page).parent / path)


def on_site(path: str) -> str:
    """Where the site has a file of the repository."""
    return path.removeprefix(DOCS) if path.startswith(DOCS) else OUTSIDE + path


def with_links_of_site(text: str, page: str, place: str) -> str:
    """A page whose links lead to where the site has what they mean.

    Args:
        text: The page.
        page: Its path in the repository.
        place: Where the site shows it.
    """
    here = PurePosixPath(place).parent

    def moved(found: re.Match[str]) -> str:
        path = target(found[2], page)
        if path is None or (path.startswith(DOCS) and page.startswith(DOCS)):
            return found[0]
        anchor = found[2].partition("#")[1:]
        return found[1] + os.path.relpath(on_site(_file(path)), here) + "".join(anchor)

    parts = _CODE.split(text)
    parts[::2] = [_LINK.sub(moved, prose) for prose in parts[::2]]
    return "".join(parts)


def _file(path: str) -> str:
    """A folder is shown by its README."""
    readme = f"{path}/README.md"
    return readme if (ROOT / readme).is_file() else path


def outside_files(pages: Iterable[str]) -> list[str]:
    """The files outside of docs/ that pages lead to, and those that these lead to.

    Args:
        pages: Paths of pages in the repository.
    """
    return sorted(_reached(list(pages)))


def _reached(pages: list[str]) -> Iterator[str]:
    seen = set(pages)
    while pages:
        page = pages.pop()
        for link in links((ROOT / page).read_text(encoding="utf-8")):
            path = target(link, page)
            if path is None or path.startswith(DOCS):
                continue
            path = _file(path)
            if path in seen or not (ROOT / path).is_file():
                continue
            seen.add(path)
            yield path
            if path.endswith(".md"):
                pages.append(path)
