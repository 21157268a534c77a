import numpy as np
import pytest
from leaderboard_rows import board, shown

from bench.report.tables.paper import as_in_papers, digits_of


@pytest.mark.parametrize(
    ("values", "widths", "digits"),
    [
        ([0.3, 0.4, 0.5], [], 4),
        ([0.0010, 0.0010], [], 4),  # the same number twice
        ([0.00101, 0.00104, 0.3], [], 5),
        ([0.001, 0.00100001], [], 8),
        ([0.001, 0.001000000001], [], 4),  # no digits that we print tell these apart
        ([0.001, 0.00104, 0.001000000001], [], 5),
        ([0.3, np.nan, 0.30001], [], 5),
        ([0.3, 0.4], [0.00002, 0.00004, 0.5], 6),  # of the median interval
        ([0.3, 0.4], [0, np.nan], 4),
        ([0.3], [1e-12], 8),
        ([], [], 4),
    ],
)
def test_digits_tell_numbers_apart_and_show_intervals(values, widths, digits):
    assert digits_of(values, widths, 4) == digits


def test_rows_and_reference_have_titles():
    given = shown(board(run_key=list("klmn")))
    titled = as_in_papers(
        type(given)(given.name, given.rows, given.statistics, "lime", {"l": "LIME", "n": "Center"})
    )
    assert titled.rows["method"].tolist() == ["rise", "LIME", "edge_map", "Center"]
    assert titled.reference == "LIME"
    assert given.rows["method"].tolist() == ["rise", "lime", "edge_map", "center"]
