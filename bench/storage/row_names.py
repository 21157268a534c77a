"""What rows are called in tables."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from bench.storage.identity import content_key
from bench.storage.store import Run, rows_of_draws


def comparison_key(run: Run) -> str:
    """Hash over what two rows must share for their ranks to mean anything."""
    identity = run.identity
    base = run.protocol.base
    network = asdict(identity.backbone)
    if network["code"] is None:  # keys are older than this field
        del network["code"]
    shared: list[Any] = [asdict(identity.dataset), network, base.settings()]
    needs = {metric.needs for metric in base.metrics.values() if metric.needs}
    if needs:
        shared.append({need: run.manifest.annotations.get(need, "") for need in sorted(needs)})
    return content_key(shared)[:8]


def row_names(runs: Sequence[Run], name: str) -> dict[str, str]:
    """Names of rows by run key: their labels, and what differs where labels collide.

    Args:
        runs: The runs of a leaderboard.
        name: The leaderboard.
    """
    collisions = defaultdict(list)
    for run in runs:
        collisions[comparison_key(run), run.label(name)].append(run)
    names = {}
    for (_, label), same in collisions.items():
        settings = [_flatten(asdict(run.identity)) | {"seed": run.seeds_in_words} for run in same]
        every = sorted(set().union(*settings))
        differing = [key for key in every if len({str(flat.get(key)) for flat in settings}) > 1]
        for run, flat in zip(same, settings, strict=True):
            told = [f"{key.rpartition('.')[2]}={flat.get(key)}" for key in differing]
            names[run.key] = f"{label} ({', '.join(told)})" if told else label
    return names


def any_row_names(runs: Sequence[Run]) -> dict[str, str]:
    """As `row_names`, of runs of any leaderboards: their names in the first, by its name.

    Args:
        runs: All runs of a results folder. Those that are no row of a leaderboard yet have their
            method's name.
    """
    names = {run.key: run.identity.method.name for run in runs}
    boards = sorted({name for run in runs for name in run.leaderboards}, reverse=True)
    for board in boards:
        rows = rows_of_draws([run for run in runs if board in run.leaderboards], board)
        of_rows = row_names(rows, board)
        names |= {draw.key: of_rows[row.key] for row in rows for draw in row.draws}
    return names


def _flatten(identity: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in identity.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{key}.")
        elif (prefix, key) != ("method.", "name"):
            flat[prefix + key] = value
    return flat
