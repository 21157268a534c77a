"""How far the order of methods depends on protocol and AUC rule.

Rules that are affine in each other on every image put methods in the same order: all methods share
an image's end points, so `mean` and `mean_without_end` are the trapezoid times a number, plus what
is the same for all. So they are not counted as further settings.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import combinations, combinations_with_replacement
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from bench.leaderboard.comparison import Comparison
from bench.leaderboard.statistics import LEVEL, holm, wilcoxon_p_values
from bench.metrics.statistic import Statistic

RULES = (
    "trapezoid",
    "mean_without_last_but_one",
    "inner_trapezoid",
    "relative_trapezoid",
    "quantus",
)
"""The AUC rules that can put methods in different orders; see above on those that are not here."""


@dataclass(frozen=True)
class Robustness:
    """Methods under several settings: protocols, each with one or more AUC rules.

    The first setting is the reference. Pairs of methods are named in its order.

    Attributes:
        title: Benchmark and backbone.
        statistic: What methods are ordered by.
        num_images: Images in each setting.
        protocols: The settings that have their protocol's own AUC rule.
        means: (methods, settings) mean over images; methods in the reference's order, best first.
        p_values: (pairs, settings) of Wilcoxon's signed-rank test, by Holm's procedure within each
            setting. The index holds both methods' names.
        left_out: Methods that are not in every protocol with the same maps.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> settings = [example_comparison("xplique"), example_comparison("rise")]
        >>> found = robustness(settings, "insertion", rules=())
        >>> found.settings, found.ranks.loc["rise"].tolist()
        (['xplique', 'rise'], [1, 1])
        >>> float(found.tau.loc["xplique", "rise"]), len(found.swaps)  # both order them alike
        (1.0, 0)
        >>> found.holding[["better", "worse", "significantly"]].to_numpy().tolist()
        [['rise', 'grad_cam', 0], ['rise', 'random', 2], ['grad_cam', 'random', 2]]
    """

    title: str
    statistic: Statistic
    num_images: int
    protocols: tuple[str, ...]
    means: pd.DataFrame
    p_values: pd.DataFrame
    left_out: tuple[str, ...]

    @property
    def settings(self) -> list[str]:
        """Their names; the first is the reference."""
        return self.means.columns.tolist()

    @cached_property
    def ranks(self) -> pd.DataFrame:
        """(methods, settings) 1 for the best; what looks equal as printed shares its rank."""
        ascending = not self.statistic.higher_is_better
        return self.means.round(6).rank(method="min", ascending=ascending).astype(int)

    @cached_property
    def tau(self) -> pd.DataFrame:
        """(settings, settings) Kendall's tau-b of the ranks; NaN where there is no order."""

        def between(first: str, second: str) -> float:
            if len(self.ranks) < 2:
                return np.nan
            return float(stats.kendalltau(self.ranks[first], self.ranks[second]).statistic)

        values = np.empty((len(self.settings), len(self.settings)))
        for (i, first), (j, second) in combinations_with_replacement(enumerate(self.settings), 2):
            values[i, j] = values[j, i] = between(first, second)
        return pd.DataFrame(values, index=self.settings, columns=self.settings)

    @cached_property
    def conclusions(self) -> pd.DataFrame:
        """What the reference says of each pair of methods, and how many settings say it, too.

        Returns:
            A row a pair: `better` and `worse` in the reference; of the `settings`, in how many the
            first is `ahead` and in how many `significantly`; in how many it is `behind` and in how
            many `significantly_behind`.
        """
        order, significant = self._order, self.p_values < LEVEL
        return pd.DataFrame(
            {
                "better": order.index.get_level_values(0),
                "worse": order.index.get_level_values(1),
                "settings": len(self.settings),
                "ahead": (order > 0).sum(axis=1).to_numpy(),
                "significantly": ((order > 0) & significant).sum(axis=1).to_numpy(),
                "behind": (order < 0).sum(axis=1).to_numpy(),
                "significantly_behind": ((order < 0) & significant).sum(axis=1).to_numpy(),
            }
        )

    @property
    def holding(self) -> pd.DataFrame:
        """The conclusions that hold everywhere: the same method is ahead in all settings."""
        return self.conclusions[self.conclusions["ahead"] == len(self.settings)]

    @cached_property
    def swaps(self) -> pd.DataFrame:
        """Pairs of methods that a setting puts in the other order than the reference.

        Returns:
            A row a setting and pair: `setting`; `better` and `worse` in the reference; by how much
            the first was better there (`reference_difference`) and is better here (`difference`,
            below zero), and both p-values. Ties are no swaps.
        """
        reference, better = self.settings[0], self._advantages
        rows = [
            {
                "setting": setting,
                "better": pair[0],
                "worse": pair[1],
                "reference_difference": better.loc[pair, reference],
                "difference": better.loc[pair, setting],
                "reference_p_value": self.p_values.loc[pair, reference],
                "p_value": self.p_values.loc[pair, setting],
            }
            for setting in self.settings[1:]
            for pair in self._order.index
            if self._order.loc[pair, reference] * self._order.loc[pair, setting] < 0
        ]
        columns = (
            "setting better worse reference_difference difference reference_p_value p_value"
        ).split()
        return pd.DataFrame(rows, columns=columns)

    @cached_property
    def _order(self) -> pd.DataFrame:
        """(pairs, settings) 1 where the first of a pair is ahead, -1 where it is behind, 0: tie."""
        differences = self._differences(self.ranks)
        return pd.DataFrame(
            np.sign(-differences.to_numpy()), index=differences.index, columns=differences.columns
        )

    @property
    def _advantages(self) -> pd.DataFrame:
        """(pairs, settings) by how much the first of a pair is better."""
        return self._differences(self.means) * (1 if self.statistic.higher_is_better else -1)

    def _differences(self, values: pd.DataFrame) -> pd.DataFrame:
        """First of a pair minus second, (pairs, settings), of values (methods, settings)."""
        index = self.p_values.index
        first, second = (values.loc[index.get_level_values(level)].to_numpy() for level in (0, 1))
        return pd.DataFrame(first - second, index=index, columns=values.columns)


def comparable(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """Sets of comparisons of the same images by the same network, which differ in their protocol.

    Args:
        comparisons: The comparisons of a leaderboard.

    Returns:
        The sets that have at least two. The first of each shares the most settings of its protocol
        with the others: where they change one thing each of one protocol, it is that one. The
        others keep their order.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> found = [example_comparison("rise"), example_comparison("xplique")]
        >>> [[comparison.protocol.name for comparison in one] for one in comparable(found)]
        [['rise', 'xplique']]
    """
    sets: dict[str, list[Comparison]] = defaultdict(list)
    for comparison in comparisons:
        shared = [
            asdict(part) for part in (comparison.identity.dataset, comparison.identity.backbone)
        ]
        sets[json.dumps(shared)].append(comparison)
    found = []
    for several in sets.values():
        if len(several) > 1:
            distances = [sum(_distance(one, other) for other in several) for one in several]
            reference = several[int(np.argmin(distances))]
            found.append([reference, *(other for other in several if other is not reference)])
    return found


def shared_statistics(comparisons: Sequence[Comparison]) -> list[Statistic]:
    """The statistics with a direction that all of some comparisons have, in the first's order.

    Args:
        comparisons: One of the sets that `comparable` gives.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> settings = [example_comparison("xplique"), example_comparison("rise")]
        >>> [statistic.name for statistic in shared_statistics(settings)]
        ['insertion', 'deletion']
    """
    first, *others = comparisons
    return [one for one in first.tested if all(one in other.tested for other in others)]


def robustness(
    comparisons: Sequence[Comparison], statistic: Statistic | str, rules: Sequence[str] = RULES
) -> Robustness:
    """Compares the orders that several settings put the same maps in.

    Args:
        comparisons: One of the sets that `comparable` gives; the first, by its protocol's own AUC
            rule, is the reference.
        statistic: One of `shared_statistics`, or its name.
        rules: AUC rules that every protocol is read with, beside its own, where the statistic is an
            area. `relative_trapezoid` is left out where a clean score is not positive: divided by
            it, the order turns round.

    Returns:
        The settings ordered by protocol, each protocol's own rule first.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> settings = [example_comparison("xplique"), example_comparison("rise")]
        >>> found = robustness(settings, "insertion", rules=["inner_trapezoid"])
        >>> found.settings
        ['xplique', 'xplique, inner_trapezoid', 'rise', 'rise, inner_trapezoid']
        >>> found.means.loc["rise"].round(3).tolist()
        [0.65, 0.593, 0.65, 0.631]
    """
    statistic = comparisons[0].statistic(statistic)
    maps = [_methods_by_maps(comparison) for comparison in comparisons]
    # Matched by what made the maps: under one name there may be maps of another score.
    shared = [key for key in maps[0] if all(key in methods for methods in maps)]
    names = [maps[0][key] for key in shared]
    left_out = dict.fromkeys(
        name for methods in maps for key, name in methods.items() if key not in shared
    )
    protocols = _protocols(comparisons)
    values = {}
    for protocol, comparison, methods in zip(protocols, comparisons, maps, strict=True):
        usual = comparison.protocol.auc
        for rule in _rules(comparison, statistic, rules):
            read = replace(comparison, rule=rule).finite_values(statistic)
            setting = protocol if rule == usual else f"{protocol}, {rule}"
            values[setting] = read[[methods[key] for key in shared]].set_axis(names, axis="columns")
    means = pd.DataFrame({setting: of_images.mean() for setting, of_images in values.items()})
    lowest_first = not statistic.higher_is_better
    means = means.sort_values(protocols[0], ascending=lowest_first, kind="stable")
    return Robustness(
        title=f"{comparisons[0].identity.dataset.name} · {comparisons[0].identity.backbone.name}",
        statistic=statistic,
        num_images=len(comparisons[0].image_ids),
        protocols=tuple(protocols),
        means=means,
        p_values=_p_values(values, means.index.tolist()),
        left_out=tuple(left_out),
    )


def _rules(comparison: Comparison, statistic: Statistic, rules: Sequence[str]) -> list[str]:
    """The protocol's own rule, and others that mean something."""
    usual = comparison.protocol.auc
    others = [rule for rule in rules if _is_meaningful(comparison, rule)]
    return list(dict.fromkeys((usual, *(others if statistic.is_area else ()))))


def _protocols(comparisons: Sequence[Comparison]) -> list[str]:
    """Their names, with a part of the hash where two that differ are called the same."""
    protocols = [comparison.protocol for comparison in comparisons]
    names = [protocol.name for protocol in protocols]
    return [
        name if names.count(name) == 1 else f"{name} ({protocol.hash[:4]})"
        for name, protocol in zip(names, protocols, strict=True)
    ]


def _p_values(values: Mapping[str, pd.DataFrame], methods: Sequence[str]) -> pd.DataFrame:
    pairs = list(combinations(methods, 2))
    first, second = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    found = {
        setting: holm(wilcoxon_p_values(read[first].to_numpy() - read[second].to_numpy()))
        for setting, read in values.items()
    }
    index = pd.MultiIndex.from_arrays([first, second], names=["better", "worse"])
    return pd.DataFrame(found, index=index)


def _methods_by_maps(comparison: Comparison) -> dict[str, str]:
    """A hashable that decides the maps -> the method's name."""
    found = {}
    for name, run in comparison.runs.items():
        found[run.identity.key] = name
    return found


def _is_meaningful(comparison: Comparison, rule: str) -> bool:
    if rule != "relative_trapezoid":
        return True
    return all((rows["clean_score"] > 0).all() for rows in comparison.rows.values())


def _distance(first: Comparison, second: Comparison) -> int:
    """How many settings of their protocols differ."""
    one, other = (_flat(compared.protocol.settings()) for compared in (first, second))
    return sum(one.get(key) != other.get(key) for key in {*one, *other} - {"name"})


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
