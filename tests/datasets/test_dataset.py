import cv2
import numpy as np
import pytest
from PIL import Image

from bench.datasets import photos
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.photos import Photos
from bench.datasets.reading import read_image
from bench.errors import BenchError


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("name", ["plain.png", "with space.jpg", "Übergrößen-ß.png", "日本.jpg"])
def test_reads_what_opencv_reads_in_rgb_order(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(cv2.imencode(path.suffix, noise(9, 7, 3))[1].tobytes())
    expected = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    image = read_image(path)
    assert image.flags.c_contiguous
    assert (image == expected).all()


def test_grayscale_becomes_three_channels(tmp_path):
    cv2.imwrite(str(tmp_path / "gray.png"), noise(5, 6))
    image = read_image(tmp_path / "gray.png")
    assert image.shape == (5, 6, 3)
    assert (image[..., 0] == image[..., 2]).all()


@pytest.mark.parametrize("suffix", [".jpg", ".png"])
@pytest.mark.parametrize("kept", [0.98, 0.5, 0.01])
def test_truncated(tmp_path, suffix, kept):
    encoded = cv2.imencode(suffix, noise(64, 64, 3))[1].tobytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(encoded[: int(len(encoded) * kept)])
    with pytest.raises(BenchError, match=f"cut{suffix}"):
        read_image(path)


def test_not_an_image_and_missing(tmp_path):
    (tmp_path / "text.jpg").write_text("no image")
    with pytest.raises(BenchError, match=r"text\.jpg' is not an image"):
        read_image(tmp_path / "text.jpg")
    with pytest.raises(BenchError, match=r"gone\.jpg' is missing"):
        read_image(tmp_path / "gone.jpg")


def samples(folder, *targets):
    made = []
    for number, target in enumerate(targets):
        path = folder / f"{number}.png"
        Image.fromarray(np.full((2, 3, 3), number, dtype=np.uint8)).save(path)
        made.append(Sample(path.name, path, target))
    return made


def test_identity_follows_list_and_pixels(tmp_path):
    three = samples(tmp_path, 0, 1, 2)
    first = Dataset("d", three).identity()
    assert Dataset("d", three).identity() == first
    assert first["num_images"] == 3
    assert Dataset("d", three[::-1]).identity() != first
    relabelled = Dataset("d", [*three[:2], Sample("2.png", three[2].path, 9)]).identity()
    assert relabelled["list_sha256"] != first["list_sha256"]
    assert relabelled["pixels_sha256"] == first["pixels_sha256"]
    renamed = Dataset("d", [*three[:2], Sample("x.png", three[2].path, 2)]).identity()
    assert renamed["list_sha256"] != first["list_sha256"]
    Image.fromarray(np.full((3, 2, 3), 0, dtype=np.uint8)).save(three[0].path)
    assert Dataset("d", three).identity()["pixels_sha256"] != first["pixels_sha256"]
    Image.fromarray(np.full((2, 3, 3), 99, dtype=np.uint8)).save(three[0].path)
    repainted = Dataset("d", three).identity()
    assert repainted["list_sha256"] == first["list_sha256"]
    assert repainted["pixels_sha256"] != first["pixels_sha256"]


def test_identity_names_all_broken_files(tmp_path):
    three = samples(tmp_path, 0, 1, 2)
    three[0].path.write_bytes(b"x")
    three[2].path.unlink()
    with pytest.raises(BenchError, match=r"0\.png.*2\.png' is missing"):
        Dataset("d", three).identity()


def test_labels_out_of_the_models_range(tmp_path):
    dataset = Dataset("d", samples(tmp_path, 0, 4))
    dataset.check_targets(5)
    with pytest.raises(BenchError, match=r"label 4 of '1\.png' is outside .* 0\.\.3"):
        dataset.check_targets(4)


@pytest.mark.parametrize("count", [0, -1, True, "2"])
def test_bad_max_images(tmp_path, count):
    with pytest.raises(BenchError, match="max_images"):
        Dataset("d", samples(tmp_path, 0), max_images=count)


def test_no_images_and_doubled_images(tmp_path):
    with pytest.raises(BenchError, match="found no images"):
        Dataset("d", [])
    with pytest.raises(BenchError, match=r"images listed twice \(1\): '0\.png'"):
        Dataset("d", samples(tmp_path, 0) * 2)


def test_photos():
    dataset = Photos(max_images=3)
    assert [(s.image_id, s.target) for s in dataset.samples] == [
        ("imagenet_00_243.jpg", 243),
        ("imagenet_01_559.jpg", 559),
        ("imagenet_02_438.jpg", 438),
    ]
    assert dataset.samples[0].read().shape == (512, 512, 3)


def test_missing_photos_package(monkeypatch):
    monkeypatch.setattr(photos, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"pip install 'insdel-bench\[demo\]'"):
        Photos()
