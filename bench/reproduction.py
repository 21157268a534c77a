"""Which row of a published table a run repeats, and in what it differs from the record."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bench.backbones.checkpoint import file_sha256
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.errors import require_known, require_settings, require_text
from bench.identity import ROW_KEYS
from bench.method_run import StoredMethodRun

_SECTIONS = (
    "backbone.", "dataset.", "explain.", "maps.dtype", "method.", "precision", "protocol.", "seed",
    "select.", "compile",
)  # fmt: skip
"""What decides numbers in `conf/run.yaml`: how its keys begin."""

_PLACES = ("dataset.root", "dataset.list")
"""Where the data lie; a list is judged by its content."""


def changed_settings(config: DictConfig, declared: DictConfig | None) -> list[str]:
    """The settings that decide numbers and differ from the experiment's own.

    Args:
        config: What is to be run, before other methods' names are replaced.
        declared: The experiment by itself (`bench.configuration.declared_runs`); None: there is
            none, and nothing to differ from.

    Returns:
        Each as `key=value`, in the order of the configuration.
    """
    if declared is None or declared.get("reproduces") is None:
        return []
    ours, theirs = _flat(config), _flat(declared)
    changes = [f"{key}={value}" for key, value in ours.items() if theirs.get(key, ...) != value]
    return changes + [f"without {key}" for key in theirs if key not in ours]


def check_reproduces(repeated: Any) -> None:
    """Refuses a setting `reproduces` that names no published table.

    Raises:
        BenchError: It is no mapping, or lacks a name that a row of a published table has.
    """
    require_settings("reproduces", repeated)
    for key in ("table", "backbone", "list"):
        require_text(f"reproduces.{key}", repeated.get(key))
    require_known("reproduces.list", repeated["list"], [known.name for known in PUBLISHED_LISTS])


def reproduction(
    config: DictConfig, run: StoredMethodRun, changes: Sequence[str]
) -> dict[str, Any] | None:
    """What a run's manifest keeps of the published row that it repeats.

    Args:
        config: What is run.
        run: Whose rows.
        changes: See `changed_settings`.

    Returns:
        `table` (a file of results/published), its `backbone` and its `method` (None if the record
        does not have it), a `note` on the published row, `deviations` from the record, and files
        that are `unverified`. None if the experiment repeats no table.
    """
    repeated = config.get("reproduces")
    if repeated is None:
        return None
    identity = run.stored.identity
    deviations = [change for change in changes if not _is_of_another(change, run.name)]
    deviations = [*map(str, repeated.get("deviations") or ()), *deviations]  # what it tells itself
    published = next(known for known in PUBLISHED_LISTS if known.name == repeated.list)
    if identity["dataset"]["list_sha256"] != published.entries_sha256:
        deviations.insert(
            0,
            f"{identity['dataset']['num_images']} images of another list than "
            f"{published.name} ({published.num_images})",
        )
    name = run.published
    return {
        "table": repeated.table,
        "backbone": repeated.backbone,
        "method": name,
        "note": str((repeated.get("notes") or {}).get(name or "", "")),
        "deviations": deviations,
        "unverified": _unverified(config),
    }


def _flat(config: DictConfig) -> dict[str, Any]:
    """Key -> value, interpolations as they are written."""
    found: dict[str, Any] = {}

    def visit(key: str, value: Any) -> None:
        if isinstance(value, dict):
            for name, own in value.items():
                visit(f"{key}.{name}" if key else name, own)
        elif key.startswith(_SECTIONS) and key not in _PLACES and _last(key) not in ROW_KEYS:
            found[key] = value

    visit("", OmegaConf.to_container(config))
    return found


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _is_of_another(change: str, method: str) -> bool:
    key = change.removeprefix("without ").partition("=")[0]
    return key.startswith("method.") and not key.startswith(f"method.{method}.")


def _unverified(config: DictConfig) -> list[str]:
    """Files whose hash the record does not have, with the hash that they have."""
    found = []
    for key in config.reproduces.get("unverified") or ():
        name = OmegaConf.select(config, key)  # None: of a method that is not run
        if name is not None and (path := Path(name).expanduser()).is_file():
            found.append(f"{path.name}: sha256 {file_sha256(path)}")
    return found
