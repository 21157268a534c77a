"""Tables for papers, of stored rows: `bench table`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from bench.errors import BenchError, require_known, warn
from bench.files import write_atomically
from bench.leaderboard.columns import (
    Column,
    leaderboard_columns,
    number_column,
    text_column,
)
from bench.leaderboard.reference import require_reference
from bench.leaderboard.table import Leaderboard, leaderboard
from bench.metrics.statistic import Statistic
from bench.report.citations import bibliography
from bench.report.tables.html import html_table
from bench.report.tables.latex import NEEDS, latex, latex_table
from bench.report.tables.markdown import markdown, markdown_table
from bench.report.tables.paper import as_in_papers, digits_of, with_minus_signs
from bench.report.tables.table import Table, rows_table, to_csv
from bench.report.writer import citations
from bench.storage.store import leaderboard_names, stored_runs

FORMATS = ("latex", "markdown", "csv", "html")
WIDTHS = ("one", "two")
"""Columns of a page that a table is as wide as."""

SIGNS = {"one": 58, "two": 120}
"""How many signs of a footnote's size fit into a row, about."""

SMALL = 1.4
"""A table that is so many times too wide is hard to read when it fits."""

_LABEL = re.compile(r"[A-Za-z0-9:._+/-]+")


@dataclass(frozen=True)
class PaperTable:
    """What a table for a paper shows.

    Attributes:
        format: One of `FORMATS`.
        columns: Their names; empty: method and means, at full width with intervals.
        caption: As the format has text: in LaTeX it may hold commands. None: what the rows share.
        label: What `ref` takes in LaTeX.
        reference: The row that stars compare the others with; None: the best of a column.
        width: One of `WIDTHS`.
    """

    format: str = "latex"
    columns: Sequence[str] = ()
    caption: str | None = None
    label: str | None = None
    reference: str | None = None
    width: Literal["one", "two"] = "one"

    def __post_init__(self) -> None:
        require_known("--format", self.format, FORMATS)
        require_known("--width", self.width, WIDTHS)
        if self.label is not None and not _LABEL.fullmatch(self.label):
            raise BenchError(
                f"--label: expected letters, digits and :._+/-, found '{self.label}', for instance "
                "tab:results"
            )


def write_table(
    results_dir: Path,
    asked: PaperTable,
    output: Path | None = None,
    name: str | None = None,
    *,
    auc: str | None = None,
    test: str = "wilcoxon",
) -> str:
    """Makes the tables of a results folder, and writes them if a file is named.

    Beside LaTeX goes a file of BibTeX of the same name, with the keys that the table cites.

    Args:
        results_dir: The results folder.
        asked: What they show.
        output: Where they go; None: nowhere.
        name: Only this leaderboard.
        auc: See `bench.leaderboard.table.leaderboard`.
        test: See there.

    Returns:
        The tables; if they were written, what was written where.

    Raises:
        BenchError: The folder holds no such leaderboard; a column or the reference is not known;
            a file cannot be written.
    """
    names = leaderboard_names(results_dir)
    if not names:
        raise BenchError(f"no runs in '{results_dir}': expected its runs/ folder to hold some")
    if name is not None:
        require_known("--leaderboard", name, names)
        names = [name]
    runs = {each: stored_runs(results_dir, each) for each in names}
    if asked.reference is not None:
        require_reference(asked.reference, [(of, each) for each, of in runs.items()])
    boards = [leaderboard(of, each, auc, test, asked.reference) for each, of in runs.items()]
    text = tables_as_text(boards, asked)
    if output is None:
        return text
    write_atomically(output, text.encode())
    written = [str(output)]
    if asked.format == "latex":
        cited = [pair for each, of in runs.items() for pair in citations(of, each)]
        entries = bibliography(cited, f"What {output.name} cites")
        write_atomically(output.with_suffix(".bib"), entries.encode())
        written.append(str(output.with_suffix(".bib")))
    return f"Table: {', '.join(written)}\n"


def tables_as_text(boards: Sequence[Leaderboard], asked: PaperTable) -> str:
    """The tables of leaderboards, one for each set of rows that may be compared.

    Args:
        boards: The leaderboards.
        asked: What they show.

    Raises:
        BenchError: A column is not known, or no row is complete.
    """
    groups = [
        (as_in_papers(board), str(key), group)
        for board in boards
        for key, group in _complete(board, asked).groupby("comparison", sort=False)
    ]
    if not groups:
        named = ", ".join(f"'{board.name}'" for board in boards)
        raise BenchError(f"leaderboard {named}: expected a complete row, found none")
    if asked.format == "csv":
        return to_csv(pd.concat([_csv_rows(*each, asked) for each in groups], ignore_index=True))
    tables = [_table(*each, asked) for each in groups]
    if asked.format == "html":
        captions = [_caption(table, asked, tables) for table in tables]
        return "\n".join([*map(html_table, map(with_minus_signs, tables), captions), ""])
    lines = [f"% {NEEDS}"] if asked.format == "latex" else []
    for number, table in enumerate(tables, start=1):
        caption = _caption(table, asked, tables)
        if asked.format == "markdown":
            shown = with_minus_signs(table)
            notes = [f"- {markdown(note)}" for note in shown.notes]
            lines += [markdown(caption), "", *markdown_table(shown), "", *notes, ""]
            continue
        label = None if asked.label is None else asked.label + f"-{number}" * (number > 1)
        written = None if asked.caption is None else caption
        _warn_of_small_text(table, asked.width)
        environment = {"one": "table", "two": "table*"}[asked.width]
        lines += latex_table(table, environment, written, label)
    return "\n".join(lines).rstrip("\n") + "\n"


def _warn_of_small_text(table: Table, width: str) -> None:
    """Warns of a table that must be made much smaller to fit."""
    longest = [
        max(len(column.title), *(len(row.cells[place].text) for row in table.rows))
        for place, column in enumerate(table.columns)
    ]
    signs = sum(longest) + 2 * len(longest)
    if signs > SMALL * SIGNS[width]:
        warn(
            f"'{table.title}': a table of about {signs} signs in a row is printed small where "
            f"{SIGNS[width]} fit (--width {width}): choose fewer --columns"
        )


def _complete(board: Leaderboard, asked: PaperTable) -> pd.DataFrame:
    """Its rows with the titles of methods; those without numbers are left out, and told."""
    rows = as_in_papers(board).rows
    has_numbers = (rows["n_missing"] == 0) & rows["run_key"].notna()
    if any(column.startswith("published_") for column in asked.columns):
        has_numbers |= rows["run_key"].isna()
    left_out = rows.loc[~has_numbers, "method"].tolist()
    if left_out:
        warn(f"leaderboard '{board.name}': rows without numbers left out: {', '.join(left_out)}")
    return rows[has_numbers]


def _caption(table: Table, asked: PaperTable, tables: Sequence[Table]) -> str:
    if asked.caption is None:
        return table.title
    caption = " ".join(asked.caption.split())
    if len(tables) == 1:
        return caption
    # Of several tables with one caption, each says whose it is.
    return f"{caption} ({latex(table.title) if asked.format == 'latex' else table.title})"


def _table(board: Leaderboard, key: str, group: pd.DataFrame, asked: PaperTable) -> Table:
    statistics = board.statistics[key]
    names = asked.columns or _default_columns(statistics, asked)
    known = _known_columns(board, statistics, group)
    for name in names:
        require_known("--columns", name, known)
    columns = [_for_paper(known[name], board.reference) for name in names]
    if not any(name.startswith("published_") for name in names):
        group = group.assign(notes=None)  # they say how far rows repeat what was published
    return rows_table(group, columns, board.citations)


def _csv_rows(board: Leaderboard, key: str, group: pd.DataFrame, asked: PaperTable) -> pd.DataFrame:
    """Numbers as the leaderboard's CSV has them, under titles of methods."""
    statistics = board.statistics[key]
    names: list[str] = []
    for name in asked.columns or _default_columns(statistics, asked):
        parts = {"passes": ["forward_passes", "backward_passes"]}
        if name.endswith("_ci"):
            parts[name] = [f"{name}_low", f"{name}_high"]
        names += [name] if name in group else parts.get(name, [name])
    for name in names:
        require_known("--columns", name, [str(known) for known in group])
    return group[names]


def _default_columns(statistics: Sequence[Statistic], asked: PaperTable) -> list[str]:
    names = ["method"]
    for statistic in statistics:
        if statistic.is_main or asked.width == "two":
            names.append(statistic.column)
        if statistic.is_main and asked.width == "two":
            names.append(f"{statistic.name}_ci")
    return names


def _known_columns(
    board: Leaderboard, statistics: Sequence[Statistic], group: pd.DataFrame
) -> dict[str, Column]:
    """By name: the columns that all tables have, then all others of the leaderboard's CSV."""
    columns = {column.name: column for column in leaderboard_columns(statistics, board.reference)}
    others = [str(name) for name in group if name not in columns]
    return columns | {name: _plain_column(name, group[name]) for name in others}


def _plain_column(name: str, values: pd.Series) -> Column:
    """A column that no other table shows."""
    title = name.replace("_", " ")
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.isna().any() or pd.api.types.is_bool_dtype(values):
        return text_column(name, title)
    if (numbers == numbers.round()).all():
        return number_column(name, title, template="{:.0f}")
    digits = digits_of(numbers.to_numpy(dtype=float), [], 3)
    return number_column(name, title, template=f"{{:.{digits}f}}")


def _for_paper(column: Column, reference: str | None) -> Column:
    """A column with its whole title, that is shown whatever it holds."""
    changes: dict[str, Any] = {"least": 0, "title": column.heading}
    if column.higher_is_better is not None:
        changes["title"] += f" {column.note.split()[0]}"  # the arrow
        if reference is not None and column.p_values:
            changes["p_values"] = f"{column.p_values.removesuffix('_p')}_p_reference"
            changes["differs_from"] = reference
    elif column.kind == "interval":
        changes["title"] = "95 % CI"
    return replace(column, **changes)
