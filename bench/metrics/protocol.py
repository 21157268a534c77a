"""Protocols: named sets of metrics, with the score and the tie rule that they go by."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.datasets.annotation import NEEDS
from bench.errors import BenchError, require_known, require_settings, require_text
from bench.metrics.auc import AUC_RULES
from bench.metrics.metric import Metric
from bench.metrics.perturbation import TIE_RULES
from bench.metrics.pixel_curve import AreaUnderCurve, PixelCurve
from bench.metrics.registry import (
    SIZE,
    declaration,
    declared_metric,
    is_shipped,
    metric_from_settings,
    metric_settings,
    shipped_files,
)
from bench.metrics.statistic import Statistic
from bench.metrics.thresholded_boxes import ThresholdedBoxes
from bench.score import SCORES
from bench.target import LABEL, Target, require_target


@dataclass(frozen=True)
class Protocol:
    """What is measured of maps: everything but the model, the image and the map.

    Attributes:
        name: Its name. Shipped names are frozen: a change needs a name of its own.
        score: What is read off the model for the target: a key of `SCORES`.
        ties: How equal values of a map are ordered: one of `TIE_RULES`.
        auc: How a curve becomes a number: a key of `AUC_RULES`. It decides how stored curves are
            read, not what is stored.
        metrics: By name, in the order of tables; the first one's first statistic ranks methods.
        citation: Where it comes from, as "Author et al. 2020, arXiv 2001.00001"; no part of what
            is set.
        added: Names of metrics that are no part of it but are measured beside its own; see
            `protocol_with`.
        target: Whose score is read: `label`, `prediction` (what the network takes the clean image
            for) or the number of a class.

    Raises:
        BenchError: A score, rule or name is unknown, or there is no metric.

    Example:
        >>> protocol = load_protocol("xplique")
        >>> protocol.score, protocol.ties, protocol.auc, list(protocol.metrics)
        ('output', 'numpy_1_23', 'trapezoid', ['insertion', 'deletion'])
        >>> protocol.hash == protocol_on(protocol, "prediction").hash
        False
    """

    name: str
    score: str
    ties: str
    auc: str
    metrics: Mapping[str, Metric]
    citation: str = field(default="", compare=False)
    added: tuple[str, ...] = ()
    target: Target = LABEL

    def __post_init__(self) -> None:
        require_text("protocol.name", self.name)
        if self.citation:
            require_text("protocol.citation", self.citation)
        require_known("protocol.score", self.score, SCORES)
        require_target("protocol.target", self.target)
        require_known("protocol.ties", self.ties, TIE_RULES)
        require_known("protocol.auc", self.auc, AUC_RULES)
        if not self.metrics:
            raise BenchError("protocol.metrics: expected at least one metric, found none")
        for name in self.added:
            require_known("protocol.added", name, self.metrics)

    @classmethod
    def of(
        cls, name: str, score: str, ties: str, *metrics: Metric, auc: str = "trapezoid"
    ) -> "Protocol":
        """A protocol of metrics that are called what they call themselves.

        Example:
            >>> from bench.metrics.baseline import ZeroBaseline
            >>> from bench.metrics.insertion import Insertion
            >>> ten = Insertion(ZeroBaseline(), steps=10)
            >>> list(Protocol.of("mine", "probability", "stable", ten).metrics)
            ['insertion']
        """
        return cls(name, score, ties, auc, {metric.name: metric for metric in metrics})

    def settings(self) -> dict[str, Any]:
        """Everything that is set as nested dictionaries, ready for JSON."""
        settings: dict[str, Any] = {
            "name": self.name,
            "score": self.score,
            "ties": self.ties,
            "auc": self.auc,
            "metrics": {name: metric_settings(metric) for name, metric in self.metrics.items()},
        }
        # A protocol of the label has the hash that it had before there was a choice.
        settings |= {"target": self.target} if self.target != LABEL else {}
        return settings | ({"added": list(self.added)} if self.added else {})

    @property
    def title(self) -> str:
        """Its name, and its target where that is not the label."""
        return self.name if self.target == LABEL else f"{self.name} (target: {self.target})"

    @property
    def base(self) -> "Protocol":
        """The protocol without the metrics that were added to it."""
        metrics = {name: metric for name, metric in self.metrics.items() if name not in self.added}
        return replace(self, metrics=metrics, added=())

    @property
    def citations(self) -> list[str]:
        """Where it and its metrics come from."""
        cited = [*(metric.citation for metric in self.metrics.values()), self.citation]
        return list(dict.fromkeys(filter(None, cited)))

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits over everything but the name and what was added."""
        settings = self.base.settings()
        del settings["name"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def key(self) -> str:
        """Sixteen hexadecimal digits over everything but what was added, the name included."""
        settings = self.base.settings()
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def is_shipped(self) -> bool:
        """Whether the code of all its metrics comes with bench."""
        return all(is_shipped(metric) for metric in self.metrics.values())

    def stored(self) -> dict[str, Any]:
        """`settings`, and what is needed to read the rows where the metrics' code is not there."""
        settings = self.settings() | {"citation": self.citation}
        declared = {
            name: declaration(metric)
            for name, metric in self.metrics.items()
            if not is_shipped(metric)
        }
        return settings | ({"declared": declared} if declared else {})

    @property
    def statistics(self) -> list[Statistic]:
        """What tables show, metric by metric; the first one ranks methods."""
        found = [statistic for metric in self.metrics.values() for statistic in metric.statistics]
        return [*found, SRG] if self._opposites else found

    def values(
        self, statistic: Statistic, rows: pd.DataFrame, auc: str | None = None
    ) -> NDArray[np.float64]:
        """A statistic's value (n,) of each image.

        Args:
            statistic: One of `statistics`.
            rows: n stored rows.
            auc: A key of `bench.metrics.auc.AUC_RULES`; its own rule if None.
        """
        if not len(rows):
            return np.empty(0)
        if statistic == SRG:
            return self.quality(rows, auc) if self._are_alike else np.full(len(rows), np.nan)
        metric = self._metric_of(statistic)
        return metric.values(statistic, rows, auc or self.auc)

    def summary(self, statistic: Statistic, rows: pd.DataFrame, auc: str | None = None) -> float:
        """A statistic of a set of images.

        Args:
            statistic: One of `statistics`.
            rows: The images' stored rows.
            auc: See `values`.
        """
        if statistic == SRG and self._opposites and self._are_alike:
            up, down = (metric.statistics[0] for metric in self._opposites)
            return self.summary(up, rows, auc) - self.summary(down, rows, auc)
        if statistic == SRG:
            return np.nan
        return self._metric_of(statistic).summary(statistic, rows, auc or self.auc)

    def pooled(
        self,
        statistic: Statistic,
        rows: pd.DataFrame,
        auc: str | None,
        counts: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """A statistic of draws of a set of images; see `Metric.pooled`."""
        return self._metric_of(statistic).pooled(statistic, rows, auc or self.auc, counts)

    def need_of(self, statistic: Statistic) -> str:
        """What a statistic's metric reads of annotations, in words; empty if nothing."""
        metrics = (one for one in self.metrics.values() if statistic in one.statistics)
        return next((NEEDS.get(metric.needs, "") for metric in metrics), "")

    def quality(self, rows: pd.DataFrame, auc: str | None = None) -> NDArray[np.float64]:
        """How well a map does on an image (n,), to find the best and worst ones.

        Insertion minus deletion where both are there, else the first statistic, turned so that
        higher is better.

        Args:
            rows: n stored rows.
            auc: See `values`.
        """
        if self._opposites:
            up, down = (metric.statistics[0] for metric in self._opposites)
            return self.values(up, rows, auc) - self.values(down, rows, auc)
        first = next(iter(self.metrics.values())).statistics[0]
        values = self.values(first, rows, auc)
        return -values if first.higher_is_better is False else values

    @property
    def quality_in_words(self) -> str:
        """What `quality` is, as in "images on which it is highest"."""
        if self._opposites:
            up, down = self._opposites
            return f"{up.title.lower()} minus {down.title.lower()}"
        return self.statistics[0].quantity

    def metrics_in_words(self) -> list[str]:
        """Sentences on what each metric asks."""
        return [line for metric in self.metrics.values() for line in metric.in_words(self.auc)]

    @property
    def may_draw(self) -> bool:
        """Whether what is measured of a given map may depend on the run's seed."""
        return any(metric.may_draw for metric in self.metrics.values())

    @property
    def curves(self) -> dict[str, PixelCurve]:
        """The metrics that store a curve of replaced pixels, by name."""
        return {
            name: metric for name, metric in self.metrics.items() if isinstance(metric, PixelCurve)
        }

    @property
    def boxes(self) -> dict[str, ThresholdedBoxes]:
        """The metrics that draw boxes around the bright parts of maps, by name."""
        return {
            name: metric
            for name, metric in self.metrics.items()
            if isinstance(metric, ThresholdedBoxes)
        }

    def _metric_of(self, statistic: Statistic) -> Metric:
        return next(metric for metric in self.metrics.values() if statistic in metric.statistics)

    @property
    def _opposites(self) -> tuple[AreaUnderCurve, AreaUnderCurve] | None:
        """The first area that should be large and the first that should be small."""
        areas = [metric for metric in self.metrics.values() if isinstance(metric, AreaUnderCurve)]
        up = [metric for metric in areas if metric.higher_is_better]
        down = [metric for metric in areas if not metric.higher_is_better]
        return (up[0], down[0]) if up and down else None

    @property
    def _are_alike(self) -> bool:
        """Whether steps and baseline are the same, so that the areas may be subtracted."""
        if self._opposites is None:
            return False
        up, down = self._opposites
        return up.settings() == down.settings()


SRG = Statistic("srg", "SRG", higher_is_better=True, is_main=False)
"""Symmetric relevance gain: insertion minus deletion (Blücher et al. 2024, arXiv 2401.06654)."""


def protocol_from_mapping(settings: Mapping[str, Any]) -> Protocol:
    """Builds a protocol from the contents of a protocol YAML.

    Args:
        settings: `name`, `score`, `ties`, `auc`, `metrics`, and perhaps `citation` and `target`.

    Raises:
        BenchError: A key is missing or unknown, a value is out of range, or the name is that of a
            shipped protocol and the settings are not.

    Example:
        >>> ten = {"baseline": {"kind": "zero"}, "steps": 10}
        >>> protocol = protocol_from_mapping(
        ...     {
        ...         "name": "mine",
        ...         "score": "probability",
        ...         "ties": "stable",
        ...         "auc": "trapezoid",
        ...         "metrics": {"insertion": ten, "deletion": ten},
        ...     }
        ... )
        >>> [statistic.name for statistic in protocol.statistics]
        ['insertion', 'deletion', 'srg']
    """
    protocol = _build(settings)
    shipped = shipped_protocols()
    if protocol.name in shipped and _build(shipped[protocol.name]).hash != protocol.hash:
        raise BenchError(
            f"protocol '{protocol.name}' is frozen, but its settings were changed: give yours "
            "a name of its own with protocol.name=NAME"
        )
    return protocol


def protocol_with(protocol: Protocol, metrics: Mapping[str, Metric]) -> Protocol:
    """A protocol with metrics beside its own, which leave its name and hash as they are.

    Args:
        protocol: The protocol.
        metrics: By name; they stand behind its own in tables.

    Raises:
        BenchError: The protocol has a metric of such a name, or two have a column in common.

    Example:
        >>> from bench.metrics.complexity import Sparseness
        >>> xplique = load_protocol("xplique")
        >>> more = protocol_with(xplique, {"sparseness": Sparseness()})
        >>> more.added, more.hash == xplique.hash
        (('sparseness',), True)
    """
    for name in metrics:
        if not name.isidentifier():
            raise BenchError(f"metric.{name}: expected a name of letters, digits and _")
        if name in protocol.metrics:
            raise BenchError(
                f"metric.{name}: protocol '{protocol.name}' has a metric of this name already; "
                "to measure another one beside it, give it a name of its own in a YAML of yours"
            )
    extended = replace(
        protocol, metrics={**protocol.metrics, **metrics}, added=(*protocol.added, *metrics)
    )
    taken = dict.fromkeys(TAKEN, "rows and tables")
    for name, metric in extended.metrics.items():
        for column in _columns(metric):
            if column in taken:
                key = "metric" if name in metrics else "protocol.metrics"
                raise BenchError(
                    f"{key}.{name}: its column '{column}' is also one of {taken[column]}: name "
                    "its columns after self.name"
                )
        taken |= dict.fromkeys(_columns(metric), f"metric '{name}'")
    return extended


def protocol_on(protocol: Protocol, target: Target) -> Protocol:
    """A protocol with another target, which is another protocol: its name says which.

    Example:
        >>> protocol_on(load_protocol("xplique"), "prediction").name
        'xplique-prediction'

    Args:
        protocol: The protocol.
        target: `label`, `prediction` or the number of a class.

    Raises:
        BenchError: It is none of these.
    """
    require_target("target", target)
    if target == protocol.target:
        return protocol
    ending = f"class_{target}" if isinstance(target, int) else target
    return replace(protocol, name=f"{protocol.name}-{ending}", target=target)


def shared_protocol(
    protocols: Sequence[Protocol], annotations: Sequence[Mapping[str, str]] = ()
) -> Protocol:
    """The protocol of several with equal bases, with what was added to all of them.

    Args:
        protocols: The protocols.
        annotations: Of each, hashes over what its metrics read of annotations, by their `needs`. A
            metric that was added and read others is not the same.

    Example:
        >>> from bench.metrics.complexity import Complexity, Sparseness
        >>> xplique, sparseness = load_protocol("xplique"), {"sparseness": Sparseness()}
        >>> one = protocol_with(xplique, sparseness)
        >>> other = protocol_with(xplique, sparseness | {"complexity": Complexity()})
        >>> shared_protocol([one, other]).added
        ('sparseness',)
    """
    first, *others = protocols
    added = tuple(
        name
        for name in first.added
        if all(other.metrics.get(name) == first.metrics[name] for other in others)
        and len({read.get(first.metrics[name].needs) for read in annotations}) <= 1
    )
    metrics = {name: first.metrics[name] for name in (*first.base.metrics, *added)}
    return replace(first, metrics=metrics, added=added)


def _columns(metric: Metric) -> list[str]:
    """All that a metric's columns are called, where they are stored and where they are shown."""
    shown = [name for statistic in metric.statistics for name in (statistic.name, statistic.column)]
    return list(dict.fromkeys([*metric.columns(SIZE), *shown]))


TAKEN = frozenset(
    """
    auc backbone backward_passes benchmark clean_accuracy clean_score comparison constant_map
    control draws forward_passes image_id image_label key label map_seconds mean_clean_score method
    n_images n_missing notes prediction protocol protocol_hash published_method rank rows_key
    run_key seconds seed srg target tied_fraction
    """.split()
)
"""Columns of rows and tables that are no metric's."""


def stored_protocol(settings: Mapping[str, Any]) -> Protocol:
    """Builds a protocol from what `Protocol.stored` gave. No code is loaded that is not shipped.

    Args:
        settings: What was stored.

    Raises:
        BenchError: A key is missing or unknown, or a value is out of range.

    Example:
        >>> protocol = load_protocol("xplique")
        >>> stored_protocol(protocol.stored()) == protocol
        True
    """
    declared = settings.get("declared", {})
    require_settings("protocol.declared", declared)
    require_settings("protocol.metrics", settings.get("metrics"))
    metrics = {
        name: declared_metric(name, node, declared[name])
        if name in declared
        else metric_from_settings(name, node, f"protocol.metrics.{name}")
        for name, node in settings["metrics"].items()
    }
    known = {key: value for key, value in settings.items() if key not in ("declared", "added")}
    added = tuple(settings.get("added", ()))
    return Protocol(**_checked(known) | {"metrics": metrics, "added": added})


def load_protocol(name: str) -> Protocol:
    """Returns the shipped protocol of this name.

    Args:
        name: As `bench list protocols` has it.

    Raises:
        BenchError: There is none; the message lists the known names.

    Example:
        >>> insertion = load_protocol("xplique").metrics["insertion"]
        >>> insertion.steps, insertion.baseline
        (10, ZeroBaseline())
    """
    shipped = shipped_protocols()
    require_known("protocol", name, shipped)
    return _build(shipped[name])


def shipped_protocols() -> dict[str, dict[str, Any]]:
    """Settings of the protocols in `bench.conf`, by name.

    Example:
        >>> shipped_protocols()["xplique"]["score"]
        'output'
    """
    return {settings["name"]: settings for settings in shipped_files("protocol")}


_KEYS = ("name", "score", "ties", "auc", "metrics")
_OPTIONAL = ("citation", "target")


def _checked(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of a protocol without those that are null.

    Raises:
        BenchError: A key is missing or unknown.
    """
    given = {key: value for key, value in settings.items() if value is not None}
    if not set(_KEYS) <= set(given) <= {*_KEYS, *_OPTIONAL}:
        raise BenchError(
            f"protocol: expected the keys {', '.join(_KEYS)}, and perhaps "
            f"{' and '.join(_OPTIONAL)}; found "
            f"{', '.join(sorted(given))}"
        )
    require_settings("protocol.metrics", given["metrics"])
    return given


def _build(settings: Mapping[str, Any]) -> Protocol:
    given = _checked(settings)
    metrics = {
        name: metric_from_settings(name, settings, f"protocol.metrics.{name}")
        for name, settings in given["metrics"].items()
        if settings is not None  # as a command line takes one out
    }
    return Protocol(**{**given, "metrics": metrics})
