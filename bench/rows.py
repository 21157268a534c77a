"""What a stored row must be, so that nothing else is ever taken for one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.protocol import stored_protocol

ROW_COLUMNS = "image_id target prediction clean_score tied_fraction seconds".split()
"""Of every row, whatever its protocol measures; the columns of metrics go before the ties."""

_INTEGERS = ("target", "prediction")
_NUMBERS = ("clean_score", "tied_fraction", "seconds")


def metric_columns(identity: Mapping[str, Any]) -> dict[str, int | None]:
    """The columns of a run's metrics: the points of a curve, or None for a number an image.

    Args:
        identity: Of the run. Where it does not say how large the network's inputs are, a curve
            whose length depends on that has 0 points: any number will do.
    """
    protocol = stored_protocol(identity["protocol"])
    side = identity["backbone"].get("preprocessing", {}).get("size")
    sides = (side, side) if side else (1, 2)
    found: dict[str, int | None] = {}
    for metric in protocol.metrics.values():
        small, large = (metric.columns((length, length)) for length in sides)
        found |= {name: points if large[name] == points else 0 for name, points in small.items()}
    return found


def fault_of_rows(rows: pd.DataFrame, identity: Mapping[str, Any], key: str) -> str | None:
    """What keeps a table from being rows of a run; None: nothing.

    Args:
        rows: A part as it was read.
        identity: Of the run.
        key: Of the run.
    """
    measured = metric_columns(identity)
    missing = [name for name in (*ROW_COLUMNS, *measured, "run_key") if name not in rows]
    if missing:
        return f"it lacks the columns {', '.join(missing)}"
    if not all(isinstance(image_id, str) for image_id in rows["image_id"]):
        return "image_id: expected text"
    if not len(rows) or rows["image_id"].duplicated().any():
        return "expected one row an image"
    if not (rows["run_key"] == key).all():
        return "its rows are another run's"
    values = [name for name, points in measured.items() if points is None]
    for column in (*_INTEGERS, *_NUMBERS, *values):
        kinds = "iu" if column in _INTEGERS else "iuf"
        if rows[column].dtype.kind not in kinds or not np.isfinite(rows[column]).all():
            return f"{column}: expected finite numbers, found {rows[column].dtype} or NaN in it"
    curves = {name: points for name, points in measured.items() if points is not None}
    faults = (_fault_of_curves(rows[name], points) for name, points in curves.items())
    return next((fault for fault in faults if fault), None)


def _fault_of_curves(curves: pd.Series, length: int) -> str | None:
    if not all(isinstance(own, np.ndarray) and own.dtype.kind == "f" for own in curves):
        return f"{curves.name}: expected lists of numbers"
    lengths = {len(own) for own in curves}
    if len(lengths) > 1 or length not in (0, *lengths):
        return f"{curves.name}: expected {length or 'as many'} points each, found {lengths}"
    if not np.isfinite(np.stack(curves.tolist())).all():
        return f"{curves.name}: holds NaN or infinite scores"
    return None
