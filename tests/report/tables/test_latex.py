import shutil
import subprocess

import pytest
from leaderboard_rows import board, shown

from bench.report.tables import to_latex


def test_latex_marks():
    text = to_latex(shown(board()))
    assert "\\textbf{0.7000} &" in text
    assert "\\underline{0.6000}\\rlap{$^{**}$} &" in text
    assert "\\textit{center} & \\textit{0.9000}\\rlap{$^{***}$} &" in text
    assert "p $<$ 0.05" in text
    assert "ties" not in text


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="no LaTeX here")
def test_latex_compiles(tmp_path):
    names = ["[red] \\input{/etc/passwd} $x^2_i$", "*star", "100 % & #1 ~ <a|b>", "ctrl {x}"]
    table = board(method=names, notes=["[x] \\\\ 50 %", None, None, None])
    head = "\\documentclass{article}\\usepackage{booktabs}\\begin{document}\n"
    (tmp_path / "t.tex").write_text(head + to_latex(shown(table, "b_%")) + "\\end{document}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "t.pdf").exists()
