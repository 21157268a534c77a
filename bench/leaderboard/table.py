"""Stored rows to the rows of a leaderboard."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.leaderboard.columns import (
    csv_columns,
    known,
    number_in,
    published_column,
    reference_columns,
)
from bench.leaderboard.comparison import Comparison, comparisons, is_control
from bench.leaderboard.draws import pooled_of_draws, spread_of_draws, values_of_draws
from bench.leaderboard.published import added_notes, published_cells
from bench.leaderboard.significance import against_best, against_reference
from bench.leaderboard.statistics import bootstrap_intervals, pooled_interval
from bench.leaderboard.titles import row_titles
from bench.metrics.statistic import Statistic
from bench.score import accuracy_is
from bench.storage.row_names import comparison_key, row_names
from bench.storage.store import Run
from bench.target import LABEL, target_in_words

ACCURACY_COUNTS = "accuracy_counts"
"""A column of multi-label networks alone: which images `clean_accuracy` counts, where it is not
those whose top class is the label."""

DRAWS = "draws"
"""A column of the tables in which a row is the mean of several draws: how many."""

TARGET = "target"
"""A column of the protocols whose target is not the label."""


@dataclass(frozen=True)
class Leaderboard:
    """A leaderboard.

    Attributes:
        name: Its name.
        rows: A row a method, best first within each comparison; across, the columns that
            `bench.leaderboard.columns.csv_columns` names.
        statistics: By comparison, what its protocol measures, in the order of the table.
        reference: The row that the others are compared with; then the columns that
            `bench.leaderboard.columns.reference_columns` names follow.
        titles: By run key, what tables for papers call the row.
        citations: By run key, what its method cites.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> runs = list(example_comparison().runs.values())
        >>> board = leaderboard(runs, "example")
        >>> [[statistic.name for statistic in each] for each in board.statistics.values()]
        [['insertion', 'deletion', 'srg']]
        >>> list(board.titles.values())
        ['RISE', 'Grad-CAM', 'Random']
    """

    name: str
    rows: pd.DataFrame
    statistics: Mapping[str, Sequence[Statistic]]
    reference: str | None = None
    titles: Mapping[str, str] = field(default_factory=dict)
    citations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Measured:
    """A run on its way to a row.

    Attributes:
        row: The row's cells so far.
        statistics: Of its protocol.
        values: By the names of the main statistics, finite values of images.
        pooled: By the names of those that are no mean of such values, their intervals.
    """

    row: dict[str, Any]
    statistics: Sequence[Statistic]
    values: Mapping[str, NDArray[np.float64]]
    pooled: Mapping[str, tuple[float, float]] = field(default_factory=dict)


def leaderboard(
    runs: Sequence[Run],
    name: str,
    auc: str | None = None,
    test: str = "wilcoxon",
    reference: str | None = None,
) -> Leaderboard:
    """Builds a leaderboard from stored runs.

    A method's numbers are filled only if every image of the list is there; otherwise its cells
    are blank and `n_missing` says how many images lack. Ranks compare methods on the same images,
    with the same weights, under the same protocol, by the first statistic of the protocol.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard, for the rows' names.
        auc: A key of `bench.metrics.auc.AUC_RULES`; each protocol's own rule if None.
        test: A key of `bench.leaderboard.significance.TESTS`.
        reference: The name of a row that the others are compared with, wherever it is complete.

    Returns:
        Its rows. Intervals are bootstrapped over images. Methods that share one of a column's
        letters cannot be told apart by the test; its p-values are against the column's best
        method (corrected over all pairs; blank for the best, and for one image). `control` marks
        methods that know nothing. Rows may be compared if their `comparison` is equal. Passes are
        what one image's map costs. The published columns are blank unless the experiment repeats
        a published table; then a delta is ours minus theirs, `inside` says whether theirs lies in
        our interval, and published rows that were not run follow, with no numbers of ours.

    Raises:
        BenchError: The test is not known.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> runs = list(example_comparison().runs.values())
        >>> board = leaderboard(runs, "example", reference="random")
        >>> columns = ["rank", "method", "insertion_auc", "insertion_letters"]
        >>> for row in board.rows[columns].round(3).itertuples(index=False):
        ...     print(*row)
        1 rise 0.65 a
        2 grad_cam 0.61 a
        3 random 0.5 b
        >>> board.rows["insertion_vs_reference"].round(3).tolist()
        [0.15, 0.11, nan]
    """
    names = row_names(runs, name)
    measured = [_measured(run, names[run.key], name, auc) for run in runs]
    _add_intervals(measured)
    compared = comparisons(runs, name, auc)
    _add_tests([one.row for one in measured], compared, test)
    if reference is not None:
        _add_reference([one.row for one in measured], compared, test, reference)
    statistics: dict[str, Sequence[Statistic]] = {}
    for one in sorted(measured, key=lambda one: -len(one.statistics)):  # most of them are added to
        known = statistics.get(one.row["comparison"], ())
        statistics[one.row["comparison"]] = list(dict.fromkeys([*known, *one.statistics]))
    rows = [one.row for one in measured] + _not_run(runs, name)
    rows = [row | _compared(row, statistics[row["comparison"]]) for row in rows]
    return Leaderboard(
        name,
        _frame(rows, statistics, reference),
        statistics,
        reference,
        row_titles(runs, name),
        {run.key: run.citations.get("method", "") for run in runs},
    )


def _frame(
    rows: Sequence[dict[str, Any]],
    statistics: Mapping[str, Sequence[Statistic]],
    reference: str | None,
) -> pd.DataFrame:
    """The rows with all columns, ranked and ordered."""
    every = list(dict.fromkeys(one for several in statistics.values() for one in several))
    columns = list(dict.fromkeys(csv_columns(every)))
    optional = [name for name in (ACCURACY_COUNTS, TARGET) if any(name in row for row in rows)]
    optional += _columns_of_draws(rows, every)
    optional += reference_columns(every) if reference is not None else []
    table = pd.DataFrame(rows, columns=columns + optional)
    for way in ("forward", "backward"):
        table[f"{way}_passes"] = table[f"{way}_passes"].astype("Int64")
    if DRAWS in table:
        table[DRAWS] = table[DRAWS].astype("Int64")
    table["rank"] = _ranks(table, statistics)
    table["control"] = table["control"].eq(True)
    order = ["benchmark", "backbone", "protocol", "comparison", "rank", "method"]
    return table.sort_values(order, ignore_index=True)


def _columns_of_draws(rows: Sequence[dict[str, Any]], statistics: Sequence[Statistic]) -> list[str]:
    """The columns that there are where a row is the mean of several draws."""
    if not any(row.get(DRAWS, 1) > 1 for row in rows):
        return []
    return [DRAWS, *(f"{one.name}_draws_sd" for one in statistics if one.is_main)]


def _ranks(table: pd.DataFrame, statistics: Mapping[str, Sequence[Statistic]]) -> pd.Series:
    """Ranks by the first statistic of each comparison; what prints alike shares its rank."""
    ranks = pd.Series(pd.NA, index=table.index, dtype="Int64")
    for key, several in statistics.items():
        first = several[0]
        shown = table.loc[table["comparison"] == key, first.column].astype(float).round(6)
        is_falling = first.higher_is_better is not False
        ranks.update(shown.rank(method="min", ascending=not is_falling).astype("Int64"))
    return ranks


def _measured(run: Run, method: str, name: str, auc: str | None) -> _Measured:
    """A run's row, but for what takes other rows."""
    protocol, draws = run.protocol, run.tables()
    rows = draws[0]
    row = {"method": method, **_facts_of(run, auc), "n_images": len(rows), DRAWS: len(run.seeds)}
    row["n_missing"] = run.num_images - len(rows)
    repeated = _repeated(run, name)
    notes = [_failed(run, rows), _explained(run), repeated.pop("notes", None)]
    row |= repeated | {"notes": "; ".join(filter(None, notes)) or None}
    if row["n_missing"]:
        return _Measured(_with_note_on_draws(row, run), protocol.statistics, {})
    row["clean_accuracy"] = (rows["prediction"] == rows["image_label"]).mean()
    if run.identity.backbone.output_kind == "multilabel":
        row[ACCURACY_COUNTS] = accuracy_is("multilabel")
    row["mean_clean_score"] = rows["clean_score"].mean()
    row["tied_fraction"] = np.mean([each["tied_fraction"].mean() for each in draws])
    values, pooled = {}, {}
    for statistic in protocol.statistics:
        summaries = [protocol.summary(statistic, each, auc) for each in draws]
        row[statistic.column] = float(np.mean(summaries))
        if statistic.is_main:
            if len(draws) > 1:
                row[f"{statistic.name}_draws_sd"] = spread_of_draws(summaries)
            every = values_of_draws(protocol, statistic, draws, auc)
            # What is left out is told: `bench.leaderboard.sanity.undefined_areas`.
            is_finite = np.isfinite(every)
            if statistic.is_pooled:
                tables = [each[is_finite] for each in draws]
                resampled = partial(pooled_of_draws, protocol, statistic, tables, auc)
                pooled[statistic.name] = pooled_interval(resampled, int(is_finite.sum()))
            else:
                values[statistic.name] = every[is_finite]
    return _Measured(_with_note_on_draws(row, run), protocol.statistics, values, pooled)


def _with_note_on_draws(row: dict[str, Any], run: Run) -> dict[str, Any]:
    """A row that says, first of all, of how many draws it is the mean, and how far these differ."""
    if len(run.seeds) == 1:
        return row
    note = f"mean of {len(run.seeds)} draws (seeds {run.seeds_in_words})"
    spreads = [
        f"{statistic.title} {row[f'{statistic.name}_draws_sd']:.{statistic.digits}f}"
        for statistic in run.protocol.statistics
        if known(row, f"{statistic.name}_draws_sd")
    ]
    if spreads:
        note += f", standard deviation between them: {', '.join(spreads)}"
    return row | {"notes": "; ".join(filter(None, [note, row["notes"]]))}


def _facts_of(run: Run, auc: str | None) -> dict[str, Any]:
    identity, target = run.identity, run.protocol.target
    return {
        **({} if target == LABEL else {TARGET: str(target)}),
        "benchmark": identity.dataset.name,
        "backbone": identity.backbone.name,
        "protocol": run.protocol.name,
        "auc": auc or run.protocol.auc,
        "comparison": comparison_key(run),
        "control": is_control(run),
        "seed": identity.seed,
        "run_key": run.key,
        **{f"{way}_passes": count for way, count in run.passes.items()},
    }


def _explained(run: Run) -> str | None:
    """Which class the method explains, if it is another one than the scored."""
    explained, scored = run.identity.explain.target, str(run.protocol.target)
    if explained == scored:
        return None
    return f"explains {target_in_words(explained)}; scored is {target_in_words(scored)}"


def _failed(run: Run, rows: pd.DataFrame) -> str | None:
    """How many images failed, and why the first did."""
    failures = run.failures(rows) if len(rows) < run.num_images else {}
    if not failures:
        return None
    first, reason = next(iter(failures.items()))
    return f"{len(failures)} failed, {first} first: {reason}"


def _add_intervals(measured: Sequence[_Measured]) -> None:
    """Adds intervals to rows; those of as many images share their resamples."""
    of_size = defaultdict(list)
    for one in measured:
        for name, (low, high) in one.pooled.items():
            one.row[f"{name}_ci_low"], one.row[f"{name}_ci_high"] = low, high
        for name, values in one.values.items():
            of_size[len(values)].append((one.row, name, values))
    for columns in of_size.values():
        intervals = bootstrap_intervals(np.stack([values for *_, values in columns], axis=1))
        for (row, name, _), (low, high) in zip(columns, intervals, strict=True):
            row[f"{name}_ci_low"], row[f"{name}_ci_high"] = low, high


def _add_tests(rows: Sequence[dict[str, Any]], compared: Sequence[Comparison], test: str) -> None:
    """Adds letters, and p-values against the best, to the rows that may be compared."""
    of_run = {row["run_key"]: row for row in rows}
    for comparison in compared:
        for statistic in comparison.tested:
            for method, found in against_best(comparison, statistic, test).iterrows():
                row = of_run[comparison.runs[str(method)].key]
                row[f"{statistic.name}_letters"] = found["letters"]
                row[f"{statistic.name}_p"] = found["p_value"]


def _add_reference(
    rows: Sequence[dict[str, Any]], compared: Sequence[Comparison], test: str, reference: str
) -> None:
    """Adds differences from a reference, raw and corrected p-values, where it is complete."""
    of_run = {row["run_key"]: row for row in rows}
    for comparison in compared:
        if reference not in comparison.runs:
            continue
        for run in comparison.runs.values():
            of_run[run.key]["reference"] = reference
        for statistic in comparison.tested:
            found = against_reference(comparison, statistic, reference, test)
            for one in found.to_dict("records"):
                row = of_run[comparison.runs[one["method"]].key]
                row[f"{statistic.name}_vs_reference"] = one["difference"]
                row[f"{statistic.name}_p_reference_raw"] = one["p_raw"]
                row[f"{statistic.name}_p_reference"] = one["p_value"]


def _repeated(run: Run, name: str) -> dict[str, Any]:
    """The published cells that a run's row stands beside, and what is to be said of them."""
    repeats = run.reproduces(name)
    if repeats is None:
        return {}
    cells = published_cells(repeats.table, repeats.backbone).get(repeats.method or "", {})
    added = added_notes(repeats.table, repeats.backbone).get(repeats.method or "")
    notes = [added, repeats.note, *repeats.deviations]
    return {
        "published_method": repeats.method if cells else None,
        "notes": "; ".join(filter(None, notes)),
        **_published(run, cells),
    }


def _published(run: Run, cells: Mapping[str, float]) -> dict[str, float]:
    """Published cells under the names of our columns."""
    statistics = run.protocol.statistics
    return {
        published_column(statistic): cells[statistic.published]
        for statistic in statistics
        if statistic.published in cells
    }


def _not_run(runs: Sequence[Run], name: str) -> list[dict[str, Any]]:
    """Rows of the published methods that none of the runs repeats."""
    repeated: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if (repeats := run.reproduces(name)) is not None:
            repeated.setdefault((repeats.table, repeats.backbone), []).append(run)
    rows = []
    for (table, backbone), several in repeated.items():
        first = several[0]
        done = {each.method for run in several if (each := run.reproduces(name)) is not None}
        shared = ("benchmark", "backbone", "protocol", "auc", "comparison", TARGET)
        facts = _facts_of(first, auc=None)
        added = added_notes(table, backbone)
        rows += [
            {key: facts[key] for key in shared if key in facts}
            | {"method": method, "published_method": method, "notes": added.get(method)}
            | {"n_images": 0, "n_missing": first.num_images}
            | _published(first, cells)
            for method, cells in published_cells(table, backbone).items()
            if method not in done
        ]
    return rows


def _compared(row: Mapping[str, Any], statistics: Sequence[Statistic]) -> dict[str, Any]:
    """Differences from the published cells, and whether these lie in our intervals."""
    found: dict[str, Any] = {}
    for statistic in statistics:
        theirs = published_column(statistic)
        if statistic.published and known(row, theirs) and known(row, statistic.column):
            low, high = (number_in(row, f"{statistic.name}_ci_{end}") for end in ("low", "high"))
            found[f"{statistic.name}_delta"] = row[statistic.column] - row[theirs]
            found[f"{statistic.name}_inside"] = bool(low <= row[theirs] <= high)
    return found
