"""A leaderboard as CSV, Markdown, LaTeX and text."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from string import ascii_lowercase
from typing import Any, NamedTuple

import pandas as pd
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from bench.leaderboard.comparison import HIGHER_IS_BETTER
from bench.leaderboard.published import METRICS
from bench.leaderboard.table import published_column
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity

WITHIN_A_BACKBONE = (
    "Ranks compare methods within one backbone. Networks are not ranked against each other: these "
    "metrics ask a network about images unlike any that it has seen, and how it answers differs "
    "from network to network (Gomez et al. 2022, arXiv 2201.13291)."
)


SIGNIFICANT = (0.05, 0.01, 0.001)
"""A star for each of these that a p-value is below."""


class Cell(NamedTuple):
    """A cell of a table for people.

    Attributes:
        text: What is printed.
        place: `best` or `second` of its column, or empty.
        stars: How surely it differs from the best.
    """

    text: str
    place: str = ""
    stars: str = ""


GROUP, TIES, DIFFERENCE = "group", "ties", "difference"
_WIDE = Console(width=1000, markup=False)


class _Column(NamedTuple):
    """A column of a table for people.

    Attributes:
        title: Its title.
        cell: What it says of a row.
        align: `left` or `right`.
        higher_is_better: Of numbers that compete; None: they do not.
        p_values: The column with the p-values of their differences from the best, if there is one.
        spare: Where there is no room, columns are left out, 1 first; 0: never.
    """

    title: str
    cell: Callable[[pd.Series], str]
    align: str = "right"
    higher_is_better: bool | None = None
    p_values: str = ""
    spare: int = 0


@dataclass(frozen=True)
class _Section:
    """Rows that may be compared with each other.

    Attributes:
        title: What they share.
        columns: Its columns.
        rows: Cells of each.
        controls: Whether each row is a control.
        footnotes: On rows.
    """

    title: str
    columns: list[_Column]
    rows: list[list[Cell]]
    controls: list[bool]
    footnotes: list[str]

    @property
    def notes(self) -> list[str]:
        """Lines under the table."""
        has_letters = any(own.title == GROUP for own in self.columns)
        return legend(self.rows, self.controls, has_letters) + self.footnotes

    def with_columns(self, keep: Callable[[_Column], bool]) -> "_Section":
        """The same with some of its columns."""
        kept = [place for place, column in enumerate(self.columns) if keep(column)]
        columns = [self.columns[place] for place in kept]
        return replace(
            self, columns=columns, rows=[[row[place] for place in kept] for row in self.rows]
        )


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
        titles = (markdown(own.title) for own in section.columns)
        lines += [markdown(section.title), "", markdown_row(titles)]
        lines.append("|" + "---|" * len(section.columns))
        for row, is_control in zip(section.rows, section.controls, strict=True):
            lines.append(markdown_row(markdown_cell(own, is_control) for own in row))
        notes = [f"- {markdown(note)}" for note in section.notes]
        lines += ["", *notes, *([""] if notes else [])]
    return "\n".join([*lines, *(f"- {markdown(own)}" for own in _remarks(table, remarks))])


def to_latex(table: pd.DataFrame, name: str, remarks: Sequence[str] = ()) -> str:
    """The same tables for papers; needs the package booktabs.

    The fraction of ties and differences from published cells, which a reader can take, are left
    out: the page is narrow.

    Args:
        table: See `bench.leaderboard.table.leaderboard`.
        name: The leaderboard's.
        remarks: Lines that follow the tables, as comments.
    """
    lines = [f"% {in_a_line(name)}: needs \\usepackage{{booktabs}}"]
    for whole in _sections(table):
        section = whole.with_columns(lambda own: own.title not in (TIES, DIFFERENCE))
        align = "".join(own.align[0] for own in section.columns)
        lines += [
            "\\begin{table}",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
            f"\\caption{{{latex(section.title)}}}",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
            latex_row(latex(own.title) for own in section.columns),
            "\\midrule",
            *(
                latex_row(latex_cell(own, is_control) for own in row)
                for row, is_control in zip(section.rows, section.controls, strict=True)
            ),
            "\\bottomrule",
            "\\end{tabular}",
            *(f"\\\\{{\\footnotesize {latex(note)}}}" for note in section.notes),
            "\\end{table}",
        ]
    remarks = [f"% {in_a_line(remark)}" for remark in _remarks(table, remarks)]
    return "\n".join([*lines, *remarks]) + "\n"


def to_text(
    table: pd.DataFrame, remarks: Sequence[str] = (), width: int = 120
) -> list[Table | str]:
    """The same tables for the terminal, and the lines that follow them.

    Args:
        table: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables.
        width: Columns of characters. Where a table has more, it goes without what can be spared,
            and a line tells so.
    """
    parts: list[Table | str] = []
    for whole in _sections(table):
        section, text = whole, _text_table(whole)
        spares = sorted({own.spare for own in whole.columns} - {0})
        while spares and Measurement.get(_WIDE, _WIDE.options, text).maximum > width:
            least = spares.pop(0)
            section = section.with_columns(lambda own, least=least: own.spare != least)
            text = _text_table(section)
        shown = [own.title for own in section.columns]
        hidden = dict.fromkeys(own.title for own in whole.columns if own.title not in shown)
        parts += [text, *map(in_a_line, section.notes)]
        parts += [f"No room here, but in the files: {', '.join(hidden)}."] if hidden else []
    return [*parts, *map(in_a_line, _remarks(table, remarks))]


def _text_table(section: _Section) -> Table:
    text = Table(
        title=Text(in_a_line(section.title)),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    printed = []
    for column, cells in zip(section.columns, zip(*section.rows, strict=True), strict=True):
        is_method = column.title == "method"
        # Stars stand to the right of numbers that are aligned among themselves.
        is_starred = any(own.stars for own in cells)
        digits = max(len(own.text) for own in cells) if is_starred else 0
        printed.append([_text_cell(own, digits) for own in cells])
        text.add_column(
            column.title.rjust(digits),
            no_wrap=not is_method,
            min_width=14 if is_method else None,
            justify="left" if is_starred else column.align,
        )
    for row, is_control in zip(zip(*printed, strict=True), section.controls, strict=True):
        text.add_row(*row, style="dim italic" if is_control else None)
    return text


def _remarks(table: pd.DataFrame, remarks: Sequence[str]) -> list[str]:
    several = table["backbone"].nunique() > 1
    return [*remarks, *([WITHIN_A_BACKBONE] if several else [])]


def _sections(table: pd.DataFrame) -> list[_Section]:
    sections = []
    for _, group in table.groupby("comparison", sort=False):
        marks = _marks(group)
        columns = _columns(group, marks)
        controls = _controls(group)
        cells = [_cells(column, group, controls) for column in columns]
        rows = [list(row) for row in zip(*cells, strict=True)]
        footnotes = [f"({mark}) {note}" for note, mark in marks.items()]
        sections.append(_Section(_title(group), columns, rows, controls, footnotes))
    return sections


def _controls(group: pd.DataFrame) -> list[bool]:
    if "control" not in group:
        return [False] * len(group)
    return [own is True or own == 1 for own in group["control"]]


def _cells(column: _Column, group: pd.DataFrame, controls: Sequence[bool]) -> list[Cell]:
    rows = [row for _, row in group.iterrows()]
    texts = [column.cell(row) for row in rows]
    found = places(texts, controls, column.higher_is_better)
    stars = [_stars(row.get(column.p_values)) for row in rows]
    return [Cell(*own) for own in zip(texts, found, stars, strict=True)]


def places(
    texts: Sequence[str], controls: Sequence[bool], higher_is_better: bool | None
) -> list[str]:
    """Which numbers of a column are the best and the second best, as printed.

    What prints alike shares its place. Controls do not compete, and nobody wins where all that
    do compete are alike.

    Args:
        texts: Numbers as printed; empty where a row has none.
        controls: Whether each is that of a control.
        higher_is_better: Which way is up; None: nothing competes.

    Returns:
        `best`, `second` or empty, for each.
    """
    competing = [
        float(text) if text and higher_is_better is not None and not is_control else None
        for text, is_control in zip(texts, controls, strict=True)
    ]
    ordered = sorted({own for own in competing if own is not None}, reverse=bool(higher_is_better))
    if len(ordered) < 2:
        return [""] * len(texts)
    names = dict(zip(ordered, ("best", "second"), strict=False))
    return [names.get(own, "") for own in competing]


def legend(rows: Sequence[Sequence[Cell]], controls: Sequence[bool], letters: bool) -> list[str]:
    """One line on the marks that occur in a table; none where none do.

    Args:
        rows: Of the table.
        controls: Whether each row is a control.
        letters: Whether the table has letters of groups.
    """
    cells = [cell for row in rows for cell in row]
    found = {own.place for own in cells}
    whom = "the best, controls included" if any(controls) else "the best"
    limits = ", ".join(map(str, SIGNIFICANT))
    said = [
        ("bold: the best of its column", "best" in found),
        ("underlined: the second best", "second" in found),
        (f"*, **, ***: differs from {whom}, p < {limits}", any(own.stars for own in cells)),
        ("methods that share a letter cannot be told apart", letters),
        ("italics: controls, which are neither best nor second", any(controls)),
    ]
    told = "; ".join(text for text, occurs in said if occurs)
    return [told[0].upper() + told[1:] + "."] if told else []


def _stars(p_value: Any) -> str:
    if p_value is None or pd.isna(p_value):
        return ""
    return "*" * sum(p_value < limit for limit in SIGNIFICANT)


def _title(group: pd.DataFrame) -> str:
    first = group.iloc[0]
    title = f"{first['benchmark']} · {first['backbone']} · {first['protocol']}"
    if first["auc"] != "trapezoid":
        title += f" · AUC: {first['auc']}"
    complete = group[group["n_missing"] == 0]
    if len(complete) and complete["n_images"].nunique() == 1:
        one = complete.iloc[0]
        title += f" · {one['n_images']} images · accuracy {one['clean_accuracy']:.3f}"
        title += what_counts(one)
    return title


def what_counts(row: pd.Series) -> str:
    """In brackets, which images a row's accuracy counts, if not those whose top class is right."""
    counts = row.get("accuracy_counts")
    return f" ({counts})" if isinstance(counts, str) else ""


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
        _Column("#", lambda row: "" if row["n_missing"] else _text("rank")(row), "left"),
        _Column("method", method, "left"),
        *_metric_columns(group, "insertion", "insertion_auc", "ins ↑"),
        *_metric_columns(group, "deletion", "deletion_auc", "del ↓"),
    ]
    if "confidence_100" in group:
        columns += [
            _Column(
                f"conf {share} % ↑", _number(f"confidence_{share}"), higher_is_better=True, spare=5
            )
            for share in Confidence.shares[:-1]
        ]
        columns += _metric_columns(group, "confidence", "confidence_100", "conf ↑")
    if MuFidelity.column in group and group[MuFidelity.column].notna().any():
        columns.append(_Column("µF ↑", _number(MuFidelity.column), higher_is_better=True))
    if group["srg"].notna().any():
        columns.append(_Column("SRG ↑", _number("srg"), higher_is_better=True))
    ties = _number("tied_fraction", "{:.1%}")
    return [*columns, _Column(TIES, ties, spare=1), _Column("passes", _passes)]


def _metric_columns(group: pd.DataFrame, metric: str, column: str, title: str) -> list[_Column]:
    """A metric, its interval and, where there is one, the published cell beside it."""
    is_up = HIGHER_IS_BETTER[metric]
    columns = [
        _Column(title, _number(column), higher_is_better=is_up, p_values=f"{metric}_p"),
        _Column("95 %", _interval(metric), spare=3),
    ]
    letters = f"{metric}_letters"
    # Beside a published table the question is another one, and there are columns enough.
    if _count(group, letters) > 1 and not any(_count(group, published_column(m)) for m in METRICS):
        columns.append(_Column(GROUP, _text(letters), "left", spare=2))
    theirs = published_column(metric)
    if not _count(group, theirs):
        return columns
    return [
        *columns,
        _Column("published", _number(theirs)),
        _Column(DIFFERENCE, _number(f"{metric}_delta", "{:+.4f}"), spare=4),
        _Column("inside?", _yes_or_no(f"{metric}_inside")),
    ]


def _count(group: pd.DataFrame, column: str) -> int:
    """How many rows have something to say in a column, which may not be there."""
    return 0 if column not in group else int((group[column].notna() & group[column].ne("")).sum())


def _number(column: str, template: str = "{:.4f}") -> Callable[[pd.Series], str]:
    def cell(row: pd.Series) -> str:
        return "" if column not in row or pd.isna(row[column]) else template.format(row[column])

    return cell


def _text(column: str) -> Callable[[pd.Series], str]:
    def cell(row: pd.Series) -> str:
        return "" if column not in row or pd.isna(row[column]) else str(row[column])

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


def markdown_cell(cell: Cell, is_control: bool = False) -> str:
    """A cell with its marks; GitHub underlines what is `<ins>`."""
    text = markdown(cell.text)
    if text and cell.place:
        text = f"**{text}**" if cell.place == "best" else f"<ins>{text}</ins>"
    if text and is_control:
        text = f"*{text}*"
    return text + markdown(cell.stars)


def in_a_line(text: str) -> str:
    """Text without line breaks or other characters that steer a terminal or a file's lines."""
    return "".join(own if own.isprintable() else " " for own in text)


def markdown(text: str) -> str:
    """Text in which no character means something to Markdown or HTML."""
    special = {own: f"\\{own}" for own in "\\|`*[]"} | {"<": "&lt;"}
    return "".join(special.get(own, own) for own in in_a_line(text))


def latex_row(cells: Iterable[str]) -> str:
    """A line of a LaTeX table."""
    return " & ".join(cells) + " \\\\"


def latex_cell(cell: Cell, is_control: bool = False) -> str:
    """A cell with its marks; stars take no room, so that numbers stay aligned."""
    text = latex(cell.text)
    if text and cell.place:
        text = f"\\{'textbf' if cell.place == 'best' else 'underline'}{{{text}}}"
    if text and is_control:
        text = f"\\textit{{{text}}}"
    return text + (f"\\rlap{{$^{{{cell.stars}}}$}}" if cell.stars else "")


def latex(text: str) -> str:
    """Text in which no character means something to LaTeX."""
    special = {own: f"\\{own}" for own in "&%$#_{}"}
    special |= {own: f"${own}$" for own in "<>|"}
    special |= {own: f"{{{own}}}" for own in "[]*"}  # after a line's end they would be its options
    special |= {
        "\\": "\\textbackslash{}",
        "~": "\\textasciitilde{}",
        "^": "\\textasciicircum{}",
        "↑": "$\\uparrow$",
        "↓": "$\\downarrow$",
        "·": "$\\cdot$",
        "µ": "$\\mu$",
    }
    return "".join(special.get(own, own) for own in in_a_line(text)).replace("..", "--")


def _text_cell(cell: Cell, width: int = 0) -> Text:
    style = {"best": "bold", "second": "underline"}.get(cell.place, "")
    indent = " " * (width - len(cell.text))
    return Text.assemble(indent, (in_a_line(cell.text), style), cell.stars)
