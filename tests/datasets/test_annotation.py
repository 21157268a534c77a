import re

import cv2
import numpy as np
import pytest
from PIL import Image

from bench.datasets.annotation import Annotation, MaskFile, Outlines, without
from bench.errors import BenchError

BOXES = np.array([[1.0, 2.0, 4.0, 5.0]])


def mask(size):
    return np.eye(*size, dtype=bool)


@pytest.mark.parametrize(
    ("annotation", "boxes", "masked", "region"),
    [
        (Annotation(), False, False, False),
        (Annotation(BOXES), True, False, True),
        (Annotation(mask=mask), True, True, True),
        (Annotation(BOXES, mask), True, True, True),
    ],
)
def test_what_it_gives(annotation, boxes, masked, region):
    assert (annotation.gives("boxes"), annotation.gives("mask")) == (boxes, masked)
    assert annotation.gives("region") == region


def test_its_hash_is_over_what_is_read():
    both, boxes = Annotation(BOXES, mask), Annotation(BOXES)
    assert both.digest("boxes", (7, 9)) == boxes.digest("boxes", (7, 9))
    assert both.digest("boxes", (7, 9)) == boxes.digest("region", (7, 9))
    assert Annotation(mask=mask).digest("region", (7, 9)) == both.digest("mask", (7, 9))
    assert both.digest("region", (7, 9)) != both.digest("boxes", (7, 9))
    assert both.digest("mask", (7, 9)) != both.digest("mask", (9, 7))
    assert boxes.digest("boxes", (7, 9)) != Annotation(BOXES + 1).digest("boxes", (7, 9))


@pytest.mark.parametrize("marked", [mask, lambda size: np.zeros(size, bool)])
def test_boxes_beside_a_mask_count_for_a_region(marked):
    """It is the boxes where a crop cuts the whole mask away, or the mask marks nothing."""
    both = [Annotation(boxes, marked) for boxes in (BOXES, BOXES + 1)]
    regions, masks = ([each.digest(need, (7, 9)) for each in both] for need in ("region", "mask"))
    assert regions[0] != regions[1]
    assert masks[0] == masks[1]


def test_boxes_outside():
    boxes = [[0, 0, 9, 7], [9, 0, 12, 3], [-3, 0, 0, 3], [-1, 2, 3, 8], [0, 7, 2, 9]]
    assert Annotation(np.array(boxes, float)).outside((7, 9)) == (3, 1)


@pytest.mark.parametrize("kind", ["grey", "16 bit", "palette", "colour", "alpha", "1 bit"])
def test_a_mask_of_any_kind(kind, tmp_path):
    expected = np.zeros((5, 8), bool)
    expected[1:3, 2:7] = True
    path = tmp_path / "a.png"
    grey = expected.astype(np.uint8)
    match kind:
        case "grey":
            cv2.imwrite(str(path), grey)
        case "16 bit":
            cv2.imwrite(str(path), expected.astype(np.uint16) * 200)
        case "palette":
            image = Image.fromarray(grey, "P")
            image.putpalette([255, 255, 255, 0, 0, 0])
            image.save(path)
        case "colour":
            cv2.imwrite(str(path), np.dstack([grey * 0, grey, grey * 0]))
        case "alpha":
            opaque = np.full_like(grey, 255)
            cv2.imwrite(str(path), np.dstack([grey * 0, grey * 0, grey, opaque]))
        case "1 bit":
            Image.fromarray(expected).save(path)
    assert (MaskFile(path)((5, 8)) == expected).all()
    assert not MaskFile(path, above=200)((5, 8)).any()


def test_a_grey_level(tmp_path):
    values = np.array([[0, 51, 102, 153, 204, 255]], np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), values)
    assert MaskFile(tmp_path / "a.png", above=127)((1, 6)).tolist() == [[False] * 3 + [True] * 3]


def test_masks_that_cannot_be_read(tmp_path):
    good = tmp_path / "good.png"
    cv2.imwrite(str(good), np.random.default_rng(0).integers(0, 256, (50, 40), np.uint8))
    with pytest.raises(
        BenchError, match=r"expected the photo's size, 50 x 40 pixels, found 40 x 5"
    ):
        MaskFile(good)((40, 50))
    (tmp_path / "cut.png").write_bytes(good.read_bytes()[:900])
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut", "text", "missing"):
        with pytest.raises(BenchError, match=f"mask '.*{name}.png' cannot be read: ") as raised:
            MaskFile(tmp_path / f"{name}.png")((50, 40))
        assert "\n" not in str(raised.value)


def test_a_polygon_has_the_pixels_whose_centres_lie_in_it():
    square = Outlines([np.array([[1.5, 1], [4.5, 1], [4.5, 3.5], [1.5, 3.5]])])((6, 7))
    expected = np.zeros((6, 7), bool)
    expected[1:3, 1:4] = True  # centres at 1.5 .. 3.5 and 1.5 .. 2.5
    assert (square == expected).all()


def test_a_polygon_as_another_code_fills_it():
    rng = np.random.default_rng(3)
    angles = np.linspace(0, 2 * np.pi, 9, endpoint=False)
    corners = np.stack([20 + 15 * np.cos(angles), 15 + 12 * np.sin(angles)], axis=1)
    corners += rng.uniform(-3, 3, corners.shape)
    found = Outlines([corners])((31, 40))
    sides = [
        [
            cv2.pointPolygonTest(corners.astype(np.float32), (x + 0.5, y + 0.5), True)
            for x in range(40)
        ]
        for y in range(31)
    ]
    clear = np.abs(sides) > 1e-3
    assert (found == (np.array(sides) > 0))[clear].all()
    assert 300 < found.sum() < 900


def test_polygons_beyond_the_image_and_two_of_them():
    beyond = np.array([[-5.0, -5], [30, -5], [30, 2], [-5, 2]])
    other = np.array([[0.0, 4], [3, 4], [3, 6], [0, 6]])
    found = Outlines([beyond, other])((6, 7))
    assert found[:2].all() and not found[2:4].any()
    assert (found[4:] == [[True] * 3 + [False] * 4] * 2).all()


def test_a_run_length_code_goes_down_the_columns():
    expected = np.zeros((4, 3), bool)
    expected[2:, 0] = expected[0, 1] = True
    assert (Outlines(runs=[([2, 3, 7], (4, 3))])((4, 3)) == expected).all()
    with pytest.raises(BenchError, match=r"'a.json': expected the photo's size"):
        Outlines(runs=[([2, 3, 7], (4, 3))], source="'a.json'")((3, 4))


def test_what_is_told_where_there_is_none():
    assert re.search("no image has a mask, .*dataset.masks=FOLDER", without("mask"))
    assert "dataset.boxes" not in without("mask")
    assert "dataset.boxes=FILE" in without("boxes")
