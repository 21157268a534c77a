"""The page of commands, on the real parser."""

import re

from reference.commands import actions, commands_page, examples, subparsers, takes

from bench.cli.parser import COMMANDS, build_parser
from bench.config.choices import GROUPS


def sections():
    return dict(re.findall(r"^## bench (\w+)\n(.*?)(?=^## |\Z)", commands_page(), re.M | re.S))


def test_every_command_has_a_section_with_an_example():
    found = sections()
    assert list(found) == list(COMMANDS)
    for name, text in found.items():
        assert re.search(rf"```sh\nbench {name}", text), name


def test_every_option_is_shown_with_its_help():
    found = sections()
    for name, parser in subparsers(build_parser(GROUPS)).items():
        inner = actions(parser)
        for action in (each for one in (parser, *inner.values()) for each in takes(one)):
            for option in action.option_strings:
                assert f"`{option}`" in found[name], (name, option)
            assert (action.help or "")[1:] in found[name]
        for one in inner:
            assert f"\n### bench {name} {one}\n" in found[name]


def test_examples_are_commands_with_what_they_do():
    text = "Title.\n\n  bench a b   does this\n  bench c d\n              does that\n  bench e f\n"
    assert examples(text) == [
        ("bench a b", "does this"),
        ("bench c d", "does that"),
        ("bench e f", ""),
    ]
