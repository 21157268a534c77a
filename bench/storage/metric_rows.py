"""The stored rows of one metric of one run: a folder of parts, each of the images of one block."""

import hashlib
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa

from bench.errors import BenchError, BrokenFileError, warn_left_out
from bench.files import DAMAGED, checksum, file_name, read_whole, set_aside, write_atomically
from bench.metrics.metric import Metric
from bench.metrics.protocol import Protocol
from bench.metrics.registry import metric_settings
from bench.storage.claims import claimed
from bench.storage.identity import Identity, content_key
from bench.storage.rows import COMMON_COLUMNS, fault_of_rows
from bench.target import LABEL


class MetricRows:
    """What one metric found of one method's maps.

    Args:
        run_folder: The folder of the run.
        identity: That of the run.
        metric: The metric.
        protocol: It is asked for by.
        annotations: Hash over what it reads of annotations, where it reads any.

    Attributes:
        metric: The metric.
        key: Hash over what decides the rows.
        folder: Where they are, in the run's folder; made with the first rows.
        has_labels: Whether the images' labels are stored, too: they are not the targets.
    """

    def __init__(
        self,
        run_folder: Path,
        identity: Identity,
        metric: Metric,
        protocol: Protocol,
        annotations: str = "",
    ) -> None:
        self.metric = metric
        self.key = rows_key(identity.key, metric, protocol, annotations)
        self.folder = run_folder / f"{file_name(metric.name)}-{self.key[:12]}"
        self.has_labels = protocol.target != LABEL
        self._shape = identity.backbone.shape
        self._images_of_part: dict[str, frozenset[str]] = {}

    def columns(self) -> dict[str, int | None]:
        """What is stored besides `COMMON_COLUMNS`: points of a curve, or None for a number.

        Where it is not on record how large the network's inputs are, a curve whose length depends
        on that has 0 points: any number will do.
        """
        shapes = (self._shape, self._shape) if self._shape else ((1, 1), (2, 2))
        small, large = map(self.metric.columns, shapes)
        return {name: points if large[name] == points else 0 for name, points in small.items()}

    def rows(self) -> pd.DataFrame:
        """All rows so far, ordered by image id.

        Parts that cannot be read, or hold what are no such rows, are left out with a warning.
        """
        found = [self._sound_part(path) for path in self._parts()]
        parts = [part for part in found if part is not None]
        if not parts:
            clean = ["clean_score"] * self.metric.uses_scores
            return pd.DataFrame(columns=[*COMMON_COLUMNS, *clean, *self.columns()])
        rows = pd.concat(parts, ignore_index=True).drop_duplicates("image_id")
        return rows.sort_values("image_id", ignore_index=True)

    def image_ids(self) -> set[str]:
        """Images that have a row by now; other processes may add some. Reads what is new only."""
        for path in self._parts():
            if path.name not in self._images_of_part:
                part = self._sound_part(path)
                images = () if part is None else part["image_id"]
                self._images_of_part[path.name] = frozenset(images)
        return set().union(*self._images_of_part.values())

    @contextmanager
    def claim(self, image_ids: Sequence[str]) -> Iterator[list[str]]:
        """Claims images for the time of a `with` block, so that no other process computes them.

        Yields:
            Those of them that no other process has claimed.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with claimed(self.folder, image_ids) as ours:
            yield list(ours)

    def set_aside_broken(self) -> list[str]:
        """Renames parts that are broken, so that their rows are missing; returns lines on them.

        Raises:
            BenchError: A part cannot be read, whatever it holds, or not be renamed.
        """
        lines = []
        for path in self._parts():
            try:
                self._images_of_part[path.name] = frozenset(self._read_part(path)["image_id"])
            except BrokenFileError as error:
                lines.append(set_aside(error))
        return lines

    def append(self, rows: pd.DataFrame) -> None:
        """Stores rows; they are there whole, or not at all. What images had before is replaced.

        Args:
            rows: With `COMMON_COLUMNS`, the columns of the metric, and what says whose they are.
        """
        images = hashlib.sha256("\n".join(rows["image_id"]).encode()).hexdigest()[:16]
        before = self._parts_with(set(rows["image_id"]))
        part = self._write_part(images, rows.assign(rows_key=self.key))
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
            BrokenFileError: It is damaged, or holds what are no rows of this metric and run.
            BenchError: The system does not let us read it.
        """
        content = read_whole(path)
        checksums = path.stem.split("-")[2:]
        if checksums and checksums != [checksum(content)]:
            raise BrokenFileError(path, "its content is not what its name's checksum says")
        try:
            rows = pd.read_parquet(io.BytesIO(content))
        except (*DAMAGED, pa.ArrowException) as error:
            raise BrokenFileError(path, str(error) or type(error).__name__) from None
        columns = self.columns()
        fault = fault_of_rows(
            rows,
            columns,
            self.key,
            scored=self.metric.uses_scores,
            labelled=self.has_labels,
        )
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


def rows_key(run_key: str, metric: Metric, protocol: Protocol, annotations: str = "") -> str:
    """Hash over what decides a metric's rows of a run, and nothing else.

    The score counts where the metric asks for scores, the tie rule where it asks for the order of a
    map's pixels, annotations where it reads them, the target always. How a curve becomes a number
    does not: it is read off the stored curve.

    Args:
        run_key: `Identity.key`.
        metric: The metric.
        protocol: It is asked for by.
        annotations: Hash over what the metric reads of annotations.
    """
    deciding: dict[str, object] = {"run": run_key, "name": metric.name}
    deciding["metric"] = metric_settings(metric)
    if metric.uses_scores:
        deciding["score"] = protocol.score
    if metric.uses_order:
        deciding["ties"] = protocol.ties
    if metric.needs:
        deciding["annotations"] = annotations
    if protocol.target != LABEL:  # a row says what its target is, whatever the metric asks
        deciding["target"] = protocol.target
    return content_key(deciding)
