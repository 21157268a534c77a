"""LaTeX to MathML, which browsers show without a script."""

import re

from latex2mathml.converter import convert


def displayed(latex: str) -> str:
    """A formula on a line of its own."""
    return convert(latex, display="block")


def with_formulas(text: str) -> str:
    """A text with what stands between dollars as formulas."""
    return re.sub(r"\$([^$]+)\$", lambda found: convert(found[1]), text)
