from pathlib import Path

import numpy as np
import pytest
from marked import block_of, maps_of, region

from bench.metrics.block import measure
from bench.metrics.localisation import EnergyInBox, MassAccuracy, RankAccuracy

GOLDEN = Path(__file__).parents[1] / "golden/quantus_localisation.npz"
METRICS = [EnergyInBox(), MassAccuracy(), RankAccuracy()]


def ask(metric, block, maps):
    return measure(metric, block, maps).columns[metric.name]


@pytest.fixture(scope="module")
def quantus():
    """Maps, block and what Quantus 0.6.0 says of their absolute values."""
    golden = np.load(GOLDEN)
    maps, masks = golden["attributions"][:, 0], golden["masks"][:, 0]
    return np.abs(maps), block_of(*(region((32, 32), mask=mask) for mask in masks)), golden


def test_mass_accuracy_is_that_of_quantus(quantus):
    maps, block, golden = quantus
    found = ask(MassAccuracy(), block, maps_of(*maps))
    expected = golden["RelevanceMassAccuracy_abs1_norm0"]
    is_constant = np.isnan(expected)  # of zeros, where ours is the object's share of the pixels
    np.testing.assert_allclose(found[~is_constant], expected[~is_constant], atol=2e-7)
    assert is_constant.sum() == 1 and found[is_constant] == golden["masks"][is_constant].mean()


def test_rank_accuracy_is_that_of_quantus(quantus):
    maps, block, golden = quantus
    found = ask(RankAccuracy(), block, maps_of(*maps))
    masks = golden["masks"].reshape(12, -1)
    clear = []  # where the values around the last place differ: Quantus's order of equals is open
    for values, mask in zip(maps.reshape(12, -1), masks, strict=True):
        ordered = np.sort(values)[::-1]
        clear.append(ordered[mask.sum() - 1] > ordered[mask.sum()])
    expected = golden["RelevanceRankAccuracy_abs1_norm0"]
    np.testing.assert_allclose(found[clear], expected[clear], atol=1e-12)
    assert sum(clear) >= 6
    # Of equals some or others are among the highest; so both lie within what these allow.
    for values, mask, *shares in zip(maps.reshape(12, -1), masks, found, expected, strict=True):
        count = mask.sum()
        last = np.sort(values)[::-1][count - 1]
        above, places = (mask & (values > last)).sum(), count - (values > last).sum()
        ties = (values == last).sum(), (mask & (values == last)).sum()
        least = above + max(places - (ties[0] - ties[1]), 0)
        most = above + min(ties[1], places)
        assert all(least <= round(share * count) <= most for share in shares)


def closed_form():
    """A map of 2 x 3 pixels, and a box that holds the two upper ones at the left."""
    values = np.array([[5, -1, 0], [2, 3, -3]], np.float64)
    return block_of(region((2, 3), [[0, 0, 2, 1]])), maps_of(values)


@pytest.mark.parametrize(
    ("metric", "expected"),
    [(EnergyInBox(), (8 + 2) / (8 + 2 + 3 + 5 + 6)), (MassAccuracy(), 0.5), (RankAccuracy(), 0.5)],
)
def test_closed_forms(metric, expected):
    assert ask(metric, *closed_form()) == pytest.approx([expected], abs=1e-12)


@pytest.mark.parametrize("metric", METRICS)
def test_a_map_of_the_object_has_all(metric):
    mask = np.zeros((7, 9), np.float32)
    mask[2:5, 3:8] = 1
    block = block_of(region((7, 9), [[3, 2, 8, 5]]))
    found = ask(metric, block, maps_of(mask, 1 - mask, mask * 0, images=[0, 0, 0]))
    share = mask.mean()
    assert found[:2].tolist() == [1, 0]
    if metric.name != "rank_accuracy":
        assert found[2] == pytest.approx(share)


def test_negative_values_alone_are_no_mass():
    found = ask(MassAccuracy(), block_of(region((2, 3), [[0, 0, 1, 1]])), maps_of(-np.ones((2, 3))))
    assert found == pytest.approx([1 / 6])


def test_masks_come_before_boxes_but_for_energy_in_box():
    mask = np.zeros((4, 5), bool)
    mask[0, 0] = True
    block = block_of(region((4, 5), [[0, 0, 5, 2]], mask))
    values = np.ones((4, 5))
    values[3, 4] = 0
    found = {metric.name: ask(metric, block, maps_of(values))[0] for metric in METRICS}
    expected = {"energy_in_box": 10 / 19, "mass_accuracy": 1 / 19, "rank_accuracy": 1}
    assert found == pytest.approx(expected)


def test_equal_values_go_by_the_tie_rule():
    block = block_of(region((2, 3), [[0, 0, 1, 2]]))  # pixels 0 and 3
    values = np.array([[1, 1, 0], [1, 1, 0]], np.float32)
    stable = ask(RankAccuracy(), block, maps_of(values, ties="stable"))
    order = maps_of(values, ties="stable").order[0, :2].tolist()
    assert stable == pytest.approx([len({0, 3} & set(order)) / 2])
    assert RankAccuracy().uses_order and not EnergyInBox().uses_order


@pytest.mark.parametrize("metric", METRICS)
def test_several_maps_an_image_and_images_without(metric):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(5, 7, 9)).astype(np.float32)
    regions = [region((7, 9), [[1, 1, 4, 6]]), region((7, 9)), region((7, 9), [[3, 0, 9, 3]])]
    images = [2, 0, 1, 2, 0]
    found = ask(metric, block_of(*regions), maps_of(*values, images=images))
    for number, image in enumerate(images):
        alone = ask(metric, block_of(regions[image]), maps_of(values[number]))
        assert found[number] == pytest.approx(alone[0], nan_ok=True, abs=1e-12)
    assert np.isnan(found).tolist() == [False, False, True, False, False]
    assert metric.in_words("trapezoid")
