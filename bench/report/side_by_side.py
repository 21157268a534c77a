"""Several comparisons in one table, as papers have them: methods down, benchmarks across."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.leaderboard.comparison import HIGHER_IS_BETTER, Comparison
from bench.report.tables import (
    Cell,
    in_a_line,
    latex,
    latex_cell,
    latex_row,
    legend,
    markdown,
    markdown_cell,
    markdown_row,
    places,
)

METRICS = {"insertion": "ins ↑", "deletion": "del ↓"}
"""What is shown of each comparison, and its title."""


@dataclass(frozen=True)
class SideBySide:
    """Means over images.

    Attributes:
        means: Methods down; across, pairs of a comparison's title and a key of `METRICS`. NaN
            where a comparison does not have the method.
        controls: Whether each method is a control.
        protocol: The protocol, if all comparisons share it.
        differing: Methods that are not the same in all comparisons, and the settings that differ.
    """

    means: pd.DataFrame
    controls: list[bool]
    protocol: str | None
    differing: Mapping[str, Sequence[str]]

    @property
    def caption(self) -> str:
        """What the numbers are."""
        shared = f"; protocol {self.protocol}" if self.protocol else ""
        return f"Insertion and deletion AUC, means over images{shared}"

    @property
    def titles(self) -> list[str]:
        """Of the comparisons, in their order."""
        return list(dict.fromkeys(title for title, _ in self.means.columns))

    @property
    def notes(self) -> list[str]:
        """Lines under the table."""
        own = [
            f"{name} is not the same in all columns: {', '.join(settings)}."
            for name, settings in self.differing.items()
        ]
        return legend(self._cells(), self.controls, letters=False) + own

    def _cells(self) -> list[list[Cell]]:
        columns = [[Cell(str(name)) for name in self.means.index]]
        for (_, metric), values in self.means.items():
            texts = ["" if pd.isna(own) else f"{own:.4f}" for own in values]
            found = places(texts, self.controls, HIGHER_IS_BETTER[metric])
            columns.append([Cell(*own) for own in zip(texts, found, strict=True)])
        return [list(row) for row in zip(*columns, strict=True)]

    def rows(self, render: Callable[[Cell, bool], str]) -> list[list[str]]:
        """The rows, each with its name first.

        Args:
            render: A cell, and whether it is in a control's row, to what is printed.
        """
        both = zip(self._cells(), self.controls, strict=True)
        return [[render(cell, is_control) for cell in row] for row, is_control in both]


def side_by_side(comparisons: Sequence[Comparison]) -> SideBySide:
    """Puts comparisons side by side; methods meet by the names of their rows.

    Comparisons with one key are one column, in which their methods join. A run that is there under
    two names has the first; of two runs of one name the second has its key beside it. Methods that
    are in most comparisons come first, then those of the best mean rank by insertion; controls come
    last.

    Args:
        comparisons: Of any leaderboards and results folders.
    """
    groups: dict[str, dict[str, Any]] = {}
    like: dict[str, Comparison] = {}
    values: dict[str, dict[str, dict[str, float]]] = {}
    controls: set[str] = set()
    for comparison in comparisons:
        like.setdefault(comparison.key, comparison)
        runs = groups.setdefault(comparison.key, {})
        known = {run.manifest["key"] for run in runs.values()}
        new = {n: run for n, run in comparison.runs.items() if run.manifest["key"] not in known}
        names = {name: _free_name(name, run, runs) for name, run in new.items()}
        runs |= {names[name]: run for name, run in new.items()}
        controls |= {names[name] for name in new if name in comparison.controls}
        for metric in METRICS:
            means = comparison.finite_values(metric).mean()
            own = values.setdefault(comparison.key, {}).setdefault(metric, {})
            own |= {names[name]: float(means[name]) for name in new}
    titles = _titles(list(like.values()))
    columns = {
        (titles[key], metric): pd.Series(own, dtype=float)
        for key in sorted(values, key=titles.get)
        for metric, own in values[key].items()
    }
    means = pd.DataFrame(columns)
    order = sorted(means.index, key=lambda name: (name in controls, *_standing(means, name), name))
    methods = {name: [runs[name] for runs in groups.values() if name in runs] for name in order}
    differing = {name: own for name, runs in methods.items() if (own := _differing(runs))}
    protocols = {own.identity["protocol"]["name"] for own in like.values()}
    protocol = protocols.pop() if len(protocols) == 1 else None
    return SideBySide(means.loc[order], [name in controls for name in order], protocol, differing)


def are_several(comparisons: Sequence[Comparison]) -> bool:
    """Whether there is anything to put side by side: two benchmarks or two networks."""
    pairs = {
        tuple(comparison.identity[part]["name"] for part in ("dataset", "backbone"))
        for comparison in comparisons
    }
    return len(pairs) > 1


def to_csv(table: SideBySide) -> str:
    """The table as CSV: a column for each comparison and metric, numbers with six decimals."""
    flat = table.means.set_axis(
        [f"{title} · {metric}_auc" for title, metric in table.means.columns], axis="columns"
    )
    flat.insert(0, "control", table.controls)
    return flat.to_csv(index_label="method", float_format="%.6f")


def to_markdown(table: SideBySide) -> str:
    """The table for people."""
    heads = [f"{markdown(title)}<br>{METRICS[metric]}" for title, metric in table.means.columns]
    lines = ["# Side by side", "", markdown(table.caption), "", markdown_row(["method", *heads])]
    lines.append("|" + "---|" * (1 + len(heads)))
    lines += [markdown_row(row) for row in table.rows(markdown_cell)]
    return "\n".join([*lines, "", *(f"- {markdown(note)}" for note in table.notes)]) + "\n"


def to_latex(table: SideBySide) -> str:
    """The table for papers; needs the package booktabs."""
    count = len(METRICS)
    heads = [f"\\multicolumn{{{count}}}{{c}}{{{latex(title)}}}" for title in table.titles]
    rules = [
        f"\\cmidrule(lr){{{2 + count * place}-{1 + count * (place + 1)}}}"
        for place in range(len(table.titles))
    ]
    metrics = [latex(METRICS[metric]) for _, metric in table.means.columns]
    return "\n".join(
        [
            "% Side by side: needs \\usepackage{booktabs}",
            "\\begin{table*}",
            "\\centering\\footnotesize\\setlength{\\tabcolsep}{4pt}",
            f"\\caption{{{latex(table.caption)}}}",
            f"\\begin{{tabular}}{{l{'r' * len(metrics)}}}",
            "\\toprule",
            latex_row(["", *heads]),
            " ".join(rules),
            latex_row(["method", *metrics]),
            "\\midrule",
            *(latex_row(row) for row in table.rows(latex_cell)),
            "\\bottomrule",
            "\\end{tabular}",
            *(f"\\\\{{\\footnotesize {latex(note)}}}" for note in table.notes),
            "\\end{table*}",
            "",
        ]
    )


def _free_name(name: str, run: Any, taken: Mapping[str, Any]) -> str:
    """A row's name; where another run has it already, with the beginning of the run's key."""
    return f"{name} ({run.manifest['key'][:6]})" if name in taken else name


def _titles(comparisons: Sequence[Comparison]) -> dict[str, str]:
    """By key: benchmark and network, protocol and AUC rule if they differ, and what else tells."""

    def parts(comparison: Comparison) -> list[str]:
        identity = comparison.identity
        names = [str(identity[own]["name"]) for own in ("dataset", "backbone", "protocol")]
        images = f"{identity['dataset']['num_images']} images"
        return [*names, comparison.rule, images, comparison.key]

    told = {comparison.key: parts(comparison) for comparison in comparisons}
    titles = {key: own[:2] for key, own in told.items()}
    for place in range(2, 6):
        differs = len({own[place] for own in told.values()}) > 1
        # What rows were measured by is always told; images and keys only where nothing else does.
        if differs and (place < 4 or len({*map(tuple, titles.values())}) < len(titles)):
            titles = {key: [*own, told[key][place]] for key, own in titles.items()}
    return {key: in_a_line(" · ".join(own)) for key, own in titles.items()}


def _standing(means: pd.DataFrame, name: str) -> tuple[int, float]:
    """By how many comparisons a method lacks, and its mean rank in the others."""
    insertion = means.xs("insertion", axis="columns", level=1)
    ranks = insertion.rank(ascending=False).loc[name]
    return int(ranks.isna().sum()), float(ranks.mean())


def _differing(runs: Sequence[Any]) -> list[str]:
    """The settings of a method that are not the same in all runs; `version` is one."""
    found = []
    for run in runs:
        method = run.identity["method"]
        settings = {**method.get("settings", {}), "version": method.get("version")}
        settings["seed"] = run.identity["seed"]
        found.append({key: json.dumps(own, sort_keys=True) for key, own in settings.items()})
    names = sorted(set().union(*found))
    return [name for name in names if len({own.get(name) for own in found}) > 1]
