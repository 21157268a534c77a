"""Metrics by name: what `bench.conf` ships, and any class that a configuration names."""

import copy
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache
from importlib import resources
from typing import Any

import yaml
from hydra.utils import get_class

from bench.datasets.annotation import NEEDS
from bench.errors import BenchError, require_integer, require_known, require_settings, require_text
from bench.metrics.baseline import make_baseline
from bench.metrics.metric import QUESTIONS, Block, Maps, Metric
from bench.metrics.statistic import Statistic

SIZE = (224, 224)
"""Height and width of the usual inputs, where passes are counted without a network."""


def shipped_files(group: str) -> list[dict[str, Any]]:
    """The contents of the YAML files of a group in `bench.conf`, ordered by their names.

    Args:
        group: A folder of `conf/`: `metric`, `protocol`, `method`, ...

    Example:
        >>> xplique = next(file for file in shipped_files("protocol") if file["name"] == "xplique")
        >>> xplique["metrics"]["insertion"]
        {'steps': 10, 'baseline': {'kind': 'zero'}}
    """
    return copy.deepcopy(_read_once(group))


@cache
def _read_once(group: str) -> list[dict[str, Any]]:
    folder = resources.files("bench.conf") / group
    files = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
    return [
        yaml.safe_load(entry.read_text(encoding="utf-8"))
        for entry in files
        if entry.name.endswith(".yaml")
    ]


@cache
def shipped_metrics() -> Mapping[str, Mapping[str, Any]]:
    """Settings of the metrics in `bench.conf`, by name, with the class as `_target_`.

    They are read once.

    Example:
        >>> settings = shipped_metrics()["mufidelity"]
        >>> settings["_target_"], settings["num_masks"]
        ('bench.metrics.mufidelity.MuFidelity', 200)
    """
    return {name: settings for file in shipped_files("metric") for name, settings in file.items()}


def is_shipped(metric: Metric) -> bool:
    """Whether its code comes with bench.

    Args:
        metric: A metric, maybe somebody else's.

    Example:
        >>> from dataclasses import dataclass
        >>> from bench.metrics.complexity import Sparseness
        >>> @dataclass(frozen=True)
        ... class Mine(Sparseness):
        ...     name: str = "mine"
        >>> is_shipped(Sparseness()), is_shipped(Mine())
        (True, False)
    """
    is_ours = type(metric).__module__.split(".")[0] == "bench"
    return is_ours and not isinstance(metric, DeclaredMetric)


@dataclass(frozen=True)
class DeclaredMetric(Metric):
    """A metric whose code is not at hand: its stored rows are read by what it declared.

    Attributes:
        kind: The dotted path of its class.
        stored: What `metric_settings` gave of it.
        declares: Its statistics.
        stores: By column, the points of a curve, or None for a number.
        scored: See `Metric.uses_scores`.
        ordered: See `Metric.uses_order`.
        needed: See `Metric.needs`.
        asked: See `Metric.question`.

    Example:
        >>> from bench.metrics.complexity import Sparseness
        >>> declared = declaration(Sparseness())
        >>> metric = declared_metric("sharp", {"kind": "elsewhere.Sharp"}, declared)
        >>> metric.kind, metric.columns((224, 224)), metric.uses_scores
        ('elsewhere.Sharp', {'sparseness': None}, False)
    """

    kind: str
    stored: Mapping[str, Any]
    declares: tuple[Statistic, ...]
    stores: Mapping[str, int | None]
    scored: bool
    ordered: bool
    needed: str = ""
    asked: str = "faithful"

    def __post_init__(self) -> None:
        object.__setattr__(self, "uses_scores", self.scored)
        object.__setattr__(self, "uses_order", self.ordered)
        object.__setattr__(self, "needs", self.needed)
        object.__setattr__(self, "question", self.asked)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return self.declares

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`; the lengths of curves are not held against anything."""
        return {name: None if points is None else 0 for name, points in self.stores.items()}

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Cannot be asked.

        Raises:
            BenchError: Always.
        """
        raise BenchError(f"metric '{self.name}': its code, {self.kind}, is not loaded")


def declaration(metric: Metric) -> dict[str, Any]:
    """What is needed to read a metric's rows without its code, ready for JSON.

    A statistic that is more than a stored number is read off by the metric's code: its values are
    stored as columns of their own where the metric declares them so.

    Args:
        metric: A metric, maybe somebody else's.

    Example:
        >>> from bench.metrics.complexity import Sparseness
        >>> found = declaration(Sparseness())
        >>> found["columns"], found["uses_scores"], found["statistics"][0]["title"]
        ({'sparseness': None}, False, 'Sparseness')
    """
    declared = {
        "statistics": [asdict(statistic) for statistic in metric.statistics],
        "columns": metric.columns(SIZE),
        "uses_scores": metric.uses_scores,
        "uses_order": metric.uses_order,
    }
    usual = {"needs": Metric.needs, "question": Metric.question}
    unusual = {key: value for key in usual if (value := getattr(metric, key)) != usual[key]}
    return declared | unusual


def declared_metric(
    name: str, settings: Mapping[str, Any], declared: Mapping[str, Any]
) -> DeclaredMetric:
    """The metric that `declaration` gave, for reading.

    Args:
        name: What it is called.
        settings: What `metric_settings` gave.
        declared: What `declaration` gave.

    Raises:
        BenchError: Something is missing or of another kind.

    Example:
        >>> from bench.metrics.complexity import Sparseness
        >>> declared = declaration(Sparseness())
        >>> metric = declared_metric("sharp", {"kind": "elsewhere.Sharp"}, declared)
        >>> metric.statistics[0].title
        'Sparseness'
        >>> metric(None, None)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: metric 'sharp': its code, elsewhere.Sharp, is not loaded
    """
    key = f"protocol.declared.{name}"
    require_settings(key, declared)
    try:
        statistics = tuple(Statistic(**statistic) for statistic in declared["statistics"])
        stores = {str(column): points for column, points in declared["columns"].items()}
        return DeclaredMetric(
            str(settings["kind"]), settings, statistics, stores,
            bool(declared["uses_scores"]), bool(declared["uses_order"]),
            needed=str(declared.get("needs", "")),
            asked=str(declared.get("question", Metric.question)), name=name,
        )  # fmt: skip
    except (KeyError, TypeError, AttributeError) as error:
        raise BenchError(f"{key}: expected a metric's declaration: {error}") from None


def kind_of(metric: Metric) -> str:
    """What a metric's class is called: a shipped one's by its name, another one's by its path.

    So moving or renaming a shipped module changes no row's identity.

    Args:
        metric: A metric, maybe somebody else's.

    Example:
        >>> from bench.metrics.complexity import Sparseness
        >>> kind_of(Sparseness(name="gini"))
        'sparseness'
    """
    kind = type(metric)
    if isinstance(metric, DeclaredMetric):
        return metric.kind
    if is_shipped(metric):
        return str(next(own.default for own in fields(kind) if own.name == "name"))
    return f"{kind.__module__}.{kind.__qualname__}"


def metric_settings(metric: Metric) -> dict[str, Any]:
    """What decides a metric's numbers, ready for JSON: kind, version and settings.

    Args:
        metric: A metric, maybe somebody else's.

    Example:
        >>> from bench.metrics.complexity import EffectiveComplexity
        >>> metric_settings(EffectiveComplexity(threshold=0.1))
        {'kind': 'effective_complexity', 'version': 1, 'threshold': 0.1}
    """
    if isinstance(metric, DeclaredMetric):
        return dict(metric.stored)
    return {"kind": kind_of(metric), "version": metric.version, **metric.settings()}


def metric_from_settings(name: str, settings: Mapping[str, Any], key: str) -> Metric:
    """Builds a metric.

    Args:
        name: What it is to be called.
        settings: Its fields, and its class: `kind`, the name of a shipped metric (by default
            `name`), or `_target_`, a dotted path. A `version` is that of stored settings.
        key: Where the settings stand, for messages.

    Raises:
        BenchError: The class or a setting is not known, or a value is out of range.

    Example:
        >>> settings = {"kind": "deletion", "baseline": {"kind": "mean"}, "steps": 20}
        >>> deletion = metric_from_settings("deletion_mean", settings, "metric.deletion_mean")
        >>> type(deletion).__name__, deletion.baseline, deletion.curve
        ('Deletion', MeanBaseline(), 'deletion_mean_curve')
        >>> metric_from_settings("deletion", settings | {"step": 5}, "metric.deletion")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: metric.deletion: unknown name 'step'. Did you mean 'steps'?
        Known: baseline, max_fraction, rows_per_step, steps
    """
    require_settings(key, settings)
    given = {setting: value for setting, value in settings.items() if setting != "version"}
    kind = _class(str(given.pop("_target_", "")), str(given.pop("kind", name)), key)
    if "baseline" in given:
        require_settings(f"{key}.baseline", given["baseline"])
        if "kind" not in given["baseline"]:
            raise BenchError(f"{key}.baseline: expected a kind, as in {{kind: zero}}, found none")
        given["baseline"] = make_baseline(**given["baseline"])
    known = [setting.name for setting in fields(kind) if setting.name != "name"]
    for setting in given:
        _require_setting(key, setting, known, kind)
    if "baseline" in known and "baseline" not in given:
        raise BenchError(f"{key}.baseline is missing: say what pixels become")
    metric = _made(kind, name, given, key)
    _require_declared(key, metric)
    return metric


def _require_setting(key: str, setting: str, known: list[str], kind: type[Metric]) -> None:
    if setting not in known and "__dataclass_fields__" not in vars(kind):
        raise BenchError(
            f"{key}: {kind.__name__} takes no setting '{setting}': declare it as a field of the "
            "class, with @dataclass(frozen=True) above it"
        )
    require_known(key, setting, known)


def _made(kind: type[Metric], name: str, given: Mapping[str, Any], key: str) -> Metric:
    try:
        return kind(name=name, **given)
    except BenchError as error:
        setting = re.match(r"(\w+):", str(error))
        inside = setting is not None and setting[1] in given
        raise BenchError(f"{key}.{error}" if inside else f"{key}: {error}") from None
    except Exception as error:  # anybody's class
        reason = " ".join(str(error).split())
        raise BenchError(f"{key}: cannot build {kind.__qualname__}: {reason}") from error


def _require_declared(key: str, metric: Metric) -> None:
    """Refuses a metric that declares of itself what cannot be counted, cited or shown."""
    require_integer(f"{key}.version", metric.version, 0)
    if not isinstance(metric.citation, str):
        raise BenchError(f"{key}.citation: expected text, found {metric.citation!r}")
    if metric.needs:
        require_known(f"{key}.needs", metric.needs, NEEDS)
    require_known(f"{key}.question", metric.question, QUESTIONS)
    for count in ("passes_per_map", "passes_per_image"):
        require_integer(f"{key}.{count}", getattr(metric, count)(SIZE), 0)
    require_integer(f"{key}.explanations_per_map", metric.explanations_per_map(), 0)
    statistics = metric.statistics
    if not isinstance(statistics, tuple | list) or not statistics:
        raise BenchError(f"{key}.statistics: expected at least one Statistic, found {statistics!r}")
    for statistic in statistics:
        if not isinstance(statistic, Statistic):
            raise BenchError(f"{key}.statistics: expected a Statistic, found {statistic!r}")
        for part in ("name", "title", "column"):
            require_text(f"{key}.statistics.{part}", getattr(statistic, part))


def _class(target: str, kind: str, key: str) -> type[Metric]:
    if not target:
        shipped = shipped_metrics()
        require_known(key, kind, shipped)
        target = shipped[kind]["_target_"]
    try:
        found = get_class(target)
    except (ImportError, ValueError) as error:
        raise BenchError(f"{key}: cannot load {target}: {' '.join(str(error).split())}") from None
    except SystemExit as error:  # a script, imported, would end the run as if all had gone well
        raise BenchError(
            f"{key}: cannot load {target}: its code calls sys.exit({error.code!r}) when it is "
            "imported; put what makes it a script under if __name__ == '__main__'"
        ) from error
    if not issubclass(found, Metric):
        raise BenchError(
            f"{key}: expected _target_ to be a subclass of bench.metrics.metric.Metric, found "
            f"{target}"
        )
    return found
