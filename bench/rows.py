"""What a stored row must be, so that nothing else is ever taken for one."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity
from bench.metrics.protocol import Perturbation

ROW_COLUMNS = (
    "image_id target prediction clean_score baseline_score insertion_curve deletion_curve "
    "tied_fraction seconds"
).split()

_INTEGERS = ("target", "prediction")
_NUMBERS = ("clean_score", "baseline_score", "tied_fraction", "seconds")


def curve_lengths(identity: Mapping[str, Any]) -> dict[str, int | None]:
    """By column, the points of the curves that a run stores; None: its identity does not say.

    Args:
        identity: Of the run.
    """
    protocol = identity["protocol"]
    size = identity["backbone"].get("preprocessing", {}).get("size")
    lengths = {f"{way}_curve": _points(protocol[way], size) for way in ("insertion", "deletion")}
    if "confidence" in protocol:
        lengths[Confidence.column] = protocol["confidence"]["steps"] + 1
    return lengths


def fault_of_rows(rows: pd.DataFrame, identity: Mapping[str, Any], key: str) -> str | None:
    """What keeps a table from being rows of a run; None: nothing.

    Args:
        rows: A part as it was read.
        identity: Of the run.
        key: Of the run.
    """
    curves = curve_lengths(identity)
    measured = [MuFidelity.column] if "mufidelity" in identity["protocol"] else []
    missing = [own for own in (*ROW_COLUMNS, *curves, *measured, "run_key") if own not in rows]
    if missing:
        return f"it lacks the columns {', '.join(missing)}"
    if not all(isinstance(own, str) for own in rows["image_id"]):
        return "image_id: expected text"
    if not len(rows) or rows["image_id"].duplicated().any():
        return "expected one row an image"
    if not (rows["run_key"] == key).all():
        return "its rows are another run's"
    for column in (*_INTEGERS, *_NUMBERS, *measured):
        kinds = "iu" if column in _INTEGERS else "iuf"
        if rows[column].dtype.kind not in kinds or not np.isfinite(rows[column]).all():
            return f"{column}: expected finite numbers, found {rows[column].dtype} or NaN in it"
    faults = (_fault_of_curves(rows[own], length) for own, length in curves.items())
    return next((fault for fault in faults if fault), None)


def _points(perturbation: Mapping[str, Any], size: int | None) -> int | None:
    """The points of a curve; those of one whose steps are counted in pixels depend on the size."""
    settings = {key: own for key, own in perturbation.items() if key != "baseline"}
    if size is None and settings.get("steps") in (None, -1):
        return None
    return len(Perturbation(None, **settings).counts(size or 1, size or 1))


def _fault_of_curves(curves: pd.Series, length: int | None) -> str | None:
    if not all(isinstance(own, np.ndarray) and own.dtype.kind == "f" for own in curves):
        return f"{curves.name}: expected lists of numbers"
    lengths = {len(own) for own in curves}
    if len(lengths) > 1 or length not in (None, *lengths):
        return f"{curves.name}: expected {length or 'as many'} points each, found {lengths}"
    if not np.isfinite(np.stack(curves.tolist())).all():
        return f"{curves.name}: holds NaN or infinite scores"
    return None
