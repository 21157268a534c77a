"""Tables as LaTeX.

Whatever a table holds, it is no wider than the column of the page that it stands in: one that is
wider is made smaller. Stars take room in every row of their column, so that numbers stay aligned
and nothing is printed over.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from bench.leaderboard.table import Leaderboard
from bench.report.citations import entries
from bench.report.tables.paper import MINUS, as_in_papers, with_minus_signs
from bench.report.tables.table import (
    Cell,
    Column,
    Table,
    in_a_line,
    leaderboard_tables,
    method_with_notes,
    remarks_on,
)

NEEDS = "needs \\usepackage{booktabs,graphicx}"
"""What a document must load."""

_FITTED = "\\resizebox{\\ifdim\\width>\\linewidth\\linewidth\\else\\width\\fi}{!}{%"
"""Begins what is made smaller where it is wider than its column; `}` ends it."""


def to_latex(leaderboard: Leaderboard, remarks: Sequence[str] = ()) -> str:
    """The leaderboard's tables for papers, as wide as a page.

    The page is narrow: what a reader can take or subtract is left out (`Column.left_out_of`).

    Args:
        leaderboard: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables, as comments.
    """
    lines = [f"% {in_a_line(leaderboard.name)}: {NEEDS}"]
    for table in leaderboard_tables(as_in_papers(leaderboard)).values():
        lines += latex_table(table.for_format("latex"), "table*")
    comments = [f"% {in_a_line(remark)}" for remark in remarks_on(leaderboard, remarks)]
    return "\n".join([*lines, *comments]) + "\n"


def latex_table(
    table: Table, environment: str = "table", caption: str | None = None, label: str | None = None
) -> list[str]:
    """The lines of a table with its caption and what stands under it.

    Args:
        table: The table.
        environment: `table`, or `table*` over both columns of a page.
        caption: In LaTeX, as the user writes it; the table's title by default.
        label: What `ref` takes.
    """
    table = with_minus_signs(table)
    align = "".join(
        "r" if column.kind in ("number", "interval") else "l" for column in table.columns
    )
    stars = [
        max((len(row.cells[place].stars) for row in table.rows), default=0)
        for place in range(len(table.columns))
    ]
    rows = [
        latex_row(
            latex_cell(method_with_notes(column, cell, row), row.is_control, widest)
            + (_cite(row.citation) if column.kind == "name" else "")
            for column, cell, widest in zip(table.columns, row.cells, stars, strict=True)
        )
        for row in table.rows
    ]
    return [
        f"\\begin{{{environment}}}",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}\\setlength{\\belowcaptionskip}{4pt}",
        f"\\caption{{{latex(table.title) if caption is None else caption}}}",
        *([f"\\label{{{label}}}"] if label else []),
        _FITTED,
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        *_groups(table.columns),
        latex_row(latex(column.title) for column in table.columns),
        "\\midrule",
        *rows,
        "\\bottomrule",
        "\\end{tabular}}",
        *(_note(note) for note in table.notes),
        f"\\end{{{environment}}}",
    ]


def _note(note: str) -> str:
    """A paragraph under the table; long names break where their parts end."""
    breaking = latex(note)
    for sign in ("\\_", "/", "="):
        breaking = breaking.replace(sign, f"{sign}\\allowbreak{{}}")
    return f"\\par\\smallskip{{\\sloppy\\raggedright\\footnotesize {breaking}\\par}}"


def _cite(citation: str) -> str:
    """What cites a row's sources; the file of BibTeX beside the table has their entries."""
    keys = ",".join(entry.key for entry in entries(citation))
    return f"~\\cite{{{keys}}}" if keys else ""


def _groups(columns: Sequence[Column]) -> list[str]:
    """A line of titles over several columns, each with a rule under it; none without groups."""
    cells, rules, first = [], [], 1
    for group, members in groupby(column.group for column in columns):
        count = len(list(members))
        if group:
            cells.append(f"\\multicolumn{{{count}}}{{c}}{{{latex(group)}}}")
            rules.append(f"\\cmidrule(lr){{{first}-{first + count - 1}}}")
        else:
            cells += [""] * count
        first += count
    return [latex_row(cells), " ".join(rules)] if rules else []


def latex_row(cells: Iterable[str]) -> str:
    """A line of a LaTeX table."""
    return " & ".join(cells) + " \\\\"


def latex_cell(cell: Cell, is_control: bool = False, widest: int = 0) -> str:
    """A cell with its marks.

    Args:
        cell: The cell.
        is_control: Whether its row is a control.
        widest: The most stars of the column: the room that stars take in each of its cells.
    """
    text = latex(cell.text)
    if text and cell.place:
        text = f"\\{'textbf' if cell.place == 'best' else 'underline'}{{{text}}}"
    if text and is_control:
        text = f"\\textit{{{text}}}"
    lacking = "*" * (widest - len(cell.stars))
    room = f"\\phantom{{$^{{{lacking}}}$}}" if text and lacking else ""
    return text + (f"$^{{{cell.stars}}}$" if cell.stars else "") + room


_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
    # After a line's end these would be its options.
    **{character: f"{{{character}}}" for character in "[]*"},
    MINUS: "$-$",
    "\\": "\\textbackslash{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "↑": "$\\uparrow$",
    "↓": "$\\downarrow$",
    "·": "$\\cdot$",
    "µ": "$\\mu$",
    "μ": "$\\mu$",
}


def latex(text: str) -> str:
    """Text in which no character means something to LaTeX."""
    escaped = "".join(_SPECIAL.get(character, character) for character in in_a_line(text))
    return escaped.replace("..", "--")
