"""Which class of an image is scored and explained: its label, the prediction, or one for all."""

from typing import TYPE_CHECKING, TypeAlias

from bench.errors import LARGEST, BenchError

if TYPE_CHECKING:  # what checks a command line does not wait for torch
    from torch import Tensor

Target: TypeAlias = str | int
"""`label`, `prediction` or the number of a class."""

LABEL = "label"
"""The class that the data set gives an image."""
PREDICTION = "prediction"
"""The class that the network gives an image."""


def require_target(name: str, value: object) -> None:
    """Raises `BenchError` unless `value` is `label`, `prediction` or an integer >= 0.

    Args:
        name: The setting, for the message.
        value: What was given.

    Raises:
        BenchError: It is something else.

    Example:
        >>> require_target("target", "predicted")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: target: expected 'label', 'prediction' or the number of a
        class (0, 1, ...), found 'predicted'
    """
    if isinstance(value, str) and value in (LABEL, PREDICTION):
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= LARGEST:
        raise BenchError(
            f"{name}: expected '{LABEL}', '{PREDICTION}' or the number of a class (0, 1, ...), "
            f"found {value!r}"
        )


def require_class(name: str, target: Target, num_classes: int) -> None:
    """Raises `BenchError` if `target` is the number of a class that a network does not have.

    Args:
        name: The setting, for the message.
        target: `label`, `prediction` or a class.
        num_classes: Classes that the network has.

    Raises:
        BenchError: The network has no such class.

    Example:
        >>> require_class("target", 1000, num_classes=1000)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: target: expected a class of the network, 0..999, found 1000
    """
    if isinstance(target, int) and target >= num_classes:
        raise BenchError(
            f"{name}: expected a class of the network, 0..{num_classes - 1}, found {target}"
        )


def target_classes(target: Target, labels: "Tensor", outputs: "Tensor | None") -> "Tensor":
    """The class of each image that is meant.

    Args:
        target: `label`, `prediction` (the largest output; of several the first) or a class.
        labels: (B,) int64.
        outputs: (B, K) of the images as they are; may be None where no prediction is asked for.

    Returns:
        (B,) int64.

    Example:
        >>> labels, outputs = torch.tensor([2, 0]), torch.tensor([[1.0, 3.0, 2.0], [5.0, 4.0, 6.0]])
        >>> targets = ("label", "prediction", 1)
        >>> [target_classes(target, labels, outputs).tolist() for target in targets]
        [[2, 0], [1, 2], [1, 1]]
    """
    if isinstance(target, int):
        return labels.new_full(labels.shape, target)
    if target == LABEL:
        return labels
    assert outputs is not None
    return outputs.argmax(dim=1)


def target_in_words(target: Target) -> str:
    """What a sentence calls the class; its number may be written out, as identities have it.

    Args:
        target: `label`, `prediction` or a class.

    Example:
        >>> target_in_words("prediction"), target_in_words(281)
        ('the predicted class', 'class 281')
    """
    words = {LABEL: "the label", PREDICTION: "the predicted class"}
    return words[target] if isinstance(target, str) and target in words else f"class {target}"
