"""Runs again what a manifest describes, and compares the rows with those beside it.

A manifest is a file that anybody may have written. Nothing in it is executed: only classes are
built that the shipped configuration builds in the same place, with settings that it has there, what
it holds is taken literally, and nothing is written but in the folder that the caller chooses.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console

from bench.config.composing import (
    Composed,
    as_written,
    compose_run,
    parsed_overrides,
    recompose,
)
from bench.config.reading import read_settings
from bench.config.settings import flat
from bench.config.shipped import shipped
from bench.device import resolve_device
from bench.errors import BenchError
from bench.storage.identity import ROW_KEYS
from bench.storage.manifest import Manifest
from bench.storage.provenance import provenance
from bench.storage.store import Run, read_manifest

_ADAPTERS = "bench.attribution.adapters."
"""Shipped, but what they call is named by their settings."""

_GROUPS = ("dataset", "backbone", "protocol", "metric", "method", "explain")
"""Parts of a configuration that are taken as they are; the others' new settings get defaults."""

_ALWAYS = {*ROW_KEYS, "citation"}
"""Settings that everything may have: words in tables."""

_OF_A_TABLE: dict[str, Any] = {"reference": None, "by": None}
"""What a run's table showed beside its rows: of other rows, which are not run again, and of a file
that somebody else's manifest must not make us read."""

_OF_A_RUN = (
    "citations", "created", "command", "dataset", "dtype", "memory_format", "not_repeatable",
    "num_classes", "passes", "weights_file_sha256",
)  # fmt: skip
"""What provenance says of a run, not of the machine."""


def rerun(
    manifest: Path, arguments: Sequence[str], is_trusted: bool, console: Console
) -> list[str]:
    """Runs one manifest's method again, whatever is stored, and says how far its rows are off.

    Args:
        manifest: A run's manifest.json, or its folder.
        arguments: `key=value`, which go before the manifest; `results_dir` is `rerun` by default.
        is_trusted: Whether classes and functions may be loaded that are not shipped.
        console: Where everything is printed.

    Returns:
        What failed, one line each.

    Raises:
        BenchError: The manifest cannot be used, or names code that is not shipped.
    """
    path = manifest / "manifest.json" if manifest.is_dir() else manifest
    written = read_manifest(path)
    config = _configuration(written, path)
    _refuse_code(config, path, is_trusted)
    settings = read_settings(_changed(config, arguments))
    results_dir = settings.results_dir
    if path.resolve().is_relative_to(results_dir.resolve()):
        raise BenchError(
            f"results_dir: expected another folder than '{results_dir}', which holds the manifest"
        )
    if not is_trusted:
        _refuse_links(results_dir)

    from bench.experiment.run import run_experiment

    both = written.provenance, provenance(resolve_device(settings.device))
    there, here = ({k: v for k, v in each.items() if k not in _OF_A_RUN} for each in both)
    for line in _differences(there, here):
        console.print(f"Differs: {line}", soft_wrap=True, highlight=False)
    ended = run_experiment(settings, console)
    (again,) = ended.runs
    stored = Run(path.parent, written, again.protocol).rows()
    identities = asdict(written.identity), asdict(again.identity)
    read = {"annotations": written.annotations}, {"annotations": again.manifest.annotations}
    if again.protocol.key not in written.protocols:
        names = ", ".join(str(asked["name"]) for asked in written.protocols.values())
        console.print(
            f"Rerun:   protocol: {names} there, {again.protocol.name} here, of other settings",
            soft_wrap=True,
            highlight=False,
        )
    for line in (*_differences(*identities), *_differences(*read), *compare(stored, again.rows())):
        console.print(f"Rerun:   {line}", soft_wrap=True, highlight=False)
    return [failure.reason for failure in ended.failures]


def compare(stored: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """How far two runs' rows of the same images are apart, in lines.

    Args:
        stored: Rows of the run then, as `Run.rows` gives them.
        again: Rows of the run now, as `Run.rows` gives them.
    """
    both = stored.merge(again, on="image_id", suffixes=("_then", "_now"))
    if not len(both):
        return [f"nothing to compare with: {len(stored)} rows are stored, none of these images"]
    lines = [f"{len(both)} of {len(stored)} stored rows compared"]
    for curve in filter(lambda name: f"{name}_then" in both, _curves(stored)):
        then, now = (np.stack(both[f"{curve}_{when}"].tolist()) for when in ("then", "now"))
        same_shape = then.shape == now.shape
        apart = np.inf
        if same_shape:  # two curves of an image without annotation are both NaN
            apart = np.abs(np.where(np.isnan(then) & np.isnan(now), 0, then - now)).max()
        told = f"at most {apart:.3g} apart" if apart else "the same bits"
        lines.append(f"{curve.replace('_', ' ')}s: {told}")
    changed = int((both["prediction_then"] != both["prediction_now"]).sum())
    lines.append(f"predictions: {changed} differ" if changed else "predictions: the same")
    return lines


def _curves(rows: pd.DataFrame) -> list[str]:
    """The columns that hold a curve an image."""
    first = rows.iloc[0] if len(rows) else rows
    return [str(name) for name in rows.columns if isinstance(first[name], np.ndarray)]


def _configuration(manifest: Manifest, path: Path) -> dict[str, Any]:
    """What a manifest says of its method."""
    config, name = dict(manifest.config), manifest.identity.method.name
    methods = config.get("method")
    node = methods.get(name) if isinstance(methods, dict) else None
    if not isinstance(node, dict):
        raise BenchError(
            f"'{path}': expected the resolved configuration of method '{name}' under config, "
            "found none; it is written by `bench run`"
        )
    for group in ("dataset", "backbone", "protocol", "explain"):
        if not isinstance(config.get(group), dict):
            raise BenchError(
                f"'{path}': expected settings under config.{group}, found {config.get(group)!r}"
            )
    if not isinstance(config.get("metric"), dict | None):
        raise BenchError(
            f"'{path}': expected settings under config.metric, found {config['metric']!r}"
        )
    for key, value in flat(config):
        if isinstance(value, str) and "${" in value:  # it would be looked up, or call a resolver
            raise BenchError(f"'{path}': expected plain values, found config.{key}={value!r}")
    return config | {"method": {name: node}} | _OF_A_TABLE


def _refuse_code(config: Mapping[str, Any], path: Path, is_trusted: bool) -> None:
    """Refuses a configuration that has what the shipped one has not, unless it is trusted."""
    foreign = [] if is_trusted else [f"{key}={_in_short(has)}" for key, has in _foreign(config)]
    if foreign:
        raise BenchError(
            f"'{path}': loads code that is not shipped with bench, calls what its settings name, "
            "downloads weights, or has settings that the shipped configuration does not have "
            f"there: {', '.join(foreign)}; add --trust if you know what that does"
        )


def _foreign(config: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Whatever the shipped configuration does not have in the same place: its key and value."""
    groups = shipped().groups
    methods = {target for target in groups["method"] if not target.startswith(_ADAPTERS)}
    places: dict[str, tuple[Any, set[str]]] = {
        f"method.{name}": (node, methods) for name, node in config["method"].items()
    }
    for name, node in (config.get("metric") or {}).items():
        places[f"metric.{name}"] = (node, groups["metric"])
    places["dataset"] = (config["dataset"], groups["dataset"])
    places["backbone"] = (config["backbone"], groups["backbone"])
    others = {
        key: value for key, value in config.items() if key not in (*places, "metric", "method")
    }
    explain = dict(config["explain"])
    places["explain.backbone"] = (explain.pop("backbone", None) or {}, groups["backbone"])
    for key, (node, targets) in places.items():
        if node or key != "explain.backbone":
            yield from _foreign_settings(node, key, targets)
    yield from _instructions(others | {"explain": explain}, "")


def _foreign_settings(node: Any, key: str, targets: set[str]) -> Iterator[tuple[str, Any]]:
    """What the shipped configuration does not have in a place where a class may be built.

    Args:
        node: What stands there.
        key: Where.
        targets: Their dotted paths.
    """
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str) or target not in targets:
        yield (f"{key}._target_", target) if isinstance(node, Mapping) else (key, node)
        return
    known = shipped().settings[target]
    for name, value in node.items():
        inside = f"{key}.{name}"
        if name == "_target_":
            continue
        if name not in known.names | _ALWAYS or (name, value) == ("weights", "pretrained"):
            yield inside, value
        elif isinstance(value, Mapping) and "_target_" in value and name in known.parts:
            parts = {part for part in known.parts[name] if not part.startswith(_ADAPTERS)}
            yield from _foreign_settings(value, inside, parts)
        else:
            yield from _instructions(value, inside)


def _instructions(value: Any, key: str) -> Iterator[tuple[str, Any]]:
    """Keys that Hydra would act on (`_target_`, `_args_`, `_partial_`, ...), however deep."""
    if isinstance(value, Mapping):
        for name, inside in value.items():
            place = f"{key}.{name}" if key else str(name)
            if str(name).startswith("_"):
                yield place, inside
            else:
                yield from _instructions(inside, place)
    elif isinstance(value, list):
        for number, inside in enumerate(value):
            yield from _instructions(inside, f"{key}.{number}")


def _refuse_links(folder: Path) -> None:
    """Refuses links in a folder that lead out of it: what is written there would be elsewhere."""
    inside = folder.resolve()
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.resolve().is_relative_to(inside):
            raise BenchError(
                "results_dir: expected a folder without links that lead out of it, found "
                f"'{path}': choose another with results_dir=FOLDER, or add --trust"
            )


def _in_short(value: Any) -> str:
    text = value if isinstance(value, str) and re.fullmatch(r"[\w.]+", value) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _changed(config: Mapping[str, Any], arguments: Sequence[str]) -> Composed:
    """The configuration to run: the manifest's, with the caller's changes and its own folder."""
    given = parsed_overrides(arguments)
    results_dir = str(given.pop("results_dir", "rerun"))
    defaults = as_written(compose_run([]))
    ours = {key: value for key, value in defaults.items() if key not in _GROUPS}
    kept = {key: value for key, value in config.items() if key in ours and key != "assets"}
    kept |= {key: config.get(key) for key in _GROUPS}
    # `shard` and the published table are those of the first run's command, not of this row.
    changes = {"results_dir": results_dir, "shard": None, "reproduces": None}
    changes |= {"maps.folder": f"{results_dir}/maps", "store.policy": "always"}
    for place, node in (
        ("backbone", config["backbone"]),
        ("explain.backbone", config["explain"].get("backbone")),
    ):
        if _has_cache(node):
            changes[f"{place}.cache"] = f"{results_dir}/prototypes"
    return recompose([ours, kept], changes, given)


def _has_cache(node: Any) -> bool:
    """Whether a network writes to a folder, even where its settings do not say to which."""
    target = node.get("_target_") if isinstance(node, Mapping) else None
    if not isinstance(target, str):
        return False
    settings = shipped().settings.get(target)
    return "cache" in node or (settings is not None and "cache" in settings.names)


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What two mappings do not share, one line each."""
    lines = []
    for key in sorted({*there, *here}):
        then, now = there.get(key), here.get(key)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            lines += _differences(then, now, f"{prefix}{key}.")
        elif key == "numpy_cpu_features" and isinstance(then, list) and isinstance(now, list):
            lines += [
                f"{prefix}{key}: only {where} {', '.join(map(repr, only))}"
                for where, only in (("there", set(then) - set(now)), ("here", set(now) - set(then)))
                if only
            ]
        elif then != now:
            lines.append(f"{prefix}{key}: {then!r} there, {now!r} here")
    return lines
