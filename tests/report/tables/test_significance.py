from stored_results import write_results

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.significance import significance
from bench.report.tables.significance import pair_table, win_rate_table
from bench.storage.store import stored_runs


def column(table, heading):
    place = [column.heading for column in table.columns].index(heading)
    return [row.cells[place] for row in table.rows]


def test_win_rates_and_pairs(tmp_path):
    write_results(tmp_path)
    (comparison,) = comparisons(stored_runs(tmp_path, "board"), "board")
    found = significance(comparison, "insertion")
    table = win_rate_table(found, comparison.controls)
    assert [row.name for row in table.rows] == found.methods
    headings = [column.heading for column in table.columns]
    assert headings == ["Row beats column", "Mean rank", "Group", *found.methods]
    for row in table.rows:
        for name, cell in zip(found.methods, row.cells[3:], strict=True):
            if name == row.name:
                assert (cell.text, cell.value) == ("", None)
            else:
                rate = found.win_rates.loc[row.name, name]
                assert (cell.value, cell.shade) == (rate, round(10 * rate))
    pairs = pair_table(found, comparison.controls)
    assert [row.name for row in pairs.rows] == found.pairs["better"].tolist()
    assert [cell.text for cell in column(pairs, "Worse")] == found.pairs["worse"].tolist()
    differences = [cell.value for cell in column(pairs, "Difference")]
    assert differences == found.pairs["difference"].tolist()
    assert pairs.sorted_by is None
