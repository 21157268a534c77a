"""What the pages of methods say that classes do not: for exactly the methods that are shipped."""

import re

import cv2
import numpy as np
import pytest
from reference.components import components
from reference.docstrings import ROOT
from reference.formulas import displayed, with_formulas
from reference.method_facts import method_facts
from reference.methods import PICTURES, method_pages

LARGEST = 15_000
FACTS = method_facts()


def test_the_file_names_exactly_the_shipped_methods():
    assert sorted(FACTS) == [each.name for each in components("method")]


@pytest.mark.parametrize("name", FACTS)
def test_a_method_has_a_formula_or_a_reason(name):
    facts = FACTS[name]
    assert bool(facts.formula) != bool(facts.no_formula)
    for line in facts.formula:
        assert "<math" in displayed(line)
    shown = "".join([*map(displayed, facts.formula), with_formulas(facts.where)])
    assert not re.search(r"[\\$]|<mi>(begin|text|frac)", shown)


@pytest.mark.parametrize("name", FACTS)
def test_comparisons_name_tests_that_are_there(name):
    for each in FACTS[name].compared:
        assert each.reference
        assert each.closeness
        assert (ROOT / each.test).is_file(), each.test


@pytest.mark.parametrize("name", FACTS)
def test_a_method_has_a_small_picture_of_its_own_or_a_reason(name):
    path = ROOT / PICTURES / f"{name}.webp"
    assert path.exists() != bool(FACTS[name].no_picture)
    if not path.exists():
        return
    assert path.stat().st_size <= LARGEST
    picture, photo = (cv2.imread(str(each)) for each in (path, path.with_name("photo.webp")))
    assert picture.shape == photo.shape == (224, 224, 3)
    assert not np.array_equal(picture, photo)


def test_every_page_has_all_its_parts():
    pages = method_pages()
    assert set(pages) == {"index.md"} | {f"{name}.md" for name in FACTS}
    parts = "Formula, What it does, Source and cost, Compared with, Settings".split(", ")
    for name in FACTS:
        text = pages[f"{name}.md"]
        assert re.findall(r"^## (.*)$", text, re.M) == parts
        assert f"method=[{name},random]" in text
        assert f"[`{name}`]({name}.md)" in pages["index.md"]
        assert ("No picture" in text) == bool(FACTS[name].no_picture)
