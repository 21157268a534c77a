"""`bench leaderboard`."""

from collections.abc import Sequence

from rich.console import Console

from bench.cli.rules import folders_and_rules
from bench.errors import BenchError


def leaderboard_command(arguments: Sequence[str]) -> list[str]:
    """Writes the leaderboards of results folders again, and those side by side.

    Returns:
        Why some could not be written; each table that can be made is shown.
    """
    from bench.leaderboard.groups import read_grouping
    from bench.leaderboard.reference import require_reference
    from bench.report.writer import write_leaderboard, write_side_by_side
    from bench.storage.store import leaderboard_names, stored_runs

    folders, rules = folders_and_rules(arguments, ["by"])
    if rules["by"] is not None:
        rules["by"] = read_grouping(rules["by"])
    names = {folder: leaderboard_names(folder) for folder in folders}
    for folder, boards in names.items():
        if not boards:
            raise BenchError(f"no runs in '{folder}': expected its runs/ folder to hold some")
    if rules["reference"] is not None:
        found = [(stored_runs(each, name), name) for each, of in names.items() for name in of]
        require_reference(rules["reference"], found)
    console = Console(markup=False)
    failures = []
    for folder, boards in names.items():
        for name in boards:
            try:
                write_leaderboard(folder, name, console, **rules)
            except BenchError as error:
                failures.append(str(error))
    if not failures:
        write_side_by_side(folders, console, rules["auc"])
    return failures
