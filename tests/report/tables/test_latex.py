from compiled import needs_latex, overfull_boxes
from leaderboard_rows import board, shown

from bench.report.tables import to_latex


def test_latex_marks():
    text = to_latex(shown(board()))
    assert "\\textbf{0.70000}\\phantom{$^{***}$} &" in text
    assert "\\textit{center} & \\textit{0.90000}$^{***}$ &" in text
    assert "\\underline{0.60004}$^{**}$\\phantom{$^{*}$} &" in text
    assert " & 0.60001$^{*}$\\phantom{$^{**}$} &" in text
    assert "p $<$ 0.05" in text
    assert "ties" not in text


@needs_latex
def test_latex_compiles(tmp_path):
    names = ["[red] \\input{/etc/passwd} $x^2_i$", "*star", "100 % & #1 ~ <a|b>", "ctrl {x}"]
    table = board(method=names, notes=["[x] \\\\ 50 %", None, None, None])
    assert overfull_boxes(tmp_path, to_latex(shown(table, "b_%")), "10pt") == []
