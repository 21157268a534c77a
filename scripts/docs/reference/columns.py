"""The page of columns: of rows and of the CSV files of leaderboards."""

from collections.abc import Mapping

from bench.leaderboard.columns import csv_hints, reference_hints
from bench.leaderboard.significance import PAIR_COLUMNS
from bench.leaderboard.table import ACCURACY_COUNTS, DRAWS, TARGET
from bench.metrics.metric import Metric
from bench.metrics.protocol import load_protocol
from bench.metrics.registry import SIZE
from bench.storage.rows import IDENTITY_COLUMNS, ROW_COLUMNS
from reference.components import components
from reference.docstrings import told_constant
from reference.markdown import code, page, table
from reference.metrics import made

EXAMPLE = "xplique-probability"
"""The protocol whose columns are shown; those of others are named alike."""


def columns_page() -> str:
    """Every column, by the file that has it."""
    statistics = load_protocol(EXAMPLE).statistics
    optional = {
        name: told_constant(f"bench.leaderboard.table.{constant}")
        for constant, name in (
            ("ACCURACY_COUNTS", ACCURACY_COUNTS),
            ("DRAWS", DRAWS),
            ("TARGET", TARGET),
        )
    }
    optional["STATISTIC_draws_sd"] = "Standard deviation between the draws' means"
    return page(
        "# Columns of rows and tables",
        f"Columns of a statistic begin with its name; those of {code(EXAMPLE)} are shown. "
        "Numbers in CSV files have six decimals; a cell is empty where there is nothing to say.",
        "## Rows",
        "What `bench.load_rows` and `Result.rows` have, a row an image and method.",
        _table({"label": "The row's name in tables"} | ROW_COLUMNS | IDENTITY_COLUMNS),
        "What metrics store besides, each for an image of 224 x 224:",
        _stored(),
        "## A leaderboard: `NAME.csv`",
        _table(csv_hints(statistics)),
        "Where there is something to say, also:",
        _table(optional),
        "## With `reference=ROW`",
        "Further columns of `NAME.csv`:",
        _table(reference_hints(statistics)),
        "## Pairs of methods: `NAME_pairs.csv`",
        _table(
            {
                "comparison": "The rows that may be compared, as in `NAME.csv`",
                "metric": "The statistic",
                "test": "The test of the p-values",
            }
            | PAIR_COLUMNS
        ),
    )


def _table(hints: Mapping[str, str]) -> str:
    return table(["Column", "What it holds"], [[code(name), hint] for name, hint in hints.items()])


def _stored() -> str:
    """The columns that each shipped metric stores."""
    rows = [
        [f"[{code(one.name)}](metrics.md#{one.name})", ", ".join(_named(made(one)))]
        for one in components("metric")
    ]
    return table(["Metric", "Columns"], rows)


def _named(metric: Metric) -> list[str]:
    return [
        code(name) if points is None else f"{code(name)} ({points or 'any number of'} points)"
        for name, points in metric.columns(SIZE).items()
    ]
