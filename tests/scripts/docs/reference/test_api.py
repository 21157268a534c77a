"""The pages of the Python API, and the check for names without a word."""

import griffe
from reference import docstrings
from reference.api import api_pages, public_names, undocumented
from reference.docstrings import with_examples

import bench

SOURCE = '''\
"""A module."""
TOLD = 1
"""What it is."""
UNTOLD = 2
_HIDDEN = 3

def untold(): ...

class Base:
    """A base.

    Attributes:
        told: What it is.
    """
    told: int
    def repeated(self): """What it does."""

class Derived(Base):
    """Another."""
    told: int = 1
    untold: int
    set_in_passing = 3
    def repeated(self): ...
    def silent(self): ...
    def _hidden(self): ...
'''


def test_names_without_a_docstring_are_found(tmp_path, monkeypatch):
    (tmp_path / "sample.py").write_text(SOURCE)
    module = griffe.load("sample", search_paths=[tmp_path], docstring_parser="google")
    monkeypatch.setattr("reference.api.of", lambda name: module)
    assert undocumented(["sample"]) == [
        "sample.UNTOLD", "sample.untold", "sample.Derived.untold", "sample.Derived.silent",
    ]  # fmt: skip


def test_all_of_the_package_is_told():
    assert undocumented() == []


def test_every_public_module_has_its_place():
    text = "\n".join(api_pages().values())
    for name in public_names():
        assert f"::: {name}\n" in text, name
    assert "bench.metrics.insertion" in public_names()
    assert not any("._" in name for name in public_names())


def test_every_name_of_the_package_is_on_the_first_page():
    homes = [f"{home}.{name}" for name, home in bench._HOMES.items()]
    assert set(bench.__all__) == set(bench._HOMES)
    first, ground = api_pages()["index.md"], api_pages()["ground.md"]
    for home in homes:
        assert f"::: {home}" in first or f"::: {home.rpartition('.')[0]}" in ground, home


def test_examples_get_the_heading_that_griffe_knows():
    text = "What.\n\nExample:\n    >>> 1\n    1\n\nFor Example: no.\n"
    assert with_examples(text) == text.replace("\nExample:", "\nExamples:")


def test_fields_of_base_classes_are_told():
    told = docstrings.told_names("bench.attribution.masking.OriginalRise")
    assert told["num_masks"].startswith("Number of masks")
