"""What the site adds to the pages that lie in docs/; mkdocs.yml names this file.

The reference is made from code and configuration, the changelog from CHANGELOG.md, and files of the
repository that pages lead to come along. A public name without a docstring stops the build.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

sys.path.insert(0, str(Path(__file__).parent))  # also while pages are rendered

import repository
from reference.api import api_pages, undocumented
from reference.columns import columns_page
from reference.commands import commands_page
from reference.components import backbones_page, datasets_page
from reference.experiments import experiments_page
from reference.index import index_page
from reference.methods import method_pages
from reference.metrics import metrics_page, protocols_page
from reference.settings import settings_page

ROOT = repository.ROOT

PAGES: dict[str, Callable[[], str]] = {
    "reference/backbones.md": backbones_page,
    "reference/columns.md": columns_page,
    "reference/commands.md": commands_page,
    "reference/datasets.md": datasets_page,
    "reference/experiments.md": experiments_page,
    "reference/index.md": index_page,
    "reference/metrics.md": metrics_page,
    "reference/protocols.md": protocols_page,
    "reference/settings.md": settings_page,
}
"""Pages that are one function each."""


def on_config(*_: MkDocsConfig) -> None:
    """Refuses to build a reference with holes."""
    if names := undocumented():
        listed = "\n".join(f"  {name}" for name in names)
        raise PluginError(f"public names without a docstring:\n{listed}")


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages that are made, and what pages lead to outside of docs/."""
    try:
        made = generated_pages()
    except FileNotFoundError as error:  # a picture that has not been drawn
        raise PluginError(str(error)) from None
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    made["changelog.md"] = repository.with_links_of_site(changelog, "CHANGELOG.md", "changelog.md")
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    pages = [file.src_uri for file in files.documentation_pages() if not file.generated_by]
    for path in repository.outside_files(f"docs/{page}" for page in pages if page.endswith(".md")):
        files.append(_outside(path, config))
    config.nav = with_folders(config.nav or [], [file.src_uri for file in files])
    return files


def with_folders(nav: list, pages: Sequence[str]) -> list:
    """A navigation with the pages of each folder in the place of its name, as `how-to/`.

    Pages that the navigation names keep their place.

    Args:
        nav: As mkdocs.yml has it.
        pages: Paths of all pages of the site.
    """
    placed = set(placed_in(nav))
    return _filled(nav, [each for each in pages if each not in placed])


def placed_in(nav: list) -> Iterator[str]:
    """The paths that a navigation names."""
    for entry in nav:
        for inner in entry.values() if isinstance(entry, dict) else [entry]:
            yield from placed_in(inner) if isinstance(inner, list) else [inner]


def _filled(nav: list, pages: Sequence[str]) -> list:
    found: list = []
    for entry in nav:
        if isinstance(entry, dict):
            found += [
                {title: _filled(inner, pages) if isinstance(inner, list) else inner}
                for title, inner in entry.items()
            ]
        elif entry.endswith("/"):
            found += [each for each in pages if is_in(entry, each)]
        else:
            found.append(entry)
    return found


def is_in(folder: str, page: str) -> bool:
    """Whether a page lies in a folder itself."""
    return page.endswith(".md") and page.rpartition("/")[0] == folder.rstrip("/")


def generated_pages() -> dict[str, str]:
    """By path, the pages that are made from code and configuration."""
    pages = {path: make() for path, make in PAGES.items()}
    pages |= {f"reference/methods/{name}": text for name, text in method_pages().items()}
    return pages | {f"reference/api/{name}": text for name, text in api_pages().items()}


def _outside(path: str, config: MkDocsConfig) -> File:
    """A file from outside of docs/, its links leading to where the site has their targets."""
    place = repository.on_site(path)
    if not path.endswith(".md"):
        return File.generated(config, place, abs_src_path=str(ROOT / path))
    text = repository.with_links_of_site((ROOT / path).read_text(encoding="utf-8"), path, place)
    return File.generated(config, place, content=text, inclusion=InclusionLevel.NOT_IN_NAV)


def on_page_markdown(markdown: str, page: Page, **_: object) -> str:
    """Lets links that lead out of docs/ lead to what the site has of it."""
    if page.file.generated_by:
        return markdown
    place = page.file.src_uri
    return repository.with_links_of_site(markdown, f"docs/{place}", place)
