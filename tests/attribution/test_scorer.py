import pytest
import torch
from toy import SIZE, backbone

from bench.attribution.scorer import Scorer
from bench.errors import BenchError

X = torch.rand(5, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([0, 3, 1, 1, 2])


def test_input_gradients_are_those_of_autograd():
    scorer = Scorer(backbone(), "probability", batch_size=2)
    x = X.clone().requires_grad_()
    scores = scorer.backbone.outputs(x).softmax(dim=1).gather(1, TARGETS[:, None])
    (expected,) = torch.autograd.grad(scores.sum(), x)
    found = scorer.input_gradients(X, TARGETS)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_layer_gradients_survive_changes_in_place():
    """The toy's CAM layer is followed by an in-place ReLU, which must not reach what we read."""
    scorer = Scorer(backbone(), "logit", batch_size=2)
    gradients, activations = scorer.layer_gradients(X, TARGETS)
    module = scorer.backbone.module
    raw = module.last(torch.relu(module.norm(module.first(X))))
    assert (activations - raw).abs().max() <= 1e-5 * raw.abs().max()
    assert (activations < 0).any()
    # head(mean(relu(last))): the gradient is the head's weight where the activation is positive
    weight = module.head.weight[TARGETS][:, :, None, None] / raw[0, 0].numel()
    expected = weight * (raw > 0)
    assert (gradients - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_hooks_are_gone_even_after_an_error():
    scorer = Scorer(backbone(), "logit", batch_size=2)
    with pytest.raises(RuntimeError):
        scorer.layer_gradients(X[:, :2], TARGETS)
    assert not scorer.backbone.layer()._forward_hooks


def test_outputs_in_batches_and_the_count_of_passes():
    counted = []
    scorer = Scorer(backbone(), "logit", batch_size=2, on_forward=counted.append)
    outputs = scorer.outputs_in_batches(X)
    with torch.no_grad():
        expected = scorer.backbone.outputs(X)
    assert (outputs - expected).abs().max() <= 1e-5 * expected.abs().max()
    assert counted == [2, 2, 2]


def test_score_that_the_outputs_cannot_give():
    with pytest.raises(BenchError, match="'probability' cannot be read off cosines"):
        Scorer(backbone(output_kind="cosines"), "probability", 2)
