"""The notebooks of examples/, as `make notebook` wrote them; CI runs it, too."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def code_cells(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_there_are_three():
    assert [path.stem for path in NOTEBOOKS] == [
        "audit_of_a_method", "my_method_against_the_field", "read_and_plot_stored_rows",
    ]  # fmt: skip


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_shown_as_it_ran(path):
    cells = code_cells(path)
    assert [cell.execution_count for cell in cells] == [*range(1, len(cells) + 1)]
    outputs = [output for cell in cells for output in cell.outputs]
    assert not [output for output in outputs if output.output_type == "error"]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert [output for output in outputs if "image/jpeg" in output.get("data", {})]
    assert [output for output in outputs if "text/html" in output.get("data", {})]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_small_and_names_no_machine(path):
    assert path.stat().st_size < 1_000_000
    text = re.sub(r'"image/jpeg": "[^"]*"', "", path.read_text(encoding="utf-8"))
    assert re.search(r"/(home|root|tmp|work|Users)/|site-packages", text) is None


def test_no_figure_is_shown_by_its_name_alone():
    """As one is where matplotlib was not told of the notebook before."""
    for path in NOTEBOOKS:
        for cell in code_cells(path):
            for output in cell.outputs:
                data = output.get("data", {})
                assert "image/jpeg" in data or not data.get("text/plain", "").startswith("<Figure")
