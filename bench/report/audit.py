"""An audit of methods in words: what the metrics answer, question by question."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bench.leaderboard.audit import FEWEST_IMAGES, Answer, Finding, audit
from bench.leaderboard.columns import arrow
from bench.leaderboard.comparison import Comparison
from bench.leaderboard.controls import joined
from bench.report.tables.markdown import markdown


@dataclass(frozen=True)
class AnswerInWords:
    """One answer as readers see it.

    Attributes:
        title: The question in a word or two.
        question: The question.
        verdict: The answer in a word or two.
        summary: A sentence on what it rests on.
        findings: A line for each statistic.
    """

    title: str
    question: str
    verdict: str
    summary: str
    findings: list[str]


def audit_in_words(comparison: Comparison) -> dict[str, list[AnswerInWords]]:
    """What an audit says of each method.

    Args:
        comparison: Methods and controls.
    """
    return {
        method: [_in_words(answer) for answer in answers]
        for method, answers in audit(comparison).items()
    }


def to_markdown(audits: Mapping[str, Mapping[str, Sequence[AnswerInWords]]], name: str) -> str:
    """Audits of a leaderboard's comparisons, by their titles."""
    lines = [f"# {markdown(name)}: audit", ""]
    for title, methods in audits.items():
        lines += [f"## {markdown(title)}", ""]
        for method, answers in methods.items():
            lines += [f"### {markdown(method)}", ""]
            for answer in answers:
                verdict = f"**{answer.title}? {answer.verdict.capitalize()}.**"
                lines += [f"{verdict} {answer.question} {answer.summary}".strip(), ""]
                lines += [f"- {markdown(line)}" for line in answer.findings]
                lines += [""] if answer.findings else []
    return "\n".join([*lines, HOW_TO_READ, ""])


HOW_TO_READ = (
    "A method is better than a control where its mean is and Wilcoxon's signed-rank test over the "
    "images, p < 0.05, says that this is no chance; tests of many metrics find something by chance "
    "in one of twenty. An audit tells what these images show under these metrics, no more."
)


def _in_words(answer: Answer) -> AnswerInWords:
    return AnswerInWords(
        answer.title,
        answer.question,
        answer.verdict,
        _summary(answer),
        [] if answer.sums_up else [_line(finding) for finding in answer.findings],
    )


def _summary(answer: Answer) -> str:
    judged = [finding for finding in answer.findings if finding.passes is not None]
    against = [finding for finding in judged if finding.is_against_controls]
    bounded = [finding for finding in judged if finding.statistic.warns_above is not None]
    too_few = sum(finding.has_too_few_images for finding in answer.findings)
    told = []
    if against:
        count = sum(finding.passes is True for finding in against)
        plural = "s"[: len(against) != 1]
        short = [finding.statistic.title for finding in against if not finding.passes]
        besides = f": not on {joined(short)}" if short else ""
        told.append(
            f"It beats every control on {count} of {len(against)} measure{plural}{besides}."
        )
    if bounded:
        kept = sum(finding.passes is True for finding in bounded)
        told.append(f"It keeps to the bound on {kept} of {len(bounded)}.")
    if too_few:
        told.append(
            f"On {too_few} measure{'s'[: too_few != 1]} fewer than {FEWEST_IMAGES} images cannot "
            "tell it from the controls."
        )
    return " ".join(told)


def _line(finding: Finding) -> str:
    statistic = finding.statistic
    if not finding.images:
        return f"{statistic.title}: no image has a value."
    digits = max(statistic.digits - 1, min(statistic.digits, 3))
    value = f"{statistic.title} {arrow(statistic)}".strip() + f" {finding.mean:.{digits}f}"
    controls = ", ".join(f"{name} {mean:.{digits}f}" for name, mean in finding.controls.items())
    if controls:
        value += f" (controls: {controls})"
    if finding.images == 1:
        return f"{value}, of one image"
    return f"{value}, {finding.images} images{_verdict(finding)}"


def _verdict(finding: Finding) -> str:
    statistic = finding.statistic
    if statistic.warns_above is not None:
        if finding.passes:
            return f"; {statistic.guard or 'keeps to the bound'}: at most {statistic.warns_above:g}"
        return f"; {statistic.warning or 'breaks the bound'}: above {statistic.warns_above:g}"
    if not finding.is_against_controls:
        return ""
    parts = []
    if finding.behind:
        parts.append(f"not better than {joined(finding.behind)}")
    if finding.close:
        parts.append(f"better than {joined(finding.close)}, maybe by chance")
    return "; " + (", ".join(parts) or "better than every control")
