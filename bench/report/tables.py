"""A leaderboard as CSV, Markdown and text."""

import pandas as pd
from rich.table import Table

_SHOWN = {
    "rank": "rank",
    "method": "method",
    "insertion": "insertion AUC ↑ [95 %]",
    "deletion": "deletion AUC ↓ [95 %]",
    "srg": "SRG ↑",
    "tied": "tied pixels",
}


def to_csv(table: pd.DataFrame) -> str:
    """The whole leaderboard as CSV; numbers with six decimals, blanks empty."""
    return table.to_csv(index=False, float_format="%.6f")


def to_markdown(table: pd.DataFrame, name: str) -> str:
    """The leaderboard for people: a heading and a table for each benchmark and backbone."""
    lines = [f"# {name}", ""]
    for title, cells in _sections(table):
        lines += [title, "", "| " + " | ".join(cells.columns) + " |"]
        lines.append("|" + "---|" * len(cells.columns))
        escaped = cells.map(lambda cell: cell.replace("|", "\\|"))
        lines += ["| " + " | ".join(row) + " |" for row in escaped.itertuples(index=False)]
        lines.append("")
    return "\n".join(lines)


def to_text(table: pd.DataFrame) -> list[Table]:
    """The same tables for the terminal."""
    tables = []
    for title, cells in _sections(table):
        text = Table(title=title, title_justify="left")
        for column in cells.columns:
            text.add_column(column, no_wrap=column == "method")
        for row in cells.itertuples(index=False):
            text.add_row(*row)
        tables.append(text)
    return tables


def _sections(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    keys = ["benchmark", "backbone", "protocol"]
    return [
        (_title(group), pd.DataFrame([_cells(row) for _, row in group.iterrows()]))
        for _, group in table.groupby(keys, sort=False)
    ]


def _title(group: pd.DataFrame) -> str:
    first = group.iloc[0]
    title = f"{first['benchmark']} · {first['backbone']} · {first['protocol']}"
    complete = group[group["n_missing"] == 0]
    if len(complete) and complete["n_images"].nunique() == 1:
        one = complete.iloc[0]
        title += f" · {one['n_images']} images · clean accuracy {one['clean_accuracy']:.3f}"
    return title


def _cells(row: pd.Series) -> dict[str, str]:
    def interval(direction: str) -> str:
        if row["n_missing"]:
            return f"{row['n_missing']} of {row['n_images'] + row['n_missing']} images missing"
        text = f"{row[f'{direction}_auc']:.4f}"
        low, high = row[f"{direction}_ci_low"], row[f"{direction}_ci_high"]
        return text if pd.isna(low) else f"{text} [{low:.3f}, {high:.3f}]"

    values = {
        "rank": "" if pd.isna(row["rank"]) else str(row["rank"]),
        "method": row["method"],
        "insertion": interval("insertion"),
        "deletion": interval("deletion"),
        "srg": "" if pd.isna(row["srg"]) else f"{row['srg']:.4f}",
        "tied": "" if pd.isna(row["tied_fraction"]) else f"{row['tied_fraction']:.1%}",
    }
    return {_SHOWN[key]: value for key, value in values.items()}
