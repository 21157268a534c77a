"""Means of groups of images, as Markdown and CSV."""

from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from bench.leaderboard.columns import arrow, mean_template
from bench.leaderboard.comparison import Comparison
from bench.report.tables.markdown import markdown, markdown_row

_HOW_TO_READ = (
    "n: images of the group that have a value. 95 %: bootstrap interval of the mean (BCa) over "
    "these; a single image has none, and with few images it is too narrow. Groups are not tested "
    "against each other."
)


def to_csv(groups: Mapping[str, pd.DataFrame], column: str) -> str:
    """All groups of all comparisons; six significant digits, blanks empty.

    Args:
        groups: By the comparisons' keys, what `bench.leaderboard.groups.group_means` gives.
        column: What the groups are by; `group` is called so.
    """
    tables = [found.assign(comparison=key) for key, found in groups.items()]
    table = pd.concat(tables, ignore_index=True)
    table = table[["comparison", *table.columns.drop("comparison")]]
    taken = set(table.columns) - {"group"}
    named = column if column not in taken else f"group_{column}"
    return table.rename(columns={"group": named}).to_csv(index=False, float_format="%.6g")


def to_markdown(
    groups: Mapping[str, pd.DataFrame],
    comparisons: Mapping[str, Comparison],
    name: str,
    column: str,
    remarks: list[str],
) -> str:
    """A table for each comparison and statistic.

    Args:
        groups: See `to_csv`.
        comparisons: By their keys.
        name: The leaderboard.
        column: What the groups are by.
        remarks: Lines under all tables.
    """
    lines = [f"# {markdown(name)} by {markdown(column)}", ""]
    for key, found in groups.items():
        lines += [f"## {markdown(comparisons[key].title)}", ""]
        for statistic in comparisons[key].statistics:
            rows = found[found["metric"] == statistic.name]
            if not len(rows):
                continue
            template = mean_template(statistic)
            lines += [f"### {markdown(statistic.title)} {arrow(statistic)}".rstrip(), ""]
            lines += [markdown_row(map(markdown, (column, "method", "mean", "95 %", "n")))]
            lines += ["|" + "---|" * 5]
            lines += [_row(row, template) for row in rows.to_dict("records")]
            lines.append("")
    return "\n".join([*lines, *(f"- {markdown(line)}" for line in [*remarks, _HOW_TO_READ]), ""])


def _row(row: Mapping[Hashable, Any], template: str) -> str:
    mean, low, high = (float(row[name]) for name in ("mean", "ci_low", "ci_high"))
    method = markdown(str(row["method"]))
    return markdown_row(
        (
            markdown(str(row["group"])),
            f"*{method}*" if row["control"] else method,
            "" if np.isnan(mean) else template.format(mean),
            "" if np.isnan(low) else f"{template.format(low)}..{template.format(high)}",
            str(row["n_images"]),
        )
    )
