"""Forward passes on images without some of their pixels; the cells of grids."""

import numpy as np
import pytest
import torch
from toy import LinearModel

from bench.metrics.removal import cell_of_pixel, correlate, score_drops


def test_cells_of_pixels():
    assert cell_of_pixel(2, 3, 4).tolist() == [[0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("of_image", [False, True])
def test_drops_are_those_of_a_plain_loop(batch_size, of_image):
    draws = torch.Generator().manual_seed(0)
    model = LinearModel(classes=3, channels=2, height=5, width=7)
    x, targets = torch.rand(3, 2, 5, 7, generator=draws), torch.tensor([2, 0, 1])
    baseline = torch.rand(3 if of_image else 1, 2, 5, 7, generator=draws)
    gone = torch.rand(3, 5, 5, 7, generator=draws) < 0.4  # others for each image

    def score(inputs, classes):
        return model(inputs).gather(1, classes[:, None])[:, 0]

    found = score_drops(
        score, x, baseline, targets, score(x, targets),
        removed=lambda images, numbers: gone[images, numbers], count=5, batch_size=batch_size,
    )  # fmt: skip
    for image in range(3):
        for number in range(5):
            lost = (x[image] - baseline[image % len(baseline)]) * gone[image, number]
            expected = (model.weight[targets[image]] * lost).sum().item()
            assert found[image, number].item() == pytest.approx(expected, abs=1e-5)


def test_undefined_correlations_count_as_zero():
    replaced = np.eye(4, dtype=bool)
    cells = np.arange(4).reshape(2, 2)
    maps = np.stack([np.zeros((2, 2)), np.arange(4.0).reshape(2, 2)]).astype(np.float32)
    drops = np.array([[1, 2, 3, 4], [1, 1, 1, 1]], dtype=np.float32)
    assert correlate(drops, maps, replaced, cells).tolist() == [0, 0]
    assert correlate(drops[:1], maps[1:], replaced, cells).tolist() == pytest.approx([1])
