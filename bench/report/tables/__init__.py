"""Leaderboards as CSV, HTML, LaTeX, Markdown, text; what they show: `bench.leaderboard.columns`."""

from bench.report.tables.html import to_html
from bench.report.tables.latex import to_latex
from bench.report.tables.markdown import to_markdown
from bench.report.tables.table import to_csv
from bench.report.tables.terminal import to_text

__all__ = ["to_csv", "to_html", "to_latex", "to_markdown", "to_text"]
