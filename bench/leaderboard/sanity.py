"""Warnings about all rows of a comparison: low accuracy, or a network that is not repeatable."""

from collections import defaultdict
from collections.abc import Sequence

from scipy import stats

from bench.evaluation.repeatability import warning
from bench.leaderboard.comparison import Comparison, comparison_title
from bench.leaderboard.published import published_subset
from bench.metrics.statistic import Statistic
from bench.storage.row_names import comparison_key
from bench.storage.store import Run

STRAY = 0.01
"""Share of a list whose predictions may be others than expected: kernels differ a little."""

LEVEL = 0.05
"""Accuracy with a larger p-value than this is not told from chance."""

MISSED = 0.01
"""Chance that a network half-way between chance and perfection is not told from chance, at most."""


def accuracy_fault(
    right: int, images: int, subset: str | None, num_classes: int | None = None
) -> str | None:
    """What speaks against an accuracy; None: nothing.

    On a list of correct predictions 99 % must be right, on one of misclassified images 1 % at most.
    Elsewhere accuracy must be more than chance: right on more images than labels drawn at random
    are, by a one-sided binomial test with success 1 / `num_classes`. Few images say nothing: there
    must be enough of them that a network half-way between chance and perfection passes the test
    with a probability of 99 % (7 for 1,000 classes).

    Args:
        right: Images whose prediction is their label.
        images: How many there are.
        subset: `correct` or `misclassified` if the images are known to be that, else None.
        num_classes: Classes of the network; None: not known, or several may be right.

    Returns:
        A sentence that says what is wrong, or None.

    Example:
        >>> accuracy_fault(right=95, images=100, subset=None, num_classes=1000)  # nothing
        >>> accuracy_fault(right=1, images=100, subset=None, num_classes=1000).partition(":")[0]
        'no more than chance, 1 in 1,000'
        >>> accuracy_fault(right=95, images=100, subset="correct").partition(":")[0]
        'the list is of correct predictions'
    """
    if not images:
        return None
    if subset in ("correct", "misclassified"):
        stray = images - right if subset == "correct" else right
        if stray <= STRAY * images:
            return None
        return (
            f"the list is of {subset} predictions: weights, preprocessing, labels or alignment "
            "are not those that it was made with"
        )
    if num_classes is None or not _is_near_chance(right, images, 1 / num_classes):
        return None
    return (
        f"no more than chance, 1 in {num_classes:,}: labels, their order, weights or preprocessing "
        "are not the network's (class folders are numbered by their order; target=prediction "
        "scores what the network predicts, whatever the label)"
    )


def _is_near_chance(right: int, images: int, chance: float) -> bool:
    passing = stats.binom.isf(LEVEL, images, chance) + 1
    half_way = (1 + chance) / 2
    is_enough = stats.binom.cdf(passing - 1, images, half_way) <= MISSED
    return bool(is_enough and right < passing)


def sanity_warnings(runs: Sequence[Run], name: str) -> list[str]:
    """Lines on networks that are no function of their input, and on accuracy; each once.

    Args:
        runs: The runs of a leaderboard, or of one comparison in it.
        name: The leaderboard.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> runs = list(example_comparison().runs.values())
        >>> sanity_warnings(runs, "example")  # all predictions are right
        []
        >>> for run in runs:
        ...     run.rows()["prediction"] = 7  # of other weights, say
        >>> sanity_warnings(runs, "example")[0].partition(";")[0]
        'accuracy: 0 of 8 right (0.0%)'
    """
    compared: dict[str, list[Run]] = defaultdict(list)
    for run in runs:
        compared[comparison_key(run)].append(run)
    several = len(compared) > 1
    lines = [_accuracy_warning(of_one, name, several) for of_one in compared.values()]
    for run in runs:
        found = run.manifest.provenance.get("not_repeatable", {})
        lines += [warning(backbone, differences) for backbone, differences in found.items()]
    return list(dict.fromkeys(filter(None, lines)))


def undefined_areas(comparisons: Sequence[Comparison]) -> list[str]:
    """Lines on images that some method has no finite value of: means and tests leave them out.

    Scores are finite, but an area relative to a clean score of zero is not.

    Args:
        comparisons: The comparisons of a leaderboard.

    Example:
        >>> from dataclasses import replace
        >>> from bench.leaderboard.example import example_comparison
        >>> found = example_comparison()
        >>> undefined_areas([found])
        []
        >>> found.rows["rise"].loc[:2, "clean_score"] = 0
        >>> lines = undefined_areas([replace(found, rule="relative_trapezoid")])
        >>> lines[0].partition(": ")[2].partition(" by ")[0]
        '3 of 8 images have no finite insertion'
    """
    lines = []
    for comparison in comparisons:
        images = len(comparison.image_ids)
        unmarked: dict[tuple[int, str], list[str]] = defaultdict(list)
        for statistic in comparison.statistics:
            lost = images - len(comparison.finite_values(statistic))
            lines += [
                f"{comparison.title}: {method} has no finite {statistic.name}"
                for method in _without(comparison, statistic)
            ]
            need = comparison.protocol.need_of(statistic)
            if lost and need:
                unmarked[lost, need].append(statistic.name)
                continue
            # A rule may leave an area without a value; another metric says so itself, by NaN.
            why = (
                f" by the AUC rule '{comparison.rule}' (it divides by a clean score of 0)"
                if statistic.is_area
                else ""
            )
            if lost:
                lines.append(
                    f"{comparison.title}: {lost} of {images} images have no finite "
                    f"{statistic.name}{why}: left out of means, intervals and tests"
                )
        lines += [
            f"{comparison.title}: {lost} of {images} images have no {need} in the network's input: "
            f"left out of means, intervals and tests of {', '.join(names)}"
            for (lost, need), names in unmarked.items()
        ]
    return lines


def _without(comparison: Comparison, statistic: Statistic) -> list[str]:
    """The methods that have no finite value, if others have one."""
    known = comparison.finite_values(statistic).notna().any()
    return [str(method) for method in known.index[~known]] if known.any() else []


def _accuracy_warning(runs: Sequence[Run], name: str, several: bool) -> str | None:
    """One line on the accuracy of the network of one comparison, if it is doubtful."""
    run = max(runs, key=lambda run: len(run.image_ids()))
    rows = run.rows()
    right = int((rows["prediction"] == rows["image_label"]).sum())
    fault = accuracy_fault(right, len(rows), expected_subset(run, name), _num_classes(run))
    if fault is None:
        return None
    title = f"{comparison_title(run)}: " if several else ""
    return f"{title}accuracy: {right} of {len(rows)} right ({right / len(rows):.1%}); {fault}"


def expected_subset(run: Run, name: str) -> str | None:
    """`correct` or `misclassified` if a run's images are known to be that, else None.

    Args:
        run: One that selected its images by prediction, or repeats a published table.
        name: The leaderboard.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> [run, *_] = example_comparison().runs.values()
        >>> print(expected_subset(run, "example"))
        None
        >>> run.manifest.config["select"] = {"subset": "correct"}
        >>> expected_subset(run, "example")
        'correct'
    """
    selected = run.manifest.config.get("select") or {}
    if selected.get("subset") in ("correct", "misclassified"):
        return selected["subset"]
    repeats = run.reproduces(name)
    return published_subset(repeats.table) if repeats else None


def _num_classes(run: Run) -> int | None:
    """Of which one is right; None: not known, or several may be."""
    if run.identity.backbone.output_kind == "multilabel":
        return None
    return run.manifest.provenance.get("num_classes")
