"""Tables as LaTeX."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from bench.leaderboard.table import Leaderboard
from bench.report.tables.table import (
    Cell,
    Column,
    Table,
    in_a_line,
    leaderboard_tables,
    method_with_notes,
    remarks_on,
)


def to_latex(leaderboard: Leaderboard, remarks: Sequence[str] = ()) -> str:
    """The leaderboard's tables for papers; needs the package booktabs.

    The page is narrow: what a reader can take or subtract is left out (`Column.left_out_of`).

    Args:
        leaderboard: See `bench.leaderboard.table.leaderboard`.
        remarks: Lines that follow the tables, as comments.
    """
    lines = [f"% {in_a_line(leaderboard.name)}: needs \\usepackage{{booktabs}}"]
    for table in leaderboard_tables(leaderboard).values():
        lines += latex_table(table.for_format("latex"))
    comments = [f"% {in_a_line(remark)}" for remark in remarks_on(leaderboard, remarks)]
    return "\n".join([*lines, *comments]) + "\n"


def latex_table(table: Table, environment: str = "table") -> list[str]:
    """The lines of a table with its caption and what stands under it.

    Args:
        table: The table.
        environment: `table`, or `table*` over both columns of a page.
    """
    align = "".join(
        "r" if column.kind in ("number", "interval") else "l" for column in table.columns
    )
    rows = [
        latex_row(
            latex_cell(method_with_notes(column, cell, row), row.is_control)
            for column, cell in zip(table.columns, row.cells, strict=True)
        )
        for row in table.rows
    ]
    return [
        f"\\begin{{{environment}}}",
        "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
        f"\\caption{{{latex(table.title)}}}",
        f"\\begin{{tabular}}{{{align}}}",
        "\\toprule",
        *_groups(table.columns),
        latex_row(latex(column.title) for column in table.columns),
        "\\midrule",
        *rows,
        "\\bottomrule",
        "\\end{tabular}",
        *(f"\\\\{{\\footnotesize {latex(note)}}}" for note in table.notes),
        f"\\end{{{environment}}}",
    ]


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


def latex_cell(cell: Cell, is_control: bool = False) -> str:
    """A cell with its marks; stars take no room, so that numbers stay aligned."""
    text = latex(cell.text)
    if text and cell.place:
        text = f"\\{'textbf' if cell.place == 'best' else 'underline'}{{{text}}}"
    if text and is_control:
        text = f"\\textit{{{text}}}"
    return text + (f"\\rlap{{$^{{{cell.stars}}}$}}" if cell.stars else "")


_SPECIAL = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{character: f"${character}$" for character in "<>|"},
    # After a line's end these would be its options.
    **{character: f"{{{character}}}" for character in "[]*"},
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
