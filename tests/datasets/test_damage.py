import io

import cv2
import numpy as np
import pytest
import simplejpeg
from PIL import Image

from bench.datasets.reading import read_image
from bench.errors import BenchError


def photo(height=301, width=407):
    """Smooth shapes and a little noise, so that a JPEG of it has 40 kB and more."""
    draws = np.random.default_rng(0)
    shapes = cv2.resize(
        draws.integers(0, 256, (9, 11, 3), dtype=np.uint8), (width, height), interpolation=1
    )
    noisy = shapes + draws.normal(0, 12, shapes.shape)
    return noisy.clip(0, 255).astype(np.uint8)


def encoded(kind, image=None, **settings):
    content = io.BytesIO()
    Image.fromarray(photo() if image is None else image).save(content, kind, **settings)
    return content.getvalue()


def hole(content, start, size):
    return content[:start] + bytes(min(size, len(content) - start)) + content[start + size :]


FORMATS = {
    "jpeg": ("JPEG", {"quality": 90}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {"quality": 95}),
    "webp-lossless": ("WEBP", {"lossless": True}),
    "tiff-deflate": ("TIFF", {"compression": "tiff_adobe_deflate"}),
    "tiff-lzw": ("TIFF", {"compression": "tiff_lzw"}),
    "tiff-jpeg": ("TIFF", {"compression": "jpeg", "quality": 95}),
}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("size", [512, 4096, None])
def test_files_with_holes_are_refused(tmp_path, kind, size):
    name, settings = FORMATS[kind]
    content = encoded(name, **settings)
    path = tmp_path / "a"
    path.write_bytes(content)
    assert read_image(path).shape == (301, 407, 3)
    for share in (0.2, 0.5, 0.75, 0.9):
        start = int(share * len(content)) // 512 * 512
        path.write_bytes(hole(content, start, size or len(content)))
        with pytest.raises(BenchError, match=r"/a' is (damaged \(.+\): copy it anew|not an image)"):
            read_image(path)


def test_a_hole_that_libjpeg_takes_for_pixels(tmp_path):
    content = encoded("JPEG", quality=90)
    start = content.find(b"\xff\xda") + 14  # behind the head of the scan
    accepted = []
    for begin in range(start, len(content) - 2600, 101):
        holed = hole(content, begin, 2500)
        try:
            simplejpeg.decode_jpeg(holed, strict=True)
        except ValueError:
            continue
        accepted.append(begin)
        (tmp_path / "a.jpg").write_bytes(holed)
        with pytest.raises(BenchError, match=r"a\.jpg' .*2[45]\d\d zero bytes within its pixels"):
            read_image(tmp_path / "a.jpg")
    assert accepted


@pytest.mark.parametrize("settings", [{}, {"optimize": True}, {"progressive": True}])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_of_one_colour_may_be_stored_as_zeros(tmp_path, settings, mode):
    image = np.array(Image.new(mode, (1500, 1003), 255 if mode == "L" else (255, 255, 255)))
    content = encoded("JPEG", image, **settings)
    assert (bytes(512) in content) == bool(settings)
    (tmp_path / "a.jpg").write_bytes(content)
    assert (read_image(tmp_path / "a.jpg") == 255).all()


def test_a_photo_on_white_may_hold_zeros(tmp_path):
    image = np.full((1200, 1500, 3), 255, np.uint8)
    image[500:801, 700:1107] = photo()
    content = encoded("JPEG", image, quality=90, optimize=True)
    assert bytes(512) in content
    (tmp_path / "a.jpg").write_bytes(content)
    assert (read_image(tmp_path / "a.jpg")[:400] == 255).all()


@pytest.mark.parametrize("place", ["before", "behind"])
def test_zeros_outside_the_pixels_are_no_damage(tmp_path, place):
    content = encoded("JPEG", quality=90)
    if place == "before":  # a comment, and a thumbnail's mark of a scan in it
        padding = b"\xff\xda" + bytes(5000)
        comment = b"\xff\xff\xfe" + (len(padding) + 2).to_bytes(2, "big") + padding
        content = content[:2] + comment + content[2:]
    else:
        content += bytes(5000)
    (tmp_path / "a.jpg").write_bytes(content)
    assert (read_image(tmp_path / "a.jpg") == cv2.imread(str(tmp_path / "a.jpg"))[..., ::-1]).all()


def test_a_warning_that_concerns_no_pixels(tmp_path):
    content = bytearray(encoded("JPEG", quality=90))
    content[11] = 9  # JFIF's version
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match="JFIF revision"):
        simplejpeg.decode_jpeg(bytes(content), strict=True)
    assert read_image(tmp_path / "a.jpg").shape == (301, 407, 3)


def test_unusual_sampling_is_judged_by_pillow(tmp_path):
    content = bytearray(encoded("JPEG", photo(304, 408), quality=90, subsampling=0))
    content[content.find(b"\xff\xc0") + 11] = 0x31  # three columns of grey to one of colour
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ValueError, match="subsampling"):
        simplejpeg.decode_jpeg(bytes(content))
    assert read_image(tmp_path / "a.jpg").shape == (304, 408, 3)
    (tmp_path / "a.jpg").write_bytes(hole(content, len(content) // 2, 4096))
    with pytest.raises(BenchError, match="zero bytes within its pixels"):
        read_image(tmp_path / "a.jpg")


def test_a_wrong_bit_in_a_tiff_file_of_zlib(tmp_path):
    content = bytearray(encoded("TIFF", compression="tiff_adobe_deflate"))
    content[len(content) // 2] ^= 16
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(BenchError, match=r"a\.tif' is damaged"):
        read_image(tmp_path / "a.tif")


def test_empty_files_and_files_of_zeros(tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"")
    with pytest.raises(BenchError, match=r"a\.jpg' is empty: copy it anew"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.jpg").write_bytes(bytes(5000))
    with pytest.raises(BenchError, match=r"a\.jpg' is not an image file .* beginning is damaged"):
        read_image(tmp_path / "a.jpg")
