"""The page of all commands, from the parser that reads them."""

import argparse
import re

from bench.cli.parser import COMMANDS, build_parser
from bench.config.choices import GROUPS, SHIPPED
from bench.config.composing import load_nodes
from reference.markdown import block, code, page, table

_COMPOSED = ("run", "rerun", "select", "check")
"""Commands that take the settings of `bench run`."""


def commands_page() -> str:
    """Each command with what it takes, and examples."""
    parser = build_parser(GROUPS)
    helps = _helps(parser)
    shown = examples(parser.description or "") + examples(_help_of_run())
    index = table(
        ["Command", "What it does"],
        [[f"[`bench {name}`](#bench-{name})", helps[name]] for name in COMMANDS],
    )
    return page(
        "# Commands",
        "`bench COMMAND --help` says the same in a terminal. Exit codes: 0, all is well; 1, bad "
        "input or a method that failed; 2, a command line that cannot be read; 130, interrupted.",
        index,
        *(
            _section(name, helps[name], each, [one for one in shown if one[0].split()[1] == name])
            for name, each in subparsers(parser).items()
        ),
    )


def subparsers(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """By command, what reads its arguments, in the order of `bench --help`."""
    choices = _commands(parser).choices
    return {name: choices[name] for name in COMMANDS}


def _commands(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction":
    (commands,) = (
        action for action in parser._actions if isinstance(action, argparse._SubParsersAction)
    )
    return commands


def _helps(parser: argparse.ArgumentParser) -> dict[str, str]:
    """By command, what `bench --help` says of it."""
    return {each.dest: _sentence(each.help or "") for each in _commands(parser)._choices_actions}


def examples(text: str) -> list[tuple[str, str]]:
    """Command lines in a help text, each with what it does; empty where that is not said."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines():
        if line.startswith("  bench "):
            command, *what = re.split(r"\s{2,}|\s(?=\([a-z])", line.strip(), maxsplit=1)
            found.append((command, "".join(what).strip("()")))
        elif line.startswith("   ") and found and not found[-1][1]:
            found[-1] = found[-1][0], line.strip()
    return found


def _help_of_run() -> str:
    return load_nodes(SHIPPED / "run.yaml")["hydra"]["help"]["template"]


def _section(
    name: str, help_: str, parser: argparse.ArgumentParser, shown: list[tuple[str, str]]
) -> str:
    takes_settings = (
        "Arguments are [settings](settings.md), as `KEY=VALUE`; `bench run --help` lists them, "
        "with what there is to choose from. `-m` runs once for each of several values, "
        "`--config-dir FOLDER` adds YAML files of your own."
    )
    return page(
        f"{'#' * (name.count(' ') + 2)} bench {name}",
        help_,
        block("\n".join(_commented(*one) for one in shown), "sh") if shown else "",
        takes_settings if name in _COMPOSED else "",
        table(["Argument", "What it is", "Default"], arguments)
        if (arguments := _arguments(parser))
        else "",
        *(
            _section(f"{name} {action}", _sentence(each.description or ""), each, [])
            for action, each in actions(parser).items()
        ),
    )


def actions(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """What a command that does several things does, as `bench published import`, by its name."""
    inner = [each for each in parser._actions if isinstance(each, argparse._SubParsersAction)]
    return {name: each for one in inner for name, each in one.choices.items()}


def takes(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """What a command takes; `--help` is every command's, and `actions` have their own."""
    left_out = (argparse._HelpAction, argparse._SubParsersAction)
    return [each for each in parser._actions if not isinstance(each, left_out)]


def _commented(command: str, what: str) -> str:
    return f"{command}  # {what}" if what else command


def _arguments(parser: argparse.ArgumentParser) -> list[list[str]]:
    """Names, meaning and default of what a command takes."""
    return [
        [_named(action), _sentence(action.help or ""), _default(action)] for action in takes(parser)
    ]


def _named(action: argparse.Action) -> str:
    value = action.metavar or (action.dest.upper() if action.nargs != 0 else "")
    if action.choices and not action.option_strings:
        return code(action.dest)
    names = ", ".join(map(code, action.option_strings)) or ""
    if not names:
        return " or ".join(map(code, str(action.metavar or action.dest).split(" | ")))
    return f"{names} {code(value)}".strip()


def _default(action: argparse.Action) -> str:
    if action.option_strings and action.required:
        return "has to be given"
    if action.nargs == 0 or action.default in (None, ()):
        return ""
    return code(action.default)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
