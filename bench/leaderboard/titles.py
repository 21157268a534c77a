"""What rows are called in tables for papers: Grad-CAM, not grad_cam."""

from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import yaml

from bench.storage.identity import without_paths
from bench.storage.row_names import row_names
from bench.storage.store import Run


def row_titles(runs: Sequence[Run], name: str) -> dict[str, str]:
    """Titles of rows by run key.

    A title is that of the method's configuration (`title:`). A row whose label somebody chose
    keeps it, and what tells rows of one label apart stands behind the title.

    Args:
        runs: The runs of a leaderboard.
        name: The leaderboard.

    Returns:
        By run key, text without markup.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> runs = list(example_comparison().runs.values())
        >>> list(row_titles(runs, "example").values())
        ['RISE', 'Grad-CAM', 'Random']
    """
    names = row_names(runs, name)
    return {run.key: _title(run, run.label(name), names[run.key]) for run in runs}


def _title(run: Run, label: str, row: str) -> str:
    method = run.identity.method
    shipped = _shipped().get(method.name, {})
    if shipped.get("kind") != method.kind:  # somebody else's method of that name
        shipped = {}
    nodes = run.manifest.config.get("method")
    node = nodes.get(method.name) if isinstance(nodes, Mapping) else None
    given = node.get("title") if isinstance(node, Mapping) else None
    title = given or shipped.get("title")
    is_relabelled = title == shipped.get("title") and label != shipped.get("label")
    if not isinstance(title, str) or not title or is_relabelled:
        return row
    return f"{title}{row.removeprefix(label)}"


@cache
def _shipped() -> dict[str, dict[str, Any]]:
    """The shipped methods' configurations by name."""
    found: dict[str, dict[str, Any]] = {}
    for file in (resources.files("bench.conf") / "method").iterdir():
        if file.name.endswith(".yaml"):
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
            found |= {name: without_paths(node) for name, node in content.items()}
    return found
