"""LIME and Kernel SHAP against closed forms, slow loops and textbook formulas."""

import numpy as np
import pytest
import torch
from skimage.segmentation import quickshift
from toy import IDS, SIZE, backbone, linear_scorer, make_batch

from bench.attribution.scorer import Scorer
from bench.attribution.surrogate import (
    KernelShap,
    Lime,
    kernel_shap_coefficients,
    kernel_shap_draws,
    lime_coefficients,
    lime_draws,
    lime_weights,
)
from bench.errors import BenchError
from bench.seeding import generator

COARSE = {"quickshift_max_dist": 30}  # a dozen segments of a toy image, instead of 170


def segments_of(x, method):
    return quickshift(x.permute(1, 2, 0).double().numpy(), **method.quickshift)


def segment_sums(values, segments):
    """Values (H, W) summed over each segment, (M,)."""
    return np.array([values[segments == segment].sum() for segment in range(segments.max() + 1)])


def assert_close(found, expected, tolerance=1e-4):
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()


def regression(z, y, weights, alpha):
    """Ridge with a column of ones for the intercept, which is not penalised; least norm."""
    z = np.hstack([np.asarray(z, float), np.ones((len(z), 1))])
    penalty = np.sqrt(alpha) * np.eye(z.shape[1])
    penalty[-1] = 0
    rows = np.vstack([np.sqrt(weights)[:, None] * z, penalty])
    right = np.concatenate([np.sqrt(weights) * y, np.zeros(z.shape[1])])
    return np.linalg.lstsq(rows, right, rcond=1e-10)[0][:-1]


@pytest.mark.parametrize(
    "method",
    [KernelShap(200, fill=0.3, **COARSE), Lime(200, alpha=1e-6, fill=0.3, **COARSE)],
)
def test_a_linear_model_gives_each_segment_its_part(method):
    """Hiding a segment takes away the sum of weight * (x - fill) over it, in all channels."""
    scorer, module = linear_scorer()
    batch = make_batch()
    parts = ((batch.x - 0.3) * module.weight[batch.targets]).sum(dim=1).numpy()
    for found, part, x in zip(method(scorer, batch).numpy(), parts, batch.x, strict=True):
        segments = segments_of(x, method)
        assert segments.max() > 8
        assert_close(found, segment_sums(part, segments)[segments])


def slow_maps(method, draws_of, coefficients_of, scorer, batch):
    """One image and one sample at a time; weights from the distances of the perturbed inputs."""
    maps = []
    for x, target, image_id in zip(batch.x, batch.targets, batch.image_ids, strict=True):
        segments = segments_of(x, method)
        name = type(method).__name__
        draws = draws_of(segments.max() + 1, generator(batch.seed, name, image_id)).numpy()
        scores, distances = [], []
        for draw in draws:
            shown = torch.from_numpy(draw[segments])
            perturbed = torch.where(shown, x, method.fill)
            with torch.no_grad():
                scores.append(scorer(perturbed[None], target[None]).item())
            distances.append((perturbed - x).norm().item())
        maps.append(coefficients_of(draws, np.array(scores), np.array(distances))[segments])
    return np.array(maps)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
@pytest.mark.parametrize("settings", [{}, COARSE])
def test_lime_equals_a_slow_loop(settings, batch_size):
    method = Lime(30, probability=0.6, kernel_width=30.0, alpha=0.5, fill=-1.0, **settings)
    scorer, batch = Scorer(backbone(), "logit", batch_size), make_batch(seed=3)
    expected = slow_maps(
        method,
        lambda number, draws: lime_draws(30, number, 0.6, draws),
        lambda z, y, distances: regression(z, y, np.exp(-((distances / 30.0) ** 2)), 0.5),
        scorer,
        batch,
    )
    assert_close(method(scorer, batch).numpy(), expected)


@pytest.mark.parametrize("batch_size", [1, 7, 64])
def test_kernel_shap_equals_a_slow_loop(batch_size):
    method = KernelShap(30, **COARSE)
    scorer, batch = Scorer(backbone(), "logit", batch_size), make_batch(seed=3)
    expected = slow_maps(
        method,
        lambda number, draws: kernel_shap_draws(30, number, draws),
        lambda z, y, distances: regression(z, y, np.ones(len(y)), 0),
        scorer,
        batch,
    )
    assert_close(method(scorer, batch).numpy(), expected, 1e-3)  # float32 scores, hardly differing


@pytest.mark.parametrize("num_segments", [1, 8, 50, 51, 200, 9000])
@pytest.mark.parametrize("alpha", [2.0, 0.01])
def test_ridge_equals_the_textbook(num_segments, alpha):
    draws = torch.Generator().manual_seed(0)
    z = lime_draws(50, num_segments, 0.5, draws)
    y, weights = torch.rand(2, 50, generator=draws, dtype=torch.float64)
    found = lime_coefficients(z, y, weights, alpha).numpy()
    if num_segments <= 200:
        assert_close(found, regression(z.numpy(), y.numpy(), weights.numpy(), alpha), 1e-8)
    # The gradient of what is minimised is 0: alpha c = sum of w z (y - b - z c).
    z, y, weights = z.double().numpy(), y.numpy(), weights.numpy()
    residual = y - z @ found
    residual -= np.average(residual, weights=weights)
    assert_close(z.T @ (weights * residual), alpha * found, 1e-5)


@pytest.mark.parametrize("num_segments", [2, 8, 49, 50, 51, 200, 9000])
def test_least_squares_are_those_of_least_norm(num_segments):
    draws = torch.Generator().manual_seed(0)
    z = kernel_shap_draws(50, num_segments, draws)
    y = torch.rand(50, generator=draws, dtype=torch.float64)
    centred = z.double().numpy() - z.double().numpy().mean(axis=0)
    expected = np.linalg.pinv(centred, rcond=1e-9) @ (y - y.mean()).numpy()
    assert_close(kernel_shap_coefficients(z, y).numpy(), expected, 1e-6)


def test_segments_that_all_samples_show_or_always_together():
    """A constant column has no coefficient, and two equal ones share theirs."""
    z = torch.tensor([[1, 0, 0, 1], [1, 1, 1, 0], [1, 0, 0, 0], [1, 1, 1, 1]]).bool()
    y = z.double() @ torch.tensor([5.0, 3.0, 1.0, -2.0], dtype=torch.float64)
    expected = torch.tensor([0.0, 2.0, 2.0, -2.0], dtype=torch.float64)
    assert torch.allclose(kernel_shap_coefficients(z, y), expected, atol=1e-12)


def test_lime_samples_show_their_share():
    z = lime_draws(2000, 30, 0.3, torch.Generator().manual_seed(0))
    assert z.shape == (2000, 30)
    assert z.double().mean().item() == pytest.approx(0.3, abs=0.01)


def test_kernel_shap_samples_follow_the_shapley_kernel():
    m, count = 6, 20000
    z = kernel_shap_draws(count, m, torch.Generator().manual_seed(0))
    sizes = z.sum(dim=1)
    shares = np.array([1 / (k * (m - k)) for k in range(1, m)])
    found = np.bincount(sizes, minlength=m + 1) / count
    assert found[0] == found[m] == 0
    assert np.abs(found[1:m] - shares / shares.sum()).max() <= 0.015
    assert z.double().mean(dim=0).numpy() == pytest.approx(0.5, abs=0.02)
    many = kernel_shap_draws(200, 5000, torch.Generator().manual_seed(0)).sum(dim=1)
    assert 1 <= many.min() < 20
    assert 4980 < many.max() < 5000


@pytest.mark.parametrize("draw", [kernel_shap_draws, lambda *a: lime_draws(*a[:2], 0.5, a[2])])
def test_samples_are_a_prefix_of_those_of_a_longer_run(draw):
    short, long = (draw(n, 40, torch.Generator().manual_seed(0)) for n in (70, 200))
    assert torch.equal(short, long[:70])


def test_weights_are_those_of_the_distances():
    z = torch.tensor([[1, 1], [0, 1], [0, 0]]).bool()
    weights = lime_weights(z, torch.tensor([4.0, 5.0], dtype=torch.float64), 2.0)
    assert weights.numpy() == pytest.approx(np.exp([0, -1, -9 / 4]))


@pytest.mark.parametrize(("cost", "equal"), [(80.0, False), (88.0, True), (1e6, True)])
def test_samples_weigh_the_same_where_all_weights_underflow(cost, equal):
    """In float32, whose smallest normal number is exp(-87.3)."""
    z = torch.tensor([[0, 1], [0, 0]]).bool()
    weights = lime_weights(z, torch.tensor([cost, 1.0], dtype=torch.float64), 1.0)
    assert (weights == 1).all() == equal
    assert weights[1] / weights[0] == (1 if equal else pytest.approx(np.exp(-1)))


def test_lime_in_units_that_its_kernel_does_not_fit():
    """The map is that of a kernel that is so wide that it hardly tells the samples apart."""
    scorer, batch = Scorer(backbone(), "logit", 8), make_batch()
    narrow, wide = (Lime(40, kernel_width=width)(scorer, batch) for width in (1e-2, 1e6))
    assert narrow.abs().amax(dim=(1, 2)).min() > 0
    assert_close(narrow.numpy(), wide.numpy(), 1e-5)


def test_one_segment():
    """LIME still tells shown from hidden; Kernel SHAP never hides all and has nothing to say."""
    scorer, module = linear_scorer()
    batch = make_batch(IDS[:1])
    batch.x.fill_(0.8)
    one = {"quickshift_kernel_size": 10}
    assert (KernelShap(20, **one)(scorer, batch) == 0).all()
    (found,) = Lime(20, alpha=1e-6, **one)(scorer, batch)
    part = (0.8 - 0.5) * module.weight[batch.targets[0]].sum()
    assert_close(found.numpy(), part.expand(SIZE, SIZE).numpy())


@pytest.mark.parametrize("method", [Lime(20), KernelShap(20)])
def test_a_score_that_never_varies(method):
    scorer, _ = linear_scorer()
    scorer.backbone.module.weight.zero_()
    assert (method(scorer, make_batch()) == 0).all()


def test_samples_are_keyed_by_image():
    """The same picture under two names has other samples."""
    scorer, batch = Scorer(backbone(), "logit", 8), make_batch()
    batch.x[1] = batch.x[0]
    batch.targets[1] = batch.targets[0]
    maps = Lime(20)(scorer, batch)
    assert not torch.equal(maps[0], maps[1])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Lime(num_samples=1), "num_samples: expected an integer >= 2, found 1"),
        (lambda: Lime(probability=1.5), "probability"),
        (lambda: Lime(kernel_width=0), "kernel_width"),
        (lambda: Lime(alpha=0), "alpha: expected a number in"),
        (lambda: Lime(fill="grey"), "fill: expected a number"),
        (lambda: KernelShap(num_samples=0), "num_samples"),
        (lambda: KernelShap(quickshift_ratio=0), "quickshift_ratio"),
        (lambda: KernelShap(quickshift_kernel_size=0.5), "quickshift_kernel_size"),
        (lambda: KernelShap(quickshift_max_dist=-1), "quickshift_max_dist"),
    ],
)
def test_values_out_of_range(build, message):
    with pytest.raises(BenchError, match=message):
        build()
