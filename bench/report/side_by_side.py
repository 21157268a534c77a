"""Several comparisons in one table, as papers have them: methods down, benchmarks across."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bench.leaderboard.columns import (
    Column,
    mean_template,
    mean_title,
    number_column,
    text_column,
)
from bench.leaderboard.comparison import Comparison
from bench.metrics.statistic import Statistic
from bench.report.tables.latex import NEEDS, latex_table
from bench.report.tables.markdown import markdown, markdown_table
from bench.report.tables.table import Table, build_table, in_a_line
from bench.storage.store import Run


@dataclass(frozen=True)
class SideBySide:
    """Means over images.

    Attributes:
        means: Methods down; across, a key of `columns` each. NaN where a comparison does not have
            the method.
        columns: By the name of a column in CSV, the comparison's title and the statistic.
        controls: Whether each method is a control.
        protocol: The protocol, if all comparisons share it.
        differing: Methods that are not the same in all comparisons, and the settings that differ.
    """

    means: pd.DataFrame
    columns: Mapping[str, tuple[str, Statistic]]
    controls: list[bool]
    protocol: str | None
    differing: Mapping[str, Sequence[str]]

    @property
    def caption(self) -> str:
        """What the numbers are."""
        shared = f"; protocol {self.protocol}" if self.protocol else ""
        statistics = [statistic for _, statistic in self.columns.values()]
        quantities = ", ".join(dict.fromkeys(statistic.quantity for statistic in statistics))
        return f"{quantities[:1].upper()}{quantities[1:]}: means over images{shared}"

    @property
    def titles(self) -> list[str]:
        """Of the comparisons, in their order."""
        return list(dict.fromkeys(title for title, _ in self.columns.values()))

    @property
    def table(self) -> Table:
        """A column a comparison and statistic, under the comparison's title."""
        names = [str(name) for name in self.means.index]
        records = [
            {"method": name, **{str(key): mean for key, mean in self.means.loc[name].items()}}
            for name in names
        ]
        remarks = tuple(
            f"{name} is not the same in all columns: {', '.join(settings)}."
            for name, settings in self.differing.items()
        )
        columns = [text_column("method", "method", kind="name")]
        columns += [_column(name, *what) for name, what in self.columns.items()]
        return build_table(
            columns, records, names, self.controls, title=self.caption, remarks=remarks
        )


def _column(name: str, title: str, statistic: Statistic) -> Column:
    return number_column(
        name,
        mean_title(statistic),
        template=mean_template(statistic),
        higher_is_better=statistic.higher_is_better,
        group=title,
    )


def side_by_side(comparisons: Sequence[Comparison]) -> SideBySide:
    """Puts comparisons side by side; methods meet by the names of their rows.

    Comparisons with one key are one column, in which their methods join. A run that is there under
    two names has the first; of two runs of one name the second has its key beside it. Methods that
    are in most comparisons come first, then those of the best mean rank by the first statistic;
    controls come last.

    Args:
        comparisons: The comparisons of any leaderboards and results folders.
    """
    runs: dict[str, dict[str, Run]] = {}
    like: dict[str, Comparison] = {}
    values: dict[str, dict[Statistic, dict[str, float]]] = {}
    controls: set[str] = set()
    for comparison in comparisons:
        key = comparison.key
        like.setdefault(key, comparison)
        names = _new_names(comparison, runs.setdefault(key, {}))
        runs[key] |= {names[name]: comparison.runs[name] for name in names}
        controls |= {names[name] for name in names if name in comparison.controls}
        for statistic in comparison.statistics:
            means = comparison.finite_values(statistic).mean()
            of_statistic = values.setdefault(key, {}).setdefault(statistic, {})
            of_statistic |= {names[name]: float(means[name]) for name in names}
    standings = _standings([next(iter(values[key].items())) for key in values])
    methods = sorted(standings, key=lambda name: (name in controls, *standings[name], name))
    columns, table = _columns(values, _titles(list(like.values())))
    differing = {
        name: _differing([several[name] for several in runs.values() if name in several])
        for name in methods
    }
    protocols = {comparison.protocol.title for comparison in like.values()}
    return SideBySide(
        table.loc[methods],
        columns,
        [name in controls for name in methods],
        protocols.pop() if len(protocols) == 1 else None,
        {name: settings for name, settings in differing.items() if settings},
    )


def _columns(
    values: Mapping[str, Mapping[Statistic, Mapping[str, float]]], titles: Mapping[str, str]
) -> tuple[dict[str, tuple[str, Statistic]], pd.DataFrame]:
    """What the columns are, and their means, ordered by the comparisons' titles."""
    columns, means = {}, {}
    for key in sorted(values, key=lambda key: titles[key]):
        for statistic, of_methods in values[key].items():
            name = f"{titles[key]} · {statistic.column}"
            columns[name] = (titles[key], statistic)
            means[name] = pd.Series(dict(of_methods), dtype=float)
    return columns, pd.DataFrame(means)


def _new_names(comparison: Comparison, known: Mapping[str, Run]) -> dict[str, str]:
    """By the names of runs that are not known yet, the names that they get."""
    keys = {run.key for run in known.values()}
    return {
        name: _free_name(name, run, known)
        for name, run in comparison.runs.items()
        if run.key not in keys
    }


def are_several(comparisons: Sequence[Comparison]) -> bool:
    """Whether there is anything to put side by side: two benchmarks or two networks."""
    pairs = {
        (comparison.identity.dataset.name, comparison.identity.backbone.name)
        for comparison in comparisons
    }
    return len(pairs) > 1


def to_csv(side: SideBySide) -> str:
    """The table as CSV: a column for each comparison and statistic, numbers with six decimals."""
    flat = side.means.copy()
    flat.insert(0, "control", side.controls)
    return flat.to_csv(index_label="method", float_format="%.6f")


def to_markdown(side: SideBySide) -> str:
    """The table for people."""
    table = side.table

    def title(column: Column) -> str:
        return "<br>".join(map(markdown, filter(None, (column.group, column.title))))

    notes = (f"- {markdown(note)}" for note in table.notes)
    lines = ["# Side by side", "", markdown(table.title), "", *markdown_table(table, title)]
    return "\n".join([*lines, "", *notes]) + "\n"


def to_latex(side: SideBySide) -> str:
    """The table for papers."""
    lines = [f"% Side by side: {NEEDS}", *latex_table(side.table, "table*")]
    return "\n".join([*lines, ""])


def _free_name(name: str, run: Run, taken: Mapping[str, Run]) -> str:
    """A row's name; where another run has it already, with the beginning of the run's key."""
    return f"{name} ({run.key[:6]})" if name in taken else name


def _titles(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """By key: benchmark and network, protocol and AUC rule if they differ, and what else tells."""

    def parts(comparison: Comparison) -> list[str]:
        identity = comparison.identity
        names = [identity.dataset.name, identity.backbone.name, comparison.protocol.title]
        images = f"{identity.dataset.num_images} images"
        return [*names, comparison.rule, images, comparison.key]

    told = {comparison.key: parts(comparison) for comparison in comparisons}
    titles = {key: words[:2] for key, words in told.items()}
    for place in range(2, 6):
        differs = len({words[place] for words in told.values()}) > 1
        # What rows were measured by is always told; images and keys only where nothing else does.
        if differs and (place < 4 or len({*map(tuple, titles.values())}) < len(titles)):
            titles = {key: [*words, told[key][place]] for key, words in titles.items()}
    return {key: in_a_line(" · ".join(words)) for key, words in titles.items()}


def _standings(
    firsts: Sequence[tuple[Statistic, Mapping[str, float]]],
) -> dict[str, tuple[int, float]]:
    """By method, by how many comparisons it lacks, and its mean rank in the others.

    Args:
        firsts: For each comparison its first statistic, and the methods' means.
    """
    if not firsts:
        return {}
    ranks = pd.concat(
        [
            pd.Series(dict(means), dtype=float).rank(ascending=statistic.higher_is_better is False)
            for statistic, means in firsts
        ],
        axis=1,
    )
    lacking, mean_ranks = ranks.isna().sum(axis=1), ranks.mean(axis=1)
    return {str(name): (int(lacking[name]), float(mean_ranks[name])) for name in ranks.index}


def _differing(runs: Sequence[Run]) -> list[str]:
    """The settings of a method that are not the same in all runs; `version` is one."""
    found = []
    for run in runs:
        method = run.identity.method
        settings = {**method.settings, "version": method.version, "seed": run.identity.seed}
        found.append({key: json.dumps(value, sort_keys=True) for key, value in settings.items()})
    names = sorted(set().union(*found))
    return [name for name in names if len({settings.get(name) for settings in found}) > 1]
