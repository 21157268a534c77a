"""Executes docs/notebook.ipynb again, and writes it with its outputs.

    python scripts/execute_notebook.py docs/notebook.ipynb

Pictures become JPEGs of a size that a repository can bear.
"""

import base64
import io
import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from PIL import Image

WIDEST = 900
"""Pixels of a picture."""


def execute(notebook: nbformat.NotebookNode, folder: str) -> None:
    """Runs all cells in a folder; raises at the first that fails."""
    NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()


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


def main(path: str) -> None:
    """Executes and writes one notebook."""
    os.environ["PYTHONWARNINGS"] = "ignore"  # what packages say of a kernel without widgets
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        execute(notebook, folder)
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)  # times of day
        for output in cell.get("outputs", ()):
            shrink(output.get("data", {}))
    Path(path).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
