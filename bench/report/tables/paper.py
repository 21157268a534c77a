"""What tables for papers have and others have not: titles of methods, digits that tell rows apart.

Digits are those that all tables have, and more where these would print the same of numbers that
differ, or hide an interval.
"""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from bench.leaderboard.table import Leaderboard
from bench.metrics.statistic import Statistic
from bench.report.tables.table import Table

MOST_DIGITS = 8
"""After the decimal point: more would tell of rounding."""


MINUS = "\N{MINUS SIGN}"


def as_in_papers(leaderboard: Leaderboard) -> Leaderboard:
    """The same with the titles of its methods and with as many digits as its numbers need.

    Args:
        leaderboard: See `bench.leaderboard.table.leaderboard`.
    """
    rows, titles = leaderboard.rows, leaderboard.titles
    shown = [
        titles.get(key, name) if isinstance(key, str) else name
        for key, name in zip(rows["run_key"], rows["method"], strict=True)
    ]
    adapted = {
        key: [
            replace(one, digits=_digits(rows[rows["comparison"] == key], one)) for one in statistics
        ]
        for key, statistics in leaderboard.statistics.items()
    }
    reference = leaderboard.reference
    if reference is not None:
        called = dict(zip(rows["method"], shown, strict=True))
        reference = called.get(reference, reference)
    return replace(
        leaderboard, rows=rows.assign(method=shown), statistics=adapted, reference=reference
    )


def _digits(rows: pd.DataFrame, statistic: Statistic) -> int:
    """Of a statistic's mean; its interval has one less."""
    values = rows[statistic.column].to_numpy(dtype=float, na_value=np.nan)
    ends = [f"{statistic.name}_ci_{end}" for end in ("low", "high")]
    widths = np.array([])
    if set(ends) <= set(rows):
        low, high = (rows[end].to_numpy(dtype=float, na_value=np.nan) for end in ends)
        widths = high - low
    return digits_of(values, widths, statistic.digits)


def digits_of(values: ArrayLike, widths: ArrayLike, least: int) -> int:
    """How many digits after the point tell numbers apart and show their intervals.

    Args:
        values: Numbers of a column; NaN where a row has none.
        widths: Of their intervals: of the median one, two digits are shown.
        least: Digits at least.

    Returns:
        At most `MOST_DIGITS`; of the numbers of digits that tell as many rows apart, the fewest.

    Example:
        >>> digits_of([0.00101, 0.00104, 0.3], [], 4)
        5
    """
    known, spans = np.asarray(values, dtype=float), np.asarray(widths, dtype=float)
    known, spans = known[np.isfinite(known)], spans[np.isfinite(spans) & (spans > 0)]
    if len(spans):
        least = max(least, int(np.ceil(-np.log10(np.median(spans)))) + 1)
    least = min(least, MOST_DIGITS)
    counts = {
        digits: len({f"{value:.{digits}f}" for value in known})
        for digits in range(least, MOST_DIGITS + 1)
    }
    most = max(counts.values())
    return next(digits for digits, count in counts.items() if count == most)


def with_minus_signs(table: Table) -> Table:
    """The same with real minus signs before its numbers.

    Args:
        table: Its marks are set: they are read off numbers with hyphens.
    """
    are_numbers = [column.kind in ("number", "interval") for column in table.columns]
    rows = [
        replace(
            row,
            cells=[
                replace(cell, text=re.sub(r"-(?=\d)", MINUS, cell.text)) if is_number else cell
                for cell, is_number in zip(row.cells, are_numbers, strict=True)
            ],
        )
        for row in table.rows
    ]
    return replace(table, rows=rows)
