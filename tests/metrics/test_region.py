import numpy as np
import pytest

from bench.backbones.backbone import Preprocessing
from bench.datasets.annotation import Annotation
from bench.metrics.region import Region

SAME = Preprocessing((6, 8), (0,), (255,))


def of(boxes=(), mask=None, preprocessing=SAME, photo=(6, 8)):
    boxes = np.array(boxes, float).reshape(-1, 4)
    return Region(Annotation(boxes, mask and (lambda size: mask(size))), photo, preprocessing)


def test_pixels_of_boxes_are_those_whose_centres_lie_inside():
    region = of([[1.4, 1.6, 4.5, 4.5], [6, 0, 20, 1]])
    expected = np.zeros((6, 8), bool)
    expected[2:4, 1:4] = expected[0, 6:] = True
    assert (region.pixels == expected).all()
    assert region.boxes[1].tolist() == [6, 0, 8, 1]


def test_a_box_that_holds_no_centre_has_a_pixel():
    assert np.argwhere(of([[3.6, 2.7, 3.9, 2.9]]).pixels).tolist() == [[2, 3]]
    assert np.argwhere(of([[7.9, 5.9, 8, 6]]).pixels).tolist() == [[5, 7]]
    wide = of([[0, 2.7, 8, 2.9]]).pixels
    assert wide[2].all() and wide.sum() == 8


def test_a_box_that_is_cropped_away_is_none():
    crop = Preprocessing(4, (0,), (255,), crop=0.5)  # the middle 4 of 8 x 16
    gone = of([[0, 0, 5, 8]], preprocessing=crop, photo=(8, 16))
    assert not len(gone.boxes) and gone.pixels is None and not gone.gives("region")
    both = of([[0, 0, 5, 8], [5, 0, 8, 8]], preprocessing=crop, photo=(8, 16))
    assert both.boxes.tolist() == [[0, 0, 2, 4]]


def test_a_mask_comes_before_boxes_and_gives_one():
    def corner(size):
        mask = np.zeros(size, bool)
        mask[1:3, 2:7] = True
        return mask

    region = of(mask=corner)
    assert region.boxes.tolist() == [[2, 1, 7, 3]] and region.gives("boxes")
    assert (of([[0, 0, 1, 1]], corner).pixels == region.mask).all()
    assert of([[0, 0, 1, 1]], corner).boxes.tolist() == [[0, 0, 1, 1]]
    empty = of(mask=lambda size: np.zeros(size, bool))
    assert empty.mask is None and not empty.gives("boxes") and not empty.gives("mask")


def test_an_image_without_annotation():
    nothing = Region(None, (5, 5), SAME)
    assert [nothing.gives(need) for need in ("boxes", "mask", "region")] == [False] * 3


@pytest.mark.parametrize("need", ["boxes", "region"])
def test_boxes_are_no_mask(need):
    assert of([[0, 0, 2, 2]]).gives(need) and not of([[0, 0, 2, 2]]).gives("mask")
