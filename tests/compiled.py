"""LaTeX as a paper has it, compiled where there is a TeX."""

import shutil
import subprocess
from pathlib import Path

import pytest

needs_latex = pytest.mark.skipif(
    shutil.which("pdflatex") is None,
    reason="no pdflatex: apt-get install texlive-latex-recommended",
)


def overfull_boxes(folder: Path, body: str, options: str = "twocolumn") -> list[str]:
    """Compiles a document; returns what its log says of boxes that are too wide or too high.

    Args:
        folder: Where it goes.
        body: What stands in the document.
        options: Of the class article.
    """
    head = f"\\documentclass[{options}]{{article}}\\usepackage{{booktabs,graphicx}}"
    (folder / "t.tex").write_text(f"{head}\\begin{{document}}\n{body}\\end{{document}}\n")
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "t.pdf").exists()
    log = (folder / "t.log").read_text(encoding="latin-1")
    return [line for line in log.splitlines() if line.startswith("Overfull")]
