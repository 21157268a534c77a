"""The cells of published tables."""

import csv
from importlib import resources


def published_cells(table: str, backbone: str) -> dict[str, dict[str, float]]:
    """The cells of one network in a published table.

    Args:
        table: A file of results/published, without its ending.
        backbone: The network's name there.

    Returns:
        Method -> column there (`Statistic.published`) -> value, in the order of the file. Cells
        that are blank on record are left out.

    Example:
        >>> published_cells("cub", "ResNet-101")["LIME"]
        {'deletion_auc': 0.107, 'insertion_auc': 0.6812}
    """
    cells: dict[str, dict[str, float]] = {}
    for row in _rows(table):
        if row["backbone"] == backbone:
            of_method = cells.setdefault(row["method"], {})
            if row["value"]:
                of_method[row["metric"]] = float(row["value"])
    return cells


def published_subset(table: str) -> str | None:
    """`correct` or `misclassified`, if a published table is known to be of such images alone.

    Args:
        table: A file of results/published, without its ending.

    Example:
        >>> published_subset("cub"), published_subset("cub_errors"), published_subset("wsol")
        ('correct', 'misclassified', None)
    """
    subsets = {row["subset"] for row in _rows(table)}
    return subsets.pop() if subsets in ({"correct"}, {"misclassified"}) else None


def _rows(table: str) -> list[dict[str, str]]:
    file = resources.files("bench.published") / f"{table}.csv"
    return list(csv.DictReader(file.read_text(encoding="utf-8").splitlines()))
