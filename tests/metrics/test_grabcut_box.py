from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from marked import block_of, maps_of, region

from bench.errors import BenchError
from bench.metrics.block import measure
from bench.metrics.grabcut_box import GrabCutBox

BOX = [20, 12, 52, 37]  # 32 x 25 of 64 x 48 pixels


def photo(seed=0):
    """An orange box on a bluish ground, with noise; a small orange spot lies apart."""
    pixels = np.empty((48, 64, 3))
    pixels[:] = (40, 60, 120)
    left, top, right, bottom = BOX
    pixels[top:bottom, left:right] = pixels[2:5, 2:5] = (220, 120, 40)
    noise = np.random.default_rng(seed).normal(0, 12, pixels.shape)
    return (pixels + noise).clip(0, 255).astype(np.uint8)


def bump():
    """High in the middle of the box, low far away; not the box's shape."""
    rows, columns = np.indices((48, 64))
    return np.exp(-((rows - 24) ** 2 + (columns - 36) ** 2) / 200)


def test_the_object_is_found_by_its_colours():
    assert GrabCutBox().box(photo(), bump()).tolist() == BOX


def test_colours_decide_and_not_places():
    """Pixels between the quantiles belong to no model: an object of two colours is cut in two."""
    image = photo()
    image[12:37, 46:52] = (40, 60, 120)  # of the ground's colour
    assert GrabCutBox().box(image, bump()).tolist() == [20, 12, 46, 37]


def test_the_same_box_every_time_and_no_trace():
    cv2.setRNGSeed(7)
    expected = [cv2.randu(np.empty(4, np.float32), 0, 1).tolist() for _ in range(2)]
    cv2.setRNGSeed(7)
    first = cv2.randu(np.empty(4, np.float32), 0, 1).tolist()
    boxes = [GrabCutBox().box(photo(3), bump()).tolist() for _ in range(3)]
    second = cv2.randu(np.empty(4, np.float32), 0, 1).tolist()
    assert [first, second] == expected
    assert boxes[0] == boxes[1] == boxes[2]


def test_maps_that_say_nothing_give_the_whole_image():
    point = np.zeros((48, 64))
    point[20, 30] = 1
    for values in (np.zeros((48, 64)), np.full((48, 64), 3.0), point):
        assert GrabCutBox().box(photo(), values).tolist() == [0, 0, 64, 48]


def test_a_map_that_is_mostly_zero_is_background_there():
    values = np.where(bump() > 0.9, bump(), 0)
    assert GrabCutBox().box(photo(), values).tolist() == BOX


def test_parts_that_touch_at_a_corner_are_one():
    image = photo()
    image[2:5, 2:5] = image[12:24, 36:52] = image[24:37, 20:36] = (40, 60, 120)
    assert GrabCutBox().box(image, bump()).tolist() == BOX


def test_in_a_block():
    far = [40, 30, 64, 48]
    regions = (region((48, 64), [BOX]), region((48, 64), [far, [0, 0, 3, 3]]), region((48, 64)))
    block = block_of(*(replace(each, image=photo()) for each in regions))
    metric = GrabCutBox()
    measured = measure(metric, block, maps_of(bump(), bump(), bump(), images=[1, 0, 2]))
    rows = pd.DataFrame(measured.columns)
    shared = 12 * 7
    expected = [shared / (32 * 25 + 24 * 18 - shared), 1, np.nan]
    assert rows["grabcut_box_iou"].tolist() == pytest.approx(expected, nan_ok=True)
    (statistic,) = metric.statistics
    found = metric.values(statistic, rows, "")
    assert found.tolist() == pytest.approx([0, 1, np.nan], nan_ok=True)
    assert metric.summary(statistic, rows, "") == 0.5


@pytest.mark.parametrize("settings", [{"foreground": 0.2}, {"background": 2}, {"iou": 0}])
def test_settings(settings):
    with pytest.raises(BenchError, match=r"(background|iou): expected"):
        GrabCutBox(**settings)
    assert "highest 5% and the lowest 30%" in GrabCutBox().in_words("")[0]


def test_a_photo_is_shown_as_the_network_sees_it():
    """The photo twice as large: its box is found in pixels of the input."""
    large = cv2.resize(photo(), (128, 96), interpolation=cv2.INTER_NEAREST)
    boxed = replace(region((48, 64), [[2 * edge for edge in BOX]]), photo=(96, 128), image=large)
    measured = measure(GrabCutBox(), block_of(boxed), maps_of(bump()))
    assert measured.columns["grabcut_box_iou"] == pytest.approx([1])
    with pytest.raises(ValueError, match="without its photo"):
        _ = region((48, 64), [BOX]).shown
