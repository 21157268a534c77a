"""Rows that may be compared with each other, image by image."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.identity import ROW_KEYS
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity
from bench.store import Run, curve_areas

HIGHER_IS_BETTER = {"insertion": True, "deletion": False, "mufidelity": True, "confidence": True}
"""The metrics that every image has a value of, and which way is up."""


@dataclass(frozen=True)
class Comparison:
    """Methods on the same images, with the same weights, under the same protocol.

    Only complete rows are in it: every method has every image.

    Attributes:
        key: What the rows share, as a hash; see `comparison_key`.
        runs: By the names of their rows, best mean insertion AUC first.
        controls: Rows of methods that know nothing, or nothing more than another row: the name of
            that other row, or None where the control holds for every method.
        rule: The AUC rule, a key of `bench.metrics.auc.AUC_RULES`.
    """

    key: str
    runs: Mapping[str, Run]
    controls: Mapping[str, str | None]
    rule: str

    @property
    def identity(self) -> dict[str, Any]:
        """That of any run; `dataset`, `backbone` and `protocol` are the same in all."""
        return next(iter(self.runs.values())).identity

    @property
    def title(self) -> str:
        """See `comparison_title`."""
        return comparison_title(self.identity)

    @property
    def image_ids(self) -> list[str]:
        """The n images, sorted."""
        return next(iter(self.rows.values()))["image_id"].tolist()

    @cached_property
    def rows(self) -> dict[str, pd.DataFrame]:
        """By method, its n rows as `Run.rows` gives them, ordered by image id."""
        return {name: run.rows() for name, run in self.runs.items()}

    @property
    def metrics(self) -> list[str]:
        """The keys of `HIGHER_IS_BETTER` that the protocol measures."""
        optional = {"mufidelity": MuFidelity.column, "confidence": Confidence.column}
        first = next(iter(self.rows.values()))
        return [own for own in HIGHER_IS_BETTER if optional.get(own, "image_id") in first]

    def values(self, metric: str) -> pd.DataFrame:
        """What each image gives each method.

        Args:
            metric: One of `metrics`. `insertion` and `deletion` are areas under the curves,
                `confidence` the highest of the whole curve.

        Returns:
            (n, m) float64, image ids down, methods across in the order of `runs`.
        """
        columns = {name: self._values(name, metric) for name in self.runs}
        return pd.DataFrame(columns, index=pd.Index(self.image_ids, name="image_id"))

    def finite_values(self, metric: str) -> pd.DataFrame:
        """As `values`, of the images that every method has a finite value of.

        An area relative to a clean score of zero is not finite. Whoever uses this tells how many
        images it leaves out: `bench.leaderboard.sanity.undefined_areas`.

        Args:
            metric: One of `metrics`.
        """
        values = self.values(metric)
        return values[np.isfinite(values).all(axis=1)]

    def curves(self, method: str, direction: str) -> NDArray[np.float32]:
        """Scores (n, S+1) along the curves of one method.

        Args:
            method: A key of `runs`.
            direction: `insertion` or `deletion`.
        """
        return np.stack(self.rows[method][f"{direction}_curve"].tolist())

    def _values(self, method: str, metric: str) -> NDArray[np.float64]:
        rows = self.rows[method]
        if metric == "mufidelity":
            return rows[MuFidelity.column].to_numpy(np.float64)
        if metric == "confidence":
            settings = self.identity["protocol"]["confidence"]
            curves = np.stack(rows[Confidence.column].tolist())
            return Confidence(settings["steps"], settings["whole_image"]).highest(curves, 100)
        return curve_areas(self.runs[method], rows, metric, self.rule)


def comparisons(runs: Sequence[Run], name: str, auc: str | None = None) -> list[Comparison]:
    """The complete rows of a leaderboard, in sets that may be compared.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard, for the rows' names.
        auc: A key of `bench.metrics.auc.AUC_RULES`; each protocol's own rule if None.

    Returns:
        One for each set that has a complete row, ordered by title.
    """
    names, sets = row_names(runs, name), defaultdict(dict)
    for run in runs:
        if len(run.image_ids()) == run.num_images:
            sets[comparison_key(run.identity)][names[run.manifest["key"]]] = run
    found = []
    for key, own in sets.items():
        rule = auc or next(iter(own.values())).identity["protocol"]["auc"]
        unsorted = Comparison(key, own, {}, rule)
        order = (
            unsorted.finite_values("insertion").mean().sort_values(ascending=False, kind="stable")
        )
        ranked = {method: own[method] for method in order.index}
        found.append(Comparison(key, ranked, _controls(ranked), rule))
    return sorted(found, key=lambda comparison: comparison.title)


def comparison_key(identity: Mapping[str, Any]) -> str:
    """Hash over what two rows must share for their ranks to mean anything.

    Args:
        identity: Of a run.
    """
    shared = json.dumps([identity[part] for part in ("dataset", "backbone", "protocol")])
    return hashlib.sha256(shared.encode()).hexdigest()[:8]


def comparison_title(identity: Mapping[str, Any]) -> str:
    """Benchmark, backbone and protocol.

    Args:
        identity: Of a run.
    """
    return " · ".join(identity[part]["name"] for part in ("dataset", "backbone", "protocol"))


def extremes(comparison: Comparison, method: str) -> dict[str, str]:
    """The images that a method does best, typically and worst on.

    Images are put in order by insertion minus deletion, equal ones by their ids.

    Args:
        comparison: What the method is compared in.
        method: A key of its `runs`.

    Returns:
        `best`, `typical` (the median; of an even number the lower middle) and `worst` -> image
        id. All three are always there: of one or two images some are the same.
    """
    rows, run = comparison.rows[method], comparison.runs[method]
    insertion, deletion = (
        curve_areas(run, rows, direction, comparison.rule)
        for direction in ("insertion", "deletion")
    )
    values = pd.Series(insertion - deletion, index=rows["image_id"])  # image ids are sorted
    finite = values[np.isfinite(values)]  # where a rule gives no value, no image is best or worst
    order = (finite if len(finite) else values).sort_values(ascending=False, kind="stable").index
    return {"best": order[0], "typical": order[len(order) // 2], "worst": order[-1]}


def row_names(runs: Sequence[Run], name: str) -> dict[str, str]:
    """Names of rows by run key: their labels, and what differs where labels collide.

    Args:
        runs: The runs of a leaderboard.
        name: The leaderboard.
    """
    collisions = defaultdict(list)
    for run in runs:
        collisions[comparison_key(run.identity), run.manifest["labels"][name]].append(run)
    names = {}
    for (_, label), same in collisions.items():
        settings = [_flatten(run.identity) for run in same]
        every = sorted(set().union(*settings))
        differing = [k for k in every if len({str(s.get(k)) for s in settings}) > 1]
        for run, own in zip(same, settings, strict=True):
            told = [f"{key.rpartition('.')[2]}={own.get(key)}" for key in differing]
            names[run.manifest["key"]] = f"{label} ({', '.join(told)})" if told else label
    return names


def is_control(run: Run) -> bool:
    """Whether a run's method is one of `bench.attribution.control`."""
    settings = run.identity["method"].get("settings", {})
    return str(settings.get("_target_", "")).startswith("bench.attribution.control.")


def _controls(runs: Mapping[str, Run]) -> dict[str, str | None]:
    """The controls among runs, and the row that each changes."""
    settings = {name: run.identity["method"].get("settings", {}) for name, run in runs.items()}
    found = {}
    for name in filter(lambda own: is_control(runs[own]), runs):
        of = settings[name].get("of")
        if of is None:
            found[name] = None
            continue
        bare = {key: value for key, value in of.items() if key not in ROW_KEYS}
        # A control of a method that is not in the table says nothing of those that are.
        found[name] = next((other for other, own in settings.items() if own == bare), name)
    return found


def _flatten(identity: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat = {}
    for key, value in identity.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif (prefix, key) != ("method.", "name"):
            flat[prefix + key] = value
    return flat
