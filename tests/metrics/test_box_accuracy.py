from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marked import block_of, maps_of, region

from bench.errors import BenchError
from bench.metrics.block import measure
from bench.metrics.box_accuracy import MaxBoxAcc, box_iou, scaled

GOLDEN = Path(__file__).parents[1] / "golden/wsol_maxboxacc.npz"
LEVELS = (0.3, 0.5, 0.7)


def rows_of(metric, block, maps):
    columns = measure(metric, block, maps).columns
    return pd.DataFrame({name: list(found) for name, found in columns.items()})


def summary(metric, rows):
    return metric.summary(metric.statistics[0], rows, "trapezoid")


@pytest.fixture(scope="module")
def wsol():
    """Maps (one of them flat), and boxes in photos of several sizes, squashed to 224 x 224."""
    golden = np.load(GOLDEN)
    sizes = golden["sizes_wh"][:, ::-1].tolist()
    regions = []
    for image, size in enumerate(sizes):
        boxes = golden["boxes"][golden["boxes"][:, 0] == image, 1:]
        photo = region(tuple(size), boxes)
        made = replace(photo.preprocessing, size=224)
        regions.append(replace(photo, preprocessing=made))
    return golden, block_of(*regions), maps_of(*golden["maps"])


@pytest.mark.parametrize(("contours", "name"), [("largest", "single"), ("all", "multi")])
def test_it_is_that_of_wsolevaluation(contours, name, wsol):
    golden, block, maps = wsol
    metric = MaxBoxAcc(contours, LEVELS, thresholds=1000)
    rows = rows_of(metric, block, maps)
    overlaps = np.stack(rows["max_box_acc_iou"].tolist())
    correct = [(overlaps >= np.float32(level)).sum(axis=0) for level in LEVELS]
    assert (np.array(correct) == golden[f"{name}_num_correct"]).all()
    for level, expected in zip(LEVELS, golden[f"{name}_acc_30_50_70"], strict=True):
        found = summary(replace(metric, iou=(level,)), rows)
        assert 100 * found == pytest.approx(expected, abs=1e-9)
    assert 100 * summary(metric, rows) == pytest.approx(golden[f"{name}_acc_30_50_70"].mean())
    assert 0 < np.array(correct).max() < 6 and len(np.unique(correct)) > 3


@pytest.mark.parametrize(("contours", "name"), [("largest", "single"), ("all", "multi")])
def test_success_and_the_boxes_behind_it(contours, name, wsol):
    golden, block, maps = wsol
    metric = MaxBoxAcc(contours, LEVELS, thresholds=1000)
    rows = rows_of(metric, block, maps)
    assert 100 * metric.success(rows, LEVELS) == pytest.approx(golden[f"{name}_acc_30_50_70"])
    for level in LEVELS:
        at = metric.best_threshold(rows, level)
        for number, marked in enumerate(block.regions):
            box = metric.box_at(maps.values[number].numpy(), marked.boxes, at)
            best = box_iou(box[None], marked.boxes.astype(int)).max()
            assert np.float32(best) == metric.overlaps(rows)[number, at]


def test_boxes_are_where_theirs_are(wsol):
    golden, block, _ = wsol
    found = np.concatenate([region.boxes.astype(int) for region in block.regions])
    assert (found == golden["gt_boxes_224"][:, 1:]).all()


def test_the_threshold_is_one_for_all_images():
    """Two images that need different thresholds are not both found."""
    steep = np.zeros((20, 30))
    steep[5:15, 5:15], steep[8:12, 8:12] = 0.4, 1.0
    block = block_of(region((20, 30), [[5, 5, 15, 15]]), region((20, 30), [[8, 8, 12, 12]]))
    metric = MaxBoxAcc(iou=[0.9])
    both = rows_of(metric, block, maps_of(steep, steep))
    assert [summary(metric, both.iloc[[i]]) for i in (0, 1)] == [1, 1]
    assert summary(metric, both) == 0.5
    twice = both.iloc[[0, 1, 1]]
    assert metric.values(metric.statistics[0], twice, "").tolist() == [0, 1, 1]
    # Draws choose theirs anew.
    draws = np.array([[1, 1], [2, 0], [0, 2]])
    assert metric.pooled(metric.statistics[0], both, "", draws).tolist() == [0.5, 1, 1]


def test_largest_or_all_contours():
    values = np.zeros((30, 40))
    values[2:20, 2:20] = 1
    values[22:27, 30:36] = 1
    block = block_of(region((30, 40), [[30, 22, 36, 27]]))
    assert summary(MaxBoxAcc(), rows_of(MaxBoxAcc(), block, maps_of(values))) == 0
    every = MaxBoxAcc("all", LEVELS)
    assert summary(every, rows_of(every, block, maps_of(values))) == 1


def test_images_without_a_box_are_left_out():
    values = np.zeros((9, 11))
    values[2:6, 3:8] = 1
    block = block_of(region((9, 11), [[3, 2, 8, 6]]), region((9, 11)))
    rows = rows_of(MaxBoxAcc(), block, maps_of(values, values, values, images=[0, 1, 0]))
    found = MaxBoxAcc().values(MaxBoxAcc().statistics[0], rows, "")
    assert found.tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert summary(MaxBoxAcc(), rows) == 1
    assert MaxBoxAcc().has_box(rows).tolist() == [True, False, True]
    assert MaxBoxAcc().success(rows, [0.5, 1]).tolist()[0] == 1
    nothing = rows.iloc[[1]]
    assert np.isnan(MaxBoxAcc().values(MaxBoxAcc().statistics[0], nothing, "")).all()
    assert np.isnan(summary(MaxBoxAcc(), nothing))


def test_overlaps():
    ours, theirs = np.array([[0, 0, 4, 4], [10, 10, 12, 12]]), np.array([[2, 2, 6, 6]])
    assert box_iou(ours, theirs, edge=0)[:, 0].tolist() == [4 / 28, 0]
    assert box_iou(ours, theirs)[0, 0] == 9 / 41


def test_a_map_is_scaled():
    assert scaled(np.array([[-2.0, 0, 2]])).tolist() == [[0, 0.5, 1]]
    assert scaled(np.full((2, 3), 7.0)).tolist() == [[0] * 3] * 2


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"contours": "two"}, "contours: unknown name 'two'"),
        ({"iou": []}, "iou: expected at least one number"),
        ({"iou": [0.5, 1.5]}, "iou: expected a number in"),
        ({"thresholds": 0}, "thresholds: expected an integer >= 1"),
    ],
)
def test_settings(settings, expected):
    with pytest.raises(BenchError, match=expected):
        MaxBoxAcc(**settings)
    assert MaxBoxAcc(iou=0.5) == MaxBoxAcc(iou=[0.5])
    assert "largest contour" in MaxBoxAcc().in_words("")[0]
    assert "0.3 and 0.5 and 0.7 at least, in the mean" in MaxBoxAcc("all", LEVELS).in_words("")[0]
