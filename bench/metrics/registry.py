"""Metrics by name: what `bench.conf` ships, and any class that a configuration names."""

from collections.abc import Mapping
from dataclasses import fields
from importlib import resources
from typing import Any

import yaml
from hydra.utils import get_class

from bench.errors import BenchError, require_known, require_settings
from bench.metrics.baseline import make_baseline
from bench.metrics.metric import Metric


def shipped_files(group: str) -> list[dict[str, Any]]:
    """The contents of the YAML files of a group in `bench.conf`, ordered by their names."""
    folder = resources.files("bench.conf") / group
    files = sorted((entry for entry in folder.iterdir()), key=lambda entry: entry.name)
    return [
        yaml.safe_load(entry.read_text(encoding="utf-8"))
        for entry in files
        if entry.name.endswith(".yaml")
    ]


def shipped_metrics() -> dict[str, dict[str, Any]]:
    """Settings of the metrics in `bench.conf`, by name, with the class as `_target_`."""
    return {name: settings for file in shipped_files("metric") for name, settings in file.items()}


def kind_of(metric: Metric) -> str:
    """What a metric's class is called: a shipped one's by its name, another one's by its path.

    So moving or renaming a shipped module changes no row's identity.
    """
    kind = type(metric)
    if kind.__module__.split(".")[0] == "bench":
        return str(next(setting.default for setting in fields(kind) if setting.name == "name"))
    return f"{kind.__module__}.{kind.__qualname__}"


def metric_settings(metric: Metric) -> dict[str, Any]:
    """What decides a metric's numbers, ready for JSON: kind, version and settings."""
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
    """
    require_settings(key, settings)
    given = {setting: value for setting, value in settings.items() if setting != "version"}
    kind = _class(str(given.pop("_target_", "")), str(given.pop("kind", name)), key)
    if "baseline" in given:
        require_settings(f"{key}.baseline", given["baseline"])
        given["baseline"] = make_baseline(**given["baseline"])
    known = [setting.name for setting in fields(kind) if setting.name != "name"]
    for setting in given:
        require_known(key, setting, known)
    if "baseline" in known and "baseline" not in given and kind.__dataclass_fields__:
        raise BenchError(f"{key}.baseline is missing: say what pixels become")
    try:
        return kind(name=name, **given)
    except TypeError as error:
        raise BenchError(f"{key}: expected the settings {', '.join(known)}: {error}") from None


def _class(target: str, kind: str, key: str) -> type[Metric]:
    if not target:
        shipped = shipped_metrics()
        require_known(key, kind, shipped)
        target = shipped[kind]["_target_"]
    try:
        found = get_class(target)
    except (ImportError, ValueError) as error:
        raise BenchError(f"{key}: cannot load {target}: {' '.join(str(error).split())}") from None
    if not issubclass(found, Metric):
        raise BenchError(
            f"{key}: expected _target_ to be a subclass of bench.metrics.metric.Metric, found "
            f"{target}"
        )
    return found
