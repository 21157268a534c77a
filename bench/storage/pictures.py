"""Pictures of images: the photo as the network gets it, and what removed pixels become.

    results_dir/pictures/<benchmark>_<backbone>_<protocol>-<comparison>/<image>.npz
                                                                       /classes.json

Written beside the rows for the images whose maps are kept, so that figures and reports need
neither the data set nor the network.
"""

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, BrokenFileError, warn_left_out
from bench.files import DAMAGED, file_name, read_json, read_whole, write_atomically

_BASELINE = "baseline of "
"""How the arrays' names begin in a file."""
_BOXES = "boxes"
_CLASSES = "classes.json"


@dataclass(frozen=True)
class Picture:
    """An image, seen by people.

    Attributes:
        image_id: Its id.
        photo: (H, W, 3) RGB uint8 at the size of the network's input.
        label: The target's name, or its number.
        baselines: By metric, (H, W, 3) RGB uint8: what removed pixels are.
        boxes: (N, 4) float64, what people marked in it: left, top, right and bottom in pixels of
            the photo, right and bottom behind the last ones. None: that was not kept, as where no
            metric draws boxes, and in files from before there were such metrics.
        class_names: Name of each of the network's classes, kept for all pictures of a folder by
            `save_class_names`; empty where they have none.
    """

    image_id: str
    photo: NDArray[np.uint8]
    label: str
    baselines: Mapping[str, NDArray[np.uint8]]
    boxes: NDArray[np.float64] | None = None
    class_names: Sequence[str] = ()


def save_picture(folder: Path, picture: Picture) -> None:
    """Keeps a picture in the folder of its comparison; see `pictures_folder`."""
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {
        "image_id": picture.image_id,
        "label": picture.label,
        "photo": picture.photo,
        **{_BASELINE + name: pixels for name, pixels in picture.baselines.items()},
    }
    if picture.boxes is not None:
        arrays[_BOXES] = picture.boxes
    np.savez_compressed(buffer, **arrays)
    write_atomically(_path(folder, picture.image_id), buffer.getvalue())


def save_class_names(folder: Path, names: Sequence[str]) -> None:
    """Keeps the names of a network's classes in the folder of a comparison.

    Args:
        folder: See `pictures_folder`.
        names: A name each, in the order of their numbers.
    """
    content = json.dumps(list(names), ensure_ascii=False, indent=0).encode()
    path = folder / _CLASSES
    if not path.exists() or read_whole(path) != content:
        write_atomically(path, content)


def load_picture(folder: Path, image_id: str) -> Picture | None:
    """Returns a picture that was kept, or None; warns of what cannot be read.

    Its classes have the names that are kept in the folder.
    """
    try:
        picture = read_picture(folder, image_id)
    except BenchError as error:
        warn_left_out(error)
        return None
    return picture and replace(picture, class_names=_class_names(folder))


def _class_names(folder: Path) -> list[str]:
    """Names of classes that were kept, or none; warns of a file that cannot be read."""
    path = folder / _CLASSES
    if not path.exists():
        return []
    try:
        names = read_json(path)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BrokenFileError(path, "expected a list of names")
    except BenchError as error:
        warn_left_out(error)
        return []
    return names


def read_picture(folder: Path, image_id: str) -> Picture | None:
    """Returns a picture that was kept, or None.

    Raises:
        BrokenFileError: It is none, or another image's.
        BenchError: The system does not let us read it.
    """
    path = _path(folder, image_id)
    if not path.exists():
        return None
    content = read_whole(path)
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            texts = {key: str(arrays[key]) for key in ("image_id", "label")}
            photo = arrays["photo"]
            baselines = {
                key.removeprefix(_BASELINE): arrays[key]
                for key in arrays
                if key.startswith(_BASELINE)
            }
            boxes = arrays.get(_BOXES)
    except DAMAGED as error:
        raise BrokenFileError(path, str(error) or type(error).__name__) from None
    shape = photo.shape
    if len(shape) != 3 or shape[2] != 3 or texts["image_id"] != image_id:
        raise BrokenFileError(path, f"expected a picture of '{image_id}', (H, W, 3)")
    if any(
        pixels.shape != shape or pixels.dtype != np.uint8 for pixels in (photo, *baselines.values())
    ):
        raise BrokenFileError(path, "expected pictures of one size, 8 bits a channel")
    if boxes is not None and (boxes.shape[1:] != (4,) or boxes.dtype != np.float64):
        raise BrokenFileError(path, "expected boxes of four float64 each")
    return Picture(photo=photo, **texts, baselines=baselines, boxes=boxes)


def pictures_folder(results_dir: Path, title: str, key: str) -> Path:
    """Where the pictures of a comparison are.

    Args:
        results_dir: The results folder.
        title: `Comparison.title`.
        key: `Comparison.key`.
    """
    return results_dir / "pictures" / f"{file_name(title.replace(' · ', '_'))}-{key}"


def _path(folder: Path, image_id: str) -> Path:
    return folder / f"{hashlib.sha256(image_id.encode()).hexdigest()[:16]}.npz"
