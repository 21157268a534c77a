"""How far the order of methods depends on protocol and AUC rule, as Markdown and CSV."""

from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from bench.leaderboard.columns import arrow
from bench.leaderboard.robustness import Robustness
from bench.leaderboard.statistics import LEVEL
from bench.report.tables.markdown import markdown, markdown_row

_LEGEND = (
    "Settings are protocols, each with its own AUC rule, and the same curves with other rules. "
    "All judge the same maps.",
    "mean and mean_without_end are no settings of their own: on curves that share their end points "
    "they are the trapezoid times a number plus another, so they never change the order.",
    "relative_trapezoid divides by each image's clean score: the images that the network is least "
    "sure of weigh most. It is left out where a clean score is not positive.",
    "tau is Kendall's tau-b of two orders of methods: 1 the same, 0 unrelated, -1 turned round.",
    f"Significant: Wilcoxon's signed-rank test over the images, p < {LEVEL} by Holm's procedure "
    "over all pairs of a setting.",
)


def to_markdown(results: Sequence[Robustness], name: str) -> str:
    """What holds whatever the setting, and what does not, for people.

    Args:
        results: For each set of comparable settings and each statistic.
        name: The leaderboard's.
    """
    lines = [f"# {markdown(name)}: robustness", ""]
    for found in results:
        lines += [f"## {markdown(_title(found))}", ""]
        lines.append(markdown(" ".join(summary(found))))
        for title, table in tables(found).items():
            lines += ["", f"### {title}", "", *_table(table)]
        lines += [""]
    return "\n".join([*lines, *(f"- {markdown(line)}" for line in _LEGEND)]) + "\n"


def _title(found: Robustness) -> str:
    images = f"{found.num_images} image{'s'[: found.num_images != 1]}"
    return f"{found.title} · {images} · {found.statistic.name} {arrow(found.statistic)}"


def summary(found: Robustness) -> list[str]:
    """Sentences on how far the order of methods holds."""
    lines = []
    if found.left_out:
        lines.append(f"Left out, not in all protocols with the same maps: {_list(found.left_out)}.")
    if len(found.means) < 2:
        return [*lines, "Fewer than two methods are in all protocols: there is no order."]
    tau = found.tau.iloc[0, 1:]
    pairs, everywhere = found.conclusions, found.holding
    always = (everywhere["significantly"] == everywhere["settings"]).sum()
    turned = ((pairs["significantly"] > 0) & (pairs["significantly_behind"] > 0)).sum()
    return [
        f"{len(found.means)} methods under {len(found.settings)} settings "
        f"({len(found.protocols)} protocols); the reference is {found.settings[0]}.",
        f"tau with the reference: {tau.min():.2f}..{tau.max():.2f}, median {tau.median():.2f}.",
        f"Of {len(pairs)} pairs of methods {len(everywhere)} are in the same order in all "
        f"settings, {always} of them significantly in all. Significant one way in one setting and "
        f"the other way in another: {turned}.",
        *lines,
    ]


def tables(found: Robustness) -> dict[str, pd.DataFrame]:
    """What there is to look up, as text, by title; first columns are the index."""
    if len(found.means) < 2:
        return {}
    protocols = list(found.protocols)
    tables = {
        "Ranks": found.ranks[protocols].astype(str),
        "tau between protocols": found.tau.loc[protocols, protocols].map(_tau),
    }
    rules = _tau_of_rules(found)
    if len(rules.columns):
        tables["tau of other AUC rules with the protocol's own"] = rules
    tables["What holds"] = _what_holds(found)
    swaps = found.swaps[found.swaps["setting"].isin(protocols)]
    if len(swaps):
        pairs = swaps["worse"] + " before " + swaps["better"]
        told = pairs.groupby(swaps["setting"], sort=False).agg(_list)
        tables["Turned round, against the reference"] = told.to_frame("pairs")
    return tables


def _tau_of_rules(found: Robustness) -> pd.DataFrame:
    """(protocols, rules) as text; blank where a rule means nothing."""
    rows: dict[str, dict[str, str]] = {protocol: {} for protocol in found.protocols}
    for setting in found.settings:
        protocol, comma, rule = setting.rpartition(", ")
        if comma:
            rows[protocol][rule] = _tau(found.tau[setting][protocol])
    return pd.DataFrame.from_dict(rows, orient="index").fillna("")


def _what_holds(found: Robustness) -> pd.DataFrame:
    """A row a method: whom it is ahead of in all settings, and whom in the reference only."""
    rows = {}
    for method, pairs in found.conclusions.groupby("better", sort=False):
        holds = pairs["ahead"] == pairs["settings"]
        rows[method] = {
            "ahead in all settings (* significantly in all)": _list(
                f"{pair['worse']}{'*' * (pair['significantly'] == pair['settings'])}"
                for pair in pairs[holds].to_dict("records")
            ),
            "ahead in some": _list(
                f"{pair['worse']} ({pair['ahead']} of {pair['settings']})"
                for pair in pairs[~holds].to_dict("records")
            ),
        }
    return pd.DataFrame.from_dict(rows, orient="index")


def _table(table: pd.DataFrame) -> list[str]:
    header = ["", *table.columns]
    rows = ([index, *cells] for index, *cells in table.itertuples())
    return [
        markdown_row(map(markdown, header)),
        "|" + "---|" * len(header),
        *(markdown_row(map(markdown, row)) for row in rows),
    ]


def _tau(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.2f}"


def _list(words: Iterable[str]) -> str:
    return ", ".join(words)


def _settings(found: Robustness) -> pd.DataFrame:
    means = found.means.rename_axis("method").reset_index()
    table = means.melt("method", var_name="setting", value_name="mean")
    ranks = found.ranks.rename_axis("method").reset_index()
    table["rank"] = ranks.melt("method")["value"]
    table["tau"] = table["setting"].map(found.tau.iloc[0])
    return table[["setting", "tau", "method", "mean", "rank"]]


def _taus(found: Robustness) -> pd.DataFrame:
    table = found.tau.rename_axis("setting").reset_index()
    return table.melt("setting", var_name="other", value_name="tau")


CSV_PARTS: dict[str, Callable[[Robustness], pd.DataFrame]] = {
    "settings": _settings,
    "tau": _taus,
    "swaps": lambda found: found.swaps,
    "conclusions": lambda found: found.conclusions,
}
"""What there is as CSV: each method's mean and rank in each setting, with the setting's tau with
the reference; tau of every two settings; `Robustness.swaps`; `Robustness.conclusions`."""


def to_csv(results: Sequence[Robustness], part: str = "settings") -> str:
    """One part for all sets and statistics; numbers with six decimals.

    Args:
        results: For each set of comparable settings and each statistic.
        part: A key of `CSV_PARTS`.
    """
    tables = [
        CSV_PARTS[part](found).assign(data=found.title, metric=found.statistic.name)
        for found in results
    ]
    table = pd.concat(tables, ignore_index=True)
    first = ["data", "metric"]
    others = [column for column in table if column not in first]
    return table[first + others].to_csv(index=False, float_format="%.6f")
