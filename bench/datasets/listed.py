"""Images from a root folder and a list file."""

from pathlib import Path, PurePosixPath

from bench.datasets.dataset import Dataset, Sample
from bench.errors import BenchError


class ImageList(Dataset):
    """Images that a list file names, one `relative/path label` a line, split at the last space.

    Args:
        name: Name of the benchmark in tables.
        root: Folder that the paths are relative to.
        list: The list file, UTF-8. Empty lines are skipped.
        max_images: Keep the first so many only.

    Raises:
        BenchError: The root or the list is missing, or a line is not a path inside the root and a
            label; the message gives the file and the line number.
    """

    def __init__(self, name: str, root: str, list: str, max_images: int | None = None) -> None:
        folder, file = Path(root).expanduser(), Path(list).expanduser()
        if not folder.is_dir():
            raise BenchError(f"dataset.root: '{folder}' is not a folder")
        super().__init__(name, _read_list(folder, file), max_images)


def _read_list(root: Path, file: Path) -> list[Sample]:
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"dataset.list: cannot read '{file}': {error}") from None
    samples = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        image_id, _, label = line.strip().rpartition(" ")
        if not image_id or not label.isdecimal():
            raise BenchError(
                f"{file}:{number}: expected 'relative/path label' with a whole number as label "
                f"after the last space, found '{line.strip()}'"
            )
        relative = PurePosixPath(image_id)
        if relative.is_absolute() or ".." in relative.parts:
            raise BenchError(
                f"{file}:{number}: '{image_id}' leaves the root: expected a path in it"
            )
        samples.append(Sample(image_id, root / relative, int(label)))
    return samples
