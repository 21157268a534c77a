"""The page of columns, on files that bench wrote."""

import csv

import pytest
from reference.columns import columns_page
from reference.components import components
from reference.docstrings import ROOT

from bench.storage.rows import IDENTITY_COLUMNS, ROW_COLUMNS


@pytest.mark.parametrize("name", ["demo.csv", "demo_pairs.csv"])
def test_every_column_of_the_example_is_told(name):
    with (ROOT / "results/examples" / name).open(encoding="utf-8", newline="") as file:
        columns = next(csv.reader(file))
    page = columns_page()
    for column in columns:
        assert f"| `{column}` | " in page, column
    assert "|  |" not in page


def test_columns_of_rows_and_of_metrics():
    page = columns_page()
    for column in (*ROW_COLUMNS, *IDENTITY_COLUMNS, "label", "draws", "target", "accuracy_counts"):
        assert f"| `{column}` | " in page
    for metric in components("metric"):
        assert f"[`{metric.name}`](metrics.md#{metric.name})" in page
    assert "`insertion_curve` (11 points)" in page
