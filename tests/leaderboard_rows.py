"""Rows of a leaderboard that are given, and not made by runs."""

import numpy as np
import pandas as pd
from compared import DELETION, INSERTION, SRG

from bench.leaderboard.columns import csv_columns
from bench.leaderboard.table import Leaderboard

STATISTICS = [INSERTION, DELETION, SRG]
LEGEND = (
    "Bold: the best of its column; underlined: the second best; *, **, ***: differs from the best, "
    "controls included, p < 0.05, 0.01, 0.001; methods that share a letter cannot be told apart; "
    "italics: controls, which are neither best nor second."
)


def board(**columns):
    """Four methods, of which the last is a control that is better than all."""
    given = {
        "benchmark": "birds", "backbone": "toy", "protocol": "mine", "auc": "trapezoid",
        "comparison": "c", "n_images": 9, "n_missing": 0, "clean_accuracy": 0.5,
        "method": ["rise", "lime", "edge_map", "center"],
        "insertion_auc": [0.7, 0.60001, 0.60004, 0.9], "deletion_auc": [0.2, 0.1, 0.3, 0.05],
        "insertion_ci_low": 0.1, "insertion_ci_high": 0.9, "deletion_ci_low": 0.1,
        "deletion_ci_high": 0.9, "srg": [0.5, 0.5, 0.3, 0.85], "tied_fraction": 0.0,
        "rank": [2, 3, 3, 1], "run_key": "k", "forward_passes": 3, "backward_passes": 0,
        "control": [False, False, False, True],
        "insertion_p": [np.nan, 0.04999, 0.001, 0.0009], "deletion_p": [0.05, np.nan, 0.0099, 1],
        "insertion_letters": ["a", "b", "b", "a"], "deletion_letters": ["ab", "a", "b", "a"],
    } | columns  # fmt: skip
    empty = pd.DataFrame(
        columns=[column for column in csv_columns(STATISTICS) if column not in given],
        index=range(4),
    )
    return pd.concat([pd.DataFrame(given, index=range(4)), empty.astype(object)], axis=1)


def shown(table, name="b"):
    return Leaderboard(name, table, {"c": STATISTICS})
