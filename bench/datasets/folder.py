"""Images in class folders."""

import os
from pathlib import Path

from bench.datasets.dataset import Dataset, Sample
from bench.datasets.official import locate
from bench.errors import BenchError

SUFFIXES = frozenset(".bmp .jpeg .jpg .pgm .png .ppm .tif .tiff .webp".split())
"""Files with other endings are not taken for images."""


class ClassFolders(Dataset):
    """A folder of class folders of images; the label is the rank of the sorted folder names.

    Args:
        name: Name of the benchmark in tables.
        root: The folder. Hidden files and folders (`.name`) are left out at any depth.
        split: A folder in the root that holds the class folders, as in root/train/; None if the
            root itself holds them.
        max_images: Keep the first so many only.

    Raises:
        BenchError: The root is missing, or it holds no class folders.
    """

    def __init__(
        self, name: str, root: str, split: str | None = None, max_images: int | None = None
    ) -> None:
        folder = Path(root).expanduser()
        if split is not None:
            folder = locate(root, [split], "class folders")[split]
        if not folder.is_dir():
            raise BenchError(f"dataset.root: '{folder}' is not a folder")
        classes = subfolders(folder)
        if not classes:
            raise BenchError(
                f"dataset.root: '{folder}' has no class folders; expected one for each class, or "
                "use dataset=list with a list file"
            )
        samples = [
            Sample(f"{own}/{path}", folder / own / path, label)
            for label, own in enumerate(classes)
            for path in image_files(folder / own)
        ]
        super().__init__(name, samples, max_images, classes, root=folder)


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted by code points; hidden ones are left out."""
    with os.scandir(folder) as entries:
        return sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))


def image_files(folder: Path) -> list[str]:
    """Paths of the images in a folder and below, relative to it, sorted by code points.

    A folder that is missing has none.
    """
    found = []
    for where, folders, files in os.walk(folder):
        folders[:] = [own for own in folders if not own.startswith(".")]
        relative = Path(where).relative_to(folder)
        found += [
            (relative / file).as_posix()
            for file in files
            if not file.startswith(".") and Path(file).suffix.lower() in SUFFIXES
        ]
    return sorted(found)
