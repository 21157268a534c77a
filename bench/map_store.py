"""Maps on disk: made once, used by every protocol and every list that holds the image.

    maps/<backbone>_<method>-<key>/manifest.json
                                  /part-<images>.safetensors

The key is a hash over everything but the image that decides a map; each map is kept under a hash
over the image's id, label and pixels.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from bench.datasets.dataset import Sample
from bench.errors import BenchError
from bench.files import file_name, write_atomically
from bench.identity import run_key

DTYPES = {"float32": np.float32, "float16": np.float16}
"""Name of a precision that maps are kept at -> numpy's type. `float32` keeps float64 as it is."""


class MapStore:
    """The maps that one method made of some images.

    Attributes:
        broken: Parts that could not be read, under the names that they were given: their maps are
            missing.

    Args:
        folder: Where they are, or will be.
        dtype: A key of `DTYPES`. As float16, maps are scaled to -1..1 first; what is left of a map
            are about 2,000 values for each power of two, so neighbours in rank can become ties.
        keys: Image id -> `image_key`.
        again: Whether maps are to be made again, whatever is there.
    """

    def __init__(
        self, folder: Path, dtype: str, keys: Mapping[str, str], again: bool = False
    ) -> None:
        self.folder = folder
        self.dtype = dtype
        self._keys = keys
        self._places: dict[str, tuple[Path, int]] = {}
        self.broken: list[Path] = []
        for part in () if again else sorted(folder.glob("part-*.safetensors")):
            try:
                with _opened(part) as file:
                    self._add(part, json.loads((file.metadata() or {}).get("keys", "[]")))
            except BenchError:
                self.broken.append(part.rename(part.with_name(f"broken-{part.name}")))

    def __contains__(self, image_id: str) -> bool:
        return self._keys[image_id] in self._places

    def load(self, image_ids: Sequence[str]) -> tuple[NDArray[np.floating], NDArray[np.float32]]:
        """Reads the maps (n, H, W) of images that are there, and the seconds (n,) they had taken.

        Maps are float32, or float64 if one of them was saved so.

        Raises:
            BenchError: A part cannot be read.
        """
        maps: list[Any] = [None] * len(image_ids)
        seconds = np.empty(len(image_ids), np.float32)
        places = defaultdict(list)
        for number, image_id in enumerate(image_ids):
            part, place = self._places[self._keys[image_id]]
            places[part].append((number, place))
        for part, wanted in places.items():
            with _opened(part) as file:
                own, scales = file.get_slice("maps"), file.get_tensor("scales")
                taken = file.get_tensor("seconds")
                for number, place in wanted:
                    maps[number] = own[place].astype(scales.dtype) * scales[place]
                    seconds[number] = taken[place]
        return np.stack(maps), seconds

    def save(self, image_ids: Sequence[str], maps: NDArray[np.floating], seconds: float) -> None:
        """Keeps maps; they are there whole, or not at all.

        Args:
            image_ids: n ids.
            maps: (n, H, W) float32 or float64.
            seconds: How long each took, on average.
        """
        keys = [self._keys[image_id] for image_id in image_ids]
        scales, dtype = np.ones(len(maps), maps.dtype), maps.dtype
        if self.dtype == "float16":
            dtype = np.float16
            highest = np.abs(maps).max(axis=(1, 2))
            scales = np.where(highest > 0, highest, 1).astype(maps.dtype)
        tensors = {
            "maps": (maps / scales[:, None, None]).astype(dtype),
            "scales": scales,
            "seconds": np.full(len(maps), seconds, np.float32),
        }
        part = self.folder / f"part-{_sha256(keys)[:16]}.safetensors"
        write_atomically(part, save(tensors, {"keys": json.dumps(keys)}))
        self._add(part, keys)

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
        folder: Of all maps.
        identity: `backbone`, `score`, `method`, `seed`, `precision` and `compile`: everything but
            the images that decides a map.
        dtype: See `MapStore`.
        keys: See `MapStore`.
        again: See `MapStore`.
    """
    identity = {**identity, "dtype": dtype}
    key = run_key(identity)
    names = [identity[part]["name"] for part in ("backbone", "method")]
    begun = next(folder.glob(f"*-{key[:12]}/manifest.json"), None)
    if begun is not None:
        return MapStore(begun.parent, dtype, keys, again)
    own = folder / f"{file_name('_'.join(names))}-{key[:12]}"
    manifest = {"key": key, "identity": identity}
    write_atomically(own / "manifest.json", json.dumps(manifest, indent=2).encode())
    return MapStore(own, dtype, keys)


def _opened(part: Path) -> Any:
    try:
        return safe_open(part, framework="numpy")
    except (OSError, SafetensorError) as error:
        raise BenchError(
            f"'{part}' cannot be read ({error}): delete it, and its maps are made again"
        ) from None


def _sha256(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
