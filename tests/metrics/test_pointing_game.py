from pathlib import Path

import numpy as np
import pytest
from marked import block_of, maps_of, region

from bench.errors import BenchError
from bench.metrics.block import measure
from bench.metrics.pointing_game import PointingGame

GOLDEN = Path(__file__).parents[1] / "golden"


def peak(size, row, column):
    values = np.zeros(size, np.float32)
    values[row, column] = 1
    return values


@pytest.mark.parametrize("tolerance", [5, 15])
def test_hits_are_those_of_torchray(tolerance):
    golden = np.load(GOLDEN / "torchray_pointing_game.npz")
    size = tuple(golden["masks_shape"][1:].tolist())
    masks = np.unpackbits(golden["masks"], axis=-1)[..., : size[1]].astype(bool)
    regions = [region(size, mask=mask) for mask in masks]
    maps = maps_of(*(peak(size, v, u) for u, v in golden["points_uv"]))
    found = PointingGame(tolerance)(block_of(*regions), maps)["pointing_game"]
    expected = golden[f"tol{tolerance}_hits"] == 1
    assert (found == expected).all() and 0 < expected.sum() < len(expected)
    classes = golden["classes"]
    means = [found[classes == label].mean() for label in np.unique(classes)]
    assert np.mean(means) == pytest.approx(golden[f"tol{tolerance}_accuracy"], abs=1e-12)


def test_hits_are_those_of_quantus():
    golden = np.load(GOLDEN / "quantus_localisation.npz")
    maps, masks = golden["attributions"][:, 0], golden["masks"][:, 0]
    block = block_of(*(region((32, 32), mask=mask) for mask in masks))
    for name, values in (("abs0", maps), ("abs1", np.abs(maps))):
        found = PointingGame(0)(block, maps_of(*values))["pointing_game"]
        expected = golden[f"PointingGame_{name}_norm0"]
        # Quantus asks whether any of several highest pixels lies inside; here the first counts.
        flat = values.reshape(len(values), -1)
        is_highest = flat == flat.max(axis=1, keepdims=True)
        single = is_highest.sum(axis=1) == 1
        assert (found == expected)[single].all() and single.sum() >= 4
        assert ((is_highest & masks.reshape(flat.shape)).any(axis=1) == expected).all()


def test_zero_asks_for_the_object_itself():
    block = block_of(region((9, 11), [[3, 2, 5, 4]]))
    hits = [
        PointingGame(0)(block, maps_of(peak((9, 11), row, column)))["pointing_game"][0]
        for row, column in ((2, 3), (3, 4), (4, 4), (3, 5), (1, 3))
    ]
    assert hits == [1, 1, 0, 0, 0]


def test_the_tolerance_is_an_open_disc():
    block = block_of(region((9, 31), [[3, 4, 5, 5]]))  # its last pixel: row 4, column 4
    for tolerance, reach in ((1, 0), (3, 2), (5, 4)):
        game = PointingGame(tolerance)
        hits = [game(block, maps_of(peak((9, 31), 4, 4 + d)))["pointing_game"][0] for d in range(9)]
        assert hits == [1.0] * (reach + 1) + [0.0] * (8 - reach)
    assert PointingGame(5)(block, maps_of(peak((9, 31), 7, 8)))["pointing_game"] == 0  # 3, 4: 5
    assert PointingGame(6)(block, maps_of(peak((9, 31), 7, 8)))["pointing_game"] == 1


def test_of_several_highest_points_the_first_row_counts():
    values = peak((6, 7), 3, 1) + peak((6, 7), 2, 5)
    block = block_of(region((6, 7), [[5, 2, 6, 3]]), region((6, 7), [[1, 3, 2, 4]]))
    found = PointingGame(0)(block, maps_of(values, values, values, images=[0, 1, 0]))
    assert found["pointing_game"].tolist() == [1, 0, 1]
    constant = PointingGame(0)(block_of(region((6, 7), [[0, 0, 1, 1]])), maps_of(values * 0))
    assert constant["pointing_game"] == 1


def test_images_without_an_object_have_nan():
    block = block_of(region((6, 7)), region((6, 7), [[5, 2, 6, 3]]))
    maps = maps_of(*[peak((6, 7), 2, 5)] * 3, images=[1, 0, 1])
    measured = measure(PointingGame(0), block, maps)
    assert measured.columns["pointing_game"].tolist() == pytest.approx([1, np.nan, 1], nan_ok=True)
    assert not measured.not_finite


def test_settings():
    with pytest.raises(BenchError, match="tolerance: expected an integer >= 0"):
        PointingGame(-1)
    assert "less than 15 pixels" in PointingGame().in_words("trapezoid")[0]
    assert PointingGame(0).in_words("trapezoid")[0].endswith("lies on the object.")


def test_its_point_is_the_first_highest_one():
    values = peak((9, 11), 3, 7)
    values[3, 9] = values[5, 0] = 1
    assert PointingGame().point(values) == (3, 7)
