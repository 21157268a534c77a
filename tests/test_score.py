import pytest
import torch

from bench.errors import BenchError
from bench.score import (
    BINARY,
    SCORES,
    check_outputs,
    check_score,
    class_kind,
    class_outputs,
    class_scores,
    predicted_classes,
    score_to_explain,
    target_scores,
)

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
        ("output", "multilabel", OUTPUTS, [0.5, -2]),
        ("logit", "multilabel", OUTPUTS, [0.5, -2]),
        ("probability", "multilabel", OUTPUTS, [0.6224593312, 0.1192029220]),
        ("log_probability", "multilabel", OUTPUTS, [-0.4740769842, -2.1269280110]),
        ("hit", "logits", OUTPUTS, [0, 0]),
        ("hit", "probabilities", SOFTMAX[:, [1, 0, 2]], [0, 0]),
        ("hit", "cosines", OUTPUTS[:, [2, 0, 1]].flip(0), [0, 0]),
        ("hit", "multilabel", OUTPUTS[:, [2, 0, 1]], [1, 1]),
    ],
)
def test_scores(score, kind, outputs, expected):
    found = target_scores(outputs, TARGETS, score, kind)
    assert found.double().numpy() == pytest.approx([float(e) for e in expected], rel=1e-6)
    every = class_scores(outputs, score, kind).gather(1, TARGETS[:, None])[:, 0]
    assert every.double().numpy() == pytest.approx(found.double().numpy(), rel=1e-6)


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


def test_of_equal_outputs_the_first_is_a_hit():
    outputs = torch.tensor([[1.0, 4, 4, 2], [5, 5, 5, 5], [0, 0, -1, 0], [1, 2, 3, 3]])
    expected = [[0, 1, 0, 0], [1, 0, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0]]
    assert class_scores(outputs, "hit", "logits").tolist() == expected
    for target in range(4):
        targets = torch.full((4,), target)
        found = target_scores(outputs, targets, "hit", "logits")
        assert found.tolist() == [row[target] for row in expected]
        assert found.dtype == outputs.dtype


def test_no_hit_is_known_where_an_output_is_nan():
    outputs = torch.tensor([[1.0, torch.nan, 0], [3, 1, 2]])
    assert target_scores(outputs, torch.tensor([0, 0]), "hit", "logits").isnan().tolist() == [
        True, False,
    ]  # fmt: skip
    assert class_scores(outputs, "hit", "logits").isnan().tolist() == [[True] * 3, [False] * 3]


@pytest.mark.parametrize("read", [class_scores, lambda o, *a: target_scores(o, TARGETS, *a)])
def test_a_hit_has_no_gradient(read):
    outputs = OUTPUTS.clone().requires_grad_()
    with pytest.raises(BenchError, match="'hit' has no gradient: explain another one"):
        read(outputs, "hit", "logits")
    with torch.no_grad():
        read(outputs * 1, "hit", "logits")
    assert score_to_explain("hit") == "output"
    assert {score_to_explain(score) for score in SCORES} == set(SCORES) - {"hit"}


LOGITS = torch.tensor([[2.0], [-0.5], [0.0], [-200.0]])


@pytest.mark.parametrize(
    ("score", "of_zero", "of_one"),
    [
        ("output", [-2, 0.5, 0, 200], [2, -0.5, 0, -200]),
        ("logit", [-2, 0.5, 0, 200], [2, -0.5, 0, -200]),
        ("probability", [0.1192029220, 0.6224593312, 0.5, 1], [0.8807970780, 0.3775406688, 0.5, 0]),
        ("log_probability", [-2.1269280110, -0.4740769842, -0.6931471806, 0],
         [-0.1269280110, -0.9740769842, -0.6931471806, -200]),
        ("hit", [0, 1, 1, 1], [1, 0, 0, 0]),
    ],
)  # fmt: skip
def test_one_logit_is_the_sigmoid_of_two_classes(score, of_zero, of_one):
    kind, outputs = class_kind("logits", 1), class_outputs(LOGITS, "logits")
    assert kind == class_kind("multilabel", 1) == BINARY
    for target, expected in enumerate((of_zero, of_one)):
        targets = torch.full((4,), target)
        found = target_scores(outputs, targets, score, kind)
        assert found.numpy() == pytest.approx(expected, rel=1e-6, abs=1e-30)
        assert torch.equal(class_scores(outputs, score, kind)[:, target], found)
    targets = torch.zeros(4, dtype=torch.long)
    assert predicted_classes(outputs, targets, kind).tolist() == [1, 0, 0, 0]


def test_one_probability_is_that_of_class_1():
    outputs = class_outputs(torch.tensor([[0.25]]), "probabilities")
    assert outputs.tolist() == [[0.75, 0.25]]
    assert class_kind("probabilities", 1) == "probabilities"
    with pytest.raises(BenchError, match="found cosines"):
        class_kind("cosines", 1)


def test_scores_of_half_precision_are_taken_in_float32():
    outputs = torch.randn(5, 40, generator=torch.Generator().manual_seed(0)).half()
    wide = class_outputs(outputs, "logits")
    found = target_scores(wide, torch.arange(5), "probability", "logits")
    expected = outputs.double().softmax(dim=1)[range(5), range(5)]
    assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-6)
    assert class_outputs(outputs.double(), "logits").dtype == torch.float64


def test_the_prediction_of_a_multilabel_network_is_right_if_the_target_is_above_one_half():
    outputs = torch.tensor([[1.0, 3, -1], [1, 3, -1], [1, 3, -1], [-1, -2, -3]])
    found = predicted_classes(outputs, torch.tensor([0, 1, 2, 0]), "multilabel")
    assert found.tolist() == [0, 1, 1, -1]
    assert predicted_classes(outputs, torch.tensor([0, 1, 2, 0]), "logits").tolist() == [1, 1, 1, 0]


def test_softmax_of_a_half_precision_network_is_seen():
    outputs = torch.randn(6, 200, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        with pytest.raises(BenchError, match="say output_kind=probabilities"):
            check_outputs(outputs.to(dtype).float(), "probability", "logits", dtype)
    check_outputs(outputs, "probability", "probabilities", torch.float32)


@pytest.mark.filterwarnings("error")
def test_a_sigmoid_that_was_applied_already_is_told():
    probabilities = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    for kind, outputs in (
        ("multilabel", probabilities),
        (BINARY, class_outputs(probabilities[:, :1], "logits")),
    ):
        with pytest.warns(UserWarning, match="lie in 0..1"):
            check_outputs(outputs, "probability", kind, torch.float32)
        check_outputs(outputs * 4 - 2, "probability", kind, torch.float32)
        check_outputs(outputs, "output", kind, torch.float32)
