"""Aligns faces: crops and rotates them so that five landmarks match a template."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bench.datasets.dataset import Sample
from bench.datasets.problems import Problems
from bench.datasets.reading import read_ahead
from bench.datasets.selection import to_list
from bench.errors import BenchError, require_integer, require_known
from bench.files import write_atomically

# Eyes, nose and corners of the mouth, left to right as one sees them, in a crop 96 wide, 112 high.
_POINTS = np.array(
    [
        [30.2946, 51.6963],
        [65.5318, 51.5014],
        [48.0252, 71.7366],
        [33.5493, 92.3655],
        [62.7299, 92.2041],
    ]
)
TEMPLATES = {
    # The crop widened to a square by 8 pixels on either side: what ArcFace networks are trained on.
    "arcface": (_POINTS + np.array([8, 0])) / 112,
    # The template stretched to a square, which brings the face a little nearer: what the tool
    # in the repository of arXiv 2402.09164 does (mtcnn/crop_and_aligned.py).
    "stretched": _POINTS / np.array([96, 112]),
}
"""Name -> landmarks (5, 2) as fractions of the side of a square crop."""

MISSING = ("keep", "drop", "error")
"""What to do where no face is found: keep the whole image, resized; leave it out; fail."""

Detect = Callable[[NDArray[np.uint8]], tuple[NDArray[np.float64], float] | None]
"""An RGB image (H, W, 3) to the landmarks (5, 2) of its face and their probability, or None."""


def similarity_transform(
    source: NDArray[np.float64], target: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The rotation, scale and shift that bring points nearest to others, in least squares.

    With points as complex numbers it is the line a z + b that fits best, the same as Umeyama's
    (TPAMI 1991) in the plane, where a cannot mirror.

    Args:
        source: (N, 2), N >= 2.
        target: (N, 2).

    Returns:
        (2, 3), to be multiplied by (x, y, 1).

    Raises:
        BenchError: The source's points all coincide.

    Example:
        >>> eyes = np.array([[10.0, 20.0], [30.0, 20.0]])
        >>> matrix = similarity_transform(eyes, target=2 * eyes + [5, 0])
        >>> matrix.round(6).tolist()  # twice as large, and 5 pixels to the right
        [[2.0, -0.0, 5.0], [0.0, 2.0, 0.0]]
    """
    z, w = (points[:, 0] + 1j * points[:, 1] for points in (source, target))
    centred = z - z.mean()
    spread = np.vdot(centred, centred).real
    if spread == 0:
        raise BenchError("landmarks: expected points that do not all coincide")
    a = np.vdot(centred, w - w.mean()) / spread
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def align_face(
    image: NDArray[np.uint8], landmarks: NDArray[np.float64], template: str, size: int = 112
) -> NDArray[np.uint8]:
    """Crops a face so that its landmarks lie nearest to a template; black outside the image.

    Args:
        image: RGB (H, W, 3).
        landmarks: (5, 2) x and y of eyes, nose and corners of the mouth.
        template: A key of `TEMPLATES`.
        size: Side of the crop.

    Returns:
        (size, size, 3), by bilinear interpolation.

    Example:
        >>> face = np.zeros((60, 60, 3), np.uint8)
        >>> landmarks = TEMPLATES["arcface"] * 30 + 15  # a face of 30 pixels
        >>> face[15:45, 15:45] = 255
        >>> crop = align_face(face, landmarks, "arcface", size=30)
        >>> crop.shape, int(crop.min())  # the face alone
        ((30, 30, 3), 255)
    """
    matrix = similarity_transform(landmarks, TEMPLATES[template] * size)
    crop = cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderValue=0)
    return np.asarray(crop, np.uint8)


def mtcnn(device: torch.device) -> Detect:
    """The detector of facenet-pytorch, whose weights are in the package; finds the largest face.

    Zhang, Zhang, Li, Qiao: Joint Face Detection and Alignment using Multi-task Cascaded
    Convolutional Networks, 2016.

    Args:
        device: Where its networks run.

    Returns:
        An RGB image (H, W, 3) uint8 to landmarks (5, 2) float64 and their probability, or to None.

    Example:
        >>> detect = mtcnn(torch.device("cpu"))
        >>> print(detect(np.zeros((64, 64, 3), np.uint8)))  # no face
        None
    """
    from facenet_pytorch import MTCNN  # late: it loads torchvision

    smallest = 20  # MTCNN's default, and the least side of an image it can look at
    network = MTCNN(min_face_size=smallest, device=device)

    def detect(image: NDArray[np.uint8]) -> tuple[NDArray[np.float64], float] | None:
        if min(image.shape[:2]) < smallest:
            return None
        boxes, probabilities, landmarks = network.detect(image, landmarks=True)
        if boxes is None:
            return None
        widths, heights = (boxes[:, 2:] - boxes[:, :2]).astype(float).T
        largest = int((widths * heights).argmax())
        return landmarks[largest].astype(np.float64), float(probabilities[largest])

    return detect


@dataclass(frozen=True)
class Alignment:
    """How faces are aligned. With `detector`, what decides the pixels that are written.

    Attributes:
        template: A key of `TEMPLATES`.
        size: Side of the crops.
        detector: Name of what finds the landmarks.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> Alignment().size
        112
        >>> Alignment(template="mtcnn")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: template: unknown name 'mtcnn'. Known: arcface, stretched
    """

    template: str = "arcface"
    size: int = 112
    detector: str = "facenet-pytorch MTCNN, largest face"

    def __post_init__(self) -> None:
        require_known("template", self.template, TEMPLATES)
        require_integer("size", self.size, 8)


def align_samples(
    samples: Sequence[Sample],
    detect: Detect,
    output: Path,
    alignment: Alignment,
    missing: str = "keep",
    *,
    workers: int = 1,
    on_image: Callable[[], None] = lambda: None,
) -> dict[str, dict[str, Any]]:
    """Aligns the faces of images that were not aligned before, under the same ids.

    Under `output` it leaves the crops, in the format that their name says (JPEG at OpenCV's
    quality of 95); `manifest.jsonl`, the settings and then a line for each image as soon as it is
    done; and `list.txt`, so that `dataset=list` reads them under the ids that the data set has.

    Args:
        samples: The images.
        detect: Finds the landmarks.
        output: A folder for these faces alone.
        alignment: The settings.
        missing: One of `MISSING`.
        workers: Threads that read images.
        on_image: Called after each image, also those that were done before.

    Returns:
        Image id -> `found`, `probability` and `landmarks`, in the order of the samples.

    Raises:
        BenchError: The folder holds crops with other settings, images cannot be read or written,
            or faces are missing and that is an error. It is raised at the end, after all others.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from bench.datasets.dataset import Sample
        >>> Image.new("RGB", (64, 48)).save("face.png")
        >>> sample = Sample("face.png", Path("face.png"), target=7)
        >>> def detect(image):
        ...     return 40 * TEMPLATES["arcface"], 0.99  # landmarks, and their probability
        >>> done = align_samples([sample], detect, Path("aligned"), Alignment(size=112))
        >>> done["face.png"]["probability"], Image.open("aligned/face.png").size
        (0.99, (112, 112))
        >>> Path("aligned/list.txt").read_text()
        'face.png 7'
    """
    crops = _Crops(output, alignment, missing)
    problems = Problems(f"align into '{output}'")
    todo = [sample for sample in samples if not crops.is_done(sample)]
    for _ in range(len(samples) - len(todo)):
        on_image()
    images = read_ahead((sample.read for sample in todo), workers, 2 * workers)
    for sample, image in zip(todo, images, strict=True):
        on_image()
        if isinstance(image, BenchError):
            problems.add("images that cannot be read", str(image))
        else:
            crops.add(sample, image, detect)
    done = {s.image_id: crops.records[s.image_id] for s in samples if s.image_id in crops.records}
    for image_id in _without_a_face(done) if missing == "error" else ():
        problems.add("images without a face", f"'{image_id}'")
    problems.raise_any()
    crops.write_list(samples)
    return done


class _Crops:
    """A folder of crops with its manifest.

    Attributes:
        records: What the manifest says of each image, by id.

    Args:
        folder: Where they are; the manifest is begun if there is none.
        alignment: The settings.
        missing: One of `MISSING`.
    """

    def __init__(self, folder: Path, alignment: Alignment, missing: str) -> None:
        require_known("missing", missing, MISSING)
        self.records = _read_manifest(folder / "manifest.jsonl", alignment)
        self._folder = folder
        self._alignment = alignment
        self._missing = missing

    def is_done(self, sample: Sample) -> bool:
        """Whether an image was aligned before, and its crop is there if there shall be one."""
        record = self.records.get(sample.image_id)
        if record is None:
            return False
        return not self._is_kept(record) or (self._folder / sample.image_id).exists()

    def add(self, sample: Sample, image: NDArray[np.uint8], detect: Detect) -> None:
        """Aligns an image, writes its crop, and then its line of the manifest."""
        record, crop = _align(image, detect, self._alignment)
        if self._is_kept(record):
            _write_image(self._folder / sample.image_id, crop)
        self.records[sample.image_id] = record
        with (self._folder / "manifest.jsonl").open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"image_id": sample.image_id} | record) + "\n")

    def write_list(self, samples: Sequence[Sample]) -> None:
        """Writes the list of the crops, with the samples' ids and targets.

        If no image was left out it has the hash of the list that they came from.
        """
        kept = [sample for sample in samples if self._is_kept(self.records[sample.image_id])]
        write_atomically(self._folder / "list.txt", to_list(kept))

    def _is_kept(self, record: Mapping[str, Any]) -> bool:
        return record["found"] or self._missing == "keep"


def _align(
    image: NDArray[np.uint8], detect: Detect, alignment: Alignment
) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The manifest's record of an image, and its crop: the whole image where no face is found."""
    face, size = detect(image), alignment.size
    if face is None:
        return {"found": False}, np.asarray(cv2.resize(image, (size, size)), np.uint8)
    landmarks, probability = face
    record = {
        "found": True,
        "probability": probability,
        "landmarks": np.round(landmarks, 3).tolist(),
    }
    return record, align_face(image, landmarks, alignment.template, size)


def _without_a_face(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    return [image_id for image_id, record in records.items() if not record["found"]]


def _read_manifest(path: Path, alignment: Alignment) -> dict[str, dict[str, Any]]:
    """What was done before, by image id; begins the manifest if nothing was."""
    settings = json.dumps(asdict(alignment))
    if not path.exists():
        write_atomically(path, (settings + "\n").encode())
        return {}
    text = path.read_text(encoding="utf-8")
    first, *lines = text.split("\n")
    if first != settings:
        raise BenchError(
            f"'{path.parent}' holds faces aligned with other settings, {first}: choose another "
            "folder, or delete it"
        )
    if lines and lines[-1]:  # a killed run can leave half a line
        write_atomically(path, text[: text.rindex("\n") + 1].encode())
    records = [json.loads(line) for line in lines[:-1]]
    return {record.pop("image_id"): record for record in records}


def _write_image(path: Path, image: NDArray[np.uint8]) -> None:
    try:
        encoded = cv2.imencode(path.suffix, image[..., ::-1])[1].tobytes()
    except cv2.error:
        raise BenchError(f"cannot write '{path}': OpenCV writes no '{path.suffix}' files") from None
    write_atomically(path, encoded)


def spread(done: Mapping[str, Mapping[str, Any]], count: int) -> Iterator[str]:
    """Ids for a contact sheet: images without a face first, then others, spread evenly.

    Args:
        done: What `align_samples` returns.
        count: How many ids at most; no more than a third are of images without a face.

    Yields:
        Image ids.

    Example:
        >>> done = {f"{number}.jpg": {"found": number != 4} for number in range(8)}
        >>> list(spread(done, count=4))  # the one without a face first
        ['4.jpg', '0.jpg', '3.jpg', '7.jpg']
    """
    lost = _without_a_face(done)[: count // 3]
    found = [image_id for image_id, record in done.items() if record["found"]]
    yield from lost
    yield from found[:: max(-(-len(found) // max(count - len(lost), 1)), 1)]
