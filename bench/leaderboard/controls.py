"""Finds methods that do not beat a control, whose maps hardly change, or are constant."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.statistics import LEVEL, wilcoxon_p_values
from bench.metrics.statistic import Statistic


def control_warnings(comparison: Comparison) -> list[str]:
    """What a reader must know before a method's number impresses.

    Args:
        comparison: Methods and controls. Random, center and edge hold for all methods, a blurred or
            inverted method for that method only.

    Returns:
        A line for each method and statistic that has a direction, where the method does not beat
        every control that holds for it, or beats one by a difference that may be chance (Wilcoxon's
        signed-rank test over the images, not corrected for the number of controls).

    Example:
        >>> from dataclasses import replace
        >>> from bench.leaderboard.example import example_comparison
        >>> found = example_comparison()
        >>> control_warnings(found)  # both methods beat random maps
        []
        >>> as_control = replace(found, controls={"grad_cam": None})
        >>> control_warnings(as_control)[0]
        'rise is ahead of the control grad_cam on insertion, but 8 images cannot tell them apart'
    """
    lines = []
    for statistic in comparison.tested:
        if not statistic.controls_tell:
            continue
        values = comparison.tested_values(statistic)
        controls = {name: of for name, of in comparison.controls.items() if name in values}
        for method in map(str, values):
            if method in controls:
                continue
            holding = [name for name, of in controls.items() if of in (None, method)]
            lines.append(_judged(values, method, holding, statistic))
    return [line for line in lines if line]


def guard_warnings(comparison: Comparison) -> list[str]:
    """A line for each method, controls left out, whose mean is one that a statistic warns of.

    As a map that is the same when the network is another: controls are that by their nature.

    Args:
        comparison: Methods and controls.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> guard_warnings(example_comparison())  # insertion and deletion guard against nothing
        []
    """
    lines = []
    for statistic in comparison.statistics:
        limit = statistic.warns_above
        if limit is None:
            continue
        means = comparison.tested_values(statistic).mean()
        lines += [
            f"{method}: {statistic.warning} ({statistic.quantity} {mean:.3f}, above {limit:g})"
            for method, mean in means.items()
            if method not in comparison.controls and mean > limit
        ]
    return lines


def constant_map_warnings(comparison: Comparison) -> list[str]:
    """A line for each method, controls left out, some of whose maps have one value everywhere.

    Such a map orders no pixels: its curves show the tie rule, not the method. In a map of regions
    all pixels are tied, too, but it orders the regions.

    Args:
        comparison: Methods and controls.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> comparison = example_comparison()
        >>> comparison.rows["rise"]["constant_map"] = [True] * 3 + [False] * 5
        >>> constant_map_warnings(comparison)[0].rpartition(": ")[0]
        'rise: 3 of 8 maps are constant (100 % ties)'
    """
    lines = []
    for method in comparison.rows:
        rows = pd.concat(comparison.tables(method))
        count = int(rows.get("constant_map", pd.Series(dtype=bool)).sum())
        if count and method not in comparison.controls:
            verb = "is" if count == 1 else "are"
            lines.append(
                f"{method}: {count} of {len(rows)} maps {verb} constant (100 % ties): the numbers "
                "of these images say nothing about it"
            )
    return lines


def not_beaten(
    values: pd.DataFrame, method: str, controls: Sequence[str], statistic: Statistic
) -> tuple[list[str], list[str]]:
    """The controls that a method does not lead, and those that it leads, but maybe by chance.

    Args:
        values: (n, m), images down, methods and controls across.
        method: The method.
        controls: Those that hold for it.
        statistic: What the values are; it has a direction.

    Returns:
        Names of the controls with an equal or better mean, and of those with a worse one whose
        p-value is not below `LEVEL`.

    Example:
        >>> import pandas as pd
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion, *_ = load_protocol("xplique").statistics
        >>> values = {"mine": [0.5, 0.6, 0.7], "random": [0.4, 0.5, 0.6], "edge": [0.8, 0.7, 0.9]}
        >>> not_beaten(pd.DataFrame(values), "mine", ["random", "edge"], insertion)
        (['edge'], ['random'])
    """
    controls = list(controls)
    advantage = values[controls].rsub(values[method], axis=0)
    advantage *= 1 if statistic.higher_is_better else -1
    is_ahead = (advantage.mean() > 0).to_numpy()
    may_be_chance = wilcoxon_p_values(advantage) >= LEVEL
    names = np.array(controls, dtype=object)
    return names[~is_ahead].tolist(), names[is_ahead & may_be_chance].tolist()


def _judged(values: pd.DataFrame, method: str, controls: list[str], statistic: Statistic) -> str:
    """What there is to say of a method's values (n,), beside those of controls; may be nothing."""
    behind, close = not_beaten(values, method, controls, statistic)
    mean, means = values[method].mean(), values[controls].mean()
    told = []
    if behind:
        theirs = joined([f"{means[name]:.3f}" for name in behind])
        told.append(
            f"does not beat {_named(behind)} on {statistic.name}: {mean:.3f} against {theirs}"
        )
    if close:
        images = f"{len(values)} image{'s'[: len(values) != 1]}"
        where = "" if told else f" on {statistic.name}"
        told.append(f"is ahead of {_named(close)}{where}, but {images} cannot tell them apart")
    return f"{method} {'; it '.join(told)}" if told else ""


def _named(controls: Sequence[str]) -> str:
    return f"the control{'s'[: len(controls) != 1]} {joined(controls)}"


def joined(words: Sequence[str]) -> str:
    """Words as a sentence has them: a, b and c.

    Args:
        words: One at least.

    Example:
        >>> joined(["random", "center", "edge"])
        'random, center and edge'
    """
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last
