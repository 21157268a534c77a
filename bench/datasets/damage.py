"""Signs that an image file was damaged after it was written, though decoders accept it."""

import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

_HOLE = 512
"""Zero bytes in a row that are looked at: a disk's sector. JPEG photos have 17 at most (of 214)."""
_FLAT_PIXELS = 80
"""Pixels in blocks of one colour that an image must have for each of these bytes.

The shortest code for a JPEG's block of 8 x 8 pixels of one colour has two zero bits a channel, so
that a byte of zeros stands for 85 pixels at least (170 at the usual sampling of colour).
"""
_JPEG = ("JPEG", "MPO")
"""Pillow's names for JPEG files; the second has more images behind the first."""
_COMPRESSION = 259
"""The tag of TIFF files that says how they are compressed."""
_ZLIB = (8, 32946)
_WITHOUT_CHECKSUMS = (7, 32773)
"""JPEG and PackBits. Holes in LZW are found by Pillow."""
_HARMLESS = ("unknown JFIF revision", "Adobe color transform")
"""Parts of libjpeg's warnings that concern no pixels."""
_UNSUPPORTED = "subsampling"
"""Part of simplejpeg's error where the file samples its colours in an unusual way."""


def find_damage(content: bytes, opened: Image.Image) -> str | None:
    """Looks for damage in a file before its pixels are decoded.

    JPEG files go through libjpeg-turbo, whose warnings OpenCV and Pillow hide: codes that do not
    exist, data that ends early or goes on for too long. Other files are loaded by Pillow, which
    raises if they are truncated, or if a PNG's checksums are wrong; those of TIFF files that are
    compressed by zlib, which Pillow ignores, are compared here.

    Args:
        content: The file.
        opened: The file, as Pillow opened it.

    Returns:
        What is wrong, or None.

    Raises:
        OSError: Pillow finds damage; as do its other errors, such as SyntaxError.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> file = io.BytesIO()
        >>> Image.linear_gradient("L").save(file, "JPEG")
        >>> whole = file.getvalue()
        >>> print(find_damage(whole, Image.open(file)))
        None
        >>> cut = whole[: len(whole) // 2]
        >>> find_damage(cut, Image.open(io.BytesIO(cut)))
        'Premature end of JPEG file'
    """
    if opened.format not in _JPEG:
        opened.load()
        return _wrong_checksum(content, opened)
    try:
        simplejpeg.decode_jpeg(content, "CMYK" if opened.mode == "CMYK" else "RGB", strict=True)
    except ValueError as error:
        message = str(error)
        if _UNSUPPORTED in message:
            opened.load()
        elif not any(known in message for known in _HARMLESS):
            return message
    return None


def find_hole(content: bytes, opened: Image.Image, image: NDArray[np.uint8]) -> str | None:
    """Looks for zeros in the compressed pixels, as interrupted copies and bad sectors leave them.

    Decoders may take them for pixels. Compressed pixels have long runs of zeros only where the
    image has one colour, which is counted.

    Args:
        content: The file. Only JPEG, WebP and some compressed TIFF files are looked at.
        opened: The file, as Pillow opened it.
        image: Its pixels (H, W, 3).

    Returns:
        What is wrong, or None.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), np.uint8)
        >>> file = io.BytesIO()
        >>> Image.fromarray(noise).save(file, "JPEG")
        >>> whole = file.getvalue()
        >>> print(find_hole(whole, Image.open(file), noise))
        None
        >>> holed = whole[:2000] + b"a" + bytes(1022) + b"a" + whole[3024:]
        >>> find_hole(holed, Image.open(file), noise)
        '1022 zero bytes within its pixels, from byte 2001 on'
    """
    if bytes(_HOLE) not in content:
        return None
    runs = [
        (start + run.start(), len(run[0]))
        for start, end in _compressed_pixels(content, opened)
        for run in re.finditer(rb"\0{%d,}" % _HOLE, content[start:end])
    ]
    if _flat_pixels(image) >= _FLAT_PIXELS * sum(length for _, length in runs):
        return None
    start, length = max(runs, key=lambda run: run[1])
    return f"{length} zero bytes within its pixels, from byte {start} on"


def _flat_pixels(image: NDArray[np.uint8]) -> int:
    """How many pixels of an image (H, W, 3) lie in blocks of 8 x 8 that have one colour."""
    rows, columns = image.shape[0] // 8, image.shape[1] // 8
    blocks = image[: 8 * rows, : 8 * columns].reshape(rows, 8, columns, 8, 3)
    return 64 * int((blocks == blocks[:, :1, :, :1]).all(axis=(1, 3, 4)).sum())


def _wrong_checksum(content: bytes, opened: Image.Image) -> str | None:
    """What zlib says of a TIFF file that it compressed, or None."""
    if isinstance(opened, TiffImageFile) and opened.tag_v2.get(_COMPRESSION) in _ZLIB:
        for start, end in _tiff_strips(opened):
            try:
                zlib.decompress(content[start:end])
            except zlib.error as error:
                return str(error)
    return None


def _compressed_pixels(content: bytes, opened: Image.Image) -> Iterator[tuple[int, int]]:
    """Where a file's compressed pixels begin and end."""
    if opened.format in _JPEG:
        yield from _jpeg_scans(content)
    elif opened.format == "WEBP":
        yield from _webp_pixels(content)
    elif (
        isinstance(opened, TiffImageFile) and opened.tag_v2.get(_COMPRESSION) in _WITHOUT_CHECKSUMS
    ):
        yield from _tiff_strips(opened)


def _jpeg_scans(content: bytes) -> Iterator[tuple[int, int]]:
    """From the first scan to the end of the image; what is before holds thumbnails and the like."""
    position = 2
    while content[position : position + 1] == b"\xff":
        marker = content[position + 1]
        if marker == 0xFF:  # padding
            position += 1
        elif marker == 0xDA:
            end = content.find(b"\xff\xd9", position)
            yield position, len(content) if end < 0 else end
            return
        else:
            position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")


def _webp_pixels(content: bytes) -> Iterator[tuple[int, int]]:
    """The chunks of a WebP file that hold its pixels, without alpha."""
    position = 12
    while position + 8 <= len(content):
        kind, size = struct.unpack_from("<4sI", content, position)
        position += 8
        if kind in (b"VP8 ", b"VP8L"):
            yield position, position + size
        position += size + size % 2


def _tiff_strips(opened: TiffImageFile) -> Iterator[tuple[int, int]]:
    """The strips or tiles of a TIFF file's first image."""
    for offsets, sizes in ((273, 279), (324, 325)):
        starts, lengths = (opened.tag_v2.get(tag, ()) for tag in (offsets, sizes))
        for start, length in zip(starts, lengths, strict=True):
            yield start, start + length
