"""The dataset contract: an ordered list of labelled image files."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bench.errors import BenchError, require_integer


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        image_id: Relative path as the list writes it; unique in its dataset.
        path: The file.
        target: Class index.
    """

    image_id: str
    path: Path
    target: int

    def read(self) -> NDArray[np.uint8]:
        """Reads the image as RGB uint8 (H, W, 3).

        Raises:
            BenchError: The file is missing, unreadable or truncated.
        """
        return read_image(self.path)


class Dataset:
    """A named, ordered list of samples.

    Args:
        name: Name of the benchmark in tables.
        samples: At least one; image ids are unique.
        max_images: Keep the first so many only; None keeps all.

    Raises:
        BenchError: No samples, an image id twice, or `max_images` out of range.
    """

    def __init__(self, name: str, samples: Sequence[Sample], max_images: int | None = None) -> None:
        if max_images is not None:
            require_integer("dataset.max_images", max_images, 1)
        self.name = name = str(name)
        self.samples = list(samples)[:max_images]
        if not self.samples:
            raise BenchError(f"dataset '{name}': found no images")
        seen: set[str] = set()
        for sample in self.samples:
            if sample.image_id in seen:
                raise BenchError(f"dataset '{name}': '{sample.image_id}' is listed twice")
            seen.add(sample.image_id)

    def __len__(self) -> int:
        return len(self.samples)

    def check_targets(self, num_classes: int) -> None:
        """Raises `BenchError` naming the first image whose label the model does not have."""
        for sample in self.samples:
            if not 0 <= sample.target < num_classes:
                raise BenchError(
                    f"dataset '{self.name}': label {sample.target} of '{sample.image_id}' is "
                    f"outside the model's classes 0..{num_classes - 1}: check the list, or choose "
                    "the backbone that was trained on these labels"
                )

    def identity(self) -> dict[str, object]:
        """Hashes of the list and of the decoded pixels. Reads every image once.

        Raises:
            BenchError: Files are missing, unreadable or truncated; names them, not only the first.
        """
        listing, pixels, broken = hashlib.sha256(), hashlib.sha256(), []
        for sample in self.samples:
            listing.update(f"{sample.image_id} {sample.target}\n".encode())
            try:
                image = sample.read()
            except BenchError as error:
                broken.append(str(error))
                continue
            pixels.update(str(image.shape).encode())
            pixels.update(image)
        if broken:
            more = f" (and {len(broken) - 3} more)" if len(broken) > 3 else ""
            raise BenchError("; ".join(broken[:3]) + more)
        return {
            "name": self.name,
            "num_images": len(self),
            "list_sha256": listing.hexdigest(),
            "pixels_sha256": pixels.hexdigest(),
        }


def read_image(path: Path) -> NDArray[np.uint8]:
    """Reads an image as the published numbers' scripts do: `cv2.imread(path)[..., ::-1]`.

    Args:
        path: Any format that OpenCV reads.

    Returns:
        RGB uint8 (H, W, 3), contiguous.

    Raises:
        BenchError: The file is missing, no image, or truncated.
    """
    try:
        # OpenCV fills what a truncated file lacks with grey and says nothing; Pillow refuses it.
        with Image.open(path) as image:
            image.load()
        encoded = np.fromfile(path, dtype=np.uint8)
    except FileNotFoundError:
        raise BenchError(f"image '{path}' is missing: check the root and the list") from None
    except UnidentifiedImageError:
        raise BenchError(f"image '{path}' is not an image file that can be read") from None
    except (OSError, SyntaxError, ValueError) as error:
        raise BenchError(f"image '{path}' is broken: {error}") from None
    decoded = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
    if decoded is None:
        raise BenchError(f"image '{path}' is broken: OpenCV cannot decode it")
    return np.ascontiguousarray(decoded[..., ::-1])
