import cv2
import numpy as np
import pytest
import torch
from scipy.stats import qmc
from toy import SIZE, backbone, linear_scorer, make_batch

from bench.attribution.scorer import Scorer
from bench.attribution.sensitivity import Hsic, Sobol
from bench.errors import BenchError


def slow_scores(scorer, batch, masks, side):
    """(images, masks), one at a time; a pixel has the cell that its centre falls into."""
    cells = ((np.arange(SIZE) + 0.5) * side / SIZE).astype(int)
    scores = np.empty((len(batch.x), len(masks)))
    for image in range(len(batch.x)):
        for number, mask in enumerate(masks):
            grid = torch.from_numpy(mask.reshape(side, side)[cells][:, cells])
            with torch.no_grad():
                masked = (batch.x[image] * grid)[None]
                scores[image, number] = scorer(masked, batch.targets[image : image + 1])
    return scores


def enlarged(indices, side):
    small = np.asarray(indices, dtype=np.float32).reshape(side, side)
    return cv2.resize(small, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_sobol_equals_jansens_estimator_point_by_point(batch_size):
    side, n = 3, 4
    points = qmc.Sobol(2 * side**2, scramble=False).random(8).astype(np.float32)[1 : n + 1]
    a, b = points[:, : side**2], points[:, side**2 :]
    designs = [a, b]
    for cell in range(side**2):
        mixed = a.copy()
        mixed[:, cell] = b[:, cell]
        designs.append(mixed)
    scorer, batch = Scorer(backbone(), "probability", batch_size), make_batch()
    scores = slow_scores(scorer, batch, np.concatenate(designs), side)
    maps = Sobol(side, n)(scorer, batch).numpy()
    for image_scores, found in zip(scores, maps, strict=True):
        f_a, *f_mixed = image_scores.reshape(-1, n)[[0, *range(2, side**2 + 2)]]
        indices = [((f_a - f) ** 2).sum() / (2 * n * f_a.var(ddof=1)) for f in f_mixed]
        expected = enlarged(indices, side)
        assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_hsic_equals_its_definition(batch_size):
    """Centred kernel matrices, cell by cell."""
    side, n = 3, 20
    points = qmc.Sobol(side**2, scramble=False).random(32).astype(np.float32)[1 : n + 1]
    masks = np.round(points)
    scorer, batch = Scorer(backbone(), "probability", batch_size), make_batch()
    scores = slow_scores(scorer, batch, masks, side)
    maps = Hsic(side, n)(scorer, batch).numpy()
    centre = np.eye(n) - 1 / n
    for image_scores, found in zip(scores, maps, strict=True):
        outputs = np.exp(
            -((image_scores[:, None] - image_scores) ** 2) / (2 * np.median(image_scores) ** 2)
        )
        indices = []
        for cell in masks.T.astype(np.float64):
            inputs = 1 + (0.5 - (cell[:, None] - cell) ** 2)
            product = (centre @ inputs @ centre) * (centre @ outputs @ centre).T
            indices.append(product.sum() / n)
        expected = enlarged(indices, side)
        assert np.abs(found - expected).max() <= 1e-3 * np.abs(expected).max()


def test_sobol_of_an_additive_score_is_each_cells_share_of_the_variance():
    """Of a linear model, a cell's index is its squared coefficient's share."""
    scorer, module = linear_scorer()
    batch = make_batch()
    side = 2
    cells = torch.from_numpy(((np.arange(SIZE) + 0.5) * side / SIZE).astype(int))
    parts = torch.zeros(len(batch.x), side, side)
    products = (batch.x * module.weight[batch.targets]).sum(dim=1)
    for row in range(side):
        for column in range(side):
            inside = products[:, cells == row][:, :, cells == column]
            parts[:, row, column] = inside.sum(dim=(1, 2))
    shares = parts.square() / parts.square().sum(dim=(1, 2), keepdim=True)
    maps = Sobol(side, 1024)(scorer, batch)
    corners = maps[:, [0, 0, -1, -1], [0, -1, 0, -1]].view(-1, side, side)
    # The corners of a cubic enlargement overshoot a little.
    expected = np.stack([enlarged(share, side)[[0, 0, -1, -1], [0, -1, 0, -1]] for share in shares])
    assert np.abs(corners.flatten(1).numpy() - expected).max() <= 0.02


@pytest.mark.parametrize("method", [Sobol(2, 4), Hsic(2, 4)])
def test_a_score_that_never_varies(method):
    scorer, _ = linear_scorer()
    scorer.backbone.module.weight.zero_()
    assert (method(scorer, make_batch()) == 0).all()


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Sobol(8, 33), "num_designs: expected a power of two, found 33"),
        (lambda: Sobol(8, 1), "num_designs: expected an integer >= 2"),
        (lambda: Hsic(0), "grid_size"),
        (lambda: Hsic(8, 1), "num_designs"),
    ],
)
def test_values_out_of_range(build, message):
    with pytest.raises(BenchError, match=message):
        build()
