import pytest
import torch

from bench.errors import BenchError
from bench.metrics.score import check_score, target_scores

OUTPUTS = torch.tensor([[1.0, 3.0, 0.5], [-2.0, 0.0, 90.0]])
TARGETS = torch.tensor([2, 0])
SOFTMAX = OUTPUTS.double().softmax(dim=1)


@pytest.mark.parametrize(
    ("score", "kind", "outputs", "expected"),
    [
        ("output", "logits", OUTPUTS, [0.5, -2]),
        ("output", "cosines", OUTPUTS, [0.5, -2]),
        ("output", "probabilities", SOFTMAX, [SOFTMAX[0, 2], SOFTMAX[1, 0]]),
        ("logit", "logits", OUTPUTS, [0.5, -2]),
        ("probability", "logits", OUTPUTS, [SOFTMAX[0, 2], SOFTMAX[1, 0]]),
        ("probability", "probabilities", SOFTMAX, [SOFTMAX[0, 2], SOFTMAX[1, 0]]),
        ("log_probability", "logits", OUTPUTS, [SOFTMAX[0, 2].log(), -92]),
        ("log_probability", "probabilities", SOFTMAX, [SOFTMAX[0, 2].log(), -92]),
    ],
)
def test_scores(score, kind, outputs, expected):
    found = target_scores(outputs, TARGETS, score, kind)
    assert found.double().numpy() == pytest.approx([float(e) for e in expected], rel=1e-6)


@pytest.mark.parametrize(
    ("score", "kind"),
    [
        ("probability", "cosines"),
        ("log_probability", "cosines"),
        ("logit", "probabilities"),
        ("logit", "cosines"),
    ],
)
def test_refused(score, kind):
    with pytest.raises(BenchError, match=f"'{score}' cannot be read off {kind}"):
        check_score(score, kind)
