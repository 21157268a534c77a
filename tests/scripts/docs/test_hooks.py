"""What the site adds to the pages in docs/."""

import pytest
from hooks import generated_pages, is_in, on_config, with_folders
from mkdocs.exceptions import PluginError

PAGES = ["a.md", "how-to/x.md", "how-to/y.md", "how-to/deep/z.md", "how-to/p.png"]


def test_folders_stand_for_their_pages_that_have_no_other_place():
    nav = [{"Home": "a.md"}, {"How-to": [{"Y": "how-to/y.md"}, "how-to/"]}]
    assert with_folders(nav, PAGES) == [
        {"Home": "a.md"},
        {"How-to": [{"Y": "how-to/y.md"}, "how-to/x.md"]},
    ]
    assert with_folders(["how-to/"], PAGES) == ["how-to/x.md", "how-to/y.md"]
    assert [is_in("how-to/", page) for page in PAGES] == [False, True, True, False, False]


def test_names_without_a_docstring_stop_the_build(monkeypatch):
    monkeypatch.setattr("hooks.undocumented", lambda: ["bench.metrics.silent"])
    with pytest.raises(PluginError, match=r"bench\.metrics\.silent"):
        on_config(None)


def test_pages_are_made():
    pages = generated_pages()
    assert {"reference/index.md", "reference/columns.md", "reference/methods/rise.md"} <= set(pages)
    assert all(text.startswith("# ") for text in pages.values())
