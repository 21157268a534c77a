"""Per-image rows on disk, metric by metric. Runs write them, everything else reads them.

    results_dir/runs/<dataset>_<backbone>/<method>-<key>/
                                         /manifest.json
                                         /<metric>-<key>/part-<images>-<checksum>.parquet
                                         /map-<image>.npy   (a few)
                                         /failures.json     (if any)

Keys are hashes over everything that decides the numbers, so what is there is never computed again,
and what differs in anything never meets. Protocols that share a metric share its rows. What reads
leaves out files that do not hold what they should, with a warning that names them; `bench run`
renames them to `broken-...` and computes again what they held.
"""

import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import BenchError, BrokenFileError, warn, warn_left_out
from bench.files import DAMAGED, file_name, read_json, read_whole, set_aside, write_atomically
from bench.metrics.protocol import Protocol, stored_protocol
from bench.storage.claims import locked
from bench.storage.identity import Identity, content_key
from bench.storage.manifest import Entry, Manifest, Reproduced, manifest_of
from bench.storage.metric_rows import MetricRows
from bench.storage.records import record_of
from bench.storage.rows import COMMON_COLUMNS


class Run:
    """The stored rows of one method, as a protocol asks for them.

    Attributes:
        folder: Where they are.
        manifest: What is known of the run.
        protocol: Whose metrics are read; another protocol's rows may lie beside them.
        broken: Lines on files that were set aside.
    """

    def __init__(self, folder: Path, manifest: Manifest, protocol: Protocol) -> None:
        self.folder = folder
        self.manifest = manifest
        self.protocol = protocol
        self.broken: list[str] = []

    @cached_property
    def metrics(self) -> dict[str, MetricRows]:
        """The rows of each of the protocol's metrics."""
        return {
            name: MetricRows(
                self.folder,
                self.identity,
                metric,
                self.protocol,
                self.manifest.annotations.get(metric.needs, ""),
            )
            for name, metric in self.protocol.metrics.items()
        }

    @property
    def identity(self) -> Identity:
        """What decides the numbers, but for the protocol."""
        return self.manifest.identity

    @property
    def key(self) -> str:
        """Hash over identity and protocol: no two rows of any table share one."""
        return content_key([self.manifest.key, self.protocol.key])

    @property
    def num_images(self) -> int:
        """How many images the whole list has, evaluated or not."""
        return self.identity.dataset.num_images

    @property
    def passes(self) -> dict[str, int]:
        """`forward` and `backward` passes for one image's map, where the run was told."""
        return dict(self.manifest.provenance.get("passes", {}))

    @property
    def citations(self) -> dict[str, str]:
        """What its `method`, `dataset`, `backbone` and `protocol` cite, where the run was told."""
        kept = dict(self.manifest.provenance.get("citations", {}))
        return {**kept, "protocol": "; ".join(self.protocol.citations)}

    def rows(self) -> pd.DataFrame:
        """Rows of the images that all metrics have, ordered by image id.

        The columns are `bench.storage.rows.ROW_COLUMNS`, `constant_map`, those of the metrics, and
        what says whose they are. Parts that cannot be used are left out with a warning.
        """
        found = [part.rows() for part in self.metrics.values()]
        rows = _joined(found)
        seconds = rows["map_seconds"].to_numpy(np.float32)
        for part in found:
            of_image = part.set_index("image_id")["seconds"]
            seconds = seconds + of_image.loc[rows["image_id"]].to_numpy(np.float32)
        rows = rows.drop(columns=["map_seconds", "rows_key"], errors="ignore")
        if "image_label" not in rows:
            rows = rows.assign(image_label=rows["target"])
        return rows.assign(seconds=seconds, **self._columns())

    @property
    def seeds(self) -> list[int]:
        """Seeds of the draws that the row is the mean of: one, unless it is a `DrawnRun`."""
        return [self.identity.seed]

    @property
    def seeds_in_words(self) -> str:
        """As `3`, or `0-4` of several."""
        return "-".join(str(seed) for seed in dict.fromkeys((self.seeds[0], self.seeds[-1])))

    @property
    def draws(self) -> "Sequence[Run]":
        """The runs of these draws, as far as there are any."""
        return [self]

    def tables(self) -> list[pd.DataFrame]:
        """As `rows`, of each draw, all of the same images; the first is `rows`."""
        return [self.rows()]

    def image_ids(self) -> set[str]:
        """Images that all metrics have by now; other processes may add some."""
        return set.intersection(*(part.image_ids() for part in self.metrics.values()))

    @contextmanager
    def claim(
        self, wanted: Mapping[str, Sequence[str]], again: bool = False
    ) -> Iterator[dict[str, list[str]]]:
        """Claims images for the time of a `with` block, so that no other process computes them.

        Args:
            wanted: By metric, the images.
            again: Whether those that have a row by now are wanted, too.

        Yields:
            By metric, those of them that are to be computed here.
        """
        with ExitStack() as claims:
            ours = {}
            for name, image_ids in wanted.items():
                part = self.metrics[name]
                claimed = claims.enter_context(part.claim(image_ids))
                done = set() if again else part.image_ids()
                ours[name] = [image_id for image_id in claimed if image_id not in done]
            yield ours

    def set_aside_broken(self) -> list[str]:
        """Renames what is broken, so that it is missing; returns lines on it.

        Raises:
            BenchError: Something cannot be read, whatever it holds, or not be renamed.
        """
        for part in self.metrics.values():
            self.broken.extend(part.set_aside_broken())
        readers: list[tuple[Path, Callable[[Path], Any]]] = [
            *((path, _read_map) for path in sorted(self.folder.glob("map-*.npy"))),
            (self.folder / "failures.json", lambda _: self._read_failures()),
        ]
        for path, read in readers:
            try:
                read(path)
            except BrokenFileError as error:
                self.broken.append(set_aside(error))
        return self.broken

    def append(self, rows: pd.DataFrame) -> None:
        """Stores rows of some or all metrics; what images had before is replaced.

        Args:
            rows: With the columns `bench.storage.rows.ROW_COLUMNS`, `map_seconds` if that is known,
                and all columns of each metric that is to be stored.
        """
        measured = [part for part in self.metrics.values() if set(part.columns()) <= set(rows)]
        map_seconds = rows.get("map_seconds", rows["seconds"])
        each = (rows["seconds"] - map_seconds) / len(measured)
        times = {"map_seconds": map_seconds, "seconds": each.astype(np.float32)}
        whose = {name: value for name, value in self._columns().items() if "protocol" not in name}
        whose["run_key"] = self.manifest.key
        for part in measured:
            clean = ["clean_score"] * part.metric.uses_scores
            extra = ["image_label"] * part.has_labels
            extra += [name for name in ("constant_map",) if name in rows]
            table = rows.assign(**times)[[*COMMON_COLUMNS, *clean, *extra, *part.columns()]]
            part.append(table.assign(**whose))

    def record_failure(self, image_id: str, reason: str, trace: str = "") -> None:
        """Keeps why there is no row for an image; `failures` forgets it when there is one.

        Args:
            image_id: The image.
            reason: One line.
            trace: A traceback, if there is one.
        """
        with locked(self.folder):
            try:
                known = self._read_failures()
            except BrokenFileError as error:
                warn(set_aside(error))
                known = {}
            known |= {image_id: {"reason": reason, "trace": trace}}
            write_atomically(self.folder / "failures.json", json.dumps(known, indent=2).encode())

    def failures(self, rows: pd.DataFrame) -> dict[str, str]:
        """Image id -> why it has no row, of the images whose last evaluation failed.

        Args:
            rows: As `rows` gives them.
        """
        done = set(rows["image_id"])
        try:
            known = self._read_failures()
        except BenchError as error:
            warn_left_out(error)
            return {}
        return {image: failure["reason"] for image, failure in known.items() if image not in done}

    def _read_failures(self) -> dict[str, dict[str, str]]:
        path = self.folder / "failures.json"
        if not path.exists():
            return {}
        known = read_json(path)
        entries = known.values() if isinstance(known, dict) else [None]
        if not all(isinstance(own, dict) and isinstance(own.get("reason"), str) for own in entries):
            raise BrokenFileError(path, "expected a reason for each image")
        return known

    def save_map(self, image_id: str, saliency_map: NDArray[np.float32]) -> None:
        """Keeps one map (H, W), for figures."""
        buffer = io.BytesIO()
        np.save(buffer, saliency_map)
        write_atomically(self._map_path(image_id), buffer.getvalue())

    def load_map(
        self, image_id: str, size: tuple[int, int] | None = None
    ) -> NDArray[np.float32] | None:
        """Returns a map that was kept, or None; warns of one that cannot be used.

        Args:
            image_id: The image.
            size: Height and width that the map must have; None: any.
        """
        path = self._map_path(image_id)
        if not path.exists():
            return None
        try:
            saliency_map = _read_map(path)
            if size not in (None, saliency_map.shape):
                raise BrokenFileError(path, f"expected a map of {size}, found {saliency_map.shape}")
        except BenchError as error:
            warn_left_out(error)
            return None
        return saliency_map

    def set_label(
        self,
        leaderboard: str,
        label: str,
        reproduces: Mapping[str, Any] | None = None,
        seeds: Sequence[int] = (),
    ) -> None:
        """Makes the run a row of a leaderboard.

        Args:
            leaderboard: Its name.
            label: The row's.
            reproduces: Which published row it repeats; see
                `bench.experiment.reproduction.reproduction`.
            seeds: See `Entry`.
        """
        repeated = None if reproduces is None else record_of(Reproduced, reproduces)
        key, entry = self.protocol.key, Entry(label, repeated, list(seeds))

        def changed(manifest: Manifest) -> Manifest:
            # With metrics added or without, it is one row: what was asked for last counts.
            others = {
                other: row
                for other, row in manifest.leaderboards.get(leaderboard, {}).items()
                if stored_protocol(manifest.protocols[other]).base.key != self.protocol.base.key
            }
            entries = {**others, key: entry}
            return replace(manifest, leaderboards={**manifest.leaderboards, leaderboard: entries})

        self._change(changed)

    def leave(self, leaderboard: str) -> None:
        """Makes the run no row of a leaderboard any more; what it holds stays."""

        def changed(manifest: Manifest) -> Manifest:
            rows = dict(manifest.leaderboards.get(leaderboard, {}))
            rows.pop(self.protocol.key, None)
            others = {name: of for name, of in manifest.leaderboards.items() if name != leaderboard}
            if rows:
                others[leaderboard] = rows
            return replace(manifest, leaderboards=others)

        self._change(changed)

    @property
    def leaderboards(self) -> list[str]:
        """Names of the leaderboards that it is a row of."""
        boards = self.manifest.leaderboards
        return [name for name, rows in boards.items() if self.protocol.key in rows]

    def label(self, leaderboard: str) -> str:
        """What it is called as a row of a leaderboard."""
        return self.manifest.leaderboards[leaderboard][self.protocol.key].label

    def reproduces(self, leaderboard: str) -> Reproduced | None:
        """Which published row it repeats as a row of a leaderboard; None: it is none that does."""
        entry = self.manifest.leaderboards.get(leaderboard, {}).get(self.protocol.key)
        return None if entry is None else entry.reproduces

    def add_provenance(self, key: str, value: Any) -> None:
        """Keeps what is known only after the run was begun; what was kept under the key goes.

        Args:
            key: In the manifest's `provenance`.
            value: Ready for JSON.
        """
        self._change(
            lambda manifest: replace(manifest, provenance={**manifest.provenance, key: value})
        )

    def _add_protocol(self, citations: Mapping[str, str], annotations: Mapping[str, str]) -> None:
        """Keeps what the protocol asks for, and what the run cites, if it was begun without.

        Of annotations that have changed, those that were read last count: a metric's rows of the
        others stay where they are, and are found again when these are given again.
        """
        stored = self.protocol.stored()

        def changed(manifest: Manifest) -> Manifest:
            provenance = {"citations": dict(citations), **manifest.provenance}
            protocols = {**manifest.protocols, self.protocol.key: stored}
            read = {**manifest.annotations, **annotations}
            return replace(manifest, protocols=protocols, provenance=provenance, annotations=read)

        self._change(changed)

    def _change(self, change: Callable[[Manifest], Manifest]) -> None:
        """Changes the manifest, of which another process may have changed a part meanwhile."""
        with locked(self.folder):
            before = read_manifest(_manifest(self.folder))
            self.manifest = change(before)
            if self.manifest != before:
                self._write_manifest()

    def _write_manifest(self) -> None:
        write_atomically(_manifest(self.folder), self.manifest.to_json())

    def _map_path(self, image_id: str) -> Path:
        return self.folder / f"map-{content_key(image_id)[:16]}.npy"

    def _columns(self) -> dict[str, Any]:
        return {
            "run_key": self.key,
            "benchmark": self.identity.dataset.name,
            "backbone": self.identity.backbone.name,
            "protocol": self.protocol.name,
            "protocol_hash": self.protocol.hash,
            "method": self.identity.method.name,
            "seed": self.identity.seed,
        }


def _joined(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The metrics' tables side by side, of the images that are in all of them."""
    together = parts[0]
    for part in parts[1:]:
        new = [name for name in part if name == "image_id" or name not in together]
        together = together.merge(part[new], on="image_id")
    if "clean_score" not in together:
        together = together.assign(clean_score=np.nan)
    return together


def open_run(
    results_dir: Path,
    identity: Identity,
    protocol: Protocol,
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
    *,
    annotations: Mapping[str, str] | None = None,
) -> Run:
    """Returns the run with this identity, begun before or begun now.

    Args:
        results_dir: The results folder.
        identity: What decides its numbers.
        protocol: What is asked of its maps.
        config: Resolved configuration, for the manifest of a new run.
        provenance: Of a new run; of its `citations` also runs are told that were begun without.
        annotations: See `Manifest.annotations`: those that the protocol's metrics read.

    Raises:
        BenchError: The folder cannot be read or written.
    """
    folder = results_dir / "runs" / file_name(f"{identity.dataset.name}_{identity.backbone.name}")
    # Rows name their run, so they are good even where its manifest is missing or broken.
    places = sorted(
        folder.glob(f"*-{identity.key[:12]}"), key=lambda place: not _manifest(place).exists()
    )
    begun = (
        places[0] if places else folder / f"{file_name(identity.method.name)}-{identity.key[:12]}"
    )
    manifest, broken = Manifest(identity.key, identity, {}, {}, config, provenance), []
    is_new = True
    if _manifest(begun).exists():
        try:
            manifest = read_manifest(_manifest(begun))
            if manifest.key != identity.key:
                raise BrokenFileError(_manifest(begun), "it is another run's")
            is_new = False
        except BrokenFileError as error:
            broken = [set_aside(error)]
            manifest = Manifest(identity.key, identity, {}, {}, config, provenance)
    run = Run(begun, manifest, protocol)
    run.broken = broken
    if is_new:
        run._write_manifest()
    run._add_protocol(provenance.get("citations", {}), annotations or {})
    return run


class StoredRun(Run):
    """A run whose rows are read once, so that all that is made of them is made of the same."""

    def rows(self) -> pd.DataFrame:
        """See `Run`; those of the first call."""
        return self._rows

    def image_ids(self) -> set[str]:
        """See `Run`; those of `rows`."""
        return set(self._rows["image_id"])

    def append(self, rows: pd.DataFrame) -> None:
        """See `Run`; rows are read anew afterwards."""
        super().append(rows)
        self.__dict__.pop("_rows", None)

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return super().rows()


class DrawnRun(StoredRun):
    """A row that is the mean of several draws: the run of the first, with those of all.

    Its rows, maps and manifest are the first draw's. It has the images that all draws have.

    Args:
        first: The run of the first draw.
        draws: The runs of the draws that there are, in the order of the seeds.
        seeds: Those of all draws.
    """

    def __init__(self, first: Run, draws: Sequence[Run], seeds: Sequence[int]) -> None:
        super().__init__(first.folder, first.manifest, first.protocol)
        self._draws, self._seeds = list(draws), list(seeds)

    @property
    def seeds(self) -> list[int]:
        """See `Run`."""
        return self._seeds

    @property
    def draws(self) -> Sequence[Run]:
        """See `Run`."""
        return self._draws

    def tables(self) -> list[pd.DataFrame]:
        """See `Run`."""
        return self._tables

    def failures(self, rows: pd.DataFrame) -> dict[str, str]:
        """See `Run`; of any draw."""
        return {
            image_id: reason
            for draw in reversed(self._draws)
            for image_id, reason in draw.failures(draw.rows()).items()
        }

    @cached_property
    def _tables(self) -> list[pd.DataFrame]:
        every = [draw.rows() for draw in self._draws]
        shared = set.intersection(*(set(rows["image_id"]) for rows in every))
        if len(self._draws) < len(self._seeds):
            shared = set()
        return [rows[rows["image_id"].isin(shared)].reset_index(drop=True) for rows in every]

    @cached_property
    def _rows(self) -> pd.DataFrame:
        return self._tables[0]


def rows_of_draws(runs: Sequence[Run], leaderboard: str) -> list[Run]:
    """Runs to the rows of a leaderboard: those that are draws of one row become one.

    What the run of a row's first draw says of the row counts, which is what was asked for last.

    Args:
        runs: Runs that are rows, or draws of rows, of the leaderboard.
        leaderboard: Its name.
    """
    of_row: dict[tuple[str, str], dict[int, Run]] = {}
    for run in runs:
        of_row.setdefault(_but_for_the_seed(run), {})[run.identity.seed] = run
    found: list[Run] = []
    for run in runs:
        seeds = run.manifest.leaderboards[leaderboard][run.protocol.key].seeds
        if not seeds:
            found.append(run)
        elif run.identity.seed == seeds[0]:
            known = of_row[_but_for_the_seed(run)]
            draws = [known[seed] for seed in seeds if seed in known]
            # A metric that was added since to one draw alone is not the row's.
            same = [StoredRun(draw.folder, draw.manifest, run.protocol) for draw in draws]
            found.append(DrawnRun(run, same, seeds))
    return found


def _but_for_the_seed(run: Run) -> tuple[str, str]:
    return replace(run.identity, seed=0).key, run.protocol.base.key


def stored_runs(results_dir: Path, leaderboard: str | None = None) -> Sequence[Run]:
    """Returns the runs in a results folder, ordered by folder, one for each of their protocols.

    Args:
        results_dir: The results folder.
        leaderboard: Only the runs that are rows of this leaderboard, where draws of one row are one
            (`DrawnRun`); by default those of any, and those that have not become a row yet.

    Manifests that cannot be read, and folders of runs without one, are left out with a warning.

    Raises:
        BenchError: The folder is missing or cannot be read.
    """
    try:
        if not results_dir.is_dir():
            raise BenchError(
                f"results folder '{results_dir}' is missing or no folder: name the one of your runs"
            )
        folders = list(_folders_of_runs(results_dir / "runs"))
    except OSError as error:
        raise BenchError(f"'{results_dir}' cannot be read: {error.strerror}") from None
    known: dict[str, tuple[Path, Manifest]] = {}
    for folder in folders:
        try:
            manifest = read_manifest(_manifest(folder))
            other, _ = known.setdefault(manifest.key, (folder, manifest))
            if other is not folder:
                raise BenchError(f"'{folder}' has the same run as '{other}'")
        except BenchError as error:
            warn_left_out(error)
    runs = [
        StoredRun(folder, manifest, stored_protocol(manifest.protocols[key]))
        for folder, manifest in known.values()
        for key in _protocols_of(manifest, leaderboard)
    ]
    return runs if leaderboard is None else rows_of_draws(runs, leaderboard)


def _protocols_of(manifest: Manifest, leaderboard: str | None) -> list[str]:
    """Keys of the protocols under which a run is a row of a leaderboard, or of any."""
    if leaderboard is not None:
        entries = manifest.leaderboards.get(leaderboard, {})
    elif manifest.leaderboards:
        entries = {key: row for rows in manifest.leaderboards.values() for key, row in rows.items()}
    else:
        return list(manifest.protocols)
    return [key for key in manifest.protocols if key in entries]


def _folders_of_runs(parent: Path) -> Iterator[Path]:
    """Folders that hold a run or part of one, sorted; warns of those that may not be read."""
    for benchmark in sorted(parent.iterdir()) if parent.exists() else ():
        if not benchmark.is_dir():
            continue
        try:
            for folder in sorted(benchmark.iterdir()):
                if folder.is_dir() and (
                    "manifest.json" in {path.name for path in folder.iterdir()}
                    or any(folder.glob("*/part-*"))
                ):
                    yield folder
        except OSError as error:
            warn(f"'{error.filename}' cannot be read ({error.strerror}): left out")


def leaderboard_names(results_dir: Path) -> list[str]:
    """Names of the leaderboards that the runs in a results folder are rows of, sorted."""
    return sorted({name for run in stored_runs(results_dir) for name in run.manifest.leaderboards})


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file.

    Raises:
        BrokenFileError: It is damaged, or no manifest, or its key is not that of its identity.
        BenchError: It is missing, or the system does not let us read it.
    """
    try:
        return manifest_of(read_json(path))
    except ValueError as error:
        raise BrokenFileError(path, str(error)) from None


def _manifest(folder: Path) -> Path:
    return folder / "manifest.json"


def _read_map(path: Path) -> NDArray[np.float32]:
    """A map (H, W).

    Raises:
        BrokenFileError: It is damaged, or no map.
        BenchError: The system does not let us read it.
    """
    content = read_whole(path)
    if not content.startswith(b"\x93NUMPY"):
        raise BrokenFileError(path, "no .npy file")
    try:
        saliency_map = np.load(io.BytesIO(content), allow_pickle=False)
    except DAMAGED as error:
        raise BrokenFileError(path, str(error) or type(error).__name__) from None
    if saliency_map.ndim != 2:
        raise BrokenFileError(path, "expected a map (H, W)")
    if saliency_map.dtype.kind != "f" or not np.isfinite(saliency_map).all():
        raise BrokenFileError(path, "expected finite numbers")
    return saliency_map
