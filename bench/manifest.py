"""What a manifest must be, so that whoever reads one need not ask."""

from collections.abc import Mapping
from typing import Any

from bench.errors import BenchError
from bench.identity import run_key
from bench.rows import metric_columns

_IDENTITY = {
    "dataset": {"name": str, "num_images": int},
    "backbone": {"name": str},
    "method": {"name": str},
    "protocol": {
        "name": str, "hash": str, "auc": str, "score": str, "metrics": dict,
    },
    "seed": int,
}  # fmt: skip

_PROVENANCE = {
    "passes": dict, "citations": dict, "packages": dict, "command": list, "directory": str,
}  # fmt: skip
"""Where there are any."""

_REPRODUCES = {"table": str, "backbone": str, "method": str | None, "deviations": list}


def fault_of_manifest(manifest: Any) -> str | None:
    """What keeps something from being the manifest of a run; None: nothing.

    Args:
        manifest: What its JSON holds.
    """
    parts = {"key": str, "identity": _IDENTITY, "labels": dict}
    fault = _fault(manifest, parts, "") or _fault_of_labels(manifest["labels"])
    if fault:
        return fault
    fault = _fault(manifest.get("provenance", {}), _PROVENANCE, "provenance.", optional=True)
    repeated = manifest.get("reproduces", {})
    fault = fault or _fault(repeated, {}, "reproduces.")
    for name, value in repeated.items() if not fault else ():
        if value is not None:
            fault = fault or _fault(value, _REPRODUCES, f"reproduces.{name}.")
    return fault or _fault_of_identity(manifest["identity"], manifest["key"])


def _fault_of_labels(labels: Mapping[str, Any]) -> str | None:
    named = all(isinstance(label, str) for label in labels.values())
    return None if named else "labels: expected text for each leaderboard"


def _fault_of_identity(identity: Mapping[str, Any], key: str) -> str | None:
    try:
        metric_columns(identity)
    except (BenchError, TypeError, AttributeError, KeyError, ValueError, ArithmeticError) as error:
        return f"identity.protocol: {error}"
    return None if run_key(identity) == key else "its key is not that of its identity"


def _fault(
    found: Any, expected: Mapping[str, Any], prefix: str, optional: bool = False
) -> str | None:
    """What differs from a mapping with such keys and types of values."""
    if not isinstance(found, Mapping):
        return f"{prefix.rstrip('.') or 'content'}: expected a mapping, found {found!r:.60}"
    for key, kind in expected.items():
        if key not in found:
            if optional:
                continue
            return f"expected the key {prefix}{key}"
        if isinstance(kind, Mapping):
            fault = _fault(found[key], kind, f"{prefix}{key}.", optional)
            if fault:
                return fault
        elif not isinstance(found[key], kind) or isinstance(found[key], bool):
            expected_kind = getattr(kind, "__name__", kind)  # a union has no name
            return f"{prefix}{key}: expected {expected_kind}, found {found[key]!r:.60}"
    return None
