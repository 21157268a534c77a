"""Small data sets in the official layouts, with images of their own."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np


def write_image(path: Path, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (20 + seed % 3, 17, 3), dtype=np.uint8)
    path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())


def write_lines(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


CUB = (
    ("001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg", 1, 0),
    ("001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", 1, 1),
    ("002.Laysan_Albatross/Laysan_Albatross_0001_545.jpg", 2, 0),
    ("003.Sooty_Albatross/Sooty_Albatross_0002_1.jpg", 3, 1),
    ("003.Sooty_Albatross/Sooty_Albatross_0003_9.jpg", 3, 0),
)
"""Path, class and whether it is a training image, as CUB-200-2011 has them."""


def cub(root: Path, images: Sequence[tuple[str, int, int]] = CUB, write=write_image) -> Path:
    classes = sorted({(label, path.partition("/")[0]) for path, label, _ in images})
    numbered = [*enumerate(images, start=1)]
    write_lines(root / "images.txt", *(f"{i} {path}" for i, (path, _, _) in numbered))
    write_lines(root / "image_class_labels.txt", *(f"{i} {c}" for i, (_, c, _) in numbered))
    write_lines(root / "train_test_split.txt", *(f"{i} {t}" for i, (_, _, t) in numbered))
    write_lines(root / "classes.txt", *(f"{label} {name}" for label, name in classes))
    write_lines(root / "bounding_boxes.txt", *(f"{i} 1.0 2.0 3.0 4.0" for i, _ in numbered))
    for seed, (path, _, _) in enumerate(images):
        write(root / "images" / path, seed)
    return root


def coloured_cub(root: Path, classes: int = 3, train: int = 12, test: int = 4) -> Path:
    """Birds that a network can tell apart in seconds: up to 7 classes, each of its colour."""
    images = [
        (f"{label:03d}.Bird/Bird_{label:04d}_{number}.jpg", label, int(number < train))
        for label in range(1, classes + 1)
        for number in range(train + test)
    ]

    def write(path: Path, seed: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        draws = np.random.default_rng(seed)
        colour = [60 + 140 * (int(path.parent.name[:3]) >> bit & 1) for bit in range(3)]
        pixels = colour + draws.normal(0, 30, (36 + seed % 5, 40, 3))
        cv2.imwrite(str(path), pixels.clip(0, 255).astype(np.uint8))

    return cub(root, images, write)


CELEBA = ((2880, 0), (2937, 0), (8692, 1), (5805, 2), (1, 2))
"""Identity and partition of 000001.jpg and the following."""


def celeba(root: Path, anno: str = "", evaluation: str = "", images: str = "") -> Path:
    numbered = [(f"{i:06d}.jpg", *row) for i, row in enumerate(CELEBA, start=1)]
    lines = (f"{file} {identity}" for file, identity, _ in numbered)
    write_lines(root / anno / "identity_CelebA.txt", *lines)
    lines = (f"{file} {part}" for file, _, part in numbered)
    write_lines(root / evaluation / "list_eval_partition.txt", *lines)
    for seed, (file, _, _) in enumerate(numbered):
        write_image(root / images / "img_align_celeba" / file, seed)
    return root


def vggface2(root: Path) -> Path:
    """The three identities of train/ and the two of test/ that a test takes for all of them."""
    for split, identities in (("train", (2, 3, 5)), ("test", (1, 9))):
        for identity in identities:
            for number in (1, 7):
                file = f"n{identity:06d}/{number:04d}_01.jpg"
                write_image(root / split / file, identity + number)
    return root
