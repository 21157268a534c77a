"""`bench report`."""

import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.errors import tell_warnings, warn
from bench.report.front import FrontMatter
from bench.report.kept import is_page_of, mark_page, sources_sha256


def report_command(
    arguments: Sequence[str], output: Path, max_mb: float, front: FrontMatter
) -> None:
    """Writes one page of the leaderboards of results folders; keeps one that shows the same."""
    named = [Path(given) for given in arguments if Path(given).is_dir()] or [Path("results")]
    settings = {"arguments": arguments, "max_mb": max_mb, "front": json.dumps(front.settings())}
    sources = sources_sha256(named, settings)
    if is_page_of(output, sources):
        told = f"Report: {output} (as it is: nothing that it shows has changed)"
        Console(markup=False).print(told, soft_wrap=True, highlight=False)
        return
    warnings: list[str] = []
    with tell_warnings(warnings.append):
        is_shipped = _write(arguments, output, max_mb, front)
    for warning in warnings:
        warn(warning)
    # A page with warnings is made again, so that they are seen again; so is one that other people's
    # code has a part in, which may change unseen.
    if is_shipped and not warnings and sources == sources_sha256(named, settings):
        mark_page(output, sources)


def _write(arguments: Sequence[str], output: Path, max_mb: float, front: FrontMatter) -> bool:
    """Writes the page; returns whether all metrics on it come with bench."""
    from bench.cli.rules import folders_and_rules
    from bench.report.html import write_report
    from bench.storage.store import stored_runs

    folders, rules = folders_and_rules(arguments)
    console = Console(markup=False)
    write_report(folders, output, console, **rules, max_mb=max_mb, front=front)
    return all(run.protocol.is_shipped for folder in folders for run in stored_runs(folder))
