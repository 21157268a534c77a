"""What is read off a model's outputs for a target. A score is a quantity, not an operation."""

import torch
from torch import Tensor

from bench.errors import BenchError, require_known

OUTPUT_KINDS = ("logits", "probabilities", "cosines")
SCORES: dict[str, dict[str, str]] = {
    # score -> how each kind of output gives it; a kind that is not listed cannot
    "output": {"logits": "as is", "probabilities": "as is", "cosines": "as is"},
    "probability": {"logits": "softmax", "probabilities": "as is"},
    "logit": {"logits": "as is"},
    "log_probability": {"logits": "log_softmax", "probabilities": "log"},
}


def check_score(score: str, output_kind: str) -> None:
    """Raises `BenchError` if outputs of this kind cannot give this score."""
    require_known("score", score, SCORES)
    require_known("outputs", output_kind, OUTPUT_KINDS)
    if output_kind not in SCORES[score]:
        possible = [name for name, ways in SCORES.items() if output_kind in ways]
        raise BenchError(
            f"score: '{score}' cannot be read off {output_kind}; expected one of "
            f"{', '.join(possible)}: choose a protocol that scores one of these"
        )


def target_scores(outputs: Tensor, targets: Tensor, score: str, output_kind: str) -> Tensor:
    """Scores of the targets.

    Args:
        outputs: (B, K) as the model gives them.
        targets: (B,) int64 class indices.
        score: A key of `SCORES`.
        output_kind: One of `OUTPUT_KINDS`.

    Returns:
        (B,) differentiable with respect to `outputs`.

    Raises:
        BenchError: The score cannot be read off outputs of this kind.
    """
    check_score(score, output_kind)
    picked = outputs.gather(1, targets[:, None])[:, 0]
    match SCORES[score][output_kind]:
        case "softmax":
            return outputs.softmax(dim=1).gather(1, targets[:, None])[:, 0]
        case "log_softmax":
            return picked - outputs.logsumexp(dim=1)
        case "log":
            return torch.log(picked)
        case _:
            return picked


def class_scores(outputs: Tensor, score: str, output_kind: str) -> Tensor:
    """Scores of all classes: what `target_scores` picks from.

    Args:
        outputs: (B, K) as the model gives them.
        score: A key of `SCORES`.
        output_kind: One of `OUTPUT_KINDS`.

    Returns:
        (B, K) differentiable with respect to `outputs`.

    Raises:
        BenchError: The score cannot be read off outputs of this kind.
    """
    check_score(score, output_kind)
    match SCORES[score][output_kind]:
        case "softmax":
            return outputs.softmax(dim=1)
        case "log_softmax":
            return outputs.log_softmax(dim=1)
        case "log":
            # Of a class that nobody asks for, log 0 would make the others' gradients NaN.
            positive = outputs > 0
            return torch.where(positive, torch.where(positive, outputs, 1).log(), -torch.inf)
        case _:
            return outputs
