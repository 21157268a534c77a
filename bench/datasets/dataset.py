"""The dataset contract: an ordered list of labelled image files."""

import hashlib
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.datasets.annotation import Annotation, Size, without
from bench.datasets.problems import Problems
from bench.datasets.reading import pixels_sha256, read_ahead, read_image
from bench.errors import BenchError, require_integer


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        image_id: Relative path as the list writes it, without `./`; unique in its dataset.
        path: The file.
        target: Class index.
        annotation: What people marked in it; None: nothing.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Image.new("RGB", (6, 4), "red").save("wren.png")
        >>> wren = Sample("wren.png", Path("wren.png"), target=3)
        >>> wren.read().shape, wren.read()[0, 0].tolist()
        ((4, 6, 3), [255, 0, 0])
    """

    image_id: str
    path: Path
    target: int
    annotation: Annotation | None = field(default=None, compare=False, repr=False)

    def read(self) -> NDArray[np.uint8]:
        """Reads the image as RGB uint8 (H, W, 3).

        Raises:
            BenchError: The file is missing, unreadable or damaged.
        """
        return read_image(self.path)


class Dataset:
    """A named, ordered list of samples.

    Attributes:
        name: Name of the benchmark in tables.
        samples: At least one; image ids are unique.
        class_names: Name of each label, or None where they have none.
        notes: Lines that a run prints: which list it is, what was left out.
        root: Folder of the download, or None.
        citation: Where it comes from, as "Author et al. 2020, arXiv 2001.00001".
        checksums: File name -> `md5:...` or `sha256:...` of the files of the download that are
            known; `bench check` looks for them in and beside the root.

    Args:
        name: Name of the benchmark in tables.
        samples: The images, in their order.
        max_images: Keep the first so many only; None keeps all.
        class_names: Name of each label, or None where they have none.
        notes: Lines that a run prints.
        root: Folder of the download, or None.

    Raises:
        BenchError: No samples, image ids twice, or `max_images` out of range.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> samples = []
        >>> for label, colour in enumerate(["red", "blue"]):
        ...     Image.new("RGB", (6, 4), colour).save(f"{colour}.png")
        ...     samples.append(Sample(f"{colour}.png", Path(f"{colour}.png"), label))
        >>> colours = Dataset("colours", samples, class_names=["red", "blue"])
        >>> colours.check_targets(num_classes=2)  # a network of one class would be refused
        >>> colours.identity()["num_images"], len(colours.pixel_hashes())
        (2, 2)
    """

    citation: str = ""
    checksums: ClassVar[dict[str, str]] = {}

    def __init__(
        self,
        name: str,
        samples: Sequence[Sample],
        max_images: int | None = None,
        *,
        class_names: Sequence[str] | None = None,
        notes: Sequence[str] = (),
        root: Path | None = None,
    ) -> None:
        if max_images is not None:
            require_integer("dataset.max_images", max_images, 1)
        self.name = name = str(name)
        self.samples = list(samples)[:max_images]
        self.class_names = None if class_names is None else list(class_names)
        self.notes = list(notes)
        self.root = root
        self._pixel_hashes: dict[str, str] = {}
        self._sizes: dict[str, Size] = {}
        if not self.samples:
            raise BenchError(f"dataset '{name}': found no images")
        problems = Problems(f"dataset '{name}'")
        seen: set[str] = set()
        for sample in self.samples:
            if sample.image_id in seen:
                problems.add("images listed twice", f"'{sample.image_id}'")
            seen.add(sample.image_id)
        problems.raise_any()

    def __len__(self) -> int:
        return len(self.samples)

    def figures(self) -> dict[str, tuple[int, int]]:
        """What can be counted: its name -> how many there are, how many there should be."""
        return {}

    def check_targets(self, num_classes: int) -> None:
        """Raises `BenchError` naming the first image whose label the model does not have."""
        for sample in self.samples:
            if not 0 <= sample.target < num_classes:
                raise BenchError(
                    f"dataset '{self.name}': label {sample.target} of '{sample.image_id}' is "
                    f"outside the model's classes 0..{num_classes - 1}: check the list, or choose "
                    "the backbone that was trained on these labels"
                )

    def check_annotated(self, needs: Mapping[str, str]) -> None:
        """Refuses metrics that read annotations where no image has any; reads no pixels.

        Args:
            needs: By metric, what it reads: a key of `bench.datasets.annotation.NEEDS`, or nothing.

        Raises:
            BenchError: Names the first metric, and how to give what it needs.
        """
        for metric, need in needs.items():
            if need and not any(
                sample.annotation is not None and sample.annotation.gives(need)
                for sample in self.samples
            ):
                raise BenchError(f"metric '{metric}' on dataset '{self.name}': {without(need)}")

    def pixel_hashes(self, workers: int = 1) -> dict[str, str]:
        """Image id -> hash over the decoded pixels. Reads every image, the first time.

        Args:
            workers: Threads that read.

        Raises:
            BenchError: Files are missing, unreadable or damaged; names the first of them and
                counts all.
        """
        if not self._pixel_hashes:
            problems = Problems(f"dataset '{self.name}'")
            hashes: dict[str, str] = {}
            images = read_ahead((sample.read for sample in self.samples), workers, 2 * workers)
            for sample, image in zip(self.samples, images, strict=True):
                if isinstance(image, BenchError):
                    problems.add("images that cannot be read", str(image))
                else:
                    hashes[sample.image_id] = pixels_sha256(image)
                    self._sizes[sample.image_id] = image.shape[:2]
            problems.raise_any()
            self._pixel_hashes = hashes
        return self._pixel_hashes

    def annotations_sha256(self, need: str, workers: int = 1) -> str:
        """Hash over what a metric reads of the images' annotations.

        Args:
            need: `boxes`, `mask` or `region`; see `Annotation.gives`.
            workers: Threads that read.

        Raises:
            BenchError: No image has what is needed, a mask cannot be read or is not as large as its
                photo, a box lies outside its photo, or see `pixel_hashes`.
        """
        self.pixel_hashes(workers)
        problems = Problems(f"dataset '{self.name}'")
        having = [
            (sample, sample.annotation)
            for sample in self.samples
            if sample.annotation is not None and sample.annotation.gives(need)
        ]
        if not having:
            raise BenchError(f"dataset '{self.name}': {without(need)}")
        digest = hashlib.sha256()

        def read(pair: tuple[Sample, Annotation]) -> bytes | BenchError:
            sample, annotation = pair
            try:
                return annotation.digest(need, self._sizes[sample.image_id])
            except BenchError as error:
                return error

        with ThreadPoolExecutor(workers) as pool:
            for (sample, annotation), found in zip(having, pool.map(read, having), strict=True):
                if isinstance(found, BenchError):
                    problems.add("masks that cannot be used", str(found))
                    continue
                digest.update(f"{sample.image_id} ".encode() + found)
                height, width = size = self._sizes[sample.image_id]
                if annotation.outside(size)[0]:
                    problems.add(
                        "images with boxes that lie outside them",
                        f"'{sample.image_id}', {width} x {height} pixels ({annotation.source})",
                    )
        problems.raise_any()
        return digest.hexdigest()

    def identity(self, workers: int = 1) -> dict[str, Any]:
        """Hashes of the list and of the decoded pixels.

        Args:
            workers: Threads that read.

        Raises:
            BenchError: See `pixel_hashes`.
        """
        listing, pixels = hashlib.sha256(), hashlib.sha256()
        for sample in self.samples:
            listing.update(f"{sample.image_id} {sample.target}\n".encode())
        for pixel_hash in self.pixel_hashes(workers).values():
            pixels.update(pixel_hash.encode())
        return {
            "name": self.name,
            "num_images": len(self),
            "list_sha256": listing.hexdigest(),
            "pixels_sha256": pixels.hexdigest(),
        }
