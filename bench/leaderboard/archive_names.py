"""What the Papers with Code archive calls published tables, their columns and methods."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml

from bench.leaderboard.published import PublishedCell, recorded_cells, shipped_tables


def same_name(name: str) -> str:
    """A name without what makes no difference: case, spaces, dashes and underscores.

    Args:
        name: Any text.

    Example:
        >>> same_name("Grad-CAM"), same_name("grad cam"), same_name("Grad-CAM++")
        ('gradcam', 'gradcam', 'gradcam++')
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    return re.sub(r"[\s_\-\u2010-\u2015\u2212]", "", folded)


@dataclass(frozen=True)
class TableNames:
    """What the archive calls a table of ours and its columns.

    Attributes:
        table: A file of results/published, without its ending.
        task: Of the archive.
        dataset: Of the archive.
        columns: By a column's `same_name` there, metric and network here.
        of_all: What all cells of the table share: `paper`, `leaderboard`, `benchmark`, `subset`.

    Example:
        >>> names = archive_tables()["imageattribution", "celeba"]
        >>> names.table, names.columns[same_name("Deletion AUC score (ArcFace ResNet-101)")]
        ('celeba', ('deletion_auc', 'ArcFace ResNet-101'))
    """

    table: str
    task: str
    dataset: str
    columns: Mapping[str, tuple[str, str]]
    of_all: PublishedCell


@cache
def archive_tables() -> dict[tuple[str, str], TableNames]:
    """By the `same_name` of task and data set, the table that a board of the archive is.

    Example:
        >>> archive_tables()["errorunderstanding", "cub2002011"].table
        'cub_errors'
    """
    found = {}
    for table in shipped_tables():
        names = _names_of(table)
        found[same_name(names.task), same_name(names.dataset)] = names
    return found


def _names_of(table: str) -> TableNames:
    known = _known()["tables"].get(table, {})
    cells = list(recorded_cells(table, folders=()).values())
    backbones = {cell.backbone for cell in cells}.union(known.get("backbones", ()))
    columns = {
        same_name(f"{name} ({backbone})"): (metric, backbone)
        for metric in sorted({cell.metric for cell in cells})
        for backbone in sorted(backbones)
        for name in (metric, *_known()["metrics"].get(metric, ()))
    }
    task = known.get("task", cells[0].leaderboard)
    return TableNames(table, task, known.get("dataset", cells[0].benchmark), columns, cells[0])


def archive_column(metric: str, backbone: str) -> str:
    """What the archive calls a column.

    Args:
        metric: As `PublishedCell.metric`.
        backbone: As `PublishedCell.backbone`.

    Example:
        >>> archive_column("deletion_auc", "ResNet-101")
        'Deletion AUC score (ResNet-101)'
    """
    name = _known()["metrics"].get(metric, [metric])[0]
    return f"{name} ({backbone})"


@cache
def archive_methods() -> dict[str, str]:
    """By the `same_name` of a method there, what the tables here call it.

    Example:
        >>> archive_methods()[same_name("HSIC-Attribution Method")]
        'HSIC-Attribution'
    """
    recorded = {
        cell.method
        for table in shipped_tables()
        for cell in recorded_cells(table, folders=()).values()
    }
    found = {same_name(method): method for method in sorted(recorded)}
    for method, names in _known()["methods"].items():
        found |= {same_name(name): method for name in names}
    return found


@cache
def is_share(metric: str) -> bool:
    """Whether all values on record of a metric lie in 0..1, so that per cent are divided by 100.

    Args:
        metric: As `PublishedCell.metric`.

    Example:
        >>> is_share("max_box_acc_v2")
        True
    """
    return all(
        float(cell.value) <= 1
        for table in shipped_tables()
        for cell in recorded_cells(table, folders=()).values()
        if cell.metric == metric and cell.value
    )


@cache
def _known() -> Mapping[str, Any]:
    file = resources.files("bench.published") / "names.yaml"
    content: Mapping[str, Any] = yaml.safe_load(file.read_text(encoding="utf-8"))
    return content
