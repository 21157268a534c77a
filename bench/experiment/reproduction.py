"""Which row of a published table a run repeats, and in what it differs from the record."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.backbones.checkpoint import file_sha256
from bench.config.settings import Reproduces
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.evaluation.method_run import StoredMethodRun
from bench.storage.identity import ROW_KEYS

_SECTIONS = (
    "backbone.", "dataset.", "explain.", "maps.dtype", "method.", "precision", "protocol.", "seed",
    "select.", "target", "compile",
)  # fmt: skip
"""What decides numbers in `conf/run.yaml`: how its keys begin."""

_PLACES = ("dataset.root", "dataset.list")
"""Where the data lie; a list is judged by its content."""


def changed_settings(config: Mapping[str, Any], declared: Mapping[str, Any] | None) -> list[str]:
    """The settings that decide numbers and differ from the experiment's own.

    Args:
        config: What is to be run, before other methods' names are replaced, as it is written.
        declared: The experiment by itself (`bench.config.composing.declared_runs`); None: there is
            none, and nothing to differ from.

    Returns:
        Each as `key=value`, in the order of the configuration.
    """
    if declared is None or declared.get("reproduces") is None:
        return []
    ours, theirs = _deciding(config), _deciding(declared)
    changes = [f"{key}={value}" for key, value in ours.items() if theirs.get(key, ...) != value]
    return changes + [f"without {key}" for key in theirs if key not in ours]


def reproduction(
    repeated: Reproduces | None, run: StoredMethodRun, changes: Sequence[str]
) -> dict[str, Any] | None:
    """What a run's manifest keeps of the published row that it repeats.

    Args:
        repeated: The published table, if the experiment repeats one.
        run: Whose rows.
        changes: See `changed_settings`.

    Returns:
        `table` (a file of results/published), its `backbone` and its `method` (None if the record
        does not have it), a `note` on the published row, `deviations` from the record, and files
        that are `unverified`. None if the experiment repeats no table.
    """
    if repeated is None:
        return None
    changed = [change for change in changes if not _is_of_another(change, run.name)]
    deviations = [*repeated.deviations, *changed]
    published = next(known for known in PUBLISHED_LISTS if known.name == repeated.list)
    dataset = run.stored.identity.dataset
    if dataset.list_sha256 != published.entries_sha256:
        deviations.insert(
            0,
            f"{dataset.num_images} images of another list than "
            f"{published.name} ({published.num_images})",
        )
    return {
        "table": repeated.table,
        "backbone": repeated.backbone,
        "method": run.published,
        "note": repeated.notes.get(run.published or "", ""),
        "deviations": deviations,
        "unverified": _unverified(repeated),
    }


def _deciding(config: Mapping[str, Any]) -> dict[str, Any]:
    """Key -> value of what decides numbers, references as they are written, lists in one piece."""
    found: dict[str, Any] = {}

    def visit(key: str, value: Any) -> None:
        if isinstance(value, Mapping):
            for name, inside in value.items():
                visit(f"{key}.{name}" if key else str(name), inside)
        elif key.startswith(_SECTIONS) and key not in _PLACES and _last(key) not in ROW_KEYS:
            found[key] = value

    visit("", config)
    return found


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _is_of_another(change: str, method: str) -> bool:
    key = change.removeprefix("without ").partition("=")[0]
    return key.startswith("method.") and not key.startswith(f"method.{method}.")


def _unverified(repeated: Reproduces) -> list[str]:
    """Files whose hash the record does not have, with the hash that they have."""
    paths = [Path(file).expanduser() for file in repeated.unverified.values() if file is not None]
    return [f"{path.name}: sha256 {file_sha256(path)}" for path in paths if path.is_file()]
