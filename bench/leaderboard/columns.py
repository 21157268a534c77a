"""The columns of a leaderboard: in one place, for CSV, Markdown, LaTeX, the terminal and the page.

A column says how it is called, what its cells say and where it is shown. The columns of a metric
follow from its statistics, so a new metric is shown everywhere without another line; formats
(`bench.report.tables`) know no column by its name.

The same columns stand in all formats, in the same order, by one rule:

- A statistic is its mean, and if it is a main one its 95 % interval beside it.
- The best mean is bold and the second best underlined; stars stand on means that differ from the
  best. Statistics without a direction have neither.
- Where a statistic guards against something, as against maps that do not depend on the network, yes
  or no follows.
- Letters follow where two rows or more were tested, whatever else the table shows.
- The difference from a reference follows where one was named, with stars of its own.
- The published cell, the difference from it and whether it lies in the interval follow where a row
  of the table has a published cell.
- A format without room leaves out what a column's `left_out_of` and `spare` say.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from bench.metrics.statistic import Statistic

Record = Mapping[str, Any]
"""A row of a table: by column, what is known; absent, None, NaN or empty where nothing is."""
Kind = Literal["rank", "name", "text", "words", "number", "interval"]
"""What a column holds."""
Format = Literal["markdown", "latex", "terminal", "page"]
"""What tables are written as."""


class Ends(NamedTuple):
    """A mean with its interval, and the published value; NaN where there is none.

    Attributes:
        low: The interval's lower end.
        mean: The mean.
        high: The interval's upper end.
        published: The published value.

    Example:
        >>> ends = Ends(low=0.61, mean=0.65, high=0.68, published=0.66)
        >>> ends.low <= ends.published <= ends.high
        True
    """

    low: float
    mean: float
    high: float
    published: float


@dataclass(frozen=True)
class Column:
    """A column of a table for people.

    Attributes:
        title: In Markdown, LaTeX and the terminal, where room is short.
        text: What its cell says of a row; empty where it has nothing to say.
        heading: On the page; `title` by default.
        hint: What it says, in a sentence, for the page.
        note: A word or two under the heading.
        kind: Words may break, texts stand at the left, numbers at the right.
        value: What a cell sorts by; None sorts last. By default its text.
        ends: The ends of the interval that is drawn of a row.
        higher_is_better: Whether higher numbers are better; None: the numbers do not compete.
        p_values: The name under which rows have the p-values that stars tell of.
        differs_from: The row that these are of differences from; empty: the best.
        name: What `bench table --columns` calls it: as the CSV does where that has it.
        legend: What is said of the column's numbers under the table.
        first: The order that a first click gives.
        least: Rows that must have something to say, for the column to be shown.
        left_out_of: Formats that go without it.
        spare: Where a terminal has no room, columns are left out, 1 first; 0: never.
        group: A title over several columns.

    Example:
        >>> column = Column("images", lambda row: f"{row['n_images']:,}", hint="With a row")
        >>> column.text({"n_images": 5000}), column.heading
        ('5,000', 'images')
    """

    title: str
    text: Callable[[Record], str]
    heading: str = ""
    hint: str = ""
    note: str = ""
    kind: Kind = "number"
    value: Callable[[Record], float | str | None] | None = None
    ends: Callable[[Record], Ends] | None = None
    higher_is_better: bool | None = None
    p_values: str = ""
    differs_from: str = ""
    name: str = ""
    legend: str = ""
    first: Literal["ascending", "descending"] = "ascending"
    least: int = 0
    left_out_of: Collection[Format] = ()
    spare: int = 0
    group: str = ""

    def __post_init__(self) -> None:
        if not self.heading:
            object.__setattr__(self, "heading", self.title)


GROUP_HINT = "Methods that share a letter cannot be told apart"
"""What the letters beside means say."""

_OF_ROWS = {
    "benchmark": "The data set",
    "backbone": "The network that scores",
    "protocol": "The protocol",
    "auc": "The rule by which curves became areas",
    "method": "The row's name",
    "control": "Whether the method is a control, which knows nothing of the network",
    "n_images": "Images that all numbers are of",
    "n_missing": "Images of the list that lack a row; then the row has no numbers",
    "clean_accuracy": "Share of the images whose top class is their label",
    "mean_clean_score": "Mean score of the images as they are",
}
_OF_MAPS = {"tied_fraction": "Share of a map's pixels whose value another pixel has, too; mean"}
_OF_RUNS = {
    "published_method": "What the published table calls the row",
    "notes": "What is to be said of the row, as under the table",
    "forward_passes": "Forward passes through the network for one map",
    "backward_passes": "Backward passes through the network for one map",
    "rank": "Rank by the first mean among the rows that may be compared",
    "seed": "The seed of all draws",
    "comparison": "Rows that may be compared share it",
    "run_key": "The run: `results_dir/runs/*/` has a folder of that name",
}


def csv_columns(statistics: Sequence[Statistic]) -> list[str]:
    """The columns of a leaderboard's CSV, in their order.

    Args:
        statistics: The statistics of all its protocols.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion, *_ = load_protocol("xplique").statistics
        >>> csv_columns([insertion])[10:14]
        ['insertion_auc', 'insertion_ci_low', 'insertion_ci_high', 'insertion_letters']
    """
    return list(csv_hints(statistics))


def csv_hints(statistics: Sequence[Statistic]) -> dict[str, str]:
    """What each column of a leaderboard's CSV holds, in their order.

    Args:
        statistics: The statistics of all its protocols.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion, *_ = load_protocol("xplique").statistics
        >>> csv_hints([insertion])["insertion_delta"]
        'Our mean minus the published one'
    """
    published = [statistic for statistic in statistics if statistic.published]
    hints = dict(_OF_ROWS)
    for statistic in statistics:
        hints |= _measured(statistic)
    hints |= _OF_MAPS
    for statistic in published:
        hints[published_column(statistic)] = f"The published {statistic.quantity}"
    for statistic in published:
        hints[f"{statistic.name}_delta"] = "Our mean minus the published one"
    for statistic in published:
        hints[f"{statistic.name}_inside"] = "Whether the published value lies in our interval"
    return hints | _OF_RUNS


def _measured(statistic: Statistic) -> dict[str, str]:
    mean = {statistic.column: f"Mean {statistic.quantity} over images"}
    if not statistic.is_main:
        return mean
    hints = {
        "ci_low": "Lower end of the mean's 95 % interval",
        "ci_high": "Upper end of the mean's 95 % interval",
    }
    if statistic.higher_is_better is not None:
        hints["letters"] = GROUP_HINT
        hints["p"] = "p-value of the difference from the best row, Holm-adjusted over all pairs"
    return mean | {f"{statistic.name}_{ending}": hint for ending, hint in hints.items()}


def published_column(statistic: Statistic) -> str:
    """The column of a statistic's published cells.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> [published_column(each) for each in load_protocol("xplique").statistics[:2]]
        ['published_insertion_auc', 'published_deletion_auc']
    """
    return f"published_{statistic.column if statistic.is_area else statistic.name}"


def reference_columns(statistics: Sequence[Statistic]) -> list[str]:
    """The further columns of a leaderboard's CSV where a reference was named, in their order.

    Args:
        statistics: The statistics of all its protocols.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion, *_ = load_protocol("xplique").statistics
        >>> reference_columns([insertion])[:3]
        ['reference', 'insertion_vs_reference', 'insertion_p_reference_raw']
    """
    return list(reference_hints(statistics))


def reference_hints(statistics: Sequence[Statistic]) -> dict[str, str]:
    """What each of `reference_columns` holds, in their order.

    Args:
        statistics: The statistics of all its protocols.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion, *_ = load_protocol("xplique").statistics
        >>> reference_hints([insertion])["reference"]
        'The row that the others are compared with'
    """
    endings = {
        "vs_reference": "By how much the row is better (+) or worse (-) than the reference",
        "p_reference_raw": "p-value of that difference, of this comparison alone",
        "p_reference": "p-value of that difference, Holm-adjusted over these comparisons",
    }
    return {"reference": "The row that the others are compared with"} | {
        f"{statistic.name}_{ending}": hint
        for statistic in statistics
        if statistic.is_main and statistic.higher_is_better is not None
        for ending, hint in endings.items()
    }


def leaderboard_columns(
    statistics: Sequence[Statistic], reference: str | None = None
) -> list[Column]:
    """What a leaderboard shows people of rows that may be compared.

    Args:
        statistics: The statistics of their protocol, in the order of the table.
        reference: The row that the others are compared with, if one was named.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> insertion, *_ = load_protocol("xplique").statistics
        >>> columns = leaderboard_columns([insertion])
        >>> [column.title for column in columns][:4]
        ['#', 'method', 'ins ↑', '95 %']
        >>> columns[2].text({"insertion_auc": 0.65})
        '0.6500'
    """
    measured = [
        column for statistic in statistics for column in _statistic_columns(statistic, reference)
    ]
    return [
        Column(
            "#",
            _rank,
            hint="Rank by the first mean",
            kind="rank",
            name="rank",
            value=lambda row: int(row["rank"]) if _rank(row) else None,
        ),
        text_column("method", "method", "Method", kind="name"),
        *measured,
        number_column(
            "tied_fraction",
            "ties",
            "Ties",
            template="{:.1%}",
            hint="Share of a map's pixels whose value another pixel has, too",
            left_out_of=("latex",),
            spare=1,
        ),
        Column(
            "passes",
            _passes,
            "Passes",
            hint="Forward + backward passes through the network for one map",
            value=_all_passes,
            name="passes",
        ),
    ]


def _statistic_columns(statistic: Statistic, reference: str | None) -> list[Column]:
    if not statistic.is_main:
        return [_mean_column(statistic)]
    is_compared = reference is not None and statistic.higher_is_better is not None
    return [
        _mean_column(statistic),
        _interval_column(statistic),
        *(_guard_columns(statistic) if statistic.guard else ()),
        *(_test_columns(statistic) if statistic.higher_is_better is not None else ()),
        *((_reference_column(statistic, str(reference)),) if is_compared else ()),
        *(_published_columns(statistic) if statistic.published else ()),
    ]


def mean_title(statistic: Statistic) -> str:
    """A mean's title where room is short: `ins ↑`.

    Args:
        statistic: The statistic.

    Example:
        >>> from bench.metrics.protocol import load_protocol
        >>> [mean_title(each) for each in load_protocol("xplique").statistics]
        ['ins ↑', 'del ↓', 'SRG ↑']
    """
    return f"{statistic.short} {arrow(statistic)}".strip()


def arrow(statistic: Statistic) -> str:
    """Which way is better; empty where neither is.

    Example:
        >>> from bench.metrics.statistic import Statistic
        >>> arrow(Statistic("seconds", "Seconds", higher_is_better=False))
        '↓'
        >>> arrow(Statistic("area", "Area", higher_is_better=None))
        ''
    """
    return {True: "↑", False: "↓", None: ""}[statistic.higher_is_better]


def mean_template(statistic: Statistic) -> str:
    """How a mean is written.

    Example:
        >>> from bench.metrics.statistic import Statistic
        >>> mean_template(Statistic("area", "Area", higher_is_better=None, digits=2)).format(0.655)
        '0.66'
    """
    return f"{{:.{statistic.digits}f}}"


def _order(statistic: Statistic) -> Literal["ascending", "descending"]:
    return "ascending" if statistic.higher_is_better is False else "descending"


def _mean_column(statistic: Statistic) -> Column:
    hints = {True: "; higher is better", False: "; lower is better", None: ""}
    return number_column(
        statistic.column,
        mean_title(statistic),
        statistic.title,
        template=mean_template(statistic),
        hint=f"Mean over images{hints[statistic.higher_is_better]}",
        note=f"{arrow(statistic)} better" if arrow(statistic) else "",
        first=_order(statistic),
        higher_is_better=statistic.higher_is_better,
        p_values=f"{statistic.name}_p" if statistic.is_main else "",
        spare=0 if statistic.is_main else 5,
        least=0 if statistic.is_main else 1,
    )


def _interval_column(statistic: Statistic) -> Column:
    names = [f"{statistic.name}_ci_low", statistic.column, f"{statistic.name}_ci_high"]
    names.append(published_column(statistic))
    digits = max(statistic.digits - 1, 0)

    def ends(row: Record) -> Ends:
        return Ends(*(number_in(row, name) for name in names))

    def text(row: Record) -> str:
        if not known(row, names[0]):
            return ""
        return f"{row[names[0]]:.{digits}f}..{row[names[2]]:.{digits}f}"

    return Column(
        "95 %",
        text,
        "95 % interval",
        hint=f"Of the mean {statistic.quantity}, bootstrapped over images",
        kind="interval",
        value=lambda row: _sorted_by(row, names[0]),
        ends=ends,
        first=_order(statistic),
        spare=3,
        name=f"{statistic.name}_ci",
    )


def _guard_columns(statistic: Statistic) -> list[Column]:
    """Whether a method's mean is none that the statistic warns of."""
    limit = statistic.warns_above
    if limit is None:
        return []

    def text(row: Record) -> str:
        mean = number_in(row, statistic.column)
        return "" if np.isnan(mean) else ("yes", "no")[mean > limit]

    return [
        Column(
            f"{statistic.guard}?",
            text,
            f"{statistic.guard[0].upper()}{statistic.guard[1:]}",
            hint=f"No where the {statistic.quantity} is above {limit:g} on average",
            least=1,
            name=f"{statistic.name}_guard",
        )
    ]


def _test_columns(statistic: Statistic) -> list[Column]:
    letters = text_column(
        f"{statistic.name}_letters", "group", "Group", hint=GROUP_HINT, least=2, spare=2
    )
    p_value = Column(
        "p",
        lambda row: p_value_text(row.get(f"{statistic.name}_p")),
        name=f"{statistic.name}_p",
        hint=f"p-value of the difference in {statistic.quantity} from the best row, Holm-adjusted",
        value=lambda row: _sorted_by(row, f"{statistic.name}_p"),
        first="descending",
        least=1,
        left_out_of=("markdown", "latex", "terminal"),  # where stars say it in less room
    )
    return [letters, p_value]


def _reference_column(statistic: Statistic, reference: str) -> Column:
    meaning = f"by how much a row is better (+) or worse (-) than {reference}"
    return number_column(
        f"{statistic.name}_vs_reference",
        f"vs {reference}",
        template=f"{{:+.{statistic.digits}f}}",
        hint=f"{meaning[0].upper()}{meaning[1:]}; stars: p, corrected over these comparisons",
        legend=f"vs {reference}: {meaning}",
        differs_from=reference,
        p_values=f"{statistic.name}_p_reference",
        first="descending",
        least=1,
        spare=6,
    )


def _published_columns(statistic: Statistic) -> list[Column]:
    inside = f"{statistic.name}_inside"
    return [
        number_column(
            published_column(statistic),
            "published",
            "Published",
            template=mean_template(statistic),
            hint=f"The published {statistic.quantity}",
            first=_order(statistic),
            least=1,
        ),
        number_column(
            f"{statistic.name}_delta",
            "difference",
            "Difference",
            template=f"{{:+.{statistic.digits}f}}",
            hint="Ours minus the published",
            first=_order(statistic),
            least=1,
            left_out_of=("latex",),  # a reader can subtract, and a page of paper is narrow
            spare=4,
        ),
        Column(
            "inside?",
            lambda row: ("no", "yes")[bool(row[inside])] if known(row, inside) else "",
            "Inside",
            hint="Whether the published value lies in our interval",
            value=lambda row: _sorted_by(row, inside),
            name=inside,
            least=1,
        ),
    ]


def number_column(
    name: str, title: str, heading: str = "", *, template: str = "{:.4f}", **settings: Any
) -> Column:
    """A column of the numbers that rows have under a name.

    Args:
        name: The name of the number in a row.
        title: See `Column`.
        heading: See `Column`.
        template: How a number is written.
        settings: Other attributes of `Column`.

    Example:
        >>> column = number_column("tied_fraction", "ties", template="{:.1%}")
        >>> column.text({"tied_fraction": 0.125}), column.text({})
        ('12.5%', '')
    """
    return Column(
        title,
        lambda row: template.format(row[name]) if known(row, name) else "",
        heading,
        value=lambda row: _sorted_by(row, name),
        name=name,
        **settings,
    )


def text_column(name: str, title: str, heading: str = "", **settings: Any) -> Column:
    """A column of the texts that rows have under a name.

    Args:
        name: The name of the text in a row.
        title: See `Column`.
        heading: See `Column`.
        settings: Other attributes of `Column`.

    Example:
        >>> column = text_column("notes", "notes", spare=1)
        >>> column.text({"notes": "mean of 5 draws"}), column.text({"notes": None})
        ('mean of 5 draws', '')
    """
    return Column(
        title,
        lambda row: str(row[name]) if known(row, name) else "",
        heading,
        **{"kind": "text", "name": name, **settings},
    )


def known(row: Record, name: str) -> bool:
    """Whether a row has something to say under a name.

    Args:
        row: The row.
        name: The name of the column.

    Example:
        >>> row = {"insertion_auc": 0.0, "notes": "", "deletion_auc": float("nan")}
        >>> known(row, "insertion_auc"), known(row, "notes"), known(row, "deletion_auc")
        (True, False, False)
    """
    value: Any = row.get(name)
    return not (value is None or pd.isna(value) or value == "")


def number_in(row: Record, name: str) -> float:
    """A row's number; NaN where it has none.

    Args:
        row: The row.
        name: The name of the column.

    Example:
        >>> number_in({"srg": 0.25}, "srg"), number_in({"srg": None}, "srg")
        (0.25, nan)
    """
    return float(row[name]) if known(row, name) else np.nan


def p_value_text(value: Any) -> str:
    """A p-value; of small ones more would say no more.

    Args:
        value: 0 to 1; None or NaN where there is none.

    Returns:
        Two significant digits, `<0.001`, or nothing.

    Example:
        >>> p_value_text(0.04321), p_value_text(0.0004), p_value_text(None)
        ('0.043', '<0.001', '')
    """
    if value is None or pd.isna(value):
        return ""
    return "<0.001" if value < 0.001 else f"{value:.2g}"


def _sorted_by(row: Record, name: str) -> float | None:
    return float(row[name]) if known(row, name) and np.isfinite(row[name]) else None


def _rank(row: Record) -> str:
    return str(row["rank"]) if known(row, "rank") and not row["n_missing"] else ""


def _passes(row: Record) -> str:
    """Forward and, if there are any, backward passes for one map: 4000, or 80+80.

    Rows without numbers say here why.
    """
    if not known(row, "run_key"):
        return "not run"
    if row["n_missing"]:
        return f"{row['n_missing']} of {row['n_images'] + row['n_missing']} images missing"
    if not known(row, "forward_passes"):
        return ""
    ways = [row["forward_passes"], row["backward_passes"]]
    return "+".join(str(count) for count in ways[: 1 + bool(ways[1])])


def _all_passes(row: Record) -> float | None:
    has_numbers = known(row, "run_key") and not row["n_missing"] and known(row, "forward_passes")
    return float(row["forward_passes"] + row["backward_passes"]) if has_numbers else None
