"""How far runs are, from what lies in a results folder; changes nothing and needs no network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.errors import BenchError, BrokenFileError, warn_left_out
from bench.files import DAMAGED, file_name, read_json
from bench.storage.activity import Activity, read_activities
from bench.storage.claims import Claim, dead_claims
from bench.storage.manifest import Manifest
from bench.storage.records import record_of


@dataclass(frozen=True)
class ShardStatus:
    """One process at work on a run, or the last one that was.

    Attributes:
        activity: What it has told.
        lives: Whether it lives; None: that cannot be known from here.
    """

    activity: Activity
    lives: bool | None

    @property
    def state(self) -> str:
        """`running`, `gone` (killed or stopped), `ended`, or `silent`: nobody knows."""
        if self.activity.has_ended:
            return "ended"
        return {True: "running", False: "gone", None: "silent"}[self.lives]


@dataclass(frozen=True)
class RunStatus:
    """How far one method is with one protocol's rows.

    Attributes:
        title: Data set, network and protocol.
        method: What the configuration calls it.
        seed: Of its draws.
        label: What tables call it.
        images: On the list.
        done: Images with rows of all metrics.
        failures: Images without a row that it failed on.
        shards: Processes that live, or of each share the last one.
        dead: Claims whose processes are gone.
        last: When a row was stored last, or a process told of itself; None: never.
    """

    title: str
    method: str
    seed: int
    label: str
    images: int
    done: int
    failures: int
    shards: Sequence[ShardStatus] = ()
    dead: Sequence[Claim] = ()
    last: datetime | None = None

    @property
    def state(self) -> str:
        """`done`, `running` if any process is, `gone` if one is, `silent`, `stopped` or `begun`.

        `begun`: there are neither rows nor a process that has told of itself.
        """
        if self.done >= self.images:
            return "done"
        states = {shard.state for shard in self.shards}
        for state in ("running", "gone", "silent"):
            if state in states:
                return state
        if self.dead:
            return "gone"
        return "stopped" if self.last is not None else "begun"

    @property
    def running(self) -> list[ShardStatus]:
        """The processes that are at work."""
        return [shard for shard in self.shards if shard.state == "running"]


def run_statuses(results_dir: Path) -> list[RunStatus]:
    """How far all runs of a results folder are, by title.

    Warns of files that cannot be read, and leaves them out.

    Args:
        results_dir: The results folder.

    Raises:
        BenchError: It is missing, cannot be read or holds no runs.
    """
    try:
        if not results_dir.is_dir():
            raise BenchError(
                f"results folder '{results_dir}' is missing or no folder: name the one of your runs"
            )
        manifests = sorted((results_dir / "runs").glob("*/*/manifest.json"))
    except OSError as error:
        raise BenchError(f"'{results_dir}' cannot be read: {error.strerror}") from None
    if not manifests:
        raise BenchError(f"no runs in '{results_dir}': expected its runs/ folder to hold some")
    found: list[RunStatus] = []
    for path in manifests:
        try:
            found.extend(_statuses(path))
        except BenchError as error:
            warn_left_out(error)
    return sorted(found, key=lambda run: run.title)


def _statuses(path: Path) -> Iterator[RunStatus]:
    """A run's status with each of its protocols."""
    try:
        manifest = record_of(Manifest, read_json(path))
    except ValueError as error:
        raise BrokenFileError(path, str(error)) from None
    identity, folder = manifest.identity, path.parent
    activities = read_activities(folder)
    failed = _failed_images(folder)
    for key, protocol in manifest.protocols.items():
        names = [str(protocol.get("name", key))]
        parts = _Parts(folder, _metric_folders(folder, key, protocol, activities))
        shards = _last_of_each(
            [ShardStatus(activity, lives) for activity, lives in activities
             if activity.protocol == key]
        )  # fmt: skip
        times = [parts.last, *(datetime.fromisoformat(s.activity.updated) for s in shards)]
        known = [each for each in times if each is not None]
        yield RunStatus(
            " · ".join([identity.dataset.name, identity.backbone.name, *names]),
            identity.method.name,
            identity.seed,
            _label(manifest, key),
            identity.dataset.num_images,
            parts.images,
            len(failed - parts.image_ids()) if failed else 0,
            shards,
            parts.dead_claims(),
            max(known, default=None),
        )


@dataclass
class _Parts:
    """The stored rows of a protocol's metrics, as far as their number goes."""

    run: Path
    metrics: Sequence[Path]
    images: int = field(init=False)
    last: datetime | None = field(init=False)

    def __post_init__(self) -> None:
        files = {metric: sorted(metric.glob("part-*.parquet")) for metric in self.metrics}
        counts = [sum(map(_rows_in, parts)) for parts in files.values()]
        self.images = min(counts, default=0)
        times = [path.stat().st_mtime for parts in files.values() for path in parts]
        self.last = datetime.fromtimestamp(max(times), UTC) if times else None

    def image_ids(self) -> set[str]:
        """Images that have rows of all metrics."""
        found = []
        for metric in self.metrics:
            ids: set[str] = set()
            for path in metric.glob("part-*.parquet"):
                try:
                    ids |= set(pq.read_table(path, columns=["image_id"])["image_id"].to_pylist())
                except (*DAMAGED, pa.ArrowException):  # told where its rows are counted
                    continue
            found.append(ids)
        return set.intersection(*found) if found else set()

    def dead_claims(self) -> list[Claim]:
        """Claims whose processes are gone, each once for all metrics."""
        claims = [claim for metric in self.metrics for claim in dead_claims(metric)]
        return list({(claim.host, claim.pid, *claim.images): claim for claim in claims}.values())


def _rows_in(part: Path) -> int:
    try:
        return int(pq.read_metadata(part).num_rows)
    except FileNotFoundError:  # a run has just replaced it
        return 0
    except (*DAMAGED, pa.ArrowException) as error:
        warn_left_out(BrokenFileError(part, str(error) or type(error).__name__))
        return 0


def _metric_folders(
    folder: Path,
    key: str,
    protocol: Mapping[str, object],
    activities: Sequence[tuple[Activity, bool | None]],
) -> list[Path]:
    """Where a protocol's rows lie: processes tell it, or else the names of its metrics."""
    for activity, _ in sorted(activities, key=lambda pair: pair[0].updated, reverse=True):
        if activity.protocol == key:
            return [folder / name for name in activity.metrics]
    metrics = protocol.get("metrics")
    names = list(metrics) if isinstance(metrics, Mapping) else []
    return [_newest(folder, file_name(name)) for name in names]


def _newest(folder: Path, metric: str) -> Path:
    """The folder of a metric's rows that has changed last: other settings have folders beside."""
    digits = "[0-9a-f]" * 12
    found = [path for path in folder.glob(f"{metric}-{digits}") if path.is_dir()]
    return max(found, key=lambda path: path.stat().st_mtime, default=folder / metric)


def _label(manifest: Manifest, protocol: str) -> str:
    """What the first leaderboard calls a run's row; that is its method's name where none has it."""
    for _, rows in sorted(manifest.leaderboards.items()):
        if protocol in rows:
            return rows[protocol].label
    return manifest.identity.method.name


def _failed_images(folder: Path) -> set[str]:
    path = folder / "failures.json"
    if not path.exists():
        return set()
    try:
        known = read_json(path)
        if not isinstance(known, dict):
            raise BrokenFileError(path, "expected a reason for each image")
    except BenchError as error:
        warn_left_out(error)
        return set()
    return set(known)


def _last_of_each(shards: Sequence[ShardStatus]) -> list[ShardStatus]:
    """The processes that live, and of each share that has none the last one."""
    latest: dict[str, ShardStatus] = {}
    for shard in sorted(shards, key=lambda shard: shard.activity.updated):
        latest[shard.activity.shard] = shard
    living = {shard.activity.shard for shard in shards if shard.state == "running"}
    kept = [
        shard
        for shard in shards
        if shard.state == "running"
        or (shard.activity.shard not in living and latest[shard.activity.shard] is shard)
    ]
    return sorted(kept, key=lambda shard: _in_order(shard.activity.shard))


def _in_order(shard: str) -> tuple[int, ...]:
    return tuple(int(number) for number in shard.split("/") if number.isdigit())
