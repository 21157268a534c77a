"""Gradient methods against slow loops, closed forms and what their papers promise."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from toy import IDS, SIZE, backbone, linear_scorer, make_batch

from bench.attribution.gradient import (
    GuidedBackprop,
    IntegratedGradients,
    SmoothGrad,
    SquareGrad,
    VarGrad,
    _Noise,
)
from bench.attribution.scorer import Scorer
from bench.errors import BenchError


def scorer(batch_size=4, score="logit"):
    return Scorer(backbone(), score, batch_size)


def gradient(x, target, score="logit"):
    """Of one image (C, H, W)."""
    x = x[None].clone().requires_grad_()
    target_scorer = scorer(score=score)
    target_scorer.select(target_scorer.backbone.module(x), target[None]).sum().backward()
    return x.grad[0]


def test_guided_backprop_by_hand():
    """Step by step through the toy network, which calls torch.relu_."""
    batch, module = make_batch(), backbone().module
    x = batch.x.clone().requires_grad_()
    first = module.norm(module.first(x))
    between = first.relu().detach().requires_grad_()
    last = module.last(between)
    pixels = last[0, 0].numel()
    wanted = module.head.weight[batch.targets][:, :, None, None] / pixels
    (back,) = torch.autograd.grad(last, between, wanted.clamp(min=0) * (last > 0))
    (expected,) = torch.autograd.grad(first, x, back.clamp(min=0) * (first > 0))
    found = GuidedBackprop()(scorer(), batch)
    assert (found - expected.mean(dim=1)).abs().max() <= 1e-5 * expected.abs().max()
    plain = torch.stack([gradient(x, t) for x, t in zip(batch.x, batch.targets, strict=True)])
    assert (found - plain.mean(dim=1)).abs().max() > 0.1 * found.abs().max()


@pytest.mark.parametrize(
    "relu",
    [
        torch.relu,
        torch.Tensor.relu,
        torch.nn.functional.relu,
        torch.nn.ReLU(),
        torch.nn.ReLU(inplace=True),
        torch.nn.ReLU6(),
        torch.nn.ReLU6(inplace=True),
        torch.nn.functional.relu6,
        lambda x: torch.nn.functional.relu(input=x),
        lambda x: torch.relu_(x.clone()),
    ],
)
def test_every_way_to_call_relu_is_guided(relu):
    from bench.attribution.gradient import _GuidedReLU

    x = torch.tensor([-1.0, 2, 3, 7], requires_grad=True)
    with _GuidedReLU():
        y = relu(x * 1)
    limit = 6 if "relu6" in str(relu).lower() else 7
    assert y.tolist() == [0, 2, 3, limit]
    y.backward(torch.tensor([1.0, 2, -3, 4]))
    assert x.grad.tolist() == [0, 2, 0, 4]


def test_other_activations_are_left_alone():
    from bench.attribution.gradient import _GuidedReLU

    x = torch.tensor([-1.0, 0.5], requires_grad=True)
    with _GuidedReLU():
        y = torch.nn.functional.hardtanh(x * 1, -2, 2) + torch.nn.Tanh()(x)
    y.backward(torch.tensor([-1.0, -1.0]))
    assert torch.allclose(x.grad, -(1 + 1 - torch.tanh(x.detach()) ** 2))


def test_integrated_gradients_are_complete():
    """The parts add up to the difference from the zero input's score."""
    batch, target_scorer = make_batch(), scorer(score="probability")
    batch = replace(batch, x=20 * batch.x)
    maps = IntegratedGradients(steps=400)(target_scorer, batch)
    with torch.no_grad():
        difference = target_scorer(batch.x, batch.targets) - target_scorer(
            torch.zeros_like(batch.x), batch.targets
        )
    assert difference.abs().max() > 0.01
    assert (3 * maps.sum(dim=(1, 2)) - difference).abs().max() <= 1e-3 * difference.abs().max()


@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_integrated_gradients_by_the_trapezoidal_rule(batch_size):
    batch = make_batch()
    expected = []
    for x, target in zip(batch.x, batch.targets, strict=True):
        path = torch.stack(
            [gradient(share * x, target, "probability") for share in torch.linspace(0, 1, 7)]
        )
        expected.append((x * (path[:-1] + path[1:]).mean(dim=0) / 2).mean(dim=0))
    found = IntegratedGradients(7)(scorer(batch_size, "probability"), batch)
    expected = torch.stack(expected)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


STATISTICS = {SmoothGrad: np.mean, SquareGrad: lambda g, axis: (g**2).mean(axis), VarGrad: np.var}


@pytest.mark.parametrize("method", STATISTICS)
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_noisy_gradients_equal_a_slow_loop(method, batch_size):
    batch = make_batch(seed=3)
    noise = _Noise(0.3, batch)(torch.arange(7))
    expected = []
    for x, target in zip(batch.x, batch.targets, strict=True):
        gradients = [gradient(x + draw, target, "probability") for draw in noise]
        expected.append(STATISTICS[method](torch.stack(gradients).numpy(), axis=0).mean(axis=0))
    found = method(7, 0.3)(scorer(batch_size, "probability"), batch).numpy()
    expected = np.stack(expected)
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_linear_model_has_the_same_gradient_everywhere():
    target_scorer, module = linear_scorer()
    batch = make_batch()
    weight = module.weight[batch.targets]
    assert torch.allclose(SmoothGrad(7)(target_scorer, batch), weight.mean(dim=1), atol=1e-6)
    assert torch.allclose(
        SquareGrad(7)(target_scorer, batch), weight.square().mean(dim=1), atol=1e-6
    )
    assert VarGrad(7)(target_scorer, batch).abs().max() <= 1e-12
    integrated = (batch.x * weight).mean(dim=1)
    assert torch.allclose(IntegratedGradients(3)(target_scorer, batch), integrated, atol=1e-6)


def test_noise_is_gaussian_keyed_by_seed_and_sample():
    noise = _Noise(0.2, make_batch())(torch.arange(50))
    assert noise.shape == (50, 3, SIZE, SIZE)
    assert noise.std().item() == pytest.approx(0.2, rel=0.02)
    assert noise.mean().item() == pytest.approx(0, abs=0.002)
    assert torch.equal(noise[7], _Noise(0.2, make_batch(IDS[3:]))(torch.tensor([7]))[0])
    assert not torch.equal(noise[0], noise[1])
    assert not torch.equal(noise[0], _Noise(0.2, make_batch(seed=1))(torch.tensor([0]))[0])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: IntegratedGradients(1), "steps: expected an integer >= 2"),
        (lambda: SmoothGrad(0), "num_samples"),
        (lambda: VarGrad(noise=0), "noise"),
    ],
)
def test_values_out_of_range(build, message):
    with pytest.raises(BenchError, match=message):
        build()
