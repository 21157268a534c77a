"""Maps that were made elsewhere, read from a folder."""

import hashlib
import unicodedata
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.attribution.maps import exact_floats
from bench.attribution.method import Batch, Method
from bench.attribution.regions import region_map
from bench.attribution.scorer import Scorer
from bench.errors import BenchError, require_integer, require_known


class Stored(Method):
    """Maps from .npy files, one an image, at the image's path with its suffix replaced.

    Arrays are never unpickled. Their hash is part of a run's identity. float64 maps and integers
    are ordered as they are, not rounded to float32.

    Args:
        root: Folder of the files: the map of `3/bird.jpg` is `root/3/bird.npy`.
        layout: `map`: (H, W), (H, W, 1) or (H, W, C), channels averaged as Xplique does.
            `regions`: (K, H, W, C), the image's regions in the order of their importance, all else
            0, as SMDL (arXiv 2402.09164) stores them; the k-th of K counts K - k in each channel
            in which it is not 0.
        smooth: If given, maps of `regions` are resized to so many pixels a side and back, as
            uint8, bilinear: what the record's scripts do before some insertions (7) and
            deletions (28).

    Raises:
        BenchError: The folder is missing, or a setting is unknown.

    Example:
        >>> from bench.attribution.method import Batch
        >>> np.save("bird.npy", np.array([[1.0, 2.0], [3.0, 4.0]], np.float32))
        >>> batch = Batch(torch.rand(1, 3, 2, 2), torch.tensor([0]), ["bird.jpg"], images=[])
        >>> Stored(".")(None, batch).tolist()
        [[[1.0, 2.0], [3.0, 4.0]]]
    """

    version = 2  # float64 maps are no longer rounded to float32
    explains_any_input = False
    places = ("root",)
    draws = False

    def __init__(self, root: str, layout: str = "map", smooth: int | None = None) -> None:
        require_known("layout", layout, ("map", "regions"))
        if smooth is not None:
            require_integer("smooth", smooth, 1)
            if layout != "regions":
                raise BenchError("smooth: expected layout=regions with it, found layout=map")
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise BenchError(f"root: '{self.root}' is not a folder; expected one of .npy files")
        self.layout = layout
        self.smooth = smooth

    def identity(self, image_ids: Sequence[str]) -> dict[str, object]:
        """Hash over the files of all images.

        Raises:
            BenchError: Two images would read one file, or files are missing; counts them and names
                the first three.
        """
        self._refuse_shared_files(image_ids)
        digest, missing = hashlib.sha256(), []
        for image_id in image_ids:
            try:
                content = self._path(image_id).read_bytes()
            except OSError:
                missing.append(str(self._path(image_id)))
                continue
            digest.update(hashlib.sha256(content).digest())
        if missing:
            raise BenchError(
                f"root: {len(missing)} of {len(image_ids)} maps are missing "
                f"({', '.join(missing[:3])}{', ...' if len(missing) > 3 else ''})"
            )
        return {"maps_sha256": digest.hexdigest()}

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        """See `Method`."""
        height, width = batch.x.shape[2:]
        maps = [self._read(self._path(image_id), (height, width)) for image_id in batch.image_ids]
        return torch.from_numpy(np.stack(maps)).to(batch.x.device)

    def _refuse_shared_files(self, image_ids: Sequence[str]) -> None:
        """Refuses images that differ in their suffix alone, or in what the file system ignores."""
        readers: dict[str, str] = {}
        for image_id in image_ids:
            path = self._path(image_id)
            # Some file systems take `A` for `a`, and some an accented letter for its two parts.
            alike = unicodedata.normalize("NFC", str(path)).casefold()
            other = readers.setdefault(alike, image_id)
            if other != image_id and _are_one_file(self._path(other), path):
                raise BenchError(
                    f"root: images '{other}' and '{image_id}' would both read '{path}'; expected "
                    "a file for each image: give one of the images another name before its suffix"
                )

    def _path(self, image_id: str) -> Path:
        return self.root / PurePosixPath(image_id).with_suffix(".npy")

    def _read(self, path: Path, size: tuple[int, int]) -> NDArray[np.floating]:
        """A map (H, W), float32 or float64."""
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            reason = " ".join(str(error).split())[:200]
            raise BenchError(f"map '{path}' cannot be read: {reason}") from None
        if self.layout == "regions":
            array = self._order(array, path)
        if array.dtype.kind not in "fiub" or array.ndim not in (2, 3) or array.shape[:2] != size:
            expected = f"({size[0]}, {size[1]}) or ({size[0]}, {size[1]}, channels)"
            raise BenchError(
                f"map '{path}': expected numbers of shape {expected}, the network's input, found "
                f"{array.shape} of {array.dtype}"
            )
        if array.dtype.itemsize > 8:
            raise BenchError(
                f"map '{path}': expected numbers of at most 64 bits, found {array.dtype}: save "
                "it as float64"
            )
        try:
            native = np.ascontiguousarray(array, array.dtype.newbyteorder("="))
            array = exact_floats(torch.from_numpy(native)).numpy()
        except BenchError as error:
            raise BenchError(f"map '{path}': {error}") from None
        return array.mean(axis=2) if array.ndim == 3 else array

    def _order(self, regions: NDArray[np.generic], path: Path) -> NDArray[np.float32]:
        """Regions (K, H, W, C) to their map (H, W)."""
        if regions.ndim != 4 or not 0 < len(regions) < 256:
            raise BenchError(
                f"map '{path}': expected regions (K, H, W, C) with K < 256, found {regions.shape}"
            )
        ranks = np.full(regions.shape[1:], len(regions))
        for number, region in enumerate(regions):
            ranks[region > 0] = number
        return region_map(ranks, len(regions), self.smooth)


def _are_one_file(first: Path, second: Path) -> bool:
    try:
        return first == second or first.samefile(second)
    except OSError:  # one of them is missing
        return False
