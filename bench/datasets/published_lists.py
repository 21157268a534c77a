"""The evaluation lists that the published numbers were made on, known by their hash."""

import hashlib
from dataclasses import dataclass

_REPOSITORY = "github.com/RuoyuChen10/SMDL-Attribution"


@dataclass(frozen=True)
class PublishedList:
    """One list file of the repository of arXiv 2402.09164.

    Attributes:
        name: Its name in our tables and messages.
        num_images: Lines in it.
        path: The file in the authors' repository.
        sha256: Of the file as it is there: lines end in LF, the last one in nothing.
    """

    name: str
    num_images: int
    path: str
    sha256: str

    def __str__(self) -> str:
        return f"the published list {self.name} ({self.num_images} images, {self.source})"

    @property
    def source(self) -> str:
        """Where it was published."""
        return f"{_REPOSITORY}, {self.path}"


PUBLISHED_LISTS = (
    PublishedList(
        "celeba/eval",
        2000,
        "datasets/celeb-a/eval.txt",
        "73786c8fc6d99549cb85549e49001af321e807c8c41315154b300abb413a50fc",
    ),
    PublishedList(
        "vggface2/eval",
        2000,
        "datasets/VGGFace2/eval.txt",
        "a92dc5492235567b81dbfa0eb92b894217fdbdf2c797b23c6f74f0c480e31dc9",
    ),
    PublishedList(
        "cub200/eval-resnet",
        587,
        "datasets/CUB/eval-resnet.txt",
        "421aedf058305fa254340894218941fa83521abaa6acb9f11b7e34e733211f80",
    ),
    PublishedList(
        "cub200/eval_fair-resnet",
        385,
        "datasets/CUB/eval_fair-resnet.txt",
        "db8bf304edc3aa00df1e0e816d7dbe9a25a69e3d03b2181808d5893aba0c1714",
    ),
    PublishedList(
        "cub200/eval_fair-vgg19",
        399,
        "datasets/CUB/eval_fair-vgg19.txt",
        "f2d155c1eb1ed71ed8ce1079defd3ef6d3b6cb58b48ad342a0253d6cb0cc4e6f",
    ),
    PublishedList(
        "cub200/eval_fair-mobilenetv2",
        389,
        "datasets/CUB/eval_fair-mobilenetv2.txt",
        "acf8ce8583fffa05b72c1358c0fc06124cb5d738141630afb1e40fa676d7d963",
    ),
    PublishedList(
        "cub200/eval_fair-efficientnet",
        328,
        "datasets/CUB/eval_fair-efficientnet.txt",
        "73b93d7cb4be0f12c82a40cc394e46ab47e1aa2c037209cbc1a66dd71bc1ef4a",
    ),
)


def find_published(content: bytes) -> PublishedList | None:
    """Which published list a file is, or None.

    Args:
        content: Of the file. Line ends at its end, or in the manner of Windows, do not count: git
            and editors change them, and they name no other images.
    """
    lines = content.replace(b"\r\n", b"\n").rstrip(b"\n")
    digest = hashlib.sha256(lines).hexdigest()
    return next((each for each in PUBLISHED_LISTS if each.sha256 == digest), None)
