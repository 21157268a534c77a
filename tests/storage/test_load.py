import pytest
from toy_rows import begin, rows

from bench import load_rows
from bench.errors import BenchError


def test_load_rows(tmp_path):
    begin(tmp_path, label="RISE").append(rows("a", "b"))
    begin(tmp_path, seed=1).append(rows("a", insertion=(0, 1, 1), deletion=(1, 0, 0)))
    everything = load_rows(tmp_path)
    assert len(everything) == 3
    by_seed = everything.groupby("seed")[["insertion_auc", "deletion_auc"]].mean()
    assert by_seed.loc[0].tolist() == [0.5, 0.375]
    assert by_seed.loc[1].tolist() == [0.75, 0.25]
    assert load_rows(str(tmp_path), leaderboard="board")["method"].tolist() == ["RISE"] * 2


def test_missing_and_empty_results(tmp_path):
    with pytest.raises(BenchError, match="nowhere' is missing"):
        load_rows(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="no runs in"):
        load_rows(tmp_path)
    begin(tmp_path, "RISE").append(rows("a"))
    with pytest.raises(BenchError, match="'nope'; there are: board"):
        load_rows(tmp_path, "nope")
