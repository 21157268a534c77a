"""What `bench list` says of methods and metrics: passes, needs and citation."""

import csv
from functools import cache

from bench.cli.listing import RECORDS


@cache
def facts(group: str) -> dict[str, dict[str, str]]:
    """By name, the cells of its row by their titles.

    Args:
        group: `method` or `metric`.
    """
    with (RECORDS / f"{group}.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}
