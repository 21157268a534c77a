"""The tables of `bench list`."""

import csv
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.config.choices import SHIPPED, Choice, choices

TITLES = {
    "method": ("forward + backward", "citation"),
    "metric": ("forward a map", "an image", "maps again", "needs", "citation"),
}
"""By group, what its names have to say besides what they are."""

RECORDS = Path(__file__).parent / "recorded"
"""The folder of `GROUP.csv`, what shipped classes say; `scripts/record_facts.py` writes them."""

_WIDE = 1000
"""Columns where no terminal says how many it has: a line for each name, to search in."""


def print_choices(group: str, folders: Sequence[Path], console: Console) -> None:
    """Prints the names in a configuration group, who brings them, and what they are.

    Of methods, also the passes through the network for one image, and where they come from; of
    metrics, the forward passes for a map and for an image of 224 by 224 pixels, how many more maps
    of each they ask for, and what they look at.

    Args:
        group: A key of `bench.config.choices.choices`.
        folders: Configuration folders beside those that are always there.
        console: Where the table goes.
    """
    titles, recorded = TITLES.get(group, ()), _recorded(group)
    table = Table("name", "from", *titles, "description", box=None, pad_edge=False)
    for column in table.columns:
        column.no_wrap = column.header not in ("citation", "description")
    for name, choice in choices(group, folders).items():
        is_recorded = choice.path.is_relative_to(SHIPPED) and name in recorded
        cells = recorded[name] if is_recorded else _said(group, choice)
        table.add_row(*map(Text, (name, choice.origin, *cells, choice.description)))
    if not console.is_terminal:
        console.width = _WIDE
    console.print(table)


def _recorded(group: str) -> dict[str, list[str]]:
    """What the shipped classes of a group say, by name, without importing them."""
    if group not in TITLES:
        return {}
    with (RECORDS / f"{group}.csv").open(encoding="utf-8", newline="") as file:
        return {name: cells for name, *cells in csv.reader(file)}


def _said(group: str, choice: Choice) -> Sequence[str]:
    """What the class itself says that a file names: a user's, a package's, or a new one."""
    if group not in TITLES:
        return ()
    from bench.cli.facts import FACTS  # torch takes seconds

    return FACTS[group](choice.path)
