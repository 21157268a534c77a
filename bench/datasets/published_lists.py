"""The evaluation lists that the published numbers were made on, known by their hash."""

import hashlib
from dataclasses import dataclass

_REPOSITORY = "github.com/RuoyuChen10/SMDL-Attribution"


@dataclass(frozen=True)
class PublishedList:
    """One list file, of the repository of arXiv 2402.09164 if nothing else is said.

    Attributes:
        name: Its name in our tables and messages.
        num_images: Lines in it.
        path: The file in its repository.
        sha256: The sha256 of the file as it is there: lines end in LF, the last one in nothing.
        entries_sha256: The sha256 of its entries in their order, as `Dataset.identity` hashes a
            list.
        repository: Where the file is.

    Example:
        >>> published = PUBLISHED_LISTS[2]
        >>> published.name, published.num_images
        ('cub200/eval-resnet', 587)
        >>> published.source
        'github.com/RuoyuChen10/SMDL-Attribution, datasets/CUB/eval-resnet.txt'
    """

    name: str
    num_images: int
    path: str
    sha256: str
    entries_sha256: str
    repository: str = _REPOSITORY

    def __str__(self) -> str:
        return f"the published list {self.name} ({self.num_images} images, {self.source})"

    @property
    def source(self) -> str:
        """Where it was published."""
        return f"{self.repository}, {self.path}"


PUBLISHED_LISTS = (
    PublishedList(
        "celeba/eval",
        2000,
        "datasets/celeb-a/eval.txt",
        "73786c8fc6d99549cb85549e49001af321e807c8c41315154b300abb413a50fc",
        "649ba7b6f71c56e099875b26a42e3495643ffa35a6e05b56287db512c843696a",
    ),
    PublishedList(
        "vggface2/eval",
        2000,
        "datasets/VGGFace2/eval.txt",
        "a92dc5492235567b81dbfa0eb92b894217fdbdf2c797b23c6f74f0c480e31dc9",
        "5b2a304eecf61b4448548eeecc4e45cdc30aefc28f25912b9e4312ff2c1948a6",
    ),
    PublishedList(
        "cub200/eval-resnet",
        587,
        "datasets/CUB/eval-resnet.txt",
        "421aedf058305fa254340894218941fa83521abaa6acb9f11b7e34e733211f80",
        "6a6bd6291aa86603eeda81ad0020cc595fbcdf096adc3332f23650d675bf4cbe",
    ),
    PublishedList(
        "cub200/eval_fair-resnet",
        385,
        "datasets/CUB/eval_fair-resnet.txt",
        "db8bf304edc3aa00df1e0e816d7dbe9a25a69e3d03b2181808d5893aba0c1714",
        "bc4df6a1d323317fbbd385fa869aafbe4d0ae7e89656489c38eb34c8dde27f38",
    ),
    PublishedList(
        "cub200/eval_fair-vgg19",
        399,
        "datasets/CUB/eval_fair-vgg19.txt",
        "f2d155c1eb1ed71ed8ce1079defd3ef6d3b6cb58b48ad342a0253d6cb0cc4e6f",
        "edf47af15ccbfb0e37fb01a95e4ec7b7c83856ba8b3af40fe3053d7325a05aff",
    ),
    PublishedList(
        "cub200/eval_fair-mobilenetv2",
        389,
        "datasets/CUB/eval_fair-mobilenetv2.txt",
        "acf8ce8583fffa05b72c1358c0fc06124cb5d738141630afb1e40fa676d7d963",
        "0a497d5f8cedd7fad9e1d95de8e44a6fd70a23188ee9f8468f6de134177c70c6",
    ),
    PublishedList(
        "cub200/eval_fair-efficientnet",
        328,
        "datasets/CUB/eval_fair-efficientnet.txt",
        "73b93d7cb4be0f12c82a40cc394e46ab47e1aa2c037209cbc1a66dd71bc1ef4a",
        "9e5d9db7e3b125a9fb107b01afa490d9e2fc27830ce23d2fb743992d82106188",
    ),
    PublishedList(
        "cub200/test",
        5794,
        "CUB_200_2011/train_test_split.txt",
        "a566a95bf6ecee352da06f61446abf4106a1866d9a789b208d4767626274de67",
        "13f466bc1849978edf15d8f27830e0b31d11de340e745377b19995b9e7a8bb5d",
        "CUB_200_2011.tgz",
    ),
    PublishedList(  # the tensor of labels as lines, `0.png 249` to `999.png ...`
        "mfaba/labels",
        1000,
        "data/label_batch.pt",
        "d8d4d982b88b29fb8959f6fd865ae39c307ec841eb509a832b1d2dba4124547b",
        "a5c0658bbe04eaba9842e8d76ea1fb3c0405aea09145e8cdf2bad2677ac190e7",
        "github.com/LMBTough/LA",
    ),
)
"""The lists of images behind published numbers."""


def find_published(content: bytes) -> PublishedList | None:
    """Which published list a file is, or None.

    Args:
        content: The bytes of the file. Line ends at its end, or in the manner of Windows, do not
            count: git and editors change them, and they name no other images.

    Example:
        >>> print(find_published(b"wren/1.jpg 7"))  # none of them
        None
    """
    lines = content.replace(b"\r\n", b"\n").rstrip(b"\n")
    digest = hashlib.sha256(lines).hexdigest()
    return next((each for each in PUBLISHED_LISTS if each.sha256 == digest), None)
