"""CelebA with its identities."""

from pathlib import Path
from typing import ClassVar

import pandas as pd

from bench.datasets.dataset import Dataset, Sample
from bench.datasets.image_files import unnested
from bench.datasets.listed import Entry, FindImage, find_listed
from bench.datasets.official import count_files, locate, read_table, same_keys
from bench.datasets.problems import Problems
from bench.errors import require_known

PARTITIONS = ("train", "valid", "test")
"""By their number in list_eval_partition.txt."""
_FILES = ("identity_CelebA.txt", "list_eval_partition.txt", "img_align_celeba")
_FOLDERS = ("", "Anno", "Eval", "Img")
"""Flat, as torchvision has it, or as the official drive has it."""


class CelebA(Dataset):
    """The official download as it is unpacked; the label is identity - 1.

    Liu, Luo, Wang, Tang: Deep Learning Face Attributes in the Wild, ICCV 2015. The pixels are those
    of img_align_celeba (178 x 218); `scripts/align_faces.py` makes the 112 x 112 faces of the
    published numbers.

    Args:
        name: Name of the benchmark in tables.
        root: Folder with identity_CelebA.txt, list_eval_partition.txt (or .csv, as Kaggle has it)
            and img_align_celeba/, in it or in its Anno/, Eval/ and Img/.
        split: `train`, `valid`, `test` or `all`; a list chooses images from all.
        list: A list whose lines name an image as `label/000001.jpg` (the published list) or as
            `000001.jpg`; None takes the whole split.
        max_images: Keep the first so many only.

    Raises:
        BenchError: The root is not the official one, its tables contradict each other, or lines
            of the list cannot be used; all of them are reported at once.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> Path("celeba/img_align_celeba").mkdir(parents=True)
        >>> Image.new("RGB", (178, 218)).save("celeba/img_align_celeba/000001.jpg")
        >>> _ = Path("celeba/identity_CelebA.txt").write_text("000001.jpg 2880")
        >>> _ = Path("celeba/list_eval_partition.txt").write_text("000001.jpg 2")
        >>> [face] = CelebA("celeba", "celeba", split="test").samples
        >>> face.image_id, face.target
        ('000001.jpg', 2879)
    """

    # As torchvision.datasets.CelebA has them.
    checksums: ClassVar[dict[str, str]] = {
        "img_align_celeba.zip": "md5:00d2c5bc6d35e252742224ab0c1e8fcb",
        "identity_CelebA.txt": "md5:32bd1bd63d3c78cd57e08160ec5ed1e2",
        "list_eval_partition.txt": "md5:d32c9cbf5e040fd4025c592c306e6668",
    }

    def __init__(
        self,
        name: str,
        root: str,
        split: str = "test",
        list: str | None = None,
        max_images: int | None = None,
    ) -> None:
        require_known("dataset.split", split, (*PARTITIONS, "all"))
        files = locate(root, _files(Path(root).expanduser()), "CelebA", _FOLDERS)
        images = _read_images(name, files)
        self._folder = unnested(files["img_align_celeba"])
        self._is_listed = list is not None
        self._counts = {
            "images": (len(images), 202_599),
            "identities": (images["identity"].nunique(), 10_177),
        }
        if list is None:
            part = images if split == "all" else images[images["partition"] == split]
            pairs = zip(part["file"], part["label"].tolist(), strict=True)
            folder = self._folder
            samples = [Sample(file, folder / file, label) for file, label in pairs]
            notes = []
        else:
            images = images.set_index("file")
            listing, samples = find_listed(name, list, _finder(images, self._folder), self._folder)
            files_listed = [sample.path.name for sample in samples]
            counts = images["partition"][files_listed].value_counts()
            parts = ", ".join(f"{counts.get(partition, 0)} {partition}" for partition in PARTITIONS)
            notes = [listing.note, f"Listed: {parts} images"]
        super().__init__(name, samples, max_images, notes=notes, root=Path(root).expanduser())

    def figures(self) -> dict[str, tuple[int, int]]:
        """Counts in the tables, and of the image files if no list says which are needed."""
        if self._is_listed:
            return self._counts
        return self._counts | {"image files": (count_files(self._folder), 202_599)}


def _files(root: Path) -> tuple[str, ...]:
    """What the root must hold; on Kaggle the partition is a CSV file."""
    identity, partition, images = _FILES
    table = partition.replace(".txt", ".csv")
    places = [root / folder for folder in _FOLDERS]
    if any((at / table).exists() for at in places) and not any(
        (at / partition).exists() for at in places
    ):
        partition = table
    return identity, partition, images


def _read_images(name: str, files: dict[str, Path]) -> pd.DataFrame:
    """The images with the columns file, identity, label and partition."""
    identity, partition, _ = files
    tables = {
        identity: read_table(files[identity], {"file": str, "identity": int}),
        partition: read_table(files[partition], {"file": str, "number": int}),
    }
    problems = Problems(f"dataset '{name}', '{files[identity].parent}'")
    same_keys(tables, "file", problems)
    for table, column, known in (
        (identity, "identity", tables[identity]["identity"] >= 1),
        (partition, "number", tables[partition]["number"] < len(PARTITIONS)),
    ):
        for file, value in tables[table].loc[~known, ["file", column]].to_numpy():
            problems.add(f"numbers out of range in {table}", f"'{file}' {value}")
    problems.raise_any()
    images = tables[identity].merge(tables[partition], on="file")
    parts = dict(enumerate(PARTITIONS))
    return images.assign(label=images["identity"] - 1, partition=images["number"].map(parts))


def _finder(images: pd.DataFrame, folder: Path) -> FindImage:
    """Finds an entry by its file name; a folder before it must be the label."""
    labels = images["label"]

    def find(entry: Entry) -> tuple[Path, int] | str:
        where, _, file = entry.image_id.rpartition("/")
        if file not in labels.index:
            return "its file name is not in identity_CelebA.txt"
        label = int(labels[file])
        if where not in ("", str(label)):
            return f"expected '{file}' or '{label}/{file}'"
        return folder / file, label

    return find
