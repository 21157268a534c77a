"""VGGFace2 in its folders of identities."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from bench.datasets.dataset import Dataset, Sample
from bench.datasets.image_files import LeftOut, image_files, subfolders, unnested
from bench.datasets.listed import Entry, FindImage, find_listed, read_list
from bench.datasets.official import locate
from bench.datasets.problems import Problems
from bench.errors import BenchError, require_known

SPLITS = ("train", "test")
"""The parts of the data set."""
IDENTITIES = {"train": 8_631, "test": 500}
"""People in each part."""


class VggFace2(Dataset):
    """The official download as it is unpacked: train/ and test/ with folders nXXXXXX.

    Cao, Shen, Xie, Parkhi, Zisserman: VGGFace2, FG 2018. The 500 identities of test/ are others
    than the 8,631 of train/, which the published list is drawn from. A label is the rank of the
    identity among the sorted ones of its split (0 = n000002 in train/), so that all folders of
    the split must be there, though those of no use may be empty. That the published list and
    weights mean these ranks is likely (8,631 classes), but written nowhere: see the accuracy.
    `scripts/align_faces.py` makes the 112 x 112 faces of the published numbers.

    Args:
        name: Name of the benchmark in tables.
        root: Folder with train/ and test/; only the one that is used must be there.
        split: `train` or `test`; networks trained on train/ have no classes for test/.
        list: A list whose lines name an image as `label/0001_01.jpg` (the published list) or as
            `n000002/0001_01.jpg`; None takes the whole split.
        labels: A file of `n000002 0` lines that gives the labels instead of the ranks; then the
            folders need not be complete.
        max_images: Keep the first so many only.

    Raises:
        BenchError: The root is not the official one, the folders are not complete, or lines of
            the list or the labels cannot be used; all of them are reported at once.

    Example:
        >>> from pathlib import Path
        >>> Path("vgg/train/n000002").mkdir(parents=True)
        >>> Path("vgg/train/n000002/0001_01.jpg").touch()
        >>> _ = Path("labels.txt").write_text("n000002 0")
        >>> faces = VggFace2("vggface2", "vgg", labels="labels.txt")
        >>> [(sample.image_id, sample.target) for sample in faces.samples]
        [('n000002/0001_01.jpg', 0)]
    """

    checksums: ClassVar[dict[str, str]] = {
        "vggface2_train.tar.gz": "md5:88813c6b15de58afc8fa75ea83361d7f",
        "vggface2_test.tar.gz": "md5:bb7a323824d1004e14e00c23974facd3",
    }

    def __init__(
        self,
        name: str,
        root: str,
        split: str = "train",
        *,
        list: str | None = None,
        labels: str | None = None,
        max_images: int | None = None,
    ) -> None:
        require_known("dataset.split", split, SPLITS)
        folder = unnested(locate(root, [split], "VGGFace2")[split])
        self._root = Path(root).expanduser()
        self._is_labelled = labels is not None
        identities = _ranks(folder, split) if labels is None else _read_labels(name, labels)
        if list is None:
            left_out = LeftOut()
            samples = [
                Sample(f"{identity}/{path}", folder / identity / path, label)
                for identity, label in identities.items()
                for path in image_files(folder / identity, left_out)
            ]
            lacking = sum(not (folder / identity).is_dir() for identity in identities)
            notes = [f"Labelled identities without a folder: {lacking}"] if lacking else []
            notes += [left_out.note] if left_out.note else []
        else:
            listing, samples = find_listed(name, list, _finder(identities, folder), folder)
            notes = [listing.note]
        names = sorted(identities, key=lambda identity: identities[identity])
        complete = sorted(identities.values()) == [*range(len(identities))]
        super().__init__(
            name,
            samples,
            max_images,
            class_names=names if complete else None,
            notes=notes,
            root=self._root,
        )

    def figures(self) -> dict[str, tuple[int, int]]:
        """Folders of identities in each split that is there, beside the official numbers.

        Where a file gives the labels the folders need not be all, so they are not compared.
        """
        if self._is_labelled:
            return {}
        return {
            f"{split} identities": (len(_identities(unnested(self._root / split))), number)
            for split, number in IDENTITIES.items()
            if (self._root / split).is_dir()
        }


def _identities(folder: Path) -> list[str]:
    return [name for name in subfolders(folder) if re.fullmatch(r"n\d{6}", name)]


def _ranks(folder: Path, split: str) -> dict[str, int]:
    """Identity -> rank, by the folders, which must be all."""
    identities = _identities(folder)
    if len(identities) != IDENTITIES[split]:
        raise BenchError(
            f"dataset.root: '{folder}' has {len(identities)} folders nXXXXXX, expected all "
            f"{IDENTITIES[split]}: labels are ranks among them; unpack the rest (empty folders "
            "will do), or give dataset.labels=FILE with lines 'n000002 0'"
        )
    return {identity: rank for rank, identity in enumerate(identities)}


def _read_labels(name: str, file: str) -> dict[str, int]:
    problems = Problems(f"dataset '{name}', labels '{file}'")
    labels: dict[str, int] = {}
    for entry in read_list(file, problems, key="labels").entries:
        if entry.image_id in labels:
            problems.add("identities listed twice", str(entry))
        labels[entry.image_id] = entry.target
    problems.raise_any()
    return labels


def _finder(identities: Mapping[str, int], folder: Path) -> FindImage:
    """Finds an entry by identity or label, and file name."""
    by_label = {str(label): identity for identity, label in identities.items()}

    def find(entry: Entry) -> tuple[Path, int] | str:
        where, _, file = entry.image_id.rpartition("/")
        identity = by_label.get(where, where)
        if identity not in identities:
            return f"'{where}' is neither a label nor an identity"
        return folder / identity / file, identities[identity]

    return find
