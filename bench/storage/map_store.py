"""Maps on disk: made once, used by every protocol and every list that holds the image.

    maps/<backbone>_<method>-<key>/manifest.json
                                  /part-<images>.safetensors

The key is a hash over everything but the image that decides a map; each map is kept under a hash
over the image's id, label and pixels, and has a checksum.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bench.datasets.dataset import Sample
from bench.errors import BenchError, BrokenFileError, warn, warn_left_out
from bench.files import DAMAGED, checksum, file_name, read_json, set_aside, write_atomically
from bench.storage.identity import content_key

DTYPES = {"float32": np.float32, "float16": np.float16}
"""Name of a precision that maps are kept at -> numpy's type. `float32` keeps float64 as it is."""

_TENSORS = ("maps", "scales", "seconds")


class KeptMap(NamedTuple):
    """A map as it is kept.

    Attributes:
        values: (H, W), or (C, H, W) of a method that keeps channels: float32, or float64 if it was
            saved so.
        seconds: What it had taken to make.
    """

    values: NDArray[np.floating]
    seconds: float

    @property
    def in_one_channel(self) -> NDArray[np.floating]:
        """(H, W): the mean over channels, where there are any."""
        return self.values.mean(axis=0) if self.values.ndim == 3 else self.values


class MapStore:
    """The maps that one method made of some images.

    Attributes:
        broken: Lines on parts that were set aside when the store was opened: their maps are
            missing.
        not_kept: How many maps could not be written; they were given all the same.

    Args:
        folder: Where they are, or will be.
        manifest: Its `key` is that of all maps in the folder.
        dtype: A key of `DTYPES`. As float16, maps are scaled to -1..1 first; what is left of a map
            are about 2,000 values for each power of two, so neighbours in rank can become ties.
        keys: Image id -> `image_key`.
        again: Whether maps are to be made again, whatever is there.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Mapping[str, Any],
        dtype: str,
        keys: Mapping[str, str],
        again: bool = False,
    ) -> None:
        self.folder = folder
        self.dtype = dtype
        self.not_kept = 0
        self._manifest = manifest
        self._keys = keys
        self._places: dict[str, tuple[Path, int]] = {}
        self.broken: list[str] = []
        for part in () if again else sorted(folder.glob("part-*.safetensors")):
            try:
                with _opened(part) as file:
                    self._add(part, self._keys_of(part, file))
            except BrokenFileError as error:
                self.broken.append(self._set_aside(error))
            except BenchError as error:
                warn_left_out(error)

    def __contains__(self, image_id: str) -> bool:
        return self._keys[image_id] in self._places

    def load(self, image_ids: Sequence[str], size: tuple[int, int]) -> dict[str, KeptMap]:
        """Reads the maps of those images that have one.

        A map that is not what was kept, or does not fit, is set aside with a warning and missing
        from then on; what else stands in its file is written anew.

        Args:
            image_ids: The images wanted.
            size: Height and width that their maps must have.

        Returns:
            By image id.
        """
        wanted = defaultdict(list)
        for image_id in image_ids:
            if image_id in self:
                part, _ = self._places[self._keys[image_id]]
                wanted[part].append(image_id)
        found: dict[str, KeptMap] = {}
        for part, of_part in wanted.items():
            try:
                read = self._read(part)
            except BrokenFileError as error:
                self._mend(error, {})
                continue
            except BenchError as error:
                warn_left_out(error)
                continue
            keys = {image_id: self._keys[image_id] for image_id in of_part}
            sound = {image_id: read[key] for image_id, key in keys.items() if key in read}
            found |= _of_size(sound, size)
            faulty = [image_id for image_id in of_part if image_id not in found]
            if faulty:
                names = ", ".join(f"'{image_id}'" for image_id in faulty[:3])
                more = f" and {len(faulty) - 3} more" if len(faulty) > 3 else ""
                reason = f"the map of {names}{more} is not what was kept, or not of {size}"
                self._mend(BrokenFileError(part, reason), _of_size(read, size))
        return found

    def save(
        self, image_ids: Sequence[str], maps: NDArray[np.floating], seconds: float
    ) -> dict[str, KeptMap]:
        """Keeps maps; they are there whole, or not at all.

        Where the file system refuses (it is full, or somebody else's), that is reported once and
        counted, and the maps are given all the same.

        Args:
            image_ids: n ids.
            maps: (n, H, W) or (n, C, H, W), float32 or float64.
            seconds: How long each took, on average.

        Returns:
            By image id, what `load` gives from now on: what is evaluated is what is kept.
        """
        keys = [self._keys[image_id] for image_id in image_ids]
        rounded, scales = self._rounded(maps)
        taken = np.full(len(maps), seconds, np.float32)
        try:
            self._write(keys, rounded, scales, taken)
        except BenchError as error:
            if not self.not_kept:
                warn(f"maps are not kept, but evaluated: {error}")
            self.not_kept += len(maps)
        given = _as_read(rounded, scales, taken)
        return dict(zip(image_ids, given, strict=True))

    def as_kept(self, maps: NDArray[np.floating]) -> NDArray[np.floating]:
        """Maps (n, H, W) as they would be read had they been kept; what is kept may be rounded."""
        rounded, scales = self._rounded(maps)
        given = _as_read(rounded, scales, np.zeros(len(maps), np.float32))
        return np.stack([kept.values for kept in given])

    def _rounded(
        self, maps: NDArray[np.floating]
    ) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
        """Maps (n, H, W) in the dtype that is kept, and what each is to be multiplied by (n,)."""
        scales = np.ones(len(maps), maps.dtype)
        kept_dtype: np.dtype[np.floating] = maps.dtype
        if self.dtype == "float16":
            kept_dtype = np.dtype(np.float16)
            highest = np.abs(maps).max(axis=tuple(range(1, maps.ndim)))
            scales = np.where(highest > 0, highest, 1).astype(maps.dtype)
        return (maps / scales.reshape(-1, *[1] * (maps.ndim - 1))).astype(kept_dtype), scales

    def _write(self, keys: Sequence[str], *arrays: NDArray[Any]) -> None:
        """Writes a part of maps (n, H, W), their scales (n,) and seconds (n,) as kept."""
        manifest = self.folder / "manifest.json"
        if not manifest.exists():
            write_atomically(manifest, json.dumps(self._manifest, indent=2).encode())
        metadata = {
            "store": self._manifest["key"],
            "keys": json.dumps(list(keys)),
            "checksums": json.dumps(_checksums(keys, *arrays)),
        }
        part = self.folder / f"part-{_sha256(keys)[:16]}.safetensors"
        write_atomically(part, save(dict(zip(_TENSORS, arrays, strict=True)), metadata))
        self._add(part, keys)

    def _keys_of(self, part: Path, file: Any) -> list[str]:
        """Keys of a part's maps, whose shapes are looked at.

        Raises:
            BrokenFileError: It is no part of this store.
        """
        metadata = file.metadata() or {}
        try:
            keys = json.loads(metadata.get("keys", "null"))
            shapes = [tuple(file.get_slice(name).get_shape()) for name in _TENSORS]
            count = [shape[:1] for shape in shapes]
        except (SafetensorError, ValueError, RecursionError) as error:
            raise BrokenFileError(part, str(error)) from None
        is_list = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
        ranks = [len(shape) for shape in shapes]
        if not is_list or count != [(len(keys),)] * 3 or ranks not in ([3, 1, 1], [4, 1, 1]):
            raise BrokenFileError(part, f"expected maps and their keys, found shapes {shapes}")
        if metadata.get("store", self._manifest["key"]) != self._manifest["key"]:
            raise BrokenFileError(part, "its maps are another method's")
        return keys

    def _read(self, part: Path) -> dict[str, KeptMap]:
        """The sound maps of a part, by key; one without checksums (older) is taken as it is.

        Raises:
            BrokenFileError: It is no part of this store.
            BenchError: The system does not let us read it.
        """
        with _opened(part) as file:
            keys = self._keys_of(part, file)
            try:
                arrays = [file.get_tensor(name) for name in _TENSORS]
                expected = json.loads((file.metadata() or {}).get("checksums", "null"))
            except (SafetensorError, ValueError, RecursionError) as error:
                raise BrokenFileError(part, str(error)) from None
        found = _checksums(keys, *arrays)
        if expected is None:
            expected = found
        if not isinstance(expected, list) or len(expected) != len(keys):
            raise BrokenFileError(part, "expected a checksum for each map")
        if any(array.dtype.kind != "f" for array in arrays):
            raise BrokenFileError(part, "expected floating point numbers")
        given = zip(keys, _as_read(*arrays), found, expected, strict=True)
        return {
            key: kept
            for key, kept, ours, theirs in given
            if ours == theirs and np.isfinite(kept.values).all() and np.isfinite(kept.seconds)
        }

    def _mend(self, error: BrokenFileError, sound: Mapping[str, KeptMap]) -> None:
        """Sets a part aside and writes its sound maps anew."""
        held = [key for key, (part, _) in self._places.items() if part == error.path]
        for key in held:
            del self._places[key]
        kept = {key: sound[key] for key in held if key in sound}
        try:
            if kept:
                with _opened(error.path) as file:
                    keys = self._keys_of(error.path, file)
                    places = [keys.index(key) for key in kept]
                    self._write(list(kept), *(file.get_tensor(name)[places] for name in _TENSORS))
        except BenchError as failed:
            warn(f"{failed}: the sound maps of a broken part are made again")
        warn(self._set_aside(error))

    def _set_aside(self, error: BrokenFileError) -> str:
        try:
            return set_aside(error)
        except BenchError:  # another user's maps: they stay, and are made again here
            return f"{error}: left out, to be computed again"

    def _add(self, part: Path, keys: Iterable[str]) -> None:
        self._places |= {key: (part, place) for place, key in enumerate(keys)}


def image_key(sample: Sample, pixels: str) -> str:
    """Hash over what a map depends on in its image.

    Args:
        sample: The image.
        pixels: Hash over its pixels, as `Dataset.pixel_hashes` gives it.
    """
    return _sha256([sample.image_id, str(sample.target), pixels])[:32]


def open_maps(
    folder: Path,
    identity: Mapping[str, Any],
    dtype: str,
    keys: Mapping[str, str],
    again: bool = False,
) -> MapStore:
    """Returns the store of the maps with this identity, begun before or begun now.

    Args:
        folder: The folder of all maps.
        identity: `backbone`, `score`, `method`, `seed`, `precision` and `compile`: everything but
            the images that decides a map.
        dtype: See `MapStore`.
        keys: See `MapStore`.
        again: See `MapStore`.
    """
    identity = {**identity, "dtype": dtype}
    key = _key(identity)
    names = [identity[part]["name"] for part in ("backbone", "method")]
    places = sorted(folder.glob(f"*-{key[:12]}"))
    begun = places[0] if places else folder / f"{file_name('_'.join(names))}-{key[:12]}"
    manifest = {"key": key, "identity": json.loads(json.dumps(identity))}
    store = MapStore(begun, manifest, dtype, keys, again)
    path = begun / "manifest.json"
    try:
        # Names decide no map: another name for a method finds its maps.
        if path.exists() and _key(read_json(path)["identity"]) != key:
            raise BrokenFileError(path, "its key is not that of its identity")
    except BrokenFileError as error:
        store.broken.append(store._set_aside(error))
    except DAMAGED as error:
        store.broken.append(store._set_aside(BrokenFileError(path, f"no manifest: {error!r}")))
    except BenchError as error:
        warn_left_out(error)
    return store


def _of_size(maps: Mapping[str, KeptMap], size: tuple[int, int]) -> dict[str, KeptMap]:
    return {name: kept for name, kept in maps.items() if kept.values.shape[-2:] == size}


def _as_read(
    maps: NDArray[Any], scales: NDArray[np.floating], seconds: NDArray[np.float32]
) -> list[KeptMap]:
    """Maps (n, H, W) as they are kept to maps as they are used."""
    return [
        KeptMap(values.astype(scales.dtype) * scale, float(taken))
        for values, scale, taken in zip(maps, scales, seconds, strict=True)
    ]


def _checksums(keys: Iterable[str], *arrays: NDArray[Any]) -> list[str]:
    """One for each map, over its key, values, scale and seconds."""
    return [
        checksum(b"".join([key.encode(), *(np.ascontiguousarray(a).tobytes() for a in of_map)]))
        for key, *of_map in zip(keys, *arrays, strict=True)
    ]


def _opened(part: Path) -> Any:
    try:
        with part.open("rb"):
            pass
        return safe_open(part, framework="numpy")
    except (FileNotFoundError, PermissionError) as error:
        raise BenchError(f"'{part}' cannot be read: {error.strerror}") from None
    except (OSError, SafetensorError) as error:
        raise BrokenFileError(part, str(error)) from None


def _sha256(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def _key(identity: Mapping[str, Any]) -> str:
    """Hash over what decides maps: all but what the user calls the method."""
    method = {key: value for key, value in identity["method"].items() if key != "name"}
    return content_key({**identity, "method": method})
