from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from marked import block_of, maps_of, region
from scipy import stats

from bench.metrics.block import measure
from bench.metrics.segmentation import PxAP, Segmentation, ranking

GOLDEN = Path(__file__).parents[1] / "golden/quantus_localisation.npz"
METRIC = Segmentation()
IOU, ACCURACY, AP, ROC = METRIC.statistics


def rows_of(metric, masks, maps, images=None):
    size = np.shape(maps[0])
    block = block_of(*(region(size, mask=mask) for mask in masks))
    columns = measure(metric, block, maps_of(*maps, images=images)).columns
    return pd.DataFrame({name: list(found) for name, found in columns.items()})


def drawn(count=4, size=(13, 17), seed=0):
    rng = np.random.default_rng(seed)
    masks = [np.add.outer(np.arange(size[0]), np.arange(size[1])) < 8 + 4 * i for i in range(count)]
    return masks, [mask + rng.normal(0, 0.8, size) for mask in masks]


@pytest.mark.parametrize("kind", ["abs0", "abs1"])
def test_the_roc_area_is_that_of_quantus(kind):
    golden = np.load(GOLDEN)
    maps, masks = golden["attributions"][:, 0], golden["masks"][:, 0]
    maps = np.abs(maps) if kind == "abs1" else maps
    found = METRIC.values(ROC, rows_of(METRIC, masks, maps), "")
    np.testing.assert_allclose(found, golden[f"AUC_{kind}_norm0"], atol=1e-12)


def test_closed_form():
    mask = np.array([[1, 1, 0], [0, 0, 0]], bool)
    values = np.array([[6, 1, 5], [0, 0, 0]], np.float64)  # its mean is 2
    rows = rows_of(METRIC, [mask], [values])
    found = {each.name: METRIC.summary(each, rows, "") for each in METRIC.statistics}
    assert found == pytest.approx({
        "segmentation_iou": (1 / 3 + 3 / 5) / 2, "segmentation_accuracy": 4 / 6,
        "segmentation_ap": (1 + 2 / 3) / 2, "segmentation_roc": 1 - 1 / 8,
    })  # fmt: skip


def test_iou_is_of_all_pixels_together():
    masks, maps = drawn()
    bright = np.stack([values > values.mean() for values in maps])
    together = np.stack(masks)
    ious = [(a & b).sum() / (a | b).sum() for a, b in ((bright, together), (~bright, ~together))]
    rows = rows_of(METRIC, masks, maps)
    assert METRIC.summary(IOU, rows, "") == pytest.approx(np.mean(ious), abs=1e-12)
    assert METRIC.values(IOU, rows, "").mean() != pytest.approx(np.mean(ious), abs=1e-4)
    assert METRIC.summary(ACCURACY, rows, "") == pytest.approx((bright == together).mean())
    draws = np.array([[1, 1, 1, 1], [0, 2, 0, 2], [4, 0, 0, 0]], float)
    pooled = METRIC.pooled(IOU, rows, "", draws)
    assert pooled[0] == pytest.approx(np.mean(ious))
    assert pooled[1] == pytest.approx(METRIC.summary(IOU, rows.iloc[[1, 3, 3, 1]], ""))
    assert pooled[2] == pytest.approx(METRIC.values(IOU, rows, "")[0])


@pytest.mark.parametrize("seed", range(3))
def test_ranking_with_ties(seed):
    rng = np.random.default_rng(seed)
    values, mask = rng.integers(0, 5, (7, 9)).astype(float), rng.random((7, 9)) < 0.4
    precision, roc = ranking(values, mask)
    inside, outside = values[mask], values[~mask]
    assert roc == pytest.approx(
        stats.mannwhitneyu(inside, outside).statistic / len(inside) / len(outside)
    )
    expected, before = 0.0, 0.0
    for level in np.unique(values)[::-1]:
        taken = values >= level
        recall = (taken & mask).sum() / mask.sum()
        expected += (recall - before) * (taken & mask).sum() / taken.sum()
        before = recall
    assert precision == pytest.approx(expected)


def test_a_mask_of_everything():
    mask, values = np.ones((2, 3), bool), np.arange(6.0).reshape(2, 3)
    assert ranking(values, mask)[0] == pytest.approx(1) and np.isnan(ranking(values, mask)[1])
    rows = rows_of(METRIC, [mask], [values])
    assert METRIC.summary(IOU, rows, "") == pytest.approx((0.5 + 0) / 2)
    assert METRIC.summary(AP, rows, "") == pytest.approx(1) and np.isnan(
        METRIC.summary(ROC, rows, "")
    )


def test_pxap_is_the_area_under_all_pixels_curve():
    masks, maps = drawn()
    metric = PxAP(thresholds=50)
    rows = rows_of(metric, masks, maps)
    scaled = np.stack([(values - values.min()) / np.ptp(values) for values in maps])
    binned = np.floor(scaled * 50 + 1e-9)
    expected, _ = ranking(binned.reshape(4, -1), np.stack(masks).reshape(4, -1))
    (statistic,) = metric.statistics
    assert metric.summary(statistic, rows, "") == pytest.approx(expected, abs=1e-12)
    alone = [ranking(values, mask)[0] for values, mask in zip(binned, masks, strict=True)]
    assert metric.values(statistic, rows, "") == pytest.approx(alone)
    assert expected != pytest.approx(np.mean(alone), abs=1e-4)
    draws = np.array([[1, 1, 1, 1], [0, 2, 0, 2]], float)
    found = metric.pooled(statistic, rows, "", draws)
    assert found == pytest.approx([expected, metric.summary(statistic, rows.iloc[[1, 3]], "")])


@pytest.mark.parametrize("metric", [METRIC, PxAP(thresholds=10)], ids=["segmentation", "pxap"])
def test_images_without_a_mask_are_left_out(metric):
    masks, maps = drawn(2)
    size = masks[0].shape
    regions = (
        region(size, mask=masks[0]),
        region(size, [[0, 0, 5, 5]]),
        region(size, mask=masks[1]),
    )
    measured = measure(metric, block_of(*regions), maps_of(maps[0], maps[0], maps[1]))
    rows = pd.DataFrame({name: list(found) for name, found in measured.columns.items()})
    assert not measured.not_finite
    for statistic in metric.statistics:
        values = metric.values(statistic, rows, "")
        assert np.isnan(values).tolist() == [False, True, False]
        whole = metric.summary(statistic, rows, "")
        assert whole == metric.summary(statistic, rows.iloc[[0, 2]], "")
        assert np.isnan(metric.summary(statistic, rows.iloc[[1]], ""))
    assert metric.in_words("")
