"""The cells of published tables."""

import csv
from importlib import resources

METRICS = {
    "insertion": "insertion_auc",
    "deletion": "deletion_auc",
    "confidence": "avg_highest_conf",
}
"""What our tables call a metric -> what the published ones do."""


def published_cells(table: str, backbone: str) -> dict[str, dict[str, float]]:
    """The cells of one network in a published table.

    Args:
        table: A file of results/published, without its ending.
        backbone: The network's name there.

    Returns:
        Method -> key of `METRICS` -> value, in the order of the file. Cells that are blank on
        record are left out.
    """
    file = resources.files("bench.published") / f"{table}.csv"
    names = {theirs: ours for ours, theirs in METRICS.items()}
    cells: dict[str, dict[str, float]] = {}
    for row in csv.DictReader(file.read_text(encoding="utf-8").splitlines()):
        if row["backbone"] == backbone:
            own = cells.setdefault(row["method"], {})
            if row["value"]:
                own[names[row["metric"]]] = float(row["value"])
    return cells


def published_subset(table: str) -> str | None:
    """Whether a published table is of `correct` or `misclassified` images; None: not on record."""
    file = resources.files("bench.published") / f"{table}.csv"
    rows = csv.DictReader(file.read_text(encoding="utf-8").splitlines())
    subsets = {row["subset"] for row in rows}
    return subsets.pop() if len(subsets) == 1 else None
