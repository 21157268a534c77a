"""Stored runs with rows that are given, made without a network."""

import numpy as np
import pandas as pd

from bench.metrics.protocol import stored_protocol
from bench.storage.identity import Identity, without_paths
from bench.storage.records import record_of
from bench.storage.store import open_run

METRICS = ("insertion", "deletion", "mufidelity", "confidence")


def typed(parts):
    """An identity and a protocol of the nested dictionaries that `identity` gives."""
    parts = dict(parts)
    asked = stored_protocol(parts.pop("protocol"))
    method = dict(parts["method"])
    method["settings"] = without_paths(method.get("settings", {}))
    return record_of(Identity, parts | {"method": method}), asked


def protocol(**changes):
    """Settings of a protocol; a curve may have any length where nothing else is said of it.

    Args:
        changes: Of the protocol; by the name of a metric, its settings.
    """
    metrics = {"insertion": {"steps": -1}, "deletion": {"steps": -1}}
    metrics |= {name: changes.pop(name) for name in METRICS if name in changes}
    zero = {"baseline": {"kind": "zero"}}
    return {
        "name": "mine", "auc": "trapezoid", "score": "probability", "ties": "stable",
        "metrics": {name: zero | settings for name, settings in metrics.items()}, **changes,
    }  # fmt: skip


def identity(**changes):
    return {
        "dataset": {"name": "birds", "num_images": 3, "list_sha256": "a", "pixels_sha256": "b"},
        "backbone": {"name": "toy", "weights_sha256": "c"},
        "explain": {"score": "probability"},
        "method": {"name": "rise", "version": 1, "settings": {"num_masks": 4}},
        "protocol": protocol(),
        "seed": 0,
        "precision": "fp32",
        **changes,
    }  # fmt: skip


def rows(*names, insertion=(0.0, 0.5, 1.0), deletion=(1.0, 0.25, 0.0)):
    return pd.DataFrame(
        {
            "image_id": list(names),
            "target": 1,
            "prediction": [1] * (len(names) - 1) + [0],
            "clean_score": np.float32(1),
            "baseline_score": np.float32(0),
            "insertion_curve": [np.array(insertion, np.float32)] * len(names),
            "deletion_curve": [np.array(deletion, np.float32)] * len(names),
            "tied_fraction": np.float32(0.5),
            "seconds": np.float32(0.1),
        }
    )


def begin(folder, label=None, **changes):
    run = open_run(folder, *typed(identity(**changes)), {"seed": 0}, {"python": "3"})
    if label:
        run.set_label("board", label)
    return run
