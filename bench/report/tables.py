"""A leaderboard as CSV, Markdown and text."""

from collections.abc import Iterable

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table

_COLUMNS = ("#", "method", "ins ↑", "95 %", "del ↓", "95 %", "SRG ↑", "ties", "passes")


def to_csv(table: pd.DataFrame) -> str:
    """The whole leaderboard as CSV; numbers with six decimals, blanks empty."""
    return table.to_csv(index=False, float_format="%.6f")


def to_markdown(table: pd.DataFrame, name: str) -> str:
    """The leaderboard for people: a table for each set of rows that may be compared."""
    lines = [f"# {name}", ""]
    for title, rows in _sections(table):
        lines += [title, "", _markdown_row(_COLUMNS), "|" + "---|" * len(_COLUMNS)]
        lines += [_markdown_row(cell.replace("|", "\\|") for cell in row) for row in rows]
        lines.append("")
    return "\n".join(lines)


def to_text(table: pd.DataFrame) -> list[Table]:
    """The same tables for the terminal."""
    tables = []
    for title, rows in _sections(table):
        text = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
        for number, column in enumerate(_COLUMNS):
            text.add_column(
                column,
                no_wrap=number != 1,
                min_width=14 if number == 1 else None,
                justify="left" if number < 2 else "right",
            )
        for row in rows:
            text.add_row(*row)
        tables.append(text)
    return tables


def _sections(table: pd.DataFrame) -> list[tuple[str, list[tuple[str, ...]]]]:
    groups = table.groupby("comparison", sort=False)
    return [(_title(group), [_cells(row) for _, row in group.iterrows()]) for _, group in groups]


def _title(group: pd.DataFrame) -> str:
    first = group.iloc[0]
    title = f"{first['benchmark']} · {first['backbone']} · {first['protocol']}"
    if first["auc"] != "trapezoid":
        title += f" · AUC: {first['auc']}"
    complete = group[group["n_missing"] == 0]
    if len(complete) and complete["n_images"].nunique() == 1:
        one = complete.iloc[0]
        title += f" · {one['n_images']} images · accuracy {one['clean_accuracy']:.3f}"
    return title


def _cells(row: pd.Series) -> tuple[str, ...]:
    if row["n_missing"]:
        total = row["n_images"] + row["n_missing"]
        return "", row["method"], *[""] * 6, f"{row['n_missing']} of {total} images missing"
    return (
        str(row["rank"]),
        row["method"],
        f"{row['insertion_auc']:.4f}",
        _interval(row, "insertion"),
        f"{row['deletion_auc']:.4f}",
        _interval(row, "deletion"),
        "" if pd.isna(row["srg"]) else f"{row['srg']:.4f}",
        f"{row['tied_fraction']:.1%}",
        _passes(row),
    )


def _passes(row: pd.Series) -> str:
    """Forward and, if there are any, backward passes for one map: 4000, or 80+80."""
    if pd.isna(row["forward_passes"]):
        return ""
    ways = [row["forward_passes"], row["backward_passes"]]
    return "+".join(str(count) for count in ways[: 1 + bool(ways[1])])


def _interval(row: pd.Series, direction: str) -> str:
    low, high = row[f"{direction}_ci_low"], row[f"{direction}_ci_high"]
    return "" if pd.isna(low) else f"{low:.3f}..{high:.3f}"


def _markdown_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cells) + " |"
