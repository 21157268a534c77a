"""Formulas as MathML."""

import markdown
from reference.formulas import displayed, with_formulas


def test_a_paragraph_with_formulas_stays_one():
    """Markdown by itself would make a paragraph of each formula."""
    text = with_formulas("$x$ is < `a & b`, and $y_k$ is not.")
    assert text.count("<math") == 2
    assert "is &lt; <code>a &amp; b</code>, and <math" in text
    page = markdown.markdown(f"Before.\n\n{text}\n\nAfter.", extensions=["md_in_html"])
    assert page.count("<p>") == 3
    assert text in page
    assert with_formulas("") == ""


def test_a_formula_on_its_own_line():
    found = displayed(r"\frac{a}{b}")
    assert 'display="block"' in found
    assert "<mfrac>" in found
