"""Stored rows as one table, for notebooks and scripts."""

from pathlib import Path

import pandas as pd

from bench.errors import BenchError
from bench.storage.row_names import any_row_names, row_names
from bench.storage.store import Run, leaderboard_names, stored_runs


def load_rows(
    results_dir: str | Path = "results", leaderboard: str | None = None, auc: str | None = None
) -> pd.DataFrame:
    """Loads the stored rows: one for each image and method, with both curves.

    Args:
        results_dir: The results folder.
        leaderboard: Only the rows of this leaderboard, with its names for the methods.
        auc: A key of `bench.metrics.auc.AUC_RULES`; the protocol's rule if None.

    Returns:
        `label`, the name that all tables have for the row (of rows in several leaderboards, that in
        the first by name, unless one is asked for); the columns of
        `bench.storage.rows.ROW_COLUMNS` (`image_label` is the image's class, `target` the one whose
        score was read); those that the protocol's metrics store; what tables show of them
        (`insertion_auc`, by that rule); and the run's identity: run_key, benchmark, backbone,
        protocol, protocol_hash, method, seed (of a row of several draws there are all draws' rows).
        Two rows of one method with other settings share
        their `method`, but no `label`.

    Warns (`bench.errors.BenchWarning`) of files that it leaves out because they are broken.

    Raises:
        BenchError: The folder is missing, or cannot be read, or holds no runs.

    Example:
        >>> from bench.leaderboard.example import example_runs
        >>> _ = example_runs("results")
        >>> rows = load_rows("results")
        >>> len(rows), rows["insertion_curve"][0].shape
        (24, (11,))
        >>> rows.groupby("label")["insertion_auc"].mean().round(3).to_dict()
        {'grad_cam': 0.61, 'random': 0.5, 'rise': 0.65}
    """
    tables = []
    runs = stored_runs(Path(results_dir), leaderboard)
    names = any_row_names(runs) if leaderboard is None else row_names(runs, leaderboard)
    for run, label in ((draw, names[row.key]) for row in runs for draw in row.draws):
        rows = rows_of(run, label, auc)
        if leaderboard is not None:
            rows["method"] = rows["label"]
        tables.append(rows)
    if not tables:
        boards = leaderboard_names(Path(results_dir))
        known = f" of leaderboard '{leaderboard}'; there are: {', '.join(boards)}" if boards else ""
        raise BenchError(f"no runs in '{results_dir}'{known}")
    return pd.concat(tables, ignore_index=True)


def rows_of(run: Run, label: str, auc: str | None = None) -> pd.DataFrame:
    """One run's rows as `load_rows` gives them.

    Args:
        run: The run.
        label: What tables call it.
        auc: See `load_rows`.

    Returns:
        The columns of `load_rows`.

    Raises:
        BenchError: The AUC rule is unknown.

    Example:
        >>> from bench.leaderboard.example import example_comparison
        >>> run = example_comparison().runs["grad_cam"]
        >>> rows = rows_of(run, "Grad-CAM")
        >>> rows["label"].unique().tolist(), rows["insertion_auc"].round(3).tolist()[:3]
        (['Grad-CAM'], [0.65, 0.64, 0.6])
    """
    rows = run.rows().assign(label=label)
    for statistic in run.protocol.statistics:
        if statistic.column not in rows:
            rows[statistic.column] = run.protocol.values(statistic, rows, auc)
    return rows
