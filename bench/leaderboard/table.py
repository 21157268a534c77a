"""Stored rows to the rows of a leaderboard."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.leaderboard.comparison import (
    Comparison,
    comparison_key,
    comparisons,
    is_control,
    row_names,
)
from bench.leaderboard.published import METRICS, published_cells
from bench.leaderboard.significance import against_best
from bench.leaderboard.statistics import bootstrap_intervals
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity
from bench.metrics.score import accuracy_is
from bench.store import Run, curve_areas

COLUMNS = (
    "benchmark backbone protocol auc method control n_images n_missing clean_accuracy "
    "mean_clean_score insertion_auc insertion_ci_low insertion_ci_high insertion_letters "
    "insertion_p deletion_auc deletion_ci_low deletion_ci_high deletion_letters deletion_p srg "
    "tied_fraction published_insertion_auc published_deletion_auc insertion_delta deletion_delta "
    "insertion_inside deletion_inside published_method notes forward_passes backward_passes rank "
    "seed comparison run_key"
).split()


OPTIONAL_COLUMNS = (
    MuFidelity.column,
    *(f"confidence_{share}" for share in Confidence.shares),
    "confidence_ci_low",
    "confidence_ci_high",
    "published_confidence",
    "confidence_delta",
    "confidence_inside",
    "accuracy_counts",
)
"""Columns of tables whose protocols ask for them; the interval is that of `confidence_100`.
`accuracy_counts` says which images `clean_accuracy` counts where it is not those whose top class is
the target: of multi-label networks."""


def leaderboard(
    runs: Sequence[Run], name: str, auc: str | None = None, test: str = "wilcoxon"
) -> pd.DataFrame:
    """Builds a leaderboard from stored runs.

    A method's numbers are filled only if every image of the list is there; otherwise its cells
    are blank and `n_missing` says how many images lack. Ranks compare methods on the same images,
    with the same weights, under the same protocol.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard, for the rows' names.
        auc: A key of `bench.metrics.auc.AUC_RULES`; each protocol's own rule if None.
        test: A key of `bench.leaderboard.significance.TESTS`.

    Returns:
        The columns `COLUMNS`, best insertion AUC first within each comparison. `srg` is insertion
        minus deletion, where both share baseline and steps. Intervals are bootstrapped over
        images. Methods that share one of a column's letters cannot be told apart by the test;
        its p-values are against the column's best method (corrected over all pairs; blank for the
        best, and for one image). `control` marks methods that know nothing. Columns of MuFidelity
        and of the highest confidence (means over images) follow where a protocol asks for them.
        Rows may be compared if their `comparison` is equal. Passes are what one image's map
        costs. The published columns are blank unless the experiment repeats a published table;
        then a delta is ours minus theirs, `inside` says whether theirs lies in our interval, and
        published rows that were not run follow, with no numbers of ours.

    Raises:
        BenchError: The test is not known.
    """
    methods = row_names(runs, name)
    rows = [
        {"method": methods[run.manifest["key"]]} | _with_notes(_row(run, auc), _repeated(run, name))
        for run in runs
    ]
    _add_intervals(rows)
    _add_tests(rows, comparisons(runs, name, auc), test)
    rows = [row | _compared(row) for row in rows + _not_run(runs, name)]
    asked = [own for own in OPTIONAL_COLUMNS if any(own in row for row in rows)]
    table = pd.DataFrame(rows, columns=COLUMNS + asked)
    for way in ("forward", "backward"):
        table[f"{way}_passes"] = table[f"{way}_passes"].astype("Int64")
    # Ranked as printed: what looks equal shares its rank.
    groups = table.assign(shown=table["insertion_auc"].round(6)).groupby("comparison")["shown"]
    table["rank"] = groups.rank(method="min", ascending=False).astype("Int64")
    table["control"] = table["control"].eq(True)
    order = ["benchmark", "backbone", "protocol", "comparison", "rank", "method"]
    return table.sort_values(order, ignore_index=True)


def _row(run: Run, rule: str | None) -> dict[str, Any]:
    identity, rows = run.identity, run.rows()
    row: dict[str, Any] = {
        "benchmark": identity["dataset"]["name"],
        "backbone": identity["backbone"]["name"],
        "protocol": identity["protocol"]["name"],
        "auc": rule or identity["protocol"]["auc"],
        "comparison": comparison_key(identity),
        "control": is_control(run),
        "n_images": len(rows),
        "n_missing": run.num_images - len(rows),
        "seed": identity["seed"],
        "run_key": run.manifest["key"],
        **{f"{way}_passes": count for way, count in run.passes.items()},
        "insertion_auc": np.nan,
    }
    if row["n_missing"]:
        failures = run.failures(rows)
        if failures:
            first, reason = next(iter(failures.items()))
            row["notes"] = f"{len(failures)} failed, {first} first: {reason}"
        return row
    row["clean_accuracy"] = (rows["prediction"] == rows["target"]).mean()
    if identity["backbone"].get("output_kind") == "multilabel":
        row["accuracy_counts"] = accuracy_is("multilabel")
    row["mean_clean_score"] = rows["clean_score"].mean()
    row["tied_fraction"] = rows["tied_fraction"].mean()
    row["values"] = {}
    for direction in ("insertion", "deletion"):
        areas = curve_areas(run, rows, direction, rule)
        # What is left out is told: `bench.leaderboard.sanity.undefined_areas`.
        areas = areas[np.isfinite(areas)]
        row[f"{direction}_auc"] = areas.mean() if len(areas) else np.nan
        row["values"][direction] = areas
    if MuFidelity.column in rows:
        row[MuFidelity.column] = rows[MuFidelity.column].mean()
    if Confidence.column in rows:
        highest = _confidences(run, rows)
        row |= {f"confidence_{share}": own.mean() for share, own in highest.items()}
        row["values"]["confidence"] = highest[100]
    if identity["protocol"]["insertion"] == identity["protocol"]["deletion"]:
        row["srg"] = row["insertion_auc"] - row["deletion_auc"]
    return row


def _add_intervals(rows: Sequence[dict[str, Any]]) -> None:
    """Turns each row's `values` into intervals; those of as many images share their resamples."""
    of_size = defaultdict(list)
    for row in rows:
        for metric, values in row.pop("values", {}).items():
            of_size[len(values)].append((row, metric, values))
    for columns in of_size.values():
        intervals = bootstrap_intervals(np.stack([values for *_, values in columns], axis=1))
        for (row, metric, _), (low, high) in zip(columns, intervals, strict=True):
            row[f"{metric}_ci_low"], row[f"{metric}_ci_high"] = low, high


def _add_tests(rows: Sequence[dict[str, Any]], compared: Sequence[Comparison], test: str) -> None:
    """Adds letters, and p-values against the best, to the rows that may be compared."""
    of_run = {row["run_key"]: row for row in rows}
    for comparison in compared:
        for direction in ("insertion", "deletion"):
            for method, found in against_best(comparison, direction, test).iterrows():
                row = of_run[comparison.runs[method].manifest["key"]]
                row[f"{direction}_letters"] = found["letters"]
                row[f"{direction}_p"] = found["p_value"]


def _with_notes(row: dict[str, Any], repeated: dict[str, Any]) -> dict[str, Any]:
    """Both, and what both have to say."""
    notes = "; ".join(filter(None, (row.get("notes"), repeated.get("notes"))))
    return row | repeated | {"notes": notes or None}


def _repeated(run: Run, name: str) -> dict[str, Any]:
    """The published cells that a run's row stands beside, and what is to be said of them."""
    repeats = run.reproduces(name)
    if repeats is None:
        return {}
    cells = published_cells(repeats["table"], repeats["backbone"]).get(repeats["method"], {})
    notes = [repeats["note"], *repeats["deviations"]]
    return {
        "published_method": repeats["method"] if cells else None,
        "notes": "; ".join(filter(None, notes)),
        **{published_column(metric): value for metric, value in cells.items()},
    }


def _not_run(runs: Sequence[Run], name: str) -> list[dict[str, Any]]:
    """Rows of the published methods that none of the runs repeats."""
    rows = {}
    for run in runs:
        if (repeats := run.reproduces(name)) is not None:
            key = repeats["table"], repeats["backbone"]
            first = rows.setdefault(key, {"run": run, "methods": set()})
            first["methods"].add(repeats["method"])
    found = []
    for (table, backbone), own in rows.items():
        identity = own["run"].identity
        for method, cells in published_cells(table, backbone).items():
            if method not in own["methods"]:
                found.append(
                    {
                        "method": method,
                        "published_method": method,
                        "benchmark": identity["dataset"]["name"],
                        "backbone": identity["backbone"]["name"],
                        "protocol": identity["protocol"]["name"],
                        "auc": identity["protocol"]["auc"],
                        "comparison": comparison_key(identity),
                        "n_images": 0,
                        "n_missing": own["run"].num_images,
                        "insertion_auc": np.nan,
                        **{published_column(metric): value for metric, value in cells.items()},
                    }
                )
    return found


def published_column(metric: str) -> str:
    """The column of a metric's published cells."""
    return "published_confidence" if metric == "confidence" else f"published_{metric}_auc"


def _compared(row: Mapping[str, Any]) -> dict[str, Any]:
    """Differences from the published cells, and whether these lie in our intervals."""
    found: dict[str, Any] = {}
    for metric in METRICS:
        theirs = row.get(published_column(metric), np.nan)
        ours = row.get("confidence_100" if metric == "confidence" else f"{metric}_auc", np.nan)
        if not (np.isnan(theirs) or np.isnan(ours)):
            low, high = row[f"{metric}_ci_low"], row[f"{metric}_ci_high"]
            found[f"{metric}_delta"] = ours - theirs
            found[f"{metric}_inside"] = bool(low <= theirs <= high)
    return found


def _confidences(run: Run, rows: pd.DataFrame) -> dict[int, NDArray[np.float64]]:
    """Share of the curve -> the highest confidence (n,) within it."""
    settings = run.identity["protocol"]["confidence"]
    confidence = Confidence(settings["steps"], settings["whole_image"])
    curves = np.stack(rows[Confidence.column].tolist())
    return {share: confidence.highest(curves, share) for share in Confidence.shares}
