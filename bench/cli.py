"""The command line: bench run | rerun | select | check | leaderboard | report | list."""

import argparse
import io
import logging
import os
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from bench import __version__
from bench.errors import BenchError, is_lost_output, require_known, tell_warnings
from bench.plugins import plugin_problems

if TYPE_CHECKING:
    from bench.config.settings import RunSettings
    from bench.configuration import Composed

_DESCRIPTION = """\
Leaderboards for image attribution methods.

  bench run experiment=demo             evaluate, store curves, write the leaderboard
  bench run --help                      all settings and choices
  bench rerun MANIFEST                  run a stored run again, compare its rows
  bench select dataset=cub200 select.subset=correct
                                        write the list of images that a run would use
  bench check dataset=cub200 dataset.root=FOLDER
                                        look for what is wrong with a data set
  bench check backbone=resnet101 backbone.weights=FILE
                                        load a network and say what it is
  bench check experiment=paper/cub      look for what is missing to repeat a published table
  bench leaderboard [RESULTS_DIR ...] [auc=RULE] [test=TEST]
                                        write the leaderboards again from stored curves
  bench report RESULTS_DIR... --output FILE.html
                                        write one page to look at, curves and maps of images in it
  bench list methods                    what there is to choose from; also metrics, protocols, ...
"""

_CLOSED_PIPE = 141
"""The exit code of programs that a closed pipe ends: 128 + SIGPIPE."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command line; exits with 1 on bad input or failed methods, 2 on bad usage.

    Args:
        arguments: Without the program's name; `sys.argv[1:]` if None.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _write_any_text()
    logging.raiseExceptions = False  # Hydra logs to the output; a lost output is reported once
    for problem in plugin_problems():
        _print_warning(problem)
    try:
        command, *rest = arguments or [""]
        commands = {"run": _run, "rerun": _rerun, "select": _select, "check": _check}
        with tell_warnings(_print_warning):
            if command in commands and not (command != "run" and {"-h", "--help"} & {*rest}):
                failures = commands[command](rest)
            else:
                failures = _other(arguments)
        sys.stdout.flush()
    except BenchError as error:
        failures = [str(error)]
    except OSError as error:
        if not is_lost_output(error):
            raise
        failures = _lost_output(error)
    except KeyboardInterrupt:
        stopped = "what was finished is stored, the same command goes on from there"
        _tell(f"bench: interrupted; {stopped}")
        sys.exit(130)
    for failure in failures:
        _tell(f"bench: error: {failure}")
    if failures:
        sys.exit(1)


def _write_any_text() -> None:
    """Lets terminals and files that are not UTF-8 show what they cannot write as escapes."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "surrogateescape"):
            stream.reconfigure(errors="backslashreplace")


def _tell(line: str) -> None:
    """Writes a line where errors go; if that cannot be written, only the exit code says so."""
    with suppress(OSError):
        print(line, file=sys.stderr, flush=True)  # noqa: T201


def _lost_output(error: OSError) -> list[str]:
    """What to say where the standard output cannot be written; nothing of a reader that has left.

    Raises:
        SystemExit: The reader has left, as in `bench list methods | head -1`.
    """
    with suppress(OSError):  # so that Python does not try to write the rest when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if isinstance(error, BrokenPipeError):
        sys.exit(_CLOSED_PIPE)
    return [
        f"the standard output cannot be written ({error.strerror}); what was finished is stored, "
        "the same command goes on from there"
    ]


def _print_warning(text: str) -> None:
    _tell(f"bench: warning: {text}")


def _other(arguments: Sequence[str]) -> list[str]:
    from bench.configuration import GROUPS

    given = _parser(GROUPS).parse_args(arguments)
    if given.command == "leaderboard":
        _leaderboard(given.arguments)
    elif given.command == "report":
        _report(given.arguments, given.output, given.max_mb)
    else:
        _list(GROUPS[given.what], given.config_dir)
    return []


def _parser(groups: Collection[str]) -> argparse.ArgumentParser:
    """Knows all commands; of those that Hydra reads no more than what `bench --help` says."""
    parser = argparse.ArgumentParser(
        prog="bench", description=_DESCRIPTION, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(
        dest="command", metavar="{run,rerun,select,check,leaderboard,report,list}"
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
    listing = commands.add_parser("list", help="list what there is to choose from")
    listing.add_argument("what", choices=groups)
    listing.add_argument("--config-dir", "-cd", help="a configuration folder of your own")
    return parser


def _add_readers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds the commands that read results."""
    board = commands.add_parser("leaderboard", help="write leaderboards from stored curves")
    board.add_argument(
        "arguments",
        nargs="*",
        metavar="RESULTS_DIR ... | auc=RULE | test=TEST",
        help="default: results, each protocol's own AUC rule, and wilcoxon (or permutation); "
        "several benchmarks or networks also stand side by side, in the first folder",
    )
    page = commands.add_parser("report", help="write leaderboards, figures and images as a page")
    page.add_argument(
        "arguments",
        nargs="*",
        metavar="RESULTS_DIR | auc=RULE | test=TEST",
        help="one folder or more; default: results, each protocol's own AUC rule, and wilcoxon",
    )
    page.add_argument("--output", "-o", type=Path, required=True, metavar="FILE.html")
    page.add_argument(
        "--max-mb", type=float, default=9.5, metavar="N", help="leave images out of a larger page"
    )


def _run(arguments: Sequence[str]) -> list[str]:
    """Runs what the arguments ask for; returns what failed in any of the jobs."""
    from bench.configuration import check_arguments, with_assets
    from bench.jobs import run_jobs

    arguments = with_assets(arguments)
    check_arguments(arguments)
    return run_jobs(arguments)


def _rerun(arguments: Sequence[str]) -> list[str]:
    """Runs a manifest again; returns what failed."""
    from bench.rerun import rerun

    manifest, *settings = [given for given in arguments if given != "--trust"] or [""]
    if not manifest or "=" in manifest.partition("/")[0]:
        raise BenchError("rerun: expected MANIFEST [KEY=VALUE ...] [--trust], found no manifest")
    sys.argv = ["bench rerun", *arguments]
    sys.path.append(str(Path.cwd()))
    return rerun(Path(manifest), settings, "--trust" in arguments, Console(markup=False))


def _select(arguments: Sequence[str]) -> list[str]:
    from bench.configuration import compose_run, with_assets

    sys.path.append(str(Path.cwd()))
    config = compose_run(with_assets(arguments))
    from bench.config.reading import read_settings
    from bench.experiment import write_selection

    write_selection(read_settings(config), Console(markup=False))
    return []


def _check(arguments: Sequence[str]) -> list[str]:
    """Checks the groups that the arguments name; returns what is wrong with them."""
    from bench.configuration import compose_run, named_groups, with_assets

    sys.path.append(str(Path.cwd()))
    arguments = with_assets(arguments)
    config = compose_run(arguments)
    groups, console = named_groups(arguments), Console(markup=False)
    if "experiment" in groups:
        return _check_experiment(arguments, config, console)
    if not groups & {"dataset", "backbone"}:
        raise BenchError(
            "check: expected what to check, as in `bench check dataset=cub200`, `bench check "
            "backbone=sface ...` or `bench check experiment=paper/cub`"
        )
    from bench.config.reading import read_settings

    settings = read_settings(config, may_lack_assets=True)
    problems = _check_dataset(settings, console) if "dataset" in groups else []
    if "backbone" in groups:
        _check_backbone(settings, console, reads_score="protocol" in groups)
    return problems


def _check_dataset(settings: "RunSettings", console: Console) -> list[str]:
    from bench.build import build_dataset
    from bench.check_dataset import check_dataset

    dataset = build_dataset(settings.dataset, console)
    return check_dataset(dataset, console, settings.results_dir / "checks", settings.workers)


def _check_backbone(settings: "RunSettings", console: Console, *, reads_score: bool) -> None:
    """Checks the network; with the protocol's score if that is asked for, else with its outputs."""
    from bench.build import build_backbone
    from bench.check_backbone import check_backbone
    from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
    from bench.metrics.protocol import protocol_from_mapping

    device = resolve_device(settings.device)
    keep_freed_memory()
    backbone = build_backbone(settings, device)
    score = protocol_from_mapping(settings.protocol).score if reads_score else "output"
    batch_size = resolve_batch_size(settings.batch_size, device)
    check_backbone(backbone, score, device, batch_size, console)


def _check_experiment(arguments: Sequence[str], config: "Composed", console: Console) -> list[str]:
    from bench.check_experiment import asset_sources, check_experiment
    from bench.config.reading import read_settings
    from bench.configuration import choices, declared_runs, name_other_methods, user_folders

    names, folders = list(declared_runs(arguments)), user_folders(arguments)
    if len(names) != 1:
        raise BenchError(f"check: expected one experiment, found {len(names)}")
    name_other_methods(config, folders)
    sources = asset_sources(choices("experiment", folders)[names[0]].path)
    settings = read_settings(config, may_lack_assets=True)
    return check_experiment(names[0], settings, sources, console)


def _leaderboard(arguments: Sequence[str]) -> None:
    from bench.report.writer import write_leaderboard, write_side_by_side
    from bench.store import leaderboard_names

    folders, rules = _folders_and_rules(arguments)
    names = {folder: leaderboard_names(folder) for folder in folders}
    for folder, boards in names.items():
        if not boards:
            raise BenchError(f"no runs in '{folder}': expected its runs/ folder to hold some")
    console = Console(markup=False)
    for folder, boards in names.items():
        for name in boards:
            write_leaderboard(folder, name, console, **rules)
    write_side_by_side(folders, console, rules["auc"])


def _report(arguments: Sequence[str], output: Path, max_mb: float) -> None:
    from bench.report.html import write_report

    folders, rules = _folders_and_rules(arguments)
    write_report(folders, output, Console(markup=False), **rules, max_mb=max_mb)


def _folders_and_rules(arguments: Sequence[str]) -> tuple[list[Path], dict[str, Any]]:
    """Results folders, and what the arguments name of an AUC rule and a test."""
    from bench.leaderboard.significance import TESTS
    from bench.metrics.auc import AUC_RULES

    known: dict[str, Collection[str]] = {"auc": AUC_RULES, "test": TESTS}
    folders: list[Path] = []
    named: dict[str, str] = {}
    for argument in arguments:
        key, _, value = argument.partition("=")
        if key not in known:
            folders.append(Path(argument))
            continue
        require_known(key, value, known[key])
        if key in named:
            raise BenchError(f"{key}: expected one, found {named[key]} and {value}")
        named[key] = value
    return folders or [Path("results")], {"auc": None, "test": "wilcoxon"} | named


def _list(group: str, config_dir: str | None) -> None:
    from bench.configuration import user_folders
    from bench.listing import print_choices

    sys.path.append(str(Path.cwd()))
    folders = user_folders(["--config-dir", config_dir] if config_dir else [])
    print_choices(group, folders, Console(markup=False))
