import threading
import time

import cv2
import numpy as np
import pytest
from PIL import Image

from bench.backbones.backbone import Preprocessing
from bench.datasets.reading import pixels_sha256, read_ahead, read_image
from bench.errors import BenchError


def noise(*shape, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, dtype=dtype)


def smooth():
    return cv2.resize(noise(4, 5, 3), (40, 30), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
@pytest.mark.parametrize("side", [7, 224])
def test_pixels_are_those_of_the_published_pipeline(tmp_path, name, side):
    path = str(tmp_path / name)
    cv2.imwrite(path, noise(61, 47, 3))
    expected = cv2.resize(cv2.imread(path)[..., ::-1], (side, side))
    prepared = Preprocessing(side, (0, 0, 0), (1, 1, 1))([read_image(path)])
    assert (prepared[0].permute(1, 2, 0).numpy() == expected).all()


def written(path, kind):
    image = Image.fromarray(smooth())
    exif = Image.Exif()
    exif[0x112] = 6  # turned by a quarter
    if kind == "grey":
        image.convert("L").save(path)
    elif kind == "cmyk":
        image.convert("CMYK").save(path, quality=100, subsampling=0)
    elif kind == "turned":
        image.save(path, exif=exif)
    elif kind == "alpha":
        image.putalpha(100)
        image.save(path)
    elif kind == "palette":
        image.quantize(16).save(path)
    elif kind == "bits":
        image.convert("1").save(path)
    else:
        cv2.imwrite(str(path), noise(30, 40, 3, dtype=np.uint16))
    return path


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("grey.jpg", "grey"),
        ("cmyk.jpg", "cmyk"),
        ("turned.jpg", "turned"),
        ("alpha.png", "alpha"),
        ("palette.png", "palette"),
        ("bits.png", "bits"),
        ("deep.png", "16 bits"),
        ("deep.tif", "16 bits"),
    ],
)
def test_odd_images_are_what_opencv_makes_of_them(tmp_path, name, kind):
    path = written(tmp_path / name, kind)
    image = read_image(path)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    assert (image == cv2.imread(str(path))[..., ::-1]).all()
    assert image.shape == ((40, 30, 3) if kind == "turned" else (30, 40, 3))


def test_cmyk_shows_the_right_colours(tmp_path):
    image = read_image(written(tmp_path / "cmyk.jpg", "cmyk")).astype(int)
    assert np.abs(image - smooth()).max() < 8


def test_a_kind_that_opencv_cannot_decode(tmp_path, capfd):
    Image.fromarray(np.zeros((4, 5), np.float32)).save(tmp_path / "float.tif")
    with pytest.raises(BenchError, match=r"float\.tif' cannot be decoded .* convert it"):
        read_image(tmp_path / "float.tif")


def test_an_image_too_large_to_be_true(tmp_path, monkeypatch):
    Image.fromarray(noise(30, 40, 3)).save(tmp_path / "huge.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(BenchError, match=r"huge\.png' cannot be read: .*exceeds limit"):
        read_image(tmp_path / "huge.png")


def test_a_file_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(BenchError, match=r"folder\.png' cannot be read: Is a directory"):
        read_image(tmp_path / "folder.png")


def value(number):
    return np.full((1, 1, 3), number, np.uint8)


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("ahead", [0, 1, 4, 50])
def test_order_is_kept_and_errors_stand_in_their_places(workers, ahead):
    def read(number):
        time.sleep(0.002 * (number % 3))
        if number == 4:
            raise BenchError("number 4")
        return value(number)

    outcomes = list(read_ahead((lambda n=n: read(n) for n in range(12)), workers, ahead))
    assert len(outcomes) == 12
    for number, outcome in enumerate(outcomes):
        if number == 4:
            assert isinstance(outcome, BenchError)
            assert str(outcome) == "number 4"
        else:
            assert (outcome == value(number)).all()


def test_it_reads_ahead_but_not_further_than_asked():
    asked = []
    reads = (lambda n=n: asked.append(n) or value(n) for n in range(100))
    images = read_ahead(reads, workers=2, ahead=5)
    next(images)
    deadline = time.monotonic() + 10
    while len(asked) < 6 and time.monotonic() < deadline:
        time.sleep(0.001)
    time.sleep(0.02)
    assert sorted(asked) == [0, 1, 2, 3, 4, 5]
    images.close()


def test_whoever_stops_early_leaves_no_threads():
    before = threading.active_count()
    images = read_ahead((lambda: value(0) for _ in range(1000)), workers=4, ahead=500)
    next(images)
    images.close()
    assert threading.active_count() == before


def test_an_error_of_another_kind_is_not_swallowed():
    with pytest.raises(ZeroDivisionError):
        list(read_ahead([lambda: 1 // 0], workers=1, ahead=1))


@pytest.mark.parametrize("workers", [0, True, "2"])
def test_bad_workers(workers):
    with pytest.raises(BenchError, match="workers: expected an integer >= 1"):
        next(read_ahead([], workers, ahead=1))


def test_hash_is_of_shape_and_pixels():
    image = np.arange(4 * 5 * 3, dtype=np.uint8).reshape(4, 5, 3)
    turned = np.ascontiguousarray(image[..., ::-1])[..., ::-1]  # equal, but not contiguous
    assert pixels_sha256(image) == pixels_sha256(image.copy()) == pixels_sha256(turned)
    assert pixels_sha256(image) != pixels_sha256(image.reshape(5, 4, 3))
    assert pixels_sha256(image) != pixels_sha256(image // 2)
