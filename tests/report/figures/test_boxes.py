import numpy as np
import pytest
from localised import localised
from matplotlib.patches import Rectangle

from bench.report.figures.boxes import draw_boxes, draw_success
from bench.storage.pictures import Picture

NONE = [np.nan] * 3
OVERLAPS = {
    "m": np.array([[0.2, 0.6, 0.1], [0.9, 0.4, 0.3], [0.4, 0.6, 0.0], NONE]),
    "k": np.array([[0.1, 0.1, 0.1], [0.2, 0.1, 0.0], [0.1, 0.3, 0.1], NONE]),
}


def curves(figure):
    (panel,) = [axes for axes in figure.axes if axes.get_title()]
    return {
        line.get_label(): line.get_xydata() for line in panel.lines if len(line.get_xdata()) > 2
    }


def test_success_is_the_share_found_at_the_best_threshold(tmp_path):
    one = localised(tmp_path, OVERLAPS, controls=("k",))
    found = curves(draw_success(one))
    assert list(found) == ["m", "k"]
    levels, shares = found["m"].T
    assert (levels == np.arange(101) / 100).all()
    # Of three images with a box: at the first threshold IoU .2 .9 .4, at the second .6 .4 .6.
    expected = np.select([levels <= 0.4, levels <= 0.6, levels <= 0.9], [1, 2 / 3, 1 / 3], 0)
    assert shares == pytest.approx(expected)
    control = np.select([levels <= 0.1, levels <= 0.3], [1, 1 / 3], 0)
    assert found["k"][:, 1] == pytest.approx(control)


def test_success_is_what_tables_show(tmp_path):
    """At each IoU that the metric asks for, one of which is not on the grid."""
    overlaps = {"m": np.random.default_rng(0).uniform(size=(13, 7)).astype(np.float32)}
    for level in (0.3, 0.5, 0.7, 1 / 3):
        one = localised(tmp_path / str(level), overlaps, [level])
        levels, shares = curves(draw_success(one))["m"].T
        (statistic,) = one.statistics
        shown = one.protocol.summary(statistic, one.rows["m"])
        assert shares[levels == level] == shown


def test_a_panel_a_metric_and_a_line_at_its_levels(tmp_path):
    figure = draw_success(localised(tmp_path, OVERLAPS, [0.3, 0.7]))
    (panel,) = figure.axes
    upright = [line.get_xdata() for line in panel.lines if len(line.get_xdata()) == 2]
    assert upright == [[0.3, 0.3], [0.7, 0.7]]
    assert (panel.get_xlim(), panel.get_ylim()) == ((0, 1), (0, 1))


SIZE = (12, 17)
STEEP = np.zeros(SIZE, np.float32)
STEEP[2:9, 3:13], STEEP[4:7, 5:9] = 0.4, 1.0
"""Above 0 a box of 10 x 7, above 1/2 one of 4 x 3."""


def picture(image_id, *boxes):
    photo = np.full((*SIZE, 3), 90, np.uint8)
    return Picture(image_id, photo, "bird", {}, np.array(boxes, float).reshape(-1, 4))


def box_of(patch):
    """Left, top, right, bottom."""
    return [*patch.get_xy(), patch.get_x() + patch.get_width(), patch.get_y() + patch.get_height()]


def test_boxes_on_photos(tmp_path):
    """The threshold is that of all images, the second one: for b alone the first would be best."""
    overlaps = {"m": np.array([[0.2, 0.6], [0.9, 0.4], [0.4, 0.6], [np.nan, np.nan]])}
    maps = {"m": {"a": STEEP, "b": STEEP}}
    one = localised(tmp_path, overlaps, pointed={"m": [1, 0, 1, 1]}, maps=maps)
    pictures = [picture("a", [5, 4, 9, 7], [0, 0, 2, 3]), picture("b", [3, 2, 13, 9])]
    figure = draw_boxes(one, "max_box_acc", [*pictures, picture("c", [1, 1, 4, 4])])
    photo, first, _, second, _, third = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["photo", "m", "", "", "", ""]
    assert [box_of(box) for box in photo.patches] == [
        [4.5, 3.5, 8.5, 6.5], [-0.5, -0.5, 1.5, 2.5],
    ]  # fmt: skip
    assert (photo.get_xlabel(), len(photo.lines)) == ("bird, class 1", 0)
    assert [box_of(box) for box in first.patches[:2]] == [box_of(box) for box in photo.patches]
    assert box_of(first.patches[2]) == [4.5, 3.5, 8.5, 6.5]
    assert first.get_xlabel() == "IoU 0.60: hit\npoint: hit"
    assert second.get_xlabel() == "IoU 0.40: miss\npoint: miss"
    assert first.lines[0].get_xydata().tolist() == [[5, 4]]
    assert [text.get_text() for text in third.texts] == ["not kept"]
    assert len({patch.get_linestyle() for patch in first.patches}) == 2  # not by colour alone
    (key,) = figure.legends
    assert [text.get_text() for text in key.texts] == [
        "drawn by people", "found by the map", "the map's point",
    ]  # fmt: skip


def test_of_several_boxes_of_a_map_the_one_that_counts(tmp_path):
    both = np.zeros(SIZE, np.float32)
    both[1:4, 1:5], both[6:11, 8:15] = 1, 1
    overlaps = {"m": np.array([[0.8, 0.8]])}
    one = localised(tmp_path, overlaps, [0.3, 0.9, 0.7], maps={"m": {"a": both}})
    for drawn in ([1, 1, 5, 4], [8, 6, 15, 11]):
        _, axes = draw_boxes(one, "max_box_acc", [picture("a", drawn)]).axes
        assert [box_of(patch) for patch in axes.patches] == [[edge - 0.5 for edge in drawn]] * 2
        assert axes.get_xlabel() == "IoU 0.80: hit"  # of 0.7, the IoU in the middle
        assert [patch for patch in axes.patches if not isinstance(patch, Rectangle)] == []
