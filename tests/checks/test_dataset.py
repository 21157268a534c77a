import hashlib
import io

import cv2
import numpy as np
import pytest
from dataset_trees import CUB, cub, write_image, write_lines
from matplotlib.figure import Figure
from rich.console import Console

from bench.checks import dataset as check
from bench.checks.dataset import check_dataset
from bench.datasets.annotation_files import annotated
from bench.datasets.cub200 import Cub200
from bench.datasets.dataset import Dataset, Sample


class Checked:
    def __init__(self, dataset, folder):
        out = io.StringIO()
        self.problems = check_dataset(dataset, Console(file=out, width=300), folder, workers=2)
        self.out = out.getvalue()


@pytest.fixture
def official(monkeypatch):
    """Makes the small tree the official one."""
    figures = {"images": (5, 5), "classes": (3, 3)}
    monkeypatch.setattr(Cub200, "figures", lambda self: figures)
    return figures


def test_a_good_data_set(tmp_path, official, monkeypatch):
    root = cub(tmp_path / "CUB")
    digest = hashlib.sha256((root / "images.txt").read_bytes()).hexdigest()
    md5 = hashlib.md5(b"archive").hexdigest()
    monkeypatch.setattr(
        Cub200, "checksums", {"images.txt": f"sha256:{digest}", "a.tgz": f"md5:{md5}", "no": "md5:"}
    )
    (tmp_path / "a.tgz").write_bytes(b"archive")
    checked = Checked(Cub200("cub200", str(root), "all"), tmp_path / "out")
    assert checked.problems == []
    for line in (
        "ok      images: 5, officially 5",
        f"ok      {root}/images.txt: sha256 as it should be",
        f"ok      {tmp_path}/a.tgz: md5 as it should be",
        "ok      images that can be read: 5 of 5",
        "labels: 3 different, 0 to 2",
        f"Contact sheet: {tmp_path}/out/cub200.png",
    ):
        assert line in checked.out.splitlines()
    assert "PROBLEM" not in checked.out
    assert cv2.imread(str(tmp_path / "out/cub200.png")).shape[1] == 1200


def test_all_that_is_wrong_is_told_at_once(tmp_path, official, monkeypatch):
    root = cub(tmp_path / "CUB")
    official["classes"] = (3, 4)
    monkeypatch.setattr(Cub200, "checksums", {"notes.txt": "md5:00"})
    write_lines(root / "parts/notes.txt", "x")
    (root / "images" / CUB[0][0]).write_bytes(b"")
    (root / "images" / CUB[3][0]).unlink()
    checked = Checked(Cub200("cub200", str(root), "all"), tmp_path)
    first, second, third = checked.problems
    assert first == "counts unlike the official ones (1): 3 classes, not 4"
    assert second == (
        f"files unlike the official ones (1): '{root}/parts/notes.txt' has another md5"
    )
    assert third.startswith("images that cannot be read (2): image '")
    assert "is missing" in third
    for line in (
        "PROBLEM classes: 3, officially 4",
        f"PROBLEM {root}/parts/notes.txt: md5 is another",
        "PROBLEM images that can be read: 3 of 5",
    ):
        assert line in checked.out.splitlines()
    assert (tmp_path / "cub200.png").exists()


def test_no_sheet_of_nothing(tmp_path):
    checked = Checked(Dataset("d", [Sample("a.png", tmp_path / "a.png", 0)]), tmp_path / "out")
    assert len(checked.problems) == 1
    assert not (tmp_path / "out").exists()


def test_the_contact_sheet_is_spread_over_the_data_set(tmp_path, monkeypatch):
    drawn = {}
    monkeypatch.setattr(
        check, "draw_contact_sheet", lambda images: drawn.update(images) or Figure()
    )
    write_image(tmp_path / "a.png", 1)
    samples = [Sample(f"{i}", tmp_path / "a.png", 7) for i in range(100)]
    Checked(Dataset("d", samples), tmp_path)
    assert list(drawn) == [f"{i} 7" for i in range(0, 100, 3)]
    assert drawn["0 7"].shape == (160, 130, 3)
    expected = cv2.resize(samples[0].read(), (130, 160), interpolation=cv2.INTER_AREA)
    assert (drawn["0 7"] == expected).all()


def test_very_narrow_images(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((1, 1000, 3), np.uint8))
    assert Checked(Dataset("d", [Sample("a", tmp_path / "a.png", 0)]), tmp_path).problems == []


def test_boxes_and_masks_are_counted_and_drawn(tmp_path):
    for name in "abcd":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((120, 160, 3), 128, np.uint8))
    mask = np.zeros((120, 160), np.uint8)
    mask[20:60, 100:150] = 255
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/b.png"), mask)
    write_lines(tmp_path / "boxes.csv", "a.png,10,20,40,50", "a.png,80,20,40,50", "b.png,0,0,9,9")
    samples = [Sample(f"{name}.png", tmp_path / f"{name}.png", 0) for name in "abcd"]
    boxes, masks = str(tmp_path / "boxes.csv"), str(tmp_path / "masks")
    samples, _ = annotated(samples, boxes=boxes, masks=masks)
    checked = Checked(Dataset("d", samples), tmp_path / "out")
    told = "boxes: 3 in 2 images; masks: of 1 images; neither: 2 of 4 images"
    assert told in checked.out and checked.problems == []
    image = np.full((120, 160, 3), 128, np.uint8)
    tile = check._tile(image, samples[0].annotation, None)
    white = (tile == 255).all(axis=2)
    for row, column in ((20, 30), (70, 30), (45, 10), (45, 50), (45, 80), (45, 120)):
        assert white[row, column]
    assert white.sum() == 2 * (2 * 40 + 2 * 50)
    outlined = check._tile(image, None, mask > 0)
    assert (outlined[20, 120] == 255).all() and (outlined[40, 120] == 128).all()
    assert (check._tile(image, None, None) == 128).all()


def test_boxes_and_masks_that_do_not_fit_are_problems(tmp_path):
    for name in "ab":
        write_image(tmp_path / f"{name}.png")
    (tmp_path / "masks").mkdir()
    cv2.imwrite(str(tmp_path / "masks/a.png"), np.ones((5, 5), np.uint8))
    cv2.imwrite(str(tmp_path / "masks/b.png"), np.zeros((20, 17), np.uint8))
    write_lines(tmp_path / "boxes.csv", "a.png,17,0,3,3", "b.png,10,10,30,30")
    samples = [Sample(f"{name}.png", tmp_path / f"{name}.png", 0) for name in "ab"]
    boxes, masks = str(tmp_path / "boxes.csv"), str(tmp_path / "masks")
    samples, _ = annotated(samples, boxes=boxes, masks=masks)
    problems = Checked(Dataset("d", samples), tmp_path / "out").problems
    assert [line.partition(":")[0] for line in problems] == [
        "images with boxes that lie outside them (1)",
        "masks that cannot be used (1)",
        "masks that are empty (1)",
    ]
