import pytest
import torch

from bench.errors import BenchError
from bench.target import require_class, require_target, target_classes, target_in_words

LABELS = torch.tensor([2, 0, 1])
OUTPUTS = torch.tensor([[1.0, 3, 3], [4, 0, 4], [-1, -2, -3]])  # ties: the first class


@pytest.mark.parametrize(
    ("target", "expected"), [("label", [2, 0, 1]), ("prediction", [1, 0, 0]), (2, [2, 2, 2])]
)
def test_classes(target, expected):
    found = target_classes(target, LABELS, OUTPUTS)
    assert (found.tolist(), found.dtype) == (expected, torch.int64)
    if target != "prediction":
        assert target_classes(target, LABELS, None).tolist() == expected


@pytest.mark.parametrize("value", ["label", "prediction", 0, 7])
def test_targets(value):
    require_target("target", value)


@pytest.mark.parametrize("value", ["foo", "7", "", -1, 1.0, True, None, [1], 2**63])
def test_what_is_no_target(value):
    with pytest.raises(BenchError, match=r"^t: expected 'label', 'prediction' or the number of a"):
        require_target("t", value)


def test_a_class_of_the_network():
    require_class("target", 3, 4)
    require_class("target", "prediction", 4)
    with pytest.raises(BenchError, match=r"target: expected a class of the network, 0..3, found 4"):
        require_class("target", 4, 4)


def test_words():
    targets = ("label", "prediction", 3, "3")  # identities have numbers as text
    expected = ["the label", "the predicted class", "class 3", "class 3"]
    assert [target_in_words(target) for target in targets] == expected
