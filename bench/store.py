"""Per-image rows on disk. One wing of the house writes them, the other reads them.

    results_dir/runs/<dataset>_<backbone>_<protocol>/<method>-<key>/
                                                    /manifest.json
                                                    /part-<images>-<checksum>.parquet
                                                    /map-<image>.npy   (a few)
                                                    /failures.json     (if any)

The key is a hash over everything that decides the numbers, so what is there is never computed
again, and what differs in anything never meets. What reads leaves out files that do not hold what
they should, with a warning that names them; `bench run` renames them to `broken-...` and computes
again what they held.
"""

import hashlib
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.claims import claimed, locked
from bench.errors import BenchError, BrokenFileError, warn, warn_left_out
from bench.files import (
    DAMAGED,
    checksum,
    file_name,
    read_json,
    read_whole,
    set_aside,
    write_atomically,
)
from bench.identity import run_key
from bench.manifest import fault_of_manifest
from bench.metrics.protocol import Protocol, stored_protocol
from bench.rows import ROW_COLUMNS, fault_of_rows


class Run:
    """The stored rows of one method under one benchmark, backbone, protocol and seed.

    Attributes:
        folder: Where they are.
        manifest: `key`, `identity` (what the key hashes), `labels` (leaderboard -> name of the
            row in it), `config` and `provenance` of the run that began it.
        broken: Lines on files that were set aside.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self.broken: list[str] = []
        self._images_of_part: dict[str, frozenset[str]] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers."""
        return self.manifest["identity"]

    @cached_property
    def protocol(self) -> Protocol:
        """What was measured."""
        return stored_protocol(self.identity["protocol"])

    @property
    def num_images(self) -> int:
        """How many images the whole list has, evaluated or not."""
        return self.identity["dataset"]["num_images"]

    @property
    def passes(self) -> dict[str, int]:
        """`forward` and `backward` passes for one image's map, where the run was told."""
        return self.manifest.get("provenance", {}).get("passes", {})

    @property
    def citations(self) -> dict[str, str]:
        """What its `method`, `dataset`, `backbone` and `protocol` cite, where the run was told."""
        kept = self.manifest.get("provenance", {}).get("citations", {})
        return {part: str(own) for part, own in kept.items()}

    def rows(self) -> pd.DataFrame:
        """All rows so far, ordered by image id, with the columns `ROW_COLUMNS` and the run's own.

        Parts that cannot be read, or hold what are no rows of this run, are left out with a
        warning.
        """
        found = (self._sound_part(path) for path in self._parts())
        parts = [part for part in found if part is not None]
        if not parts:
            return pd.DataFrame(columns=[*ROW_COLUMNS, *self._columns()])
        rows = pd.concat(parts, ignore_index=True).drop_duplicates("image_id")
        return rows.sort_values("image_id", ignore_index=True)

    def image_ids(self) -> set[str]:
        """Images that have a row by now; other processes may add some. Reads what is new only."""
        for path in self._parts():
            if path.name not in self._images_of_part:
                part = self._sound_part(path)
                self._images_of_part[path.name] = frozenset(
                    () if part is None else part["image_id"]
                )
        return set().union(*self._images_of_part.values())

    @contextmanager
    def claim(self, image_ids: Sequence[str], again: bool = False) -> Iterator[list[str]]:
        """Claims images for the time of a `with` block, so that no other process computes them.

        Args:
            image_ids: The images wanted.
            again: Whether those that have a row by now are wanted, too.

        Yields:
            Those of them that are to be computed here.
        """
        with claimed(self.folder, image_ids) as ours:
            done = set() if again else self.image_ids()
            yield [image_id for image_id in ours if image_id not in done]

    def set_aside_broken(self) -> list[str]:
        """Renames what is broken, so that it is missing; returns lines on it.

        Raises:
            BenchError: Something cannot be read, whatever it holds, or not be renamed.
        """
        readers: list[tuple[Path, Callable[[Path], Any]]] = [
            *((path, self._read_part) for path in self._parts()),
            *((path, _read_map) for path in sorted(self.folder.glob("map-*.npy"))),
            (self.folder / "failures.json", lambda _: self._read_failures()),
        ]
        for path, read in readers:
            try:
                content = read(path)
            except BrokenFileError as error:
                self.broken.append(set_aside(error))
            else:
                if isinstance(content, pd.DataFrame):
                    self._images_of_part[path.name] = frozenset(content["image_id"])
        return self.broken

    def append(self, rows: pd.DataFrame) -> None:
        """Stores rows; they are there whole, or not at all. What images had before is replaced.

        Args:
            rows: With the columns `ROW_COLUMNS`, and others if the protocol asks for more.
        """
        images = hashlib.sha256("\n".join(rows["image_id"]).encode()).hexdigest()[:16]
        before = self._parts_with(set(rows["image_id"]))
        part = self._write_part(images, rows.assign(**self._columns()))
        for path in before - {part}:
            others = self._sound_part(path)
            if others is None:
                continue
            others = others[~others["image_id"].isin(rows["image_id"])]
            if len(others):
                self._write_part(path.stem.split("-")[1], others)
            path.unlink()
            del self._images_of_part[path.name]

    def _write_part(self, images: str, rows: pd.DataFrame) -> Path:
        buffer = io.BytesIO()
        rows.to_parquet(buffer, index=False)
        content = buffer.getvalue()
        path = self.folder / f"part-{images}-{checksum(content)}.parquet"
        write_atomically(path, content)
        self._images_of_part[path.name] = frozenset(rows["image_id"])
        return path

    def _read_part(self, path: Path) -> pd.DataFrame:
        """Rows of one file.

        Raises:
            BrokenFileError: It is damaged, or holds what are no rows of this run.
            BenchError: The system does not let us read it.
        """
        content = read_whole(path)
        checksums = path.stem.split("-")[2:]  # names of before version 0.1 have none
        if checksums and checksums != [checksum(content)]:
            raise BrokenFileError(path, "its content is not what its name's checksum says")
        try:
            rows = pd.read_parquet(io.BytesIO(content))
        except (*DAMAGED, pa.ArrowException) as error:
            raise BrokenFileError(path, str(error) or type(error).__name__) from None
        fault = fault_of_rows(rows, self.identity, self.manifest["key"])
        if fault is not None:
            raise BrokenFileError(path, fault)
        return rows

    def _sound_part(self, path: Path) -> pd.DataFrame | None:
        """Rows of one file; None, with a warning, if they cannot be used."""
        try:
            return self._read_part(path)
        except BenchError as error:
            warn_left_out(error)
            return None

    def _parts(self) -> list[Path]:
        return sorted(self.folder.glob("part-*.parquet"))

    def _parts_with(self, image_ids: set[str]) -> set[Path]:
        self.image_ids()
        return {
            self.folder / name
            for name, images in self._images_of_part.items()
            if not images.isdisjoint(image_ids)
        }

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
        self, leaderboard: str, label: str, reproduces: Mapping[str, Any] | None = None
    ) -> None:
        """Makes the run a row of a leaderboard.

        Args:
            leaderboard: Its name.
            label: The row's.
            reproduces: Which published row it repeats; see `bench.reproduction.reproduction`.
        """
        with locked(self.folder):  # another process may have named its own meanwhile
            self.manifest = read_run(_manifest(self.folder)).manifest
            before = json.dumps(self.manifest)
            self.manifest["labels"][leaderboard] = label
            self.manifest.setdefault("reproduces", {})[leaderboard] = reproduces
            if json.dumps(self.manifest) != before:
                self._write_manifest()

    def reproduces(self, leaderboard: str) -> Mapping[str, Any] | None:
        """Which published row it repeats as a row of a leaderboard; None: it is none that does."""
        return self.manifest.get("reproduces", {}).get(leaderboard)

    def add_provenance(self, key: str, value: Any) -> None:
        """Keeps what is known only after the run was begun; what was kept under the key goes.

        Args:
            key: In the manifest's `provenance`.
            value: Ready for JSON.
        """
        with locked(self.folder):
            self.manifest = read_run(self.folder / "manifest.json").manifest
            self.manifest.setdefault("provenance", {})[key] = value
            self._write_manifest()

    def _add_citations(self, citations: Mapping[str, str] | None) -> None:
        """Keeps what the run cites, where it was begun before runs kept that."""
        if citations is None or "citations" in self.manifest.get("provenance", {}):
            return
        with locked(self.folder):
            self.manifest = read_run(_manifest(self.folder)).manifest
            self.manifest.setdefault("provenance", {})["citations"] = dict(citations)
            self._write_manifest()

    def _write_manifest(self) -> None:
        content = json.dumps(self.manifest, indent=2).encode()
        write_atomically(_manifest(self.folder), content)

    def _map_path(self, image_id: str) -> Path:
        return self.folder / f"map-{hashlib.sha256(image_id.encode()).hexdigest()[:16]}.npy"

    def _columns(self) -> dict[str, Any]:
        identity = self.identity
        return {
            "run_key": self.manifest["key"],
            "benchmark": identity["dataset"]["name"],
            "backbone": identity["backbone"]["name"],
            "protocol": identity["protocol"]["name"],
            "protocol_hash": identity["protocol"]["hash"],
            "method": identity["method"]["name"],
            "seed": identity["seed"],
        }


def open_run(
    results_dir: Path,
    identity: Mapping[str, Any],
    config: Mapping[str, Any],
    provenance: Mapping[str, Any],
) -> Run:
    """Returns the run with this identity, begun before or begun now.

    Args:
        results_dir: The results folder.
        identity: `dataset`, `backbone`, `explain`, `method`, `protocol`, `seed` and `precision`.
        config: Resolved configuration, for the manifest of a new run.
        provenance: Likewise; of its `citations` also runs are told that were begun without.

    Raises:
        BenchError: The folder cannot be read or written.
    """
    key = run_key(identity)
    names = [identity[part]["name"] for part in ("dataset", "backbone", "protocol")]
    folder = results_dir / "runs" / file_name("_".join(names))
    # Rows name their run, so they are good even where its manifest is missing or broken.
    places = sorted(folder.glob(f"*-{key[:12]}"), key=lambda own: not _manifest(own).exists())
    begun = places[0] if places else folder / f"{file_name(identity['method']['name'])}-{key[:12]}"
    broken = []
    if _manifest(begun).exists():
        try:
            run = read_run(_manifest(begun))
            if run.manifest["key"] != key:
                raise BrokenFileError(_manifest(begun), "it is another run's")
        except BrokenFileError as error:
            broken = [set_aside(error)]
        else:
            run._add_citations(provenance.get("citations"))
            return run
    run = Run(
        begun,
        {
            "key": key,
            "identity": json.loads(json.dumps(identity)),
            "labels": {},
            "config": dict(config),
            "provenance": dict(provenance),
        },
    )
    run.broken = broken
    run._write_manifest()
    return run


def stored_runs(results_dir: Path, leaderboard: str | None = None) -> list[Run]:
    """Returns the runs in a results folder, ordered by folder.

    Args:
        results_dir: The results folder.
        leaderboard: Only the runs that are rows of this leaderboard.

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
    runs: dict[str, Run] = {}
    for folder in folders:
        try:
            run = read_run(_manifest(folder))
            other = runs.setdefault(run.manifest["key"], run)
            if other is not run:
                raise BenchError(f"'{folder}' has the same run as '{other.folder}'")
        except BenchError as error:
            warn_left_out(error)
    return [
        run for run in runs.values() if leaderboard is None or leaderboard in run.manifest["labels"]
    ]


def _folders_of_runs(parent: Path) -> Iterator[Path]:
    """Folders that hold a run or part of one, sorted; warns of those that may not be read."""
    for benchmark in sorted(parent.iterdir()) if parent.exists() else ():
        if not benchmark.is_dir():
            continue
        try:
            for folder in sorted(benchmark.iterdir()):
                if folder.is_dir() and any(
                    own.name == "manifest.json" or own.name.startswith("part-")
                    for own in folder.iterdir()
                ):
                    yield folder
        except OSError as error:
            warn(f"'{error.filename}' cannot be read ({error.strerror}): left out")


def leaderboard_names(results_dir: Path) -> list[str]:
    """Names of the leaderboards that the runs in a results folder are rows of, sorted."""
    return sorted({name for run in stored_runs(results_dir) for name in run.manifest["labels"]})


def read_run(path: Path) -> Run:
    """The run that a manifest belongs to.

    Args:
        path: Its manifest.json.

    Raises:
        BrokenFileError: It is damaged, or no manifest, or its key is not that of its identity.
        BenchError: It is missing, or the system does not let us read it.
    """
    manifest = read_json(path)
    fault = fault_of_manifest(manifest)
    if fault is not None:
        raise BrokenFileError(path, fault)
    return Run(path.parent, manifest)


def load_rows(
    results_dir: str | Path = "results", leaderboard: str | None = None, auc: str | None = None
) -> pd.DataFrame:
    """Loads the stored rows: one for each image and method, with both curves.

    Args:
        results_dir: The results folder.
        leaderboard: Only the rows of this leaderboard, with its names for the methods.
        auc: A key of `bench.metrics.auc.AUC_RULES`; the protocol's own rule if None.

    Returns:
        The columns of `bench.rows.ROW_COLUMNS`, those that the protocol's metrics store, what
        tables show of them (`insertion_auc`, by that rule), and the run's identity: run_key,
        benchmark, backbone, protocol, protocol_hash, method, seed.

    Warns (`bench.errors.BenchWarning`) of files that it leaves out because they are broken.

    Raises:
        BenchError: The folder is missing, or cannot be read, or holds no runs.
    """
    tables = []
    for run in stored_runs(Path(results_dir), leaderboard):
        rows = run.rows()
        for statistic in run.protocol.statistics:
            if statistic.column not in rows:
                rows[statistic.column] = run.protocol.values(statistic, rows, auc)
        if leaderboard is not None:
            rows["method"] = run.manifest["labels"][leaderboard]
        tables.append(rows)
    if not tables:
        names = leaderboard_names(Path(results_dir))
        known = f" of leaderboard '{leaderboard}'; there are: {', '.join(names)}" if names else ""
        raise BenchError(f"no runs in '{results_dir}'{known}")
    return pd.concat(tables, ignore_index=True)


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
