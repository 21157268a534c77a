"""The command line, one module a command; `bench.cli.parser.COMMANDS` names them."""

import io
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import suppress

from bench.cli.check import check_command
from bench.cli.choices import list_command
from bench.cli.fetch import fetch_command
from bench.cli.leaderboard import leaderboard_command
from bench.cli.parser import build_parser, refuse_unknown
from bench.cli.published import published_command
from bench.cli.report import report_command
from bench.cli.rerun import rerun_command
from bench.cli.run import run_command
from bench.cli.select import select_command
from bench.cli.status import status_command
from bench.cli.table import table_command
from bench.config.choices import GROUPS
from bench.config.plugins import plugin_problems
from bench.errors import BenchError, is_lost_output, tell_warnings
from bench.report.front import front_matter

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
        commands = {
            "run": run_command,
            "rerun": rerun_command,
            "select": select_command,
            "check": check_command,
        }
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
    refuse_unknown(arguments, GROUPS)
    parser = build_parser(GROUPS)
    given, after = parser.parse_known_args(arguments)
    if after:  # folders and rules after an option, which argparse does not expect there
        if any(each.startswith("-") for each in after) or not hasattr(given, "arguments"):
            parser.error(f"{given.command}: unknown argument {' '.join(after)}")
        given.arguments += after
    if given.command == "leaderboard":
        return leaderboard_command(given.arguments)
    if given.command == "fetch":
        return fetch_command(given)
    if given.command == "status":
        status_command(given.results)
    elif given.command == "report":
        front = front_matter(given.title, given.authors, given.text)
        report_command(given.arguments, given.output, given.max_mb, front)
    elif given.command == "table":
        table_command(given)
    elif given.command == "published":
        published_command(given)
    else:
        list_command(GROUPS[given.what], given.config_dir)
    return []
