"""What `bench` understands: one tree of all commands."""

import argparse
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from bench import __version__
from bench.cli.fetch import add_fetch_parser
from bench.cli.published import add_published_parser
from bench.cli.table import add_table_parser
from bench.config.choices import choices

_DESCRIPTION = """\
Leaderboards for image attribution methods.

  bench run experiment=demo             evaluate, store curves, write the leaderboard
  bench run --help                      all settings and choices
  bench rerun MANIFEST                  run a stored run again, compare its rows
  bench status [RESULTS_DIR ...]        how far runs are: images, rate, time left, failures
  bench fetch paper/cub                 load data, lists and weights of a published table
  bench select dataset=cub200 select.subset=correct
                                        write the list of images that a run would use
  bench check dataset=cub200 dataset.root=FOLDER
                                        look for what is wrong with a data set
  bench check backbone=resnet101 backbone.weights=FILE
                                        load a network and say what it is
  bench check experiment=paper/cub      look for what is missing to repeat a published table
  bench leaderboard [RESULTS_DIR ...] [auc=RULE] [test=TEST] [reference=ROW] [by=class]
                                        write the leaderboards again from stored curves
  bench report RESULTS_DIR... --output FILE.html
                                        write one page to look at, curves and maps of images in it
  bench table RESULTS_DIR --reference ROW --caption TEXT --label tab:results
                                        print a table for a paper: LaTeX, Markdown, CSV or HTML
  bench published list                  what is known of the published tables
  bench published import FILE           compare the Papers with Code archive with them; --write
  bench published export                print them in the archive's format
  bench list methods                    what there is to choose from; also metrics, protocols, ...
"""

COMMANDS = (
    "run", "rerun", "status", "fetch", "select", "check", "leaderboard", "report", "table",
    "published", "list",
)  # fmt: skip
"""All commands, in the order of `bench --help`."""

_SPELLED = {
    "models": "backbones", "networks": "backbones", "data": "datasets", "explainers": "methods",
    "attributions": "methods", "scores": "metrics", "configs": "experiments",
}  # fmt: skip
"""What other tools call a group of names -> what `bench list` calls it."""


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one line, with the command that is meant."""

    def error(self, message: str) -> NoReturn:
        """See `ArgumentParser.error`."""
        self.exit(2, f"{self.prog}: error: {message} (see `{self.prog} --help`)\n")


def refuse_unknown(arguments: Sequence[str], groups: Mapping[str, str]) -> None:
    """Refuses a command or a group of names that there is not, and says which one is meant.

    Args:
        arguments: Of the command line.
        groups: What `bench list` lists -> the configuration group.

    Raises:
        SystemExit: With 2, as on all bad usage.
    """
    command, what = [*arguments, "", ""][:2]
    parser = _Parser(prog="bench")
    if command == "list" and not what:
        parser.error(f"list: expected one of {', '.join(groups)}, as in `bench list methods`")
    if command == "list" and not what.startswith("-") and what not in groups:
        meant = _group(what, groups)
        hint = f": did you mean `bench list {meant}`" if meant else ""
        parser.error(f"list: expected one of {', '.join(groups)}, found '{what}'{hint}")
    if command and not command.startswith("-") and command not in COMMANDS:
        parser.error(f"unknown command '{command}'{_command_hint(command, groups)}")
    needs_output = command == "report" and not {"-h", "--help"} & {*arguments}
    if needs_output and not any(re.match(r"-o|--o", each) for each in arguments):
        parser.error("report: expected -o FILE.html, as in `bench report results -o page.html`")


def _group(word: str, groups: Mapping[str, str]) -> str:
    """The group of names that a word is likely to mean; empty: none is."""
    for spelled in (word.lower(), f"{word.lower()}s"):
        if spelled in groups or spelled in _SPELLED:
            return _SPELLED.get(spelled, spelled)
    return next(iter(get_close_matches(word.lower(), groups, n=1)), "")


def _command_hint(word: str, groups: Mapping[str, str]) -> str:
    close = get_close_matches(word.lower(), COMMANDS, n=1)
    if word == "help":
        return ": did you mean `bench --help`"
    if close:
        return f": did you mean `bench {close[0]}`"
    if word in choices("experiment"):
        return f": did you mean `bench run experiment={word}`"
    if "=" in word:
        return f": did you mean `bench run {word}`"
    meant = _group(word, groups)
    return f": did you mean `bench list {meant}`" if meant else f"; there are {', '.join(COMMANDS)}"


def build_parser(groups: Collection[str]) -> argparse.ArgumentParser:
    """Knows all commands; of those that Hydra reads no more than what `bench --help` says."""
    parser = _Parser(
        prog="bench", description=_DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command",
        metavar=f"{{{','.join(COMMANDS)}}}",
    )
    commands.required = True
    commands.add_parser("run", help="evaluate methods (Hydra overrides as arguments)")
    again = commands.add_parser("rerun", help="run again what a manifest describes, and compare")
    again.add_argument("manifest", help="a run's manifest.json: RESULTS_DIR/runs/*/*/manifest.json")
    again.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="results_dir=rerun, ...")
    again.add_argument("--trust", action="store_true", help="load code that bench does not ship")
    add_fetch_parser(commands)
    for name, help_ in (
        ("select", "write the list of images that a run would use (settings as of `bench run`)"),
        (
            "check",
            "check the data set, backbone or experiment that is named (settings as of `bench run`)",
        ),
    ):
        commands.add_parser(name, help=help_, description=help_).add_argument(
            "settings", nargs="*", metavar="KEY=VALUE"
        )
    _add_readers(commands)
    add_table_parser(commands)
    add_published_parser(commands)
    listing = commands.add_parser("list", help="list what there is to choose from")
    listing.add_argument("what", choices=groups)
    listing.add_argument("--config-dir", "-cd", help="a configuration folder of your own")
    return parser


def _add_readers(commands: "argparse._SubParsersAction[Any]") -> None:
    """Adds the commands that read results."""
    status = commands.add_parser("status", help="show how far the runs of results folders are")
    status.add_argument(
        "results", nargs="*", type=Path, metavar="RESULTS_DIR", help="default: results"
    )
    board = commands.add_parser("leaderboard", help="write leaderboards from stored curves")
    board.add_argument(
        "arguments",
        nargs="*",
        metavar="RESULTS_DIR ... | auc=RULE | test=TEST | reference=ROW | by=COLUMN",
        help="default: results, each protocol's own AUC rule, and wilcoxon (or permutation); "
        "reference: the row that all others are compared with; by: means of groups of images, "
        "class or FILE.csv:COLUMN; "
        "several benchmarks or networks also stand side by side, in the first folder",
    )
    page = commands.add_parser("report", help="write leaderboards, figures and images as a page")
    page.add_argument(
        "arguments",
        nargs="*",
        metavar="RESULTS_DIR | auc=RULE | test=TEST | reference=ROW",
        help="one folder or more; default: results, each protocol's own AUC rule, and wilcoxon",
    )
    page.add_argument("--output", "-o", type=Path, required=True, metavar="FILE.html")
    page.add_argument("--title", metavar="TEXT", help="default: the leaderboard's name")
    page.add_argument("--authors", metavar="TEXT", help="a line under the title")
    page.add_argument(
        "--text",
        metavar="TEXT|FILE",
        help="an introduction, or a file of it: plain text, blank lines between paragraphs",
    )
    page.add_argument(
        "--max-mb", type=float, default=9.5, metavar="N", help="leave images out of a larger page"
    )
