"""A protocol, and what tests say, in words."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.leaderboard.significance import Significance

SCORES = {
    "output": "its output for the target, as it is",
    "probability": "the probability of the target",
    "logit": "the logit of the target",
    "log_probability": "the logarithm of the target's probability",
}
BASELINES = {
    "ZeroBaseline": "zero in the network's input space",
    "ConstantBaseline": "the colour RGB ({rgb})",
    "MeanBaseline": "the image's own mean colour",
    "BlurBaseline": "the image blurred by a {kernel_size} by {kernel_size} kernel (sigma {sigma})",
    "UniformBaseline": "uniform noise, the same for all methods",
}
TIES = {
    "stable": "Equal values of a map go in raster order.",
    "numpy_1_23": "Equal values of a map go in the order that numpy 1.23's sort gives them.",
    "running_numpy": "Equal values of a map go in the order that the run's numpy gave them.",
    "numpy_legacy": "Equal values of a map go in the order that the run's numpy gave them.",
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


def protocol_in_words(protocol: Mapping[str, Any], rule: str) -> list[str]:
    """Sentences that say what was measured.

    Args:
        protocol: `identity["protocol"]` of a run.
        rule: The AUC rule that the table goes by.
    """
    insertion, deletion = (_direction(protocol[own]) for own in ("insertion", "deletion"))
    both = f"Both go {insertion['steps']}; a removed pixel is {insertion['baseline']}."
    if insertion != deletion:
        both = " ".join(
            f"{name} goes {own['steps']}; a removed pixel is {own['baseline']}."
            for name, own in (("Insertion", insertion), ("Deletion", deletion))
        )
    sentences = [
        "A map puts the pixels of an image in order, the most important first.",
        "Insertion starts without pixels and reveals them in this order; deletion starts from the "
        "whole image and removes them.",
        both,
        f"At each step the network is asked for {SCORES[protocol['score']]}.",
        f"An image's number is {AUC_RULES[rule]}; the table shows means over images.",
        TIES[protocol["ties"]],
    ]
    if "mufidelity" in protocol:
        own = protocol["mufidelity"]
        sentences.append(
            f"MuFidelity is the rank correlation, over {own['num_masks']} random subsets of a grid "
            f"of {own['grid_size']} by {own['grid_size']} cells, of the drop in score with the sum "
            "of the map over what was replaced."
        )
    if "confidence" in protocol:
        own = protocol["confidence"]
        counted = "counts" if own["whole_image"] else "does not count"
        sentences.append(
            "Confidence is the highest score while pixels are revealed on "
            f"{_baseline(own['baseline'])}, in {own['steps']} steps; the whole image {counted}."
        )
    return sentences


def significance_in_words(found: Significance, images: int) -> list[str]:
    """Sentences on which methods of a comparison can be told apart.

    Args:
        found: Of one metric.
        images: How many there are.
    """
    best, *others = found.methods
    same = [own for own in others if set(found.letters[own]) & set(found.letters[best])]
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
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def _direction(settings: Mapping[str, Any]) -> dict[str, str]:
    steps = f"in {settings['steps']} equal steps"
    if settings["steps"] == -1:
        steps = "one pixel a step"
    elif settings["steps"] is None:
        steps = f"by the pixels of {_counted(settings['rows_per_step'], 'image row')} a step"
    if settings["max_fraction"] < 1:
        steps += f", up to {settings['max_fraction']:.0%} of the pixels"
    return {"steps": steps, "baseline": _baseline(settings["baseline"])}


def _baseline(settings: Mapping[str, Any]) -> str:
    shown = {key: own for key, own in settings.items() if key != "kind"}
    if "rgb" in shown:
        shown["rgb"] = ", ".join(f"{value:g}" for value in shown["rgb"])
    return BASELINES[settings["kind"]].format(**shown)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("s" if count != 1 else "")
