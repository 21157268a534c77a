"""Results folders and rules, as the commands that read results take them."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError, require_known, require_text


def folders_and_rules(
    arguments: Sequence[str], more: Sequence[str] = ()
) -> tuple[list[Path], dict[str, Any]]:
    """Results folders, and what the arguments name of an AUC rule, a test and a reference.

    Args:
        arguments: Of the command line.
        more: Rules that the command takes besides; they may have any value.
    """
    from bench.leaderboard.significance import TESTS
    from bench.metrics.auc import AUC_RULES

    known: dict[str, Collection[str]] = {"auc": AUC_RULES, "test": TESTS}
    free = ("reference", *more)
    folders: list[Path] = []
    named: dict[str, str] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in known and not (key in free and "=" in argument):
            if "=" in argument and not Path(argument).exists():
                require_known("rule", key, [*known, *free])
            folders.append(Path(argument))
            continue
        if key in known:
            require_known(key, value, known[key])
        else:
            require_text(key, value)
        if key in named:
            raise BenchError(f"{key}: expected one, found {named[key]} and {value}")
        named[key] = value
    rules = {"auc": None, "test": "wilcoxon", **dict.fromkeys(free), **named}
    return folders or [Path("results")], rules
