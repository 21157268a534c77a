"""`bench table`."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.errors import BenchError


def add_table_parser(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds what `bench table` takes."""
    parser = commands.add_parser("table", help="print a table for a paper")
    parser.add_argument(
        "arguments",
        nargs="*",
        metavar="RESULTS_DIR | auc=RULE | test=TEST",
        help="one folder; default: results, each protocol's AUC rule, and wilcoxon",
    )
    parser.add_argument("--leaderboard", metavar="NAME", help="only this one; default: all")
    parser.add_argument(
        "--columns",
        type=_names,
        default=(),
        metavar="A,B,...",
        help="as the leaderboard's CSV names them, and METRIC_ci for an interval; default: "
        "method and means, at --width two with intervals",
    )
    parser.add_argument("--caption", metavar="TEXT", help="in LaTeX it may hold commands")
    parser.add_argument("--label", metavar="KEY", help="what \\ref takes, as tab:results")
    parser.add_argument(
        "--reference", metavar="ROW", help="stars: differs from this row; default: from the best"
    )
    parser.add_argument(
        "--format", default="latex", metavar="FORMAT", help="latex, markdown, csv or html"
    )
    parser.add_argument(
        "--width", default="one", metavar="one|two", help="columns of the page that it may fill"
    )
    parser.add_argument(
        "--output", "-o", type=Path, metavar="FILE", help="write it there; beside .tex goes a .bib"
    )


def table_command(given: argparse.Namespace) -> None:
    """Prints or writes the tables of a results folder."""
    from bench.cli.rules import folders_and_rules
    from bench.report.paper import PaperTable, write_table

    folders, rules = folders_and_rules(given.arguments)
    if len(folders) != 1:
        raise BenchError(f"bench table: expected one results folder, found {len(folders)}")
    asked = PaperTable(
        format=given.format,
        columns=given.columns,
        caption=given.caption,
        label=given.label,
        reference=_one("reference", given.reference, rules.pop("reference")),
        width=given.width,
    )
    sys.stdout.write(write_table(folders[0], asked, given.output, given.leaderboard, **rules))


def _names(text: str) -> Sequence[str]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _one(name: str, option: Any, rule: Any) -> Any:
    if option is not None and rule is not None and option != rule:
        raise BenchError(f"{name}: expected one, found {option} and {rule}")
    return rule if option is None else option
