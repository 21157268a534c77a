"""Per-image rows on disk. One wing of the house writes them, the other reads them.

    results_dir/runs/<dataset>_<backbone>_<protocol>/<method>-<key>/manifest.json
                                                                  /part-<images>.parquet
                                                                  /map-<image>.npy   (a few)
                                                                  /failures.json     (if any)

The key is a hash over everything that decides the numbers, so what is there is never computed
again, and what differs in anything never meets.
"""

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from bench.claims import claimed, locked
from bench.errors import BenchError
from bench.files import file_name, write_atomically
from bench.identity import run_key
from bench.metrics.auc import auc as areas_under

ROW_COLUMNS = (
    "image_id target prediction clean_score baseline_score insertion_curve deletion_curve "
    "tied_fraction seconds"
).split()


class Run:
    """The stored rows of one method under one benchmark, backbone, protocol and seed.

    Attributes:
        folder: Where they are.
        manifest: `key`, `identity` (what the key hashes), `labels` (leaderboard -> name of the
            row in it), `config` and `provenance` of the run that began it.
    """

    def __init__(self, folder: Path, manifest: dict[str, Any]) -> None:
        self.folder = folder
        self.manifest = manifest
        self._images_of_part: dict[str, frozenset[str]] = {}

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the numbers."""
        return self.manifest["identity"]

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

        Raises:
            BenchError: A part cannot be read.
        """
        parts = [_read_part(path) for path in self._parts()]
        if not parts:
            return pd.DataFrame(columns=[*ROW_COLUMNS, *self._columns()])
        rows = pd.concat(parts, ignore_index=True).drop_duplicates("image_id")
        return rows.sort_values("image_id", ignore_index=True)

    def image_ids(self) -> set[str]:
        """Images that have a row by now; other processes may add some. Reads what is new only."""
        for path in self._parts():
            if path.name not in self._images_of_part:
                column = _read_part(path, ["image_id"])["image_id"]
                self._images_of_part[path.name] = frozenset(column)
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

    def set_aside_broken(self) -> list[Path]:
        """Renames parts that cannot be read, so that their rows are missing; returns new names."""
        aside = []
        for path in self._parts():
            try:
                _read_part(path)
            except BenchError:
                aside.append(path.rename(path.with_name(f"broken-{path.name}")))
        return aside

    def append(self, rows: pd.DataFrame) -> None:
        """Stores rows; they are there whole, or not at all. What images had before is replaced.

        Args:
            rows: With the columns `ROW_COLUMNS`, and others if the protocol asks for more.
        """
        images = hashlib.sha256("\n".join(rows["image_id"]).encode()).hexdigest()[:16]
        before = self._parts_with(set(rows["image_id"]))
        part = self.folder / f"part-{images}.parquet"
        _write_part(part, rows.assign(**self._columns()))
        for path in before - {part}:
            others = _read_part(path)
            others = others[~others["image_id"].isin(rows["image_id"])]
            if len(others):
                _write_part(path, others)
            else:
                path.unlink()
            del self._images_of_part[path.name]
        self._images_of_part[part.name] = frozenset(rows["image_id"])

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
            known = self._read_failures() | {image_id: {"reason": reason, "trace": trace}}
            write_atomically(self.folder / "failures.json", json.dumps(known, indent=2).encode())

    def failures(self, rows: pd.DataFrame) -> dict[str, str]:
        """Image id -> why it has no row, of the images whose last evaluation failed.

        Args:
            rows: As `rows` gives them.
        """
        done = set(rows["image_id"])
        known = self._read_failures()
        return {image: own["reason"] for image, own in known.items() if image not in done}

    def _read_failures(self) -> dict[str, dict[str, str]]:
        path = self.folder / "failures.json"
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise BenchError(f"'{path}' cannot be read ({error}): delete it") from None

    def save_map(self, image_id: str, saliency_map: NDArray[np.float32]) -> None:
        """Keeps one map (H, W), for figures."""
        buffer = io.BytesIO()
        np.save(buffer, saliency_map)
        write_atomically(self._map_path(image_id), buffer.getvalue())

    def load_map(self, image_id: str) -> NDArray[np.float32] | None:
        """Returns a map that was kept, or None."""
        path = self._map_path(image_id)
        if not path.exists():
            return None
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            raise BenchError(f"'{path}' is broken: delete it") from None

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
            self.manifest = read_run(self.folder / "manifest.json").manifest
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
            self.manifest = read_run(self.folder / "manifest.json").manifest
            self.manifest.setdefault("provenance", {})["citations"] = dict(citations)
            self._write_manifest()

    def _write_manifest(self) -> None:
        content = json.dumps(self.manifest, indent=2).encode()
        write_atomically(self.folder / "manifest.json", content)

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
    """
    key = run_key(identity)
    names = [identity[part]["name"] for part in ("dataset", "backbone", "protocol")]
    folder = results_dir / "runs" / file_name("_".join(names))
    for begun in folder.glob(f"*-{key[:12]}/manifest.json"):
        run = read_run(begun)
        run._add_citations(provenance.get("citations"))
        return run
    run = Run(
        folder / f"{file_name(identity['method']['name'])}-{key[:12]}",
        {
            "key": key,
            "identity": json.loads(json.dumps(identity)),
            "labels": {},
            "config": dict(config),
            "provenance": dict(provenance),
        },
    )
    run._write_manifest()
    return run


def stored_runs(results_dir: Path, leaderboard: str | None = None) -> list[Run]:
    """Returns the runs in a results folder, ordered by folder.

    Args:
        results_dir: The results folder.
        leaderboard: Only the runs that are rows of this leaderboard.

    Raises:
        BenchError: The folder is missing or a manifest cannot be read.
    """
    if not results_dir.is_dir():
        raise BenchError(
            f"results folder '{results_dir}' is missing or no folder: name the one of your runs"
        )
    runs = [read_run(path) for path in sorted(results_dir.glob("runs/*/*/manifest.json"))]
    return [run for run in runs if leaderboard is None or leaderboard in run.manifest["labels"]]


def leaderboard_names(results_dir: Path) -> list[str]:
    """Names of the leaderboards that the runs in a results folder are rows of, sorted."""
    return sorted({name for run in stored_runs(results_dir) for name in run.manifest["labels"]})


def read_run(path: Path) -> Run:
    """The run that a manifest belongs to.

    Args:
        path: Its manifest.json.

    Raises:
        BenchError: It cannot be read, or is no manifest.
    """
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BenchError(f"'{path}' cannot be read: {error}") from None
    if not isinstance(manifest, dict) or not {"key", "identity", "labels"} <= manifest.keys():
        raise BenchError(f"'{path}' is no manifest: expected the keys key, identity and labels")
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
        The columns of `bench.store.ROW_COLUMNS`, `insertion_auc` and `deletion_auc` by that
        rule, and the run's identity: run_key, benchmark, backbone, protocol,
        protocol_hash, method, seed.

    Raises:
        BenchError: The folder is missing or something in it cannot be read.
    """
    tables = []
    for run in stored_runs(Path(results_dir), leaderboard):
        rows = run.rows()
        for direction in ("insertion", "deletion"):
            rows[f"{direction}_auc"] = curve_areas(run, rows, direction, auc)
        if leaderboard is not None:
            rows["method"] = run.manifest["labels"][leaderboard]
        tables.append(rows)
    if not tables:
        names = leaderboard_names(Path(results_dir))
        known = f" of leaderboard '{leaderboard}'; there are: {', '.join(names)}" if names else ""
        raise BenchError(f"no runs in '{results_dir}'{known}")
    return pd.concat(tables, ignore_index=True)


def curve_areas(
    run: Run, rows: pd.DataFrame, direction: str, rule: str | None = None
) -> NDArray[np.float64]:
    """Areas (n,) under the stored insertion or deletion curves.

    Args:
        run: Whose rows they are.
        rows: n rows.
        direction: `insertion` or `deletion`.
        rule: A key of `bench.metrics.auc.AUC_RULES`; the protocol's own rule if None.
    """
    if not len(rows):
        return np.empty(0)
    curves = np.stack(rows[f"{direction}_curve"].tolist())
    rule = rule or run.identity["protocol"]["auc"]
    return areas_under(curves, rule, rows["clean_score"].to_numpy())


def _read_part(path: Path, columns: Sequence[str] | None = None) -> pd.DataFrame:
    try:
        return pd.read_parquet(path, columns=columns)
    except (OSError, pa.ArrowException) as error:
        raise BenchError(
            f"'{path}' cannot be read ({str(error).splitlines()[0]}): delete it, and the "
            "next run computes its rows again"
        ) from None


def _write_part(path: Path, rows: pd.DataFrame) -> None:
    buffer = io.BytesIO()
    rows.to_parquet(buffer, index=False)
    write_atomically(path, buffer.getvalue())
