"""`bench status`."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from bench.storage.status import RunStatus, ShardStatus


_SHORTEST_NAME = 8
"""Characters that are left of a name where there is little room."""


def status_command(folders: Sequence[Path]) -> None:
    """Shows how far the runs of results folders are.

    Args:
        folders: The folders; `results` if there are none.

    Raises:
        BenchError: A folder is missing, cannot be read or holds no runs.
    """
    from rich.console import Console

    from bench.storage.status import run_statuses

    console = Console(markup=False, highlight=False)
    statuses = {folder: run_statuses(folder) for folder in folders or [Path("results")]}
    for folder, runs in statuses.items():
        if len(statuses) > 1:
            console.print(f"{folder}:", soft_wrap=True)
        for title, same in groupby(runs, key=lambda run: run.title):
            _show(title, list(same), console)


@dataclass(frozen=True)
class _Line:
    """A line of the table, as text: a run, or one process's share of it."""

    method: str
    label: str
    shard: str
    images: str
    rate: str = ""
    left: str = ""
    failed: str = ""
    last: str = ""
    state: str = ""


def _show(title: str, runs: Sequence["RunStatus"], console: "Console") -> None:
    """Prints a table of runs, and what is to be said of processes that are gone."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    has_seeds = len({run.seed for run in runs}) > 1
    lines = [line for run in runs for line in (_of_run(run, has_seeds), *_of_shards(run))]
    needless = {
        name
        for name, is_needless in (
            ("label", all(line.label in ("", line.method) for line in lines)),
            ("shard", not any(line.shard for line in lines)),
        )
        if is_needless
    }
    shown = [name for name in _Line.__dataclass_fields__ if name not in needless]
    table = Table(title=title, title_justify="left", box=SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in shown:
        is_number = name in ("images", "rate", "left", "failed", "last")
        table.add_column(name, no_wrap=True, justify="right" if is_number else "left")
    for line in lines:
        table.add_row(*(getattr(line, name) for name in shown))
    _shorten_names(table, console)
    console.print(table)
    for run in runs:
        for told in _told_of_dead(run):
            console.print(told, soft_wrap=True)


def _shorten_names(table: "Table", console: "Console") -> None:
    """Lets labels, and then methods, end in an ellipsis where there is no room for all columns."""
    from rich.measure import Measurement

    wide = console.options.update(width=1000)
    for column in reversed([each for each in table.columns if each.header in ("method", "label")]):
        excess = Measurement.get(console, wide, table).maximum - console.width
        if excess > 0:
            longest = max(len(str(cell)) for cell in column.cells)
            column.max_width = max(longest - excess, _SHORTEST_NAME)


def _of_run(run: "RunStatus", has_seeds: bool) -> _Line:
    from bench.evaluation.progress import duration, rate_text

    rates = [rate for shard in run.running if (rate := _rate(shard))]
    left = [shard.activity.seconds_left for shard in run.running]
    known = [seconds for seconds in left if seconds is not None]
    return _Line(
        f"{run.method}, seed {run.seed}" if has_seeds else run.method,
        run.label,
        "all" if _is_sharded(run) else "",
        f"{run.done}/{run.images}",
        rate_text(sum(rates)) if rates else "",
        duration(max(known)) if known else "",
        str(run.failures),
        _ago(run.last),
        run.state,
    )


def _of_shards(run: "RunStatus") -> list[_Line]:
    """Lines on shares; none where there are no shares, or where all is done."""
    from bench.evaluation.progress import duration, rate_text

    if not _is_sharded(run):
        return []
    lines = []
    for shard in run.shards:
        activity, rate = shard.activity, _rate(shard)
        is_running = shard.state == "running"
        seconds = activity.seconds_left
        lines.append(
            _Line(
                "",
                "",
                activity.shard,
                f"{activity.before + activity.done}/{activity.images}",
                rate_text(rate) if rate and is_running else "",
                duration(seconds) if seconds is not None and is_running else "",
                str(activity.failed),
                _ago(datetime.fromisoformat(activity.updated)),
                shard.state,
            )
        )
    return lines


def _is_sharded(run: "RunStatus") -> bool:
    return run.state != "done" and any(shard.activity.shard != "1/1" for shard in run.shards)


def _rate(shard: "ShardStatus") -> float:
    """Images a second; 0: not known yet."""
    activity = shard.activity
    return activity.done / activity.seconds if activity.seconds else 0.0


def _ago(when: datetime | None) -> str:
    from bench.evaluation.progress import duration

    return "" if when is None else duration(max((datetime.now(UTC) - when).total_seconds(), 0))


def _told_of_dead(run: "RunStatus") -> list[str]:
    """Lines on processes that ended before they were through."""
    if run.state == "done":
        return []
    claimed = {(claim.host, claim.pid): len(claim.images) for claim in run.dead}
    gone = {
        (shard.activity.host, shard.activity.pid): shard.activity.shard
        for shard in run.shards
        if shard.state == "gone"
    }
    lines = []
    for host, pid in {**gone, **claimed}:
        share = gone.get((host, pid), "1/1")
        name = run.method if share == "1/1" else f"{run.method} {share}"
        count = claimed.get((host, pid), 0)
        images = f"; it was at {count} image{'s' * (count > 1)}" if count else ""
        lines.append(f"{name}: process {pid} on {host} is gone{images}")
    return lines
