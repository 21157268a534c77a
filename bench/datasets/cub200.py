"""Caltech-UCSD Birds-200-2011."""

from pathlib import Path
from typing import ClassVar

import pandas as pd

from bench.datasets.annotation_files import Mark, box_of_size, with_marks, with_masks
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.image_files import subfolders, unnested
from bench.datasets.listed import Entry, FindImage, find_listed
from bench.datasets.official import count_files, locate, read_table, same_keys
from bench.datasets.problems import Problems
from bench.errors import BenchError, require_known

SPLITS = ("train", "test", "all")
"""The parts of the data set."""
_FILES = ("images.txt", "image_class_labels.txt", "train_test_split.txt", "classes.txt", "images")


class Cub200(Dataset):
    """The official download as it is unpacked; the label is class_id - 1.

    Wah, Branson, Welinder, Perona, Belongie: The Caltech-UCSD Birds-200-2011 Dataset,
    CNS-TR-2011-001.

    Args:
        name: Name of the benchmark in tables.
        root: Folder CUB_200_2011 with images.txt, image_class_labels.txt, train_test_split.txt,
            classes.txt and images/. If bounding_boxes.txt is there, images have boxes: nothing is
            cropped by them, metrics of localisation read them.
        split: `train`, `test` or `all`; a list chooses images from all.
        list: A list whose lines name an image as `label/file.jpg` (the published lists) or as
            images.txt does; None takes the whole split.
        max_images: Keep the first so many only.
        masks: Folder of masks (the archive segmentations.tgz, unpacked); None: `segmentations` in
            the root or beside it, if it is there.
        mask_above: The grey level above which a mask's pixels belong to the bird. Masks are means
            of annotators: 127 asks for more than half of them.

    Raises:
        BenchError: The root is not the official one, its tables contradict each other, or lines
            of the list, boxes or masks cannot be used; all of them are reported at once.

    Example:
        >>> from pathlib import Path
        >>> Path("cub/images/001.Wren").mkdir(parents=True)
        >>> files = {"images": "1 001.Wren/a.jpg", "image_class_labels": "1 1"}
        >>> files |= {"train_test_split": "1 0", "classes": "1 001.Wren"}
        >>> for name, text in files.items():
        ...     _ = Path(f"cub/{name}.txt").write_text(text)
        >>> birds = Cub200("cub", "cub", split="test")
        >>> birds.samples[0].image_id, birds.class_names
        ('001.Wren/a.jpg', ['001.Wren'])
        >>> birds.figures()["test images"]  # those found, and those of the whole data set
        (1, 5794)
    """

    checksums: ClassVar[dict[str, str]] = {
        "CUB_200_2011.tgz": "md5:97eceeb196236b17998738112f37df78",
        "images.txt": "sha256:e1cfc5ed1f4bd1b838040784b6f75c44f7a25d9b31707a3adab49ec694618c1f",
        "image_class_labels.txt": (
            "sha256:e9df8c96d897994a245746fe2c98914b9b31f5342bddc6e8b06bdfbf45e49b02"
        ),
        "train_test_split.txt": (
            "sha256:8bbbfcc09b4d3c9c6e3e40c9874bd863eb6658f4f456e472df1b33d3403d2600"
        ),
        "classes.txt": "sha256:66a884364a73edde6c71eeb7fd5d8bb791e80979b64759bd6a5d5d209bdc02ba",
        "bounding_boxes.txt": (
            "sha256:c19d9f096c15564793408e5ba054b8d715a6805819d98f037c977f369ef4abd3"
        ),
    }

    def __init__(
        self,
        name: str,
        root: str,
        split: str = "test",
        list: str | None = None,
        max_images: int | None = None,
        *,
        masks: str | None = None,
        mask_above: int = 127,
    ) -> None:
        require_known("dataset.split", split, SPLITS)
        files = locate(root, _FILES, "CUB-200-2011")
        images, class_names = _read_images(name, files)
        is_train = images["is_train"] == 1
        self._folder = unnested(files["images"])
        self._is_listed = list is not None
        self._counts = {
            "images": (len(images), 11_788),
            "classes": (len(class_names), 200),
            "training images": (int(is_train.sum()), 5_994),
            "test images": (int((~is_train).sum()), 5_794),
        }
        if list is None:
            part = images[{"train": is_train, "test": ~is_train}.get(split, is_train | True)]
            pairs = zip(part["path"], part["label"].tolist(), strict=True)
            samples = [Sample(path, self._folder / path, label) for path, label in pairs]
            notes = []
        else:
            listing, samples = find_listed(name, list, _finder(images, self._folder), self._folder)
            trained = set((str(self._folder) + "/" + images["path"])[is_train])
            train = sum(str(sample.path) in trained for sample in samples)
            notes = [listing.note, f"Listed: {len(samples) - train} test, {train} train images"]
        root_found = files["images.txt"].parent
        samples = self._annotated(samples, images, root_found, masks, mask_above)
        super().__init__(
            name, samples, max_images, class_names=class_names, notes=notes, root=root_found
        )

    def _annotated(
        self,
        samples: list[Sample],
        images: pd.DataFrame,
        root: Path,
        masks: str | None,
        mask_above: int,
    ) -> list[Sample]:
        """The images with their boxes and masks, where these are there."""
        names = [sample.path.relative_to(self._folder).as_posix() for sample in samples]
        table = root / "bounding_boxes.txt"
        if table.is_file():
            marks = _read_boxes(table, images["path"])
            samples, _ = with_marks(samples, names, marks, f"'{table}'")
        places = [Path(masks).expanduser()] if masks is not None else []
        if masks is None:
            beside = (folder / "segmentations" for folder in (root, root.parent))
            classes = {path.partition("/")[0] for path in images["path"]}
            places = [  # a folder beside the root may be of other data
                folder
                for folder in beside
                if folder.is_dir() and not classes.isdisjoint(subfolders(unnested(folder)))
            ][:1]
        for folder in places:
            samples, _ = with_masks(samples, names, unnested(folder), mask_above)
        return samples

    def figures(self) -> dict[str, tuple[int, int]]:
        """Counts in the tables, and of the image files if no list says which are needed."""
        if self._is_listed:
            return self._counts
        return self._counts | {"image files": (count_files(self._folder), 11_788)}


def _read_images(name: str, files: dict[str, Path]) -> tuple[pd.DataFrame, list[str]]:
    """The images with the columns path, label and is_train, and the names of the labels."""
    columns: dict[str, dict[str, type[int] | type[str]]] = {
        "images.txt": {"image": int, "path": str},
        "image_class_labels.txt": {"image": int, "class": int},
        "train_test_split.txt": {"image": int, "is_train": int},
    }
    tables = {file: read_table(files[file], named) for file, named in columns.items()}
    classes = read_table(files["classes.txt"], {"class": int, "name": str})
    problems = Problems(f"dataset '{name}', '{files['images.txt'].parent}'")
    same_keys(tables, "image", problems)
    same_keys({"classes.txt": classes}, "class", problems)
    problems.raise_any()

    first, *others = (table.set_index("image") for table in tables.values())
    images = first.join([*others])
    same_keys({"images.txt": images}, "path", problems)
    class_names = classes.set_index("class")["name"].sort_index()
    expected = images["class"].map(class_names)
    contradicting = images["path"].str.partition("/")[0] != expected
    for path, name in zip(images["path"][contradicting], expected[contradicting], strict=True):
        problems.add("images that lie in another class's folder", f"'{path}' of class '{name}'")
    problems.raise_any()
    return images.assign(label=images["class"] - 1), class_names.tolist()


def _read_boxes(path: Path, paths: pd.Series) -> list[Mark]:
    """The boxes of bounding_boxes.txt: `image x y width height` a line, numbers with a point.

    Args:
        path: The file.
        paths: The official path of each image, by its number.

    Raises:
        BenchError: Lines of it cannot be used; all of them are told at once.
    """
    problems = Problems(f"'{path}'")
    kind = "lines that are not 'image x y width height' of a known image and a box"
    by_number = {str(number): name for number, name in paths.items()}
    marks = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"'{path}' cannot be read: {error}") from None
    for number, line in enumerate(lines, start=1):
        image, *cells = line.split() or [""]
        box = box_of_size(cells) if len(cells) == 4 else None
        if image in by_number and box is not None:
            marks.append(Mark(by_number[image], f"'{path}', line {number}", box))
        elif line.strip():
            problems.add(kind, f"line {number}: '{line.strip():.80}'")
    problems.raise_any()
    return marks


def _finder(images: pd.DataFrame, folder: Path) -> FindImage:
    """Finds an entry by its official path or by label and file name, which are unique."""
    known = dict(zip(images["path"], images["label"].tolist(), strict=True))
    by_label = {f"{label}/{path.partition('/')[2]}": path for path, label in known.items()}

    def find(entry: Entry) -> tuple[Path, int] | str:
        path = by_label.get(entry.image_id, entry.image_id)
        if path not in known:
            return "neither a path nor label/file of images.txt"
        return folder / path, known[path]

    return find
