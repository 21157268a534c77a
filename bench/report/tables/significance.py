"""Results of significance tests as tables for the page."""

from collections.abc import Collection

import numpy as np
import pandas as pd

from bench.leaderboard.columns import (
    GROUP_HINT,
    Column,
    Record,
    known,
    number_column,
    p_value_text,
    text_column,
)
from bench.leaderboard.significance import Significance
from bench.report.tables.table import Cell, Row, Table, build_table

_PAIR_COLUMNS = (
    text_column("better", "Better", kind="name"),
    text_column("worse", "Worse", hint="The one with the worse mean"),
    number_column(
        "difference", "Difference", hint="By how much the better one is better", first="descending"
    ),
    Column(
        "95 % interval",
        lambda pair: (
            f"{pair['ci_low']:.3f}..{pair['ci_high']:.3f}" if known(pair, "ci_low") else ""
        ),
        hint="Of the difference, paired, for this pair alone",
        value=lambda pair: float(pair["ci_low"]) if known(pair, "ci_low") else None,
    ),
    Column(
        "p",
        lambda pair: p_value_text(pair["p_value"]),
        hint="Corrected by Holm over all pairs",
        value=lambda pair: float(pair["p_value"]) if known(pair, "p_value") else None,
    ),
    number_column(
        "effect_size",
        "Effect size",
        template="{:.2f}",
        hint="Rank-biserial correlation, 1 at most",
        first="descending",
    ),
    number_column(
        "win_rate",
        "Win rate",
        template="{:.0%}",
        hint="Share of images on which the better one wins",
        first="descending",
    ),
    Column(
        "Images needed",
        lambda pair: f"{pair['images_needed']:,.0f}" if _is_finite(pair, "images_needed") else "",
        hint="To find such a difference of one pair with power 0.8",
        value=lambda pair: pair["images_needed"] if _is_finite(pair, "images_needed") else None,
    ),
)


def pair_table(found: Significance, controls: Collection[str]) -> Table:
    """Each pair of methods.

    Args:
        found: The significance of one statistic.
        controls: Names of the rows that are controls.
    """
    pairs = [dict(pair) for _, pair in found.pairs.iterrows()]
    better = [str(pair["better"]) for pair in pairs]
    are_controls = [name in controls for name in better]
    return build_table(_PAIR_COLUMNS, pairs, better, are_controls, title="Pairs of methods")


def reference_table(found: pd.DataFrame, reference: str) -> Table:
    """Each method against one.

    Args:
        found: What `bench.leaderboard.significance.against_reference` gives.
        reference: The row that the others were compared with.
    """
    records = [dict(row) for _, row in found.iterrows()]
    names = [str(record["method"]) for record in records]
    controls = [bool(record["control"]) for record in records]
    title = f"Each method against {reference}"
    return build_table(_reference_columns(reference), records, names, controls, title=title)


def _reference_columns(reference: str) -> list[Column]:
    return [
        text_column("method", "Method", kind="name"),
        number_column(
            "difference",
            f"Better than {reference} by",
            template="{:+.4f}",
            hint="Negative where it is worse",
            first="descending",
        ),
        Column(
            "95 % interval",
            _interval,
            hint="Of the difference, paired, for this pair alone",
            value=lambda row: float(row["ci_low"]) if known(row, "ci_low") else None,
        ),
        _p_column("p_raw", "p, raw", "Not corrected"),
        _p_column("p_value", "p", f"Corrected by Holm over all comparisons with {reference}"),
        number_column(
            "effect_size",
            "Effect size",
            template="{:+.2f}",
            hint="Rank-biserial correlation, -1 to 1",
            first="descending",
        ),
        number_column(
            "win_rate",
            "Win rate",
            template="{:.0%}",
            hint=f"Share of images on which it beats {reference}",
            first="descending",
        ),
        number_column("n_images", "Images", template="{}"),
    ]


def _p_column(name: str, title: str, hint: str) -> Column:
    return Column(
        title,
        lambda row: p_value_text(row[name]),
        hint=hint,
        value=lambda row: float(row[name]) if known(row, name) else None,
    )


def win_rate_table(found: Significance, controls: Collection[str]) -> Table:
    """On which share of the images a row beats a column.

    Args:
        found: The significance of one statistic.
        controls: Names of the rows that are controls.
    """
    columns = [
        text_column("name", "Row beats column", kind="name"),
        number_column("rank", "Mean rank", template="{:.2f}", hint="Over images, 1 = best"),
        text_column("letters", "Group", hint=GROUP_HINT),
        *(_share_column(name) for name in found.methods),
    ]
    rows = []
    for name in found.methods:
        shares = found.win_rates.loc[name].to_dict()
        rank, letters = found.average_ranks[name], found.letters[name]
        record = {"name": name, "rank": rank, "letters": letters}
        known_cells = [Cell(column.text(record), _value(column, record)) for column in columns[:3]]
        shaded = [_share(float(shares[other]), name == other) for other in found.methods]
        rows.append(Row(name, [*known_cells, *shaded], name in controls))
    return Table("Share of images on which the row beats the column", columns, rows)


def text_table(table: pd.DataFrame, names: str, controls: Collection[str], title: str) -> Table:
    """Any table of text.

    Args:
        table: Text; its index are the rows' names.
        names: The title of the names' column.
        controls: Names of the rows that are controls.
        title: The title of the table.
    """
    columns = [text_column("", names, kind="name")]
    columns += [text_column(str(one), str(one), kind="words") for one in table.columns]
    rows = []
    for name, *texts in table.itertuples():
        cells = [Cell(text, text or None) for text in (str(name), *map(str, texts))]
        rows.append(Row(str(name), cells, name in controls))
    return Table(title, columns, rows)


def _interval(pair: Record) -> str:
    return f"{pair['ci_low']:.3f}..{pair['ci_high']:.3f}" if known(pair, "ci_low") else ""


def _share_column(name: str) -> Column:
    hint = f"Share of the images on which the row beats {name}"
    return number_column(name, name, template="{:.0%}", hint=hint, first="descending")


def _share(rate: float, is_same: bool) -> Cell:
    if is_same or np.isnan(rate):
        return Cell("")
    return Cell(f"{rate:.0%}", rate, shade=round(10 * rate))


def _value(column: Column, record: Record) -> float | str | None:
    return column.value(record) if column.value else column.text(record) or None


def _is_finite(record: Record, name: str) -> bool:
    return known(record, name) and bool(np.isfinite(record[name]))
