"""Executes notebooks again, and writes them with their outputs.

    python scripts/execute_notebook.py examples/*.ipynb

Fails at a cell that raises or that writes to the error output. Pictures become JPEGs of a size that
a repository can bear.
"""

import base64
import io
import os
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from PIL import Image

WIDEST = 900
"""Pixels of a picture."""


def execute(notebook: nbformat.NotebookNode) -> None:
    """Runs all cells in a new folder; raises at the first that fails."""
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
        ).execute()


def errors_told(notebook: nbformat.NotebookNode) -> list[str]:
    """What cells wrote to the error output: a reader would stumble over it."""
    return [
        output["text"]
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if output.get("name") == "stderr"
    ]


def shrink(data: dict[str, str]) -> None:
    """Replaces the PNG of an output by a JPEG."""
    png = data.pop("image/png", None)
    if png is None:
        return
    picture = Image.open(io.BytesIO(base64.b64decode(png))).convert("RGB")
    picture.thumbnail((WIDEST, 10 * WIDEST))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80, optimize=True)
    data["image/jpeg"] = base64.b64encode(buffer.getvalue()).decode()


def execute_file(path: Path) -> None:
    """Executes and writes one notebook; exits with a message if a cell fails."""
    start = time.perf_counter()
    notebook = nbformat.read(path, as_version=4)
    try:
        execute(notebook)
    except CellExecutionError as error:
        sys.exit(f"{path}: a cell failed: {error}")
    if told := errors_told(notebook):
        sys.exit(f"{path}: expected nothing on the error output, found: {told[0].strip()}")
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        for output in cell.get("outputs", ()):
            shrink(output.get("data", {}))
    path.write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")
    print(f"{path}: {time.perf_counter() - start:.0f} s")


def main(paths: list[str]) -> None:
    """Executes and writes each notebook."""
    os.environ["PYTHONWARNINGS"] = "ignore"  # what packages say of a kernel without widgets
    for path in paths:
        execute_file(Path(path))


if __name__ == "__main__":
    main(sys.argv[1:])
