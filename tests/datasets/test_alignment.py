import json
import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from bench.datasets import alignment
from bench.datasets.alignment import (
    TEMPLATES,
    Alignment,
    align_face,
    align_samples,
    mtcnn,
    similarity_transform,
    spread,
)
from bench.datasets.listed import ImageList
from bench.errors import BenchError

SCRIPT = Path(__file__).parents[2] / "scripts/align_faces.py"


def applied(matrix, points):
    return points @ matrix[:, :2].T + matrix[:, 2]


def umeyama(source, target):
    """The textbook's way: singular values of the covariance, no mirror (TPAMI 1991, eq. 39-43)."""
    x, y = source - source.mean(axis=0), target - target.mean(axis=0)
    u, d, v = np.linalg.svd(y.T @ x / len(x))
    sign = np.diag([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ sign @ v
    scale = (d * np.diag(sign)).sum() / x.var(axis=0).sum()
    shift = target.mean(axis=0) - scale * rotation @ source.mean(axis=0)
    return np.column_stack([scale * rotation, shift])


@pytest.mark.parametrize("seed", range(20))
def test_the_transform_is_umeyamas(seed):
    draws = np.random.default_rng(seed)
    source, target = draws.normal(50, 20, (2, 5, 2))
    found = similarity_transform(source, target)
    assert found == pytest.approx(umeyama(source, target), abs=1e-9)


def test_a_known_transform_is_found():
    angle, scale, shift = 0.3, 1.7, [5, -8]
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    source = np.random.default_rng(0).normal(50, 20, (5, 2))
    found = similarity_transform(source, scale * source @ rotation.T + shift)
    assert found[:, :2] == pytest.approx(scale * rotation)
    assert found[:, 2] == pytest.approx(shift)
    assert similarity_transform(source, source) == pytest.approx(np.eye(2, 3), abs=1e-9)


def test_points_that_coincide_have_no_transform():
    with pytest.raises(BenchError, match=r"landmarks: .*coincide"):
        similarity_transform(np.ones((5, 2)), np.zeros((5, 2)))


def test_templates():
    # insightface's arcface_dst, for 112 x 112.
    expected = [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655],
                [70.7299, 92.2041]]  # fmt: skip
    assert TEMPLATES["arcface"] * 112 == pytest.approx(np.array(expected))
    stretched = TEMPLATES["stretched"] * 112
    assert stretched[0] == pytest.approx([30.2946 * 112 / 96, 51.6963])
    assert stretched[4] == pytest.approx([62.7299 * 112 / 96, 92.2041])


def dotted(landmarks, shape=(300, 280)):
    """A grey image with a soft white dot at each landmark."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    image = np.full(shape, 60.0)
    for point in landmarks:
        image += 190 * np.exp(-((x - point[0]) ** 2 + (y - point[1]) ** 2) / 50)
    return np.repeat(image.clip(0, 255).astype(np.uint8)[..., None], 3, axis=2)


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("size", [112, 224])
def test_landmarks_come_to_lie_on_the_template(template, size):
    goal = TEMPLATES[template] * size
    turn = np.array([[1.2, -0.5], [0.5, 1.2]])
    landmarks = goal * 112 / size @ turn.T + [70, 20]
    crop = align_face(dotted(landmarks), landmarks, template, size)
    assert crop.shape == (size, size, 3)
    for x, y in goal:
        left, top = round(x) - 6, round(y) - 6
        patch = crop[top : top + 13, left : left + 13, 0].astype(float) - 60
        rows, columns = np.mgrid[top : top + 13, left : left + 13]
        assert (patch * columns).sum() / patch.sum() == pytest.approx(x, abs=0.7)
        assert (patch * rows).sum() / patch.sum() == pytest.approx(y, abs=0.7)


def test_outside_the_image_it_is_black():
    landmarks = TEMPLATES["arcface"] * 112 + [0, -40]  # the face leaves the image at the top
    image = np.full((112, 112, 3), 200, np.uint8)
    crop = align_face(image, landmarks, "arcface")
    assert (crop[:39] == 0).all()
    assert (crop[41:] == 200).all()


def test_the_detector_finds_no_face_where_none_is():
    detect = mtcnn(torch.device("cpu"))
    assert detect(np.zeros((64, 80, 3), np.uint8)) is None
    assert detect(np.zeros((19, 80, 3), np.uint8)) is None


def test_the_detector_takes_the_largest_face(monkeypatch):
    detect = mtcnn(torch.device("cpu"))

    def found(self, image, landmarks):
        boxes = np.array([[0, 0, 10, 10], [5, 5, 40, 40], [0, 0, 30, 30]], dtype=object)
        return boxes, np.array([0.99, 0.9, 0.95], dtype=object), np.arange(30.0).reshape(3, 5, 2)

    monkeypatch.setattr("facenet_pytorch.MTCNN.detect", found)
    landmarks, probability = detect(np.zeros((64, 80, 3), np.uint8))
    assert landmarks.tolist() == np.arange(10.0, 20).reshape(5, 2).tolist()
    assert probability == 0.9


LANDMARKS = TEMPLATES["arcface"] * 30 + 2


class Detector:
    """Finds a face where the image is higher than 36 pixels; notes how often it was asked."""

    def __init__(self):
        self.asked = 0

    def __call__(self, image):
        self.asked += 1
        return (LANDMARKS, 0.5) if image.shape[0] > 36 else None


@pytest.fixture
def dataset(image_folder):
    return ImageList("mine", str(image_folder), str(image_folder / "list.txt"))


SETTINGS = Alignment(size=32)


def test_aligned_faces_are_a_data_set_again(dataset, tmp_path):
    output, detect, seen = tmp_path / "out", Detector(), []
    done = align_samples(
        dataset.samples, detect, output, SETTINGS, workers=2, on_image=lambda: seen.append(1)
    )
    assert len(seen) == detect.asked == 7
    assert [record["found"] for record in done.values()] == [False] * 3 + [True] * 4
    assert list(done) == [sample.image_id for sample in dataset.samples]
    assert done[dataset.samples[4].image_id]["probability"] == 0.5
    found = np.array(done[dataset.samples[4].image_id]["landmarks"])
    assert found == pytest.approx(LANDMARKS, abs=1e-3)
    aligned = ImageList("mine", str(output), str(output / "list.txt"))
    assert [(s.image_id, s.target) for s in aligned.samples] == [
        (s.image_id, s.target) for s in dataset.samples
    ]
    for sample, source, record in zip(aligned.samples, dataset.samples, done.values(), strict=True):
        image = source.read()
        whole = cv2.resize(image, (32, 32))
        face = align_face(image, LANDMARKS, "arcface", 32)
        assert (sample.read() == (face if record["found"] else whole)).all()
    # The same lines: a published list keeps its hash.
    original = Path(dataset.root / "list.txt").read_bytes()
    assert (output / "list.txt").read_bytes() == original


def test_faces_that_are_not_found_can_be_dropped(dataset, tmp_path):
    align_samples(dataset.samples, Detector(), tmp_path / "out", SETTINGS, "drop")
    aligned = ImageList("mine", str(tmp_path / "out"), str(tmp_path / "out/list.txt"))
    assert [s.image_id for s in aligned.samples] == [s.image_id for s in dataset.samples[3:]]
    assert not (tmp_path / "out" / dataset.samples[0].image_id).exists()


def test_faces_that_are_not_found_can_be_an_error(dataset, tmp_path):
    expected = r"images without a face \(3\): 'class 0/photo 0\.png'; 'class 1/photo 1\.png'; "
    with pytest.raises(BenchError, match=expected):
        align_samples(dataset.samples, Detector(), tmp_path / "out", SETTINGS, "error")
    assert not (tmp_path / "out/list.txt").exists()
    assert (tmp_path / "out" / dataset.samples[6].image_id).exists()
    # Decided otherwise, nothing is looked for again but what has to be written.
    detect = Detector()
    align_samples(dataset.samples, detect, tmp_path / "out", SETTINGS, "drop")
    assert detect.asked == 0
    align_samples(dataset.samples, detect, tmp_path / "out", SETTINGS, "keep")
    assert detect.asked == 3
    assert len(ImageList("m", str(tmp_path / "out"), str(tmp_path / "out/list.txt"))) == 7


def test_it_goes_on_where_it_stopped(dataset, tmp_path):
    output, seen = tmp_path / "out", []

    def stops(image):
        if len(seen) == 5:
            raise KeyboardInterrupt
        return Detector()(image)

    with pytest.raises(KeyboardInterrupt):
        align_samples(dataset.samples, stops, output, SETTINGS, on_image=lambda: seen.append(1))
    manifest = output / "manifest.jsonl"
    manifest.write_text(manifest.read_text() + '{"image_id": "cla')  # torn
    (output / dataset.samples[1].image_id).unlink()
    detect, seen = Detector(), []
    done = align_samples(dataset.samples, detect, output, SETTINGS, on_image=lambda: seen.append(1))
    assert detect.asked == 4
    assert len(seen) == 7
    whole = align_samples(dataset.samples, Detector(), tmp_path / "whole", SETTINGS)
    assert done == whole
    assert list(done) == list(whole)
    for sample in dataset.samples:
        written = (output / sample.image_id).read_bytes()
        assert written == (tmp_path / "whole" / sample.image_id).read_bytes()
    first, *lines = [json.loads(line) for line in manifest.read_text().splitlines()]
    assert first == {"template": "arcface", "size": 32, "detector": SETTINGS.detector}
    assert {line["image_id"] for line in lines} == set(done)


def test_other_settings_need_another_folder(dataset, tmp_path):
    align_samples(dataset.samples, Detector(), tmp_path / "out", SETTINGS)
    with pytest.raises(BenchError, match=r"aligned with other settings, .*choose another"):
        align_samples(dataset.samples, Detector(), tmp_path / "out", Alignment("stretched", 32))


def test_unreadable_images_are_told_at_the_end(dataset, tmp_path):
    dataset.samples[0].path.unlink()
    dataset.samples[4].path.write_bytes(b"")
    expected = r"images that cannot be read \(2\): .*photo 0\.png' is missing.*photo 4"
    with pytest.raises(BenchError, match=expected):
        align_samples(dataset.samples, Detector(), tmp_path / "out", SETTINGS)
    assert (tmp_path / "out" / dataset.samples[6].image_id).exists()
    assert not (tmp_path / "out/list.txt").exists()


def test_a_format_that_cannot_be_written(tmp_path):
    with pytest.raises(BenchError, match=r"OpenCV writes no '\.xyz' files"):
        alignment._write_image(tmp_path / "a.xyz", np.zeros((2, 2, 3), np.uint8))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"template": "arcfase"}, "Did you mean 'arcface'"), ({"size": 7}, "size: .*>= 8, found 7")],
)
def test_bad_settings(settings, message):
    with pytest.raises(BenchError, match=message):
        Alignment(**settings)
    with pytest.raises(BenchError, match="missing: unknown name 'skip'"):
        align_samples([], Detector(), Path("nowhere"), SETTINGS, "skip")


def test_the_contact_sheet_shows_lost_faces_first():
    done = {str(i): {"found": i % 5 != 0} for i in range(100)}
    chosen = list(spread(done, 12))
    assert chosen[:4] == ["0", "5", "10", "15"]
    assert chosen[4:] == ["1", "13", "26", "38", "51", "63", "76", "88"]
    assert list(spread({"a": {"found": True}}, 12)) == ["a"]
    assert list(spread({str(i): {"found": False} for i in range(9)}, 9)) == ["0", "1", "2"]


def run_script(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(alignment, "mtcnn", lambda device: Detector())
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as stop:
        return str(stop.code)
    return capsys.readouterr().out


def test_the_script(image_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = [f'dataset.root="{image_folder}"', f'dataset.list="{image_folder}/list.txt"']
    out = run_script(monkeypatch, capsys, "out", "dataset=list", *settings, "--size", "32")
    assert "faces found: 4 of 7" in out
    assert "not found (keep): class 0/photo 0.png, class 1/photo 1.png, class 2/photo 2.png" in out
    assert cv2.imread("out/contact_sheet.png").shape[1] == 1200
    assert len(ImageList("mine", "out", "out/list.txt")) == 7
    arguments = ["out2", "dataset=list", *settings, "--missing", "error"]
    assert "images without a face (3)" in run_script(monkeypatch, capsys, *arguments)
    assert "'lost'" in run_script(monkeypatch, capsys, "out3", "dataset=lost")
