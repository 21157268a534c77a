"""Leaderboards as CSV, Markdown, LaTeX and text; `bench.leaderboard.columns` says what is shown."""

from bench.report.tables.latex import to_latex
from bench.report.tables.markdown import to_markdown
from bench.report.tables.table import to_csv
from bench.report.tables.terminal import to_text

__all__ = ["to_csv", "to_latex", "to_markdown", "to_text"]
