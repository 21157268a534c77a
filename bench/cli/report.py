"""`bench report`."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.cli.rules import folders_and_rules


def report_command(arguments: Sequence[str], output: Path, max_mb: float) -> None:
    """Writes one page of the leaderboards of results folders."""
    from bench.report.html import write_report

    folders, rules = folders_and_rules(arguments)
    write_report(folders, output, Console(markup=False), **rules, max_mb=max_mb)
