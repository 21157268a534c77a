"""What a reader sees of an image: the photo as the network gets it, and what removed pixels become.

    results_dir/pictures/<benchmark>_<backbone>_<protocol>-<comparison>/<image>.npz

Written beside the rows for the images whose maps are kept, so that figures and reports need
neither the data set nor the network.
"""

import hashlib
import io
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.errors import BenchError, BrokenFileError, warn_left_out
from bench.files import DAMAGED, file_name, read_whole, write_atomically


@dataclass(frozen=True)
class Picture:
    """An image, seen by people.

    Attributes:
        image_id: Its id.
        photo: (H, W, 3) RGB uint8 at the size of the network's input.
        insertion: (H, W, 3) RGB uint8; what the insertion curve starts from.
        deletion: (H, W, 3) RGB uint8; what the deletion curve ends with.
        label: The target's name, or its number.
    """

    image_id: str
    photo: NDArray[np.uint8]
    insertion: NDArray[np.uint8]
    deletion: NDArray[np.uint8]
    label: str


def save_picture(folder: Path, picture: Picture) -> None:
    """Keeps a picture in the folder of its comparison; see `pictures_folder`."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **asdict(picture))
    write_atomically(_path(folder, picture.image_id), buffer.getvalue())


def load_picture(folder: Path, image_id: str) -> Picture | None:
    """Returns a picture that was kept, or None; warns of one that cannot be read."""
    try:
        return read_picture(folder, image_id)
    except BenchError as error:
        warn_left_out(error)
        return None


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
            pictures = {key: arrays[key] for key in ("photo", "insertion", "deletion")}
    except DAMAGED as error:
        raise BrokenFileError(path, str(error) or type(error).__name__) from None
    shape = pictures["photo"].shape
    if len(shape) != 3 or shape[2] != 3 or texts["image_id"] != image_id:
        raise BrokenFileError(path, f"expected a picture of '{image_id}', (H, W, 3)")
    if any(picture.shape != shape or picture.dtype != np.uint8 for picture in pictures.values()):
        raise BrokenFileError(path, "expected pictures of one size, 8 bits a channel")
    return Picture(label=texts["label"], image_id=image_id, **pictures)


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
