"""Texts that describe a protocol and the results of tests."""

from collections.abc import Sequence

import numpy as np

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.controls import joined
from bench.leaderboard.significance import Significance
from bench.metrics.protocol import Protocol
from bench.storage.pictures import Picture
from bench.target import LABEL, target_in_words

SCORES = {
    "output": "its output for the target, as it is",
    "probability": "the probability of the target",
    "logit": "the logit of the target",
    "log_probability": "the logarithm of the target's probability",
    "hit": "a hit: 1 where the target has the largest output, else 0",
}
TIES = {
    "stable": "Equal values of a map go in raster order.",
    "numpy_1_23": "Equal values of a map go in the order that numpy 1.23's sort gives them.",
    "running_numpy": "Equal values of a map go in the order that the run's numpy gave them.",
}
AUC_RULES = {
    "trapezoid": "the area under its curve by the trapezoid rule, both ends included",
    "mean": "the mean of its curve's points",
    "mean_without_end": "the mean of its curve's points without the last",
    "mean_without_last_but_one": "the mean of its curve's points without the last but one",
    "inner_trapezoid": "the area under its curve without both ends, divided by the points left",
    "relative_trapezoid": (
        "the area under its curve in parts of the clean score, without the first point, divided by "
        "the number of points"
    ),
    "quantus": "the area under its curve without the first point, with a spacing of 1",
}
TESTS = {"wilcoxon": "Wilcoxon's signed-rank test", "permutation": "a paired permutation test"}


def protocol_in_words(protocol: Protocol, rule: str) -> list[str]:
    """Sentences that say what was measured.

    Args:
        protocol: The protocol of the runs.
        rule: The AUC rule that the table goes by.
    """
    sentences = [
        "A map puts the pixels of an image in order, the most important first.",
        *protocol.metrics_in_words(),
        f"The network is asked for {SCORES[protocol.score]}.",
        "The table shows means over images.",
    ]
    if protocol.target != LABEL:
        sentences.insert(-1, f"The target is {target_in_words(protocol.target)}.")
    if protocol.curves:
        sentences.insert(-1, f"A curve's number is {AUC_RULES[rule]}.")
    return [*sentences, TIES[protocol.ties]]


def label_in_words(picture: Picture, comparison: Comparison) -> str:
    """What an image shows, as `daisy, class 985`, and its target where that is another class.

    Args:
        picture: The image.
        comparison: Where it is evaluated.
    """
    rows = next(iter(comparison.rows.values()))
    row = rows.iloc[comparison.image_ids.index(picture.image_id)]
    label, target = int(row["image_label"]), int(row["target"])
    is_named = picture.label != str(label)
    words = f"{picture.label}, class {label}" if is_named else _class_in_words(label, picture)
    return words if target == label else f"{words}; target: {_class_in_words(target, picture)}"


def _class_in_words(number: int, picture: Picture) -> str:
    """A class by its name, where that is known, and its number."""
    names = picture.class_names
    return f"{names[number]}, class {number}" if 0 <= number < len(names) else f"class {number}"


def significance_in_words(found: Significance, images: int) -> list[str]:
    """Sentences on which methods of a comparison differ significantly.

    Args:
        found: The significance of one metric.
        images: How many there are.
    """
    best, *others = found.methods
    same = [name for name in others if set(found.letters[name]) & set(found.letters[best])]
    if images < 2:
        return ["One image tells nothing about other images: nothing is tested."]
    alike = "no other method has such a mean"
    if same:
        alike = f"{_listed(same)} cannot be told apart from it"
    sentences = [f"{best} has the best mean; {alike} ({TESTS[found.test]}, Holm-corrected)."]
    if np.isfinite(found.friedman_p):
        sentences.append(
            f"Friedman's test of all methods being alike gives p = {found.friedman_p:.2g}."
        )
    if np.isfinite(found.alpha):
        sentences.append(
            f"Krippendorff's alpha of the images' rankings of methods is {found.alpha:.2f}: "
            "1 where all images agree, 0 where they agree by chance only."
        )
    if np.isfinite(found.critical_difference):
        sentences.append(
            "Mean ranks that differ by less than Nemenyi's critical difference, "
            f"{found.critical_difference:.2f}, are not told apart by that test."
        )
    return sentences


def _listed(names: Sequence[str], most: int = 4) -> str:
    if len(names) > most:
        return f"{len(names)} others"
    return joined(names)
