"""A leaderboard as CSV, Markdown, LaTeX and text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from string import ascii_lowercase
from typing import NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from bench.leaderboard.table import published_column
from bench.metrics.confidence import Confidence

WITHIN_A_BACKBONE = (
    "Ranks compare methods within one backbone. Networks are not ranked against each other: these "
    "metrics ask a network about images unlike any that it has seen, and how it answers differs "
    "from network to network (Gomez et al. 2022, arXiv 2201.13291)."
)


class _Column(NamedTuple):
    """A column of a table for people: its title, what it says of a row, and how it is aligned."""

    title: str
    cell: Callable[[pd.Series], str]
    align: str = "right"


@dataclass(frozen=True)
class _Section:
    """Rows that may be compared with each other.

    Attributes:
        title: What they share.
        columns: Titles.
        rows: Cells of each.
        aligns: Of the columns.
        notes: Lines under the table.
    """

    title: str
    columns: list[str]
    aligns: list[str]
    rows: list[list[str]]
    notes: list[str]


def to_csv(table: pd.DataFrame) -> str:
    """The whole leaderboard as CSV; numbers with six decimals, blanks empty."""
    return table.to_csv(index=False, float_format="%.6f")


def to_markdown(table: pd.DataFrame, name: str, remarks: Sequence[str] = ()) -> str:
    """The leaderboard for people: a table for each set of rows that may be compared.

    Args:
        table: See `bench.leaderboard.table.leaderboard`.
        name: The leaderboard's.
        remarks: Lines that follow the tables.
    """
    lines = [f"# {markdown(name)}", ""]
    for section in _sections(table):
        lines += [markdown(section.title), "", markdown_row(section.columns)]
        lines.append("|" + "---|" * len(section.columns))
        lines += [markdown_row(map(markdown, row)) for row in section.rows]
        notes = [f"- {markdown(note)}" for note in section.notes]
        lines += ["", *notes, *([""] if notes else [])]
    return "\n".join([*lines, *(f"- {markdown(own)}" for own in _remarks(table, remarks))])


def to_latex(table: pd.DataFrame, name: str, remarks: Sequence[str] = ()) -> str:
    """The same tables for papers; needs the package booktabs.

    Args:
        table: See `bench.leaderboard.table.leaderboard`.
        name: The leaderboard's.
        remarks: Lines that follow the tables, as comments.
    """
    lines = [f"% {_in_a_line(name)}: needs \\usepackage{{booktabs}}"]
    for section in _sections(table):
        align = "".join(own[0] for own in section.aligns)
        lines += [
            "\\begin{table}",
            "\\centering",
            f"\\caption{{{_latex(section.title)}}}",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
            _latex_row(section.columns),
            "\\midrule",
            *map(_latex_row, section.rows),
            "\\bottomrule",
            "\\end{tabular}",
            *(f"\\\\{{\\footnotesize {_latex(note)}}}" for note in section.notes),
            "\\end{table}",
        ]
    remarks = [f"% {_in_a_line(remark)}" for remark in _remarks(table, remarks)]
    return "\n".join([*lines, *remarks]) + "\n"


def to_text(table: pd.DataFrame, remarks: Sequence[str] = ()) -> list[Table | str]:
    """The same tables for the terminal, and the lines that follow them.

    Args:
        table: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables.
    """
    parts: list[Table | str] = []
    for section in _sections(table):
        text = Table(
            title=Text(_in_a_line(section.title)),
            title_justify="left",
            box=SIMPLE_HEAD,
            padding=(0, 1, 0, 0),
        )
        for title, align in zip(section.columns, section.aligns, strict=True):
            is_method = title == "method"
            text.add_column(
                title, no_wrap=not is_method, min_width=14 if is_method else None, justify=align
            )
        for row in section.rows:
            text.add_row(*(Text(_in_a_line(cell)) for cell in row))
        parts += [text, *map(_in_a_line, section.notes)]
    return [*parts, *map(_in_a_line, _remarks(table, remarks))]


def _remarks(table: pd.DataFrame, remarks: Sequence[str]) -> list[str]:
    several = table["backbone"].nunique() > 1
    return [*remarks, *([WITHIN_A_BACKBONE] if several else [])]


def _sections(table: pd.DataFrame) -> list[_Section]:
    sections = []
    for _, group in table.groupby("comparison", sort=False):
        marks = _marks(group)
        columns = _columns(group, marks)
        rows = [[column.cell(row) for column in columns] for _, row in group.iterrows()]
        notes = [f"({mark}) {note}" for note, mark in marks.items()]
        titles, aligns = [own.title for own in columns], [own.align for own in columns]
        sections.append(_Section(_title(group), titles, aligns, rows, notes))
    return sections


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


def _marks(group: pd.DataFrame) -> dict[str, str]:
    """Notes on rows -> their footnote marks, in the order of the rows."""
    notes = dict.fromkeys(note for note in group["notes"] if isinstance(note, str) and note)
    letters = [a + b for a in ("", *ascii_lowercase) for b in ascii_lowercase]
    return dict(zip(notes, letters, strict=False))


def _columns(group: pd.DataFrame, marks: dict[str, str]) -> list[_Column]:
    def method(row: pd.Series) -> str:
        mark = marks.get(row["notes"])
        return f"{row['method']} ({mark})" if mark else row["method"]

    columns = [
        _Column("#", lambda row: "" if row["n_missing"] else str(row["rank"]), "left"),
        _Column("method", method, "left"),
        *_metric_columns(group, "insertion", "insertion_auc", "ins ↑"),
        *_metric_columns(group, "deletion", "deletion_auc", "del ↓"),
    ]
    if "confidence_100" in group:
        columns += [
            _Column(f"conf {share} % ↑", _number(f"confidence_{share}"))
            for share in Confidence.shares[:-1]
        ]
        columns += _metric_columns(group, "confidence", "confidence_100", "conf ↑")
    if group["srg"].notna().any():
        columns.append(_Column("SRG ↑", _number("srg")))
    ties = _number("tied_fraction", "{:.1%}")
    return [*columns, _Column("ties", ties), _Column("passes", _passes)]


def _metric_columns(group: pd.DataFrame, metric: str, column: str, title: str) -> list[_Column]:
    """A metric, its interval and, where there is one, the published cell beside it."""
    columns = [_Column(title, _number(column)), _Column("95 %", _interval(metric))]
    theirs = published_column(metric)
    if theirs not in group or group[theirs].isna().all():
        return columns
    return [
        *columns,
        _Column("published", _number(theirs)),
        _Column("difference", _number(f"{metric}_delta", "{:+.4f}")),
        _Column("inside?", _yes_or_no(f"{metric}_inside")),
    ]


def _number(column: str, template: str = "{:.4f}") -> Callable[[pd.Series], str]:
    def cell(row: pd.Series) -> str:
        return "" if column not in row or pd.isna(row[column]) else template.format(row[column])

    return cell


def _yes_or_no(column: str) -> Callable[[pd.Series], str]:
    def cell(row: pd.Series) -> str:
        return "" if column not in row or pd.isna(row[column]) else ("no", "yes")[bool(row[column])]

    return cell


def _interval(metric: str) -> Callable[[pd.Series], str]:
    def cell(row: pd.Series) -> str:
        low, high = row[f"{metric}_ci_low"], row[f"{metric}_ci_high"]
        return "" if pd.isna(low) else f"{low:.3f}..{high:.3f}"

    return cell


def _passes(row: pd.Series) -> str:
    """Forward and, if there are any, backward passes for one map: 4000, or 80+80.

    Rows without numbers say here why.
    """
    if pd.isna(row["run_key"]):
        return "not run"
    if row["n_missing"]:
        return f"{row['n_missing']} of {row['n_images'] + row['n_missing']} images missing"
    if pd.isna(row["forward_passes"]):
        return ""
    ways = [row["forward_passes"], row["backward_passes"]]
    return "+".join(str(count) for count in ways[: 1 + bool(ways[1])])


def markdown_row(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cells) + " |"


def _in_a_line(text: str) -> str:
    """Text without line breaks or other characters that steer a terminal or a file's lines."""
    return "".join(own if own.isprintable() else " " for own in text)


def markdown(text: str) -> str:
    """Text in which no character means something to Markdown or HTML."""
    special = {own: f"\\{own}" for own in "\\|`*[]"} | {"<": "&lt;"}
    return "".join(special.get(own, own) for own in _in_a_line(text))


def _latex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_latex, cells)) + " \\\\"


def _latex(text: str) -> str:
    """Text in which no character means something to LaTeX."""
    special = {own: f"\\{own}" for own in "&%$#_{}"}
    special |= {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
        "↑": "$\\uparrow$",
        "↓": "$\\downarrow$",
        "·": "$\\cdot$",
    }
    return "".join(special.get(own, own) for own in _in_a_line(text)).replace("..", "--")
