"""LaTeX to MathML, which browsers show without a script."""

import re
from html import escape

from latex2mathml.converter import convert

_PARTS = re.compile(r"\$([^$]+)\$|`([^`]+)`")


def displayed(latex: str) -> str:
    """A formula on a line of its own."""
    return convert(latex, display="block")


def with_formulas(text: str) -> str:
    """A paragraph of HTML: what stands between dollars as formulas, between backticks as code.

    As HTML, because Markdown would take each formula for a paragraph of its own.

    Args:
        text: The paragraph; empty: there is none.
    """
    made, end = "", 0
    for found in _PARTS.finditer(text):
        latex, code = found.groups()
        made += escape(text[end : found.start()])
        made += convert(latex) if latex else f"<code>{escape(code)}</code>"
        end = found.end()
    return f"<p>{made}{escape(text[end:])}</p>" if text else ""
