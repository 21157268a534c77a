"""Runs again what a manifest describes, and compares the rows with those beside it.

A manifest is a file that anybody may have written. Nothing in it is executed: only classes that the
shipped configuration names are built, what it holds is taken literally, and nothing is written but
in the folder that the caller chooses.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from bench.configuration import compose_run, parsed_overrides, shipped_targets
from bench.device import resolve_device
from bench.errors import BenchError
from bench.metrics.confidence import Confidence
from bench.provenance import provenance
from bench.store import Run, read_run

_ADAPTERS = "bench.attribution.adapters."
"""Shipped, but what they call is named by their settings."""

_GROUPS = ("dataset", "backbone", "protocol", "method", "explain")
"""Parts of a configuration that are taken as they are; the others' new settings get defaults."""

_CURVES = ("insertion_curve", "deletion_curve", Confidence.column)

_OWN = ("citations", "created", "command", "dataset", "passes", "weights_file_sha256")
"""What provenance says of a run, not of the machine."""


def rerun(
    manifest: Path, arguments: Sequence[str], is_trusted: bool, console: Console
) -> list[str]:
    """Runs one manifest's method again, whatever is stored, and tells how far its rows are off.

    Args:
        manifest: A run's manifest.json, or its folder.
        arguments: `key=value`, which go before the manifest; `results_dir` is `rerun` by default.
        is_trusted: Whether classes and functions may be loaded that are not shipped.
        console: Where everything is told.

    Returns:
        What failed, one line each.

    Raises:
        BenchError: The manifest cannot be used, or names code that is not shipped.
    """
    path = manifest / "manifest.json" if manifest.is_dir() else manifest
    run = read_run(path)
    config = _configuration(run, path)
    _refuse_code(config, path, is_trusted)
    config = _changed(config, arguments)
    results_dir = Path(config.results_dir).expanduser()
    if path.resolve().is_relative_to(results_dir.resolve()):
        raise BenchError(
            f"results_dir: expected another folder than '{results_dir}', which holds the manifest"
        )
    stored = run.rows()

    from bench.experiment import run_experiment

    there, here = run.manifest.get("provenance", {}), provenance(resolve_device(config.device))
    there, here = ({k: v for k, v in own.items() if k not in _OWN} for own in (there, here))
    for line in _differences(there, here):
        console.print(f"Differs: {line}", soft_wrap=True, highlight=False)
    try:
        ended = run_experiment(config, console)
    except OmegaConfBaseException as error:
        raise _unusable(error) from None
    (again,) = ended.runs.values()
    for line in (*_differences(run.identity, again.identity), *compare(stored, again.rows())):
        console.print(f"Rerun:   {line}", soft_wrap=True, highlight=False)
    return [failure.reason for failure in ended.failures]


def compare(stored: pd.DataFrame, again: pd.DataFrame) -> list[str]:
    """How far two runs' rows of the same images are apart, in lines.

    Args:
        stored: Rows as `Run.rows` gives them.
        again: Likewise.
    """
    both = stored.merge(again, on="image_id", suffixes=("_then", "_now"))
    if not len(both):
        return [f"nothing to compare with: {len(stored)} rows are stored, none of these images"]
    lines = [f"{len(both)} of {len(stored)} stored rows compared"]
    for curve in _CURVES:
        if f"{curve}_then" in both:
            then, now = (np.stack(both[f"{curve}_{when}"].tolist()) for when in ("then", "now"))
            same_shape = then.shape == now.shape
            apart = np.abs(then - now).max() if same_shape else np.inf
            told = f"at most {apart:.3g} apart" if apart else "the same bits"
            lines.append(f"{curve.replace('_', ' ')}s: {told}")
    changed = int((both["prediction_then"] != both["prediction_now"]).sum())
    lines.append(f"predictions: {changed} differ" if changed else "predictions: the same")
    return lines


def _configuration(run: Run, path: Path) -> dict[str, Any]:
    """What a manifest says of its own method."""
    config, method = run.manifest.get("config"), (run.identity.get("method") or {}).get("name")
    methods = config.get("method") if isinstance(config, dict) else None
    if not isinstance(methods, dict) or not isinstance(methods.get(method), dict):
        raise BenchError(
            f"'{path}': expected the resolved configuration of method '{method}' under config, "
            "found none; it is written by `bench run`"
        )
    for group in ("dataset", "backbone", "protocol", "explain"):
        if not isinstance(config.get(group), dict):
            raise BenchError(
                f"'{path}': expected settings under config.{group}, found {config.get(group)!r}"
            )
    for key, value in _flat(config):
        if isinstance(value, str) and "${" in value:  # it would be looked up, or call a resolver
            raise BenchError(f"'{path}': expected plain values, found config.{key}={value!r}")
    return config | {"method": {method: methods[method]}}


def _refuse_code(config: Mapping[str, Any], path: Path, is_trusted: bool) -> None:
    """Refuses a configuration that loads what is not shipped, unless it is trusted."""
    known = {own for own in shipped_targets() if not own.startswith(_ADAPTERS)}
    foreign = [
        f"{key}={value}"
        for key, value in _flat(config)
        if "_target_" in key.split(".") and value not in known
    ]
    if foreign and not is_trusted:
        raise BenchError(
            f"'{path}': loads code that is not shipped with bench, or calls what its settings "
            f"name: {', '.join(foreign)}; add --trust if you know what that does"
        )


def _changed(config: Mapping[str, Any], arguments: Sequence[str]) -> DictConfig:
    """The configuration to run: the manifest's, with the caller's changes and its own folder."""
    given = parsed_overrides(arguments)
    results_dir = str(given.pop("results_dir", "rerun"))
    defaults = OmegaConf.to_container(compose_run([]), resolve=False)
    ours = {key: value for key, value in defaults.items() if key not in _GROUPS}
    kept = {key: value for key, value in config.items() if key in ours and key != "assets"}
    kept |= {key: config.get(key) for key in _GROUPS}
    try:
        made = OmegaConf.merge(ours, kept)
    except OmegaConfBaseException as error:
        raise _unusable(error) from None
    OmegaConf.set_struct(made, True)
    # `shard` and the published table are those of the first run's command, not of this row.
    own = {"results_dir": results_dir, "shard": None, "reproduces": None}
    own |= {"maps.folder": f"{results_dir}/maps", "store.policy": "always"}
    own |= {
        key: f"{results_dir}/prototypes"
        for key, _ in _flat(config)
        if key.endswith("backbone.cache")
    }
    for key, value in (own | given).items():
        try:
            OmegaConf.update(made, key, value, force_add=False)
        except OmegaConfBaseException:
            raise BenchError(f"rerun: expected a setting of the manifest, found '{key}'") from None
    return made


def _unusable(error: Exception) -> BenchError:
    return BenchError(
        f"the manifest's configuration cannot be used: {' '.join(str(error).split())}"
    )


def _flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key with dots -> value, through mappings and lists."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            yield from _flat(value, f"{prefix}.{number}")
    else:
        yield prefix, config


def _differences(there: Mapping[str, Any], here: Mapping[str, Any], prefix: str = "") -> list[str]:
    """What two mappings do not share, one line each."""
    lines = []
    for key in sorted({*there, *here}):
        then, now = there.get(key), here.get(key)
        if isinstance(then, Mapping) and isinstance(now, Mapping):
            lines += _differences(then, now, f"{prefix}{key}.")
        elif key == "numpy_cpu_features" and isinstance(then, list):
            lines += [
                f"{prefix}{key}: only {where} {', '.join(map(repr, own))}"
                for where, own in (("there", set(then) - set(now)), ("here", set(now) - set(then)))
                if own
            ]
        elif then != now:
            lines.append(f"{prefix}{key}: {then!r} there, {now!r} here")
    return lines
