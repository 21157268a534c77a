"""What `bench` understands: one tree of all commands."""

import argparse
from collections.abc import Collection
from pathlib import Path

from bench import __version__
from bench.cli.table import add_table_parser

_DESCRIPTION = """\
Leaderboards for image attribution methods.

  bench run experiment=demo             evaluate, store curves, write the leaderboard
  bench run --help                      all settings and choices
  bench rerun MANIFEST                  run a stored run again, compare its rows
  bench status [RESULTS_DIR ...]        how far runs are: images, rate, time left, failures
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
  bench list methods                    what there is to choose from; also metrics, protocols, ...
"""


def build_parser(groups: Collection[str]) -> argparse.ArgumentParser:
    """Knows all commands; of those that Hydra reads no more than what `bench --help` says."""
    parser = argparse.ArgumentParser(
        prog="bench", description=_DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command",
        metavar="{run,rerun,status,select,check,leaderboard,report,table,list}",
    )
    commands.required = True
    commands.add_parser("run", help="evaluate methods (Hydra overrides as arguments)")
    again = commands.add_parser("rerun", help="run again what a manifest describes, and compare")
    again.add_argument("manifest", help="a run's manifest.json: RESULTS_DIR/runs/*/*/manifest.json")
    again.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="results_dir=rerun, ...")
    again.add_argument("--trust", action="store_true", help="load code that bench does not ship")
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
    listing = commands.add_parser("list", help="list what there is to choose from")
    listing.add_argument("what", choices=groups)
    listing.add_argument("--config-dir", "-cd", help="a configuration folder of your own")
    return parser


def _add_readers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    page.add_argument(
        "--max-mb", type=float, default=9.5, metavar="N", help="leave images out of a larger page"
    )
