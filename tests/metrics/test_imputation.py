from pathlib import Path

import numpy as np
import pytest

from bench.metrics.imputation import linear_imputation

GOLDEN = Path(__file__).parents[1] / "golden/road.npz"
NEIGHBOURS = {
    (down, right): 1 / 12 if down and right else 1 / 6
    for down in (-1, 0, 1)
    for right in (-1, 0, 1)
    if down or right
}


def by_loops(image, missing):
    """Each missing pixel is the mean of its neighbours: a dense system, pixel by pixel."""
    channels, height, width = image.shape
    pixels = list(zip(*np.nonzero(missing), strict=True))
    system, known = np.zeros((len(pixels), len(pixels))), np.zeros((len(pixels), channels))
    for row, (y, x) in enumerate(pixels):
        for (down, right), weight in NEIGHBOURS.items():
            at = (y + down, x + right)
            if not (0 <= at[0] < height and 0 <= at[1] < width):
                continue
            system[row, row] += weight
            if missing[at]:
                system[row, pixels.index(at)] -= weight
            else:
                known[row] += weight * image[:, at[0], at[1]]
    filled = image.copy()
    filled[:, missing] = np.linalg.solve(system, known).T
    return filled


@pytest.mark.parametrize("shape", [(7, 9), (9, 4), (1, 12), (12, 1), (2, 2), (5, 5)])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.97])
def test_a_dense_solution(shape, share):
    draws = np.random.default_rng(0)
    image = draws.standard_normal((2, *shape))
    order = draws.permutation(shape[0] * shape[1])
    missing = np.isin(np.arange(len(order)), order[: int(len(order) * share)]).reshape(shape)
    np.testing.assert_allclose(linear_imputation(image, missing), by_loops(image, missing))


def test_road_grad_cam_and_quantus():
    golden = np.load(GOLDEN)  # another environment's than that of `make oracle`
    for number, missing in enumerate(golden["missing"]):
        filled = linear_imputation(golden["x"][number].astype(np.float64), missing)
        noisy = filled + 0.01 * golden["noise"] * missing
        np.testing.assert_allclose(noisy, golden["imputed"][number], atol=1e-6)
        np.testing.assert_allclose(filled, golden["quantus"][number], atol=1e-6)


def test_a_plane_is_kept():
    """Inside, each pixel of a plane is the mean of its neighbours; a constant everywhere."""
    rows, columns = np.mgrid[:23, :17].astype(float)
    plane = np.stack([2 * rows - columns, np.full((23, 17), 5.0)])
    missing = np.zeros((23, 17), bool)
    missing[3:20, 2:15] = True
    np.testing.assert_allclose(linear_imputation(plane * ~missing, missing), plane, atol=1e-11)
    np.testing.assert_allclose(linear_imputation(plane[1:], plane[0] > -16), plane[1:])


def test_the_image_that_is_given_stays():
    image, missing = np.ones((1, 4, 5)), np.eye(4, 5, dtype=bool)
    image[0, missing] = np.nan
    assert np.isfinite(linear_imputation(image, missing)).all()
    assert np.isnan(image[0, missing]).all()
