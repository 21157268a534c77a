"""Images in class folders."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.datasets.annotation_files import annotated
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.image_files import LeftOut, composed, image_files, subfolders
from bench.datasets.official import locate
from bench.errors import BenchError

_SPLITS = frozenset("test train training val valid validation".split())


class ClassFolders(Dataset):
    """A folder of class folders of images; the label is the rank of the sorted folder names.

    Hidden files and folders (`.name`), those that systems leave behind (`__MACOSX`), links to
    folders within a class and files that are no images are left out, at any depth; a note counts
    them. A class without images keeps its label, and a note names it.

    Args:
        name: Name of the benchmark in tables.
        root: The folder.
        split: A folder in the root that holds the class folders, as in root/train/; None if the
            root itself holds them.
        max_images: Keep the first so many only.
        boxes: A file or folder of boxes, or None; see `bench.datasets.annotation_files.annotated`.
        masks: A folder of masks, or None.
        mask_above: The grey level above which a mask's pixels belong to the object.

    Raises:
        BenchError: The root is missing, or it holds no class folders but those of splits, or one
            that holds the classes; or boxes or masks cannot be used.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> for name in ("owl", "wren"):
        ...     Path("birds", name).mkdir(parents=True)
        ...     Image.new("RGB", (6, 4)).save(f"birds/{name}/1.png")
        >>> birds = ClassFolders("birds", "birds")
        >>> birds.class_names, [(sample.image_id, sample.target) for sample in birds.samples]
        (['owl', 'wren'], [('owl/1.png', 0), ('wren/1.png', 1)])
    """

    def __init__(
        self,
        name: str,
        root: str,
        split: str | None = None,
        max_images: int | None = None,
        *,
        boxes: str | None = None,
        masks: str | None = None,
        mask_above: int = 0,
    ) -> None:
        folder = Path(root).expanduser()
        if split is not None:
            folder = locate(root, [split], "class folders")[split]
        if not folder.is_dir():
            raise BenchError(f"dataset.root: '{folder}' is not a folder")
        left_out = LeftOut()
        classes = subfolders(folder, left_out)
        if not classes:
            raise BenchError(
                f"dataset.root: '{folder}' has no class folders; expected one for each class, or "
                "use dataset=list with a list file"
            )
        files = {class_: image_files(folder / class_, left_out) for class_ in classes}
        if not any(files.values()):
            raise BenchError(
                f"dataset '{name}': found no images in the {len(classes)} class folders of "
                f"'{folder}'" + (f". {left_out.note}" if left_out.note else "")
            )
        _check_depth(folder, files)
        samples = [
            Sample(composed(f"{class_}/{path}"), folder / class_ / path, label)
            for label, class_ in enumerate(classes)
            for path in files[class_]
        ]
        notes = [note for note in (left_out.note, _without_images(files)) if note]
        class_names = [*map(composed, classes)]
        samples, told = annotated(
            samples, boxes=boxes, masks=masks, mask_above=mask_above, class_names=class_names
        )
        super().__init__(
            name, samples, max_images, class_names=class_names, notes=notes + told, root=folder
        )


def _check_depth(folder: Path, files: Mapping[str, Sequence[str]]) -> None:
    """Refuses a root whose classes lie one floor further down."""
    if any("/" not in path for paths in files.values() for path in paths):
        return
    (first, *others) = files
    if all(name.lower() in _SPLITS for name in files):
        splits = " or ".join(f"dataset.split={name}" for name in files)
        raise BenchError(
            f"dataset.root: the folders of '{folder}' are splits, not classes. Did you mean "
            f"{splits}?"
        )
    if not others:
        raise BenchError(
            f"dataset.root: '{folder}' has one folder, and no image lies in it but in folders "
            f"further down. Did you mean dataset.root='{folder / first}'?"
        )


def _without_images(files: Mapping[str, Sequence[str]]) -> str | None:
    empty = [name for name, paths in files.items() if not paths]
    if not empty:
        return None
    shown = ", ".join(empty[:5]) + (", ..." if len(empty) > 5 else "")
    return f"Classes without images, which keep their labels: {len(empty)} ({shown})"
