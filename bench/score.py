"""What is read off a model's outputs for a target. A score is a quantity, not an operation."""

import warnings

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from bench.errors import BenchError, require_known

OUTPUT_KINDS = ("logits", "probabilities", "cosines", "multilabel")
"""What a network may state that its outputs are. `multilabel`: one logit a label, each with a
sigmoid of its own."""

BINARY = "binary"
"""What the logits of a network with one output are once they are (-z, z): see `class_outputs`."""

SCORES: dict[str, dict[str, str]] = {
    # score -> how each kind of output gives it; a kind that is not listed cannot
    "output": {
        "logits": "as is", "probabilities": "as is", "cosines": "as is", "multilabel": "as is",
        BINARY: "as is",
    },
    "probability": {
        "logits": "softmax", "probabilities": "as is", "multilabel": "sigmoid", BINARY: "sigmoid",
    },
    "logit": {"logits": "as is", "multilabel": "as is", BINARY: "as is"},
    "log_probability": {
        "logits": "log_softmax", "probabilities": "log", "multilabel": "log_sigmoid",
        BINARY: "log_sigmoid",
    },
    "hit": {
        "logits": "is_top", "probabilities": "is_top", "cosines": "is_top", "multilabel": "is_top",
        BINARY: "is_top",
    },
}  # fmt: skip
"""By score, how each kind of outputs gives it; a kind that is not listed cannot."""

WITHOUT_GRADIENT = ("hit",)
"""Scores that are steps, which no gradient goes through."""


def check_score(score: str, output_kind: str) -> None:
    """Raises `BenchError` if outputs of this kind cannot give this score.

    Args:
        score: A key of `SCORES`.
        output_kind: One of `OUTPUT_KINDS`, or `BINARY`.

    Raises:
        BenchError: They cannot, or a name is unknown.

    Example:
        >>> check_score("probability", "logits")
        >>> check_score("probability", "cosines")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: score: 'probability' cannot be read off cosines; expected
        one of output, hit: choose a protocol that scores one of these
    """
    require_known("score", score, SCORES)
    require_known("outputs", output_kind, (*OUTPUT_KINDS, BINARY))
    if output_kind not in SCORES[score]:
        possible = [name for name, ways in SCORES.items() if output_kind in ways]
        raise BenchError(
            f"score: '{score}' cannot be read off {output_kind}; expected one of "
            f"{', '.join(possible)}: choose a protocol that scores one of these"
        )


def score_to_explain(score: str) -> str:
    """The score that methods explain if nothing else is asked for.

    Usually the score itself. A hit is 0 or 1 almost everywhere, so what is explained there is the
    output that decides it: of a classifier with logits the logit, as Chefer et al. 2021 (arXiv
    2012.09838), whose perturbation test counts hits, explain it.

    Args:
        score: A key of `SCORES`.

    Example:
        >>> score_to_explain("probability"), score_to_explain("hit")
        ('probability', 'output')
    """
    return "output" if score == "hit" else score


def class_kind(output_kind: str, num_outputs: int) -> str:
    """What the outputs of all classes are, given what a network's outputs are and how many.

    Args:
        output_kind: One of `OUTPUT_KINDS`.
        num_outputs: Outputs of the network; one makes it a binary classifier.

    Returns:
        `output_kind`, or `BINARY` for a single logit.

    Raises:
        BenchError: It is a single cosine, which says nothing of a second class.

    Example:
        >>> class_kind("logits", num_outputs=1000), class_kind("logits", num_outputs=1)
        ('logits', 'binary')
    """
    if num_outputs != 1:
        return output_kind
    if output_kind == "cosines":
        raise BenchError(
            "output_kind: a network with one output is a binary classifier, whose output is "
            "expected to be a logit or a probability; found cosines: give it a vector for each of "
            "two classes"
        )
    return output_kind if output_kind == "probabilities" else BINARY


def class_outputs(outputs: Tensor, output_kind: str) -> Tensor:
    """Outputs of all classes, in float32 at least.

    One output makes a binary classifier of classes 0 and 1: a logit z becomes (-z, z), a
    probability p becomes (1 - p, p). Half precision is widened because softmax and areas would
    round to it.

    Args:
        outputs: (B, K) as the network gives them.
        output_kind: One of `OUTPUT_KINDS`.

    Returns:
        (B, max(K, 2)) float32, or float64 if the outputs are; differentiable.

    Example:
        >>> class_outputs(torch.tensor([[2.0], [-1.0]]), "logits").tolist()
        [[-2.0, 2.0], [1.0, -1.0]]
        >>> class_outputs(torch.tensor([[0.25]]), "probabilities").tolist()
        [[0.75, 0.25]]
    """
    if outputs.dtype in (torch.float16, torch.bfloat16):
        outputs = outputs.float()
    if outputs.shape[1] != 1:
        return outputs
    other = 1 - outputs if output_kind == "probabilities" else -outputs
    return torch.cat([other, outputs], dim=1)


def target_scores(outputs: Tensor, targets: Tensor, score: str, output_kind: str) -> Tensor:
    """Scores of the targets.

    Args:
        outputs: (B, K) of all classes.
        targets: (B,) int64 class indices.
        score: A key of `SCORES`.
        output_kind: One of `OUTPUT_KINDS`, or `BINARY`.

    Returns:
        (B,) differentiable with respect to `outputs`.

    Raises:
        BenchError: The score cannot be read off outputs of this kind, or has no gradient and one
            is wanted.

    Example:
        >>> outputs, targets = torch.tensor([[0.0, 1.0]]), torch.tensor([1])
        >>> scores = ("output", "probability", "log_probability", "hit")
        >>> found = {score: target_scores(outputs, targets, score, "logits") for score in scores}
        >>> {score: round(found[score].item(), 4) for score in scores}
        {'output': 1.0, 'probability': 0.7311, 'log_probability': -0.3133, 'hit': 1.0}
    """
    check_score(score, output_kind)
    _refuse_gradient(score, outputs)
    picked = outputs.gather(1, targets[:, None])[:, 0]
    match SCORES[score][output_kind]:
        case "softmax":
            return outputs.softmax(dim=1).gather(1, targets[:, None])[:, 0]
        case "log_softmax":
            return picked - outputs.logsumexp(dim=1)
        case "sigmoid":
            return picked.sigmoid()
        case "log_sigmoid":
            return logsigmoid(picked)
        case "log":
            return torch.log(picked)
        case "is_top":
            return _hits(outputs, outputs.argmax(dim=1) == targets)
        case _:
            return picked


def class_scores(outputs: Tensor, score: str, output_kind: str) -> Tensor:
    """Scores of all classes: what `target_scores` picks from.

    Args:
        outputs: (B, K) of all classes.
        score: A key of `SCORES`.
        output_kind: One of `OUTPUT_KINDS`, or `BINARY`.

    Returns:
        (B, K) differentiable with respect to `outputs`.

    Raises:
        BenchError: The score cannot be read off outputs of this kind, or has no gradient and one
            is wanted.

    Example:
        >>> scores = class_scores(torch.tensor([[0.0, 1.0]]), "probability", "logits")
        >>> [round(score, 4) for score in scores[0].tolist()]
        [0.2689, 0.7311]
    """
    check_score(score, output_kind)
    _refuse_gradient(score, outputs)
    match SCORES[score][output_kind]:
        case "softmax":
            return outputs.softmax(dim=1)
        case "log_softmax":
            return outputs.log_softmax(dim=1)
        case "sigmoid":
            return outputs.sigmoid()
        case "log_sigmoid":
            return logsigmoid(outputs)
        case "log":
            # Of a class that nobody asks for, log 0 would make the others' gradients NaN.
            positive = outputs > 0
            return torch.where(positive, torch.where(positive, outputs, 1).log(), -torch.inf)
        case "is_top":
            classes = torch.arange(outputs.shape[1], device=outputs.device)
            return _hits(outputs, outputs.argmax(dim=1, keepdim=True) == classes)
        case _:
            return outputs


def _refuse_gradient(score: str, outputs: Tensor) -> None:
    if score in WITHOUT_GRADIENT and outputs.requires_grad:
        raise BenchError(
            f"score: '{score}' has no gradient: explain another one, as explain.score=output"
        )


def _hits(outputs: Tensor, are_top: Tensor) -> Tensor:
    """1 or 0 in the outputs' dtype; NaN where an output is, as no class is then known to be top."""
    hits = are_top.to(outputs.dtype)
    unknown = outputs.isnan().any(dim=1)
    return hits.masked_fill(unknown.view(-1, *[1] * (hits.ndim - 1)), torch.nan)


def predicted_classes(outputs: Tensor, labels: Tensor, output_kind: str) -> Tensor:
    """The predicted class of each image, which is right if it is the label.

    Of a multi-label network several labels may be right. There a prediction is the label if its
    probability is above 1/2; else the most probable label if that is above 1/2; else -1, none.

    Args:
        outputs: (B, K) of all classes.
        labels: (B,) int64 class indices.
        output_kind: One of `OUTPUT_KINDS`, or `BINARY`.

    Returns:
        (B,) int64.

    Example:
        >>> outputs = torch.tensor([[2.0, 1.0, -1.0], [-1.0, -2.0, -3.0]])
        >>> labels = torch.tensor([1, 0])
        >>> predicted_classes(outputs, labels, "logits").tolist()
        [0, 0]
        >>> predicted_classes(outputs, labels, "multilabel").tolist()
        [1, -1]
    """
    top = outputs.argmax(dim=1)
    if output_kind != "multilabel":
        return top
    top = torch.where(outputs.amax(dim=1) > 0, top, -1)
    return torch.where(outputs.gather(1, labels[:, None])[:, 0] > 0, labels, top)


def accuracy_is(output_kind: str) -> str:
    """What an image that counts as right is, in words.

    Args:
        output_kind: One of `OUTPUT_KINDS`, or `BINARY`.

    Example:
        >>> accuracy_is("logits"), accuracy_is("multilabel")
        ('top-1 right', "target's probability above 1/2")
    """
    return "target's probability above 1/2" if output_kind == "multilabel" else "top-1 right"


def check_outputs(outputs: Tensor, score: str, output_kind: str, dtype: torch.dtype) -> None:
    """Checks outputs against what they are said to be; those that are not finite say nothing.

    Images with NaN or infinite outputs say nothing of that.

    Args:
        outputs: (B, K) of all classes.
        score: A key of `SCORES`.
        output_kind: One of `OUTPUT_KINDS`, or `BINARY`.
        dtype: What the network computes in: sums of half precision probabilities are off by more.

    Raises:
        BenchError: Probabilities leave 0..1, or logits are softmax probabilities.

    Example:
        >>> check_outputs(torch.tensor([[0.2, 0.8]]), "probability", "logits", torch.float32)
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: the model's outputs are said to be logits, but sum to 1: if
        they are softmax probabilities already, say output_kind=probabilities
    """
    outputs = outputs[outputs.isfinite().all(dim=1)]
    if not len(outputs):
        return
    in_range = bool(((outputs >= -1e-3) & (outputs <= 1 + 1e-3)).all())
    if output_kind == "probabilities" and not in_range:
        raise BenchError("the model's outputs are said to be probabilities, but leave 0..1")
    if score in ("output", "hit"):  # the same of logits and of probabilities
        return
    tolerance = 1e-2 if dtype in (torch.float16, torch.bfloat16) else 1e-4
    sums_to_one = in_range and bool(((outputs.sum(dim=1) - 1).abs() < tolerance).all())
    if output_kind == "logits" and outputs.shape[1] > 1 and sums_to_one:
        raise BenchError(
            "the model's outputs are said to be logits, but sum to 1: if they are softmax "
            "probabilities already, say output_kind=probabilities"
        )
    logits = outputs[:, 1:] if output_kind == BINARY else outputs
    if output_kind in (BINARY, "multilabel") and bool(((logits >= 0) & (logits <= 1)).all()):
        warnings.warn(
            "all of the model's outputs lie in 0..1, but count as logits, to which a sigmoid is "
            "applied: if they are sigmoid probabilities already, say output_kind=probabilities",
            stacklevel=2,
        )
