import numpy as np
import pytest
import torch

from bench.errors import BenchError
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.perturbation import order_pixels, perturb
from bench.metrics.protocol import Protocol
from bench.report.steps import step_of_pixel, step_pictures
from bench.storage.pictures import Picture


def protocol(ties="stable", **settings):
    curves = (kind(ZeroBaseline(), **settings) for kind in (Insertion, Deletion))
    return Protocol.of("mine", "output", ties, *curves)


def picture(height, width):
    draws = np.random.default_rng(0)
    photos = draws.integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    return Picture("a.png", photos[0], "0", {"insertion": photos[1], "deletion": photos[2]})


@pytest.mark.parametrize("ties", ["stable", "numpy_1_23", "running_numpy"])
@pytest.mark.parametrize(
    "settings",
    [{"steps": 4}, {"steps": -1}, {"rows_per_step": 2}, {"steps": 3, "max_fraction": 0.5}],
)
@pytest.mark.parametrize("direction", ["insertion", "deletion"])
def test_the_engine_makes_the_same_pictures(ties, settings, direction):
    """On an odd size and a map of few values, which tie."""
    photo, settings = picture(7, 5), protocol(ties, **settings)
    saliency_map = np.random.default_rng(1).integers(0, 6, (7, 5)).astype(np.float32)
    found = step_pictures(photo, saliency_map, settings, direction)
    ends = [photo.baselines["insertion"], photo.photo] if direction == "insertion" else [
        photo.photo, photo.baselines["deletion"],
    ]  # fmt: skip
    start, end = (torch.from_numpy(image).permute(2, 0, 1)[None] for image in ends)
    order = order_pixels(torch.from_numpy(saliency_map)[None], ties)
    counts = settings.curves[direction].counts(7, 5).tolist()
    expected = [
        image[0].permute(1, 2, 0).numpy().copy() for image in perturb(start, end, order, counts)
    ]
    assert (found == expected).all()
    assert found.dtype == np.uint8


def test_chosen_points():
    photo, settings = picture(4, 6), protocol(steps=6)
    saliency_map = np.arange(24, dtype=np.float32).reshape(4, 6)
    every = step_pictures(photo, saliency_map, settings, "deletion")
    chosen = step_pictures(photo, saliency_map, settings, "deletion", [5, 0])
    assert (chosen == every[[5, 0]]).all()
    assert (every[0] == photo.photo).all()
    assert (every[6] == photo.baselines["deletion"]).all()


def test_the_step_at_which_a_pixel_is_replaced():
    saliency_map = np.array([[0.1, 0.4], [0.3, 0.2]], np.float32)
    assert step_of_pixel(saliency_map, protocol(steps=2), "insertion").tolist() == [[2, 1], [1, 2]]
    half = protocol(steps=2, max_fraction=0.5)
    assert step_of_pixel(saliency_map, half, "deletion").tolist() == [[3, 1], [2, 3]]


def test_a_step_may_be_a_single_pixel_of_many():
    steps = step_of_pixel(np.zeros((200, 200), np.float32), protocol(steps=-1), "insertion")
    assert (steps.flatten() == np.arange(1, 40_001)).all()


def test_a_map_of_another_size_is_refused():
    with pytest.raises(BenchError, match=r"'a\.png'.* 4 x 6, .* found 3 x 3"):
        step_pictures(picture(4, 6), np.zeros((3, 3), np.float32), protocol(steps=2), "insertion")
