"""What the metrics of a comparison answer of a method, question by question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.controls import not_beaten
from bench.metrics.metric import QUESTIONS
from bench.metrics.statistic import Statistic

AGAINST_CONTROLS = ("Beats the controls", "Is it better than maps that know nothing?")
"""The audit's first question, as a title and in words."""
YES, PARTLY, NO, TOLD = "yes", "partly", "no", "see the numbers"

FEWEST_IMAGES = 6
"""With fewer, Wilcoxon's test cannot tell a method from a control: its least p, when all images
agree, is 2 / 2^n."""


@dataclass(frozen=True)
class Finding:
    """What one statistic says of a method.

    Attributes:
        statistic: The statistic.
        mean: Of the method.
        controls: By the controls that hold for the method, theirs.
        behind: Controls that the method does not lead.
        close: Controls that it leads by a difference that may be chance.
        images: How many have a value.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion = load_protocol("xplique").statistics[0]
        >>> Finding(insertion, 0.65, {"random": 0.5}, behind=[], close=[], images=8).passes
        True
        >>> Finding(insertion, 0.65, {"random": 0.7}, behind=["random"], close=[], images=8).passes
        False
    """

    statistic: Statistic
    mean: float
    controls: Mapping[str, float]
    behind: Sequence[str]
    close: Sequence[str]
    images: int

    @property
    def passes(self) -> bool | None:
        """Whether it speaks for the method; None: it says nothing for or against.

        Against controls, fewer than `FEWEST_IMAGES` images say nothing.
        """
        if not self.images:
            return None
        if self.statistic.warns_above is not None:
            return self.mean <= self.statistic.warns_above
        if not self.is_against_controls or self.has_too_few_images:
            return None
        return not (self.behind or self.close)

    @property
    def is_against_controls(self) -> bool:
        """Whether controls were to be beaten."""
        statistic = self.statistic
        has_direction = statistic.higher_is_better is not None and statistic.controls_tell
        return has_direction and bool(self.controls) and self.images > 0

    @property
    def has_too_few_images(self) -> bool:
        """Whether controls were to be beaten on so few images that it cannot be told."""
        return self.is_against_controls and self.images < FEWEST_IMAGES


@dataclass(frozen=True)
class Answer:
    """What an audit answers to a question.

    Attributes:
        title: The question in a word or two.
        question: The question.
        findings: What it rests on.
        sums_up: Whether its findings are those of other answers.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> faithful, _ = audit(example_comparison())["rise"]
        >>> faithful.title, faithful.verdict
        ('Faithful', 'yes')
        >>> Answer("Localised", "Does it lie on the object?", findings=[]).verdict
        'see the numbers'
    """

    title: str
    question: str
    findings: Sequence[Finding]
    sums_up: bool = False

    @property
    def verdict(self) -> str:
        """`YES`, `PARTLY`, `NO`, or `TOLD` where nothing speaks for or against the method."""
        told = [finding.passes for finding in self.findings if finding.passes is not None]
        if not told:
            return TOLD
        return YES if all(told) else PARTLY if any(told) else NO


def is_audited(comparison: Comparison) -> bool:
    """Whether the metrics answer more than one question, and there is a method to audit.

    Args:
        comparison: Methods and controls.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> is_audited(example_comparison())  # insertion and deletion ask one question
        False
    """
    asked = {metric.question for metric in comparison.protocol.metrics.values()}
    return len(asked) > 1 and len(comparison.controls) < len(comparison.runs)


def audit(comparison: Comparison) -> dict[str, list[Answer]]:
    """Answers for each method that is no control, in the order of `QUESTIONS`, controls last.

    A statistic speaks for a method where the method is better than every control that holds for it
    (Wilcoxon's signed-rank test over the images, as in `control_warnings`), or, where it is read by
    a bound, where the mean keeps to it.

    Args:
        comparison: Methods and controls.

    Returns:
        By the names of the methods, their answers.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> for method, answers in audit(example_comparison()).items():
        ...     print(method, {answer.title: answer.verdict for answer in answers})
        rise {'Faithful': 'yes', 'Beats the controls': 'yes'}
        grad_cam {'Faithful': 'yes', 'Beats the controls': 'yes'}
    """
    answers: dict[str, list[Answer]] = {}
    values = {statistic.name: comparison.values(statistic) for statistic in comparison.statistics}
    for method in comparison.runs:
        if method in comparison.controls:
            continue
        found: dict[str, list[Finding]] = {}
        for metric in comparison.protocol.metrics.values():
            found.setdefault(metric.question, []).extend(
                _finding(comparison, method, statistic, values[statistic.name])
                for statistic in metric.statistics
                if statistic.is_main
            )
        of_method = [Answer(*QUESTIONS[one], found[one]) for one in QUESTIONS if found.get(one)]
        against = [
            finding for several in found.values() for finding in several
            if finding.is_against_controls
        ]  # fmt: skip
        if against:
            of_method.append(Answer(*AGAINST_CONTROLS, against, sums_up=True))
        answers[method] = of_method
    return answers


def _finding(
    comparison: Comparison, method: str, statistic: Statistic, values: pd.DataFrame
) -> Finding:
    controls = [name for name, of in comparison.controls.items() if of in (None, method)]
    values = values[[method, *controls]]
    values = values.loc[np.isfinite(values.to_numpy()).all(axis=1)]
    behind: list[str] = []
    close: list[str] = []
    if statistic.higher_is_better is not None and statistic.controls_tell and len(values):
        behind, close = not_beaten(values, method, controls, statistic)
    means = {str(name): float(mean) for name, mean in values.mean().items()}
    return Finding(statistic, means.pop(method), means, behind, close, len(values))
