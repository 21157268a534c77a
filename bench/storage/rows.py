"""What stored rows must be, so that nothing else is ever taken for them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

ROW_COLUMNS = {
    "image_id": "The image, as the data set names it",
    "image_label": "The class that the data set gives the image",
    "target": "The class whose score was read",
    "prediction": "The class that the network gives the image",
    "clean_score": "The score of the image as it is",
    "tied_fraction": "Share of the map's pixels whose value another pixel has, too",
    "seconds": "Time that map and metrics took",
}
"""Of every row, whatever its protocol measures, with what each holds; the columns of its metrics
come on top."""

IDENTITY_COLUMNS = {
    "run_key": "The run that the row is of",
    "benchmark": "The data set",
    "backbone": "The network that scores",
    "protocol": "The protocol",
    "protocol_hash": "A hash over the protocol's settings",
    "method": "The method",
    "seed": "The seed of all draws",
}
"""What says whose a row is, with what each holds."""

_INTEGERS = ("target", "prediction")
_NUMBERS = ("tied_fraction", "map_seconds", "seconds")
COMMON_COLUMNS = ("image_id", *_INTEGERS, *_NUMBERS)
"""Of every part: `map_seconds` is the time that the map took, `seconds` that of the metric."""


def fault_of_rows(
    rows: pd.DataFrame,
    columns: Mapping[str, int | None],
    key: str,
    *,
    scored: bool,
    labelled: bool = False,
) -> str | None:
    """What keeps a table from being a metric's rows; None: nothing.

    Args:
        rows: A part as it was read.
        columns: What the metric stores: the points of a curve (0: any number), or None for a
            number.
        key: Of the rows.
        scored: Whether there must be a clean score.
        labelled: Whether there must be a label.
    """
    clean = ("clean_score",) if scored else ()
    integers = (*_INTEGERS, *(("image_label",) if labelled else ()))
    expected = (*COMMON_COLUMNS, *integers, *clean, *columns, "rows_key")
    missing = [name for name in dict.fromkeys(expected) if name not in rows]
    if missing:
        return f"it lacks the columns {', '.join(missing)}"
    if not all(isinstance(image_id, str) for image_id in rows["image_id"]):
        return "image_id: expected text"
    if not len(rows) or rows["image_id"].duplicated().any():
        return "expected one row an image"
    if not (rows["rows_key"] == key).all():
        return "its rows are another run's"
    for column in (*integers, *_NUMBERS, *clean):
        kinds = "iu" if column in integers else "iuf"
        if rows[column].dtype.kind not in kinds or not np.isfinite(rows[column]).all():
            return f"{column}: expected finite numbers, found {rows[column].dtype} or NaN in it"
    for column, points in columns.items():
        is_number = points is None
        fault = (
            _fault_of_values(rows[column]) if is_number else _fault_of_curves(rows[column], points)
        )
        if fault:
            return fault
    return None


def _fault_of_values(values: pd.Series) -> str | None:
    """NaN says that a metric does not apply to an image."""
    if values.dtype.kind not in "iuf" or np.isinf(values).any():
        return f"{values.name}: expected numbers, found {values.dtype} or infinity in it"
    return None


def _fault_of_curves(curves: pd.Series, length: int | None) -> str | None:
    """A curve of NaN alone says that a metric does not apply to an image."""
    if not all(isinstance(curve, np.ndarray) and curve.dtype.kind == "f" for curve in curves):
        return f"{curves.name}: expected lists of numbers"
    lengths = {len(curve) for curve in curves}
    if len(lengths) > 1 or length not in (0, *lengths):
        return f"{curves.name}: expected {length or 'as many'} points each, found {lengths}"
    points = np.stack(curves.tolist())
    if not (np.isfinite(points).all(axis=1) | np.isnan(points).all(axis=1)).all():
        return f"{curves.name}: holds NaN or infinite scores"
    return None
