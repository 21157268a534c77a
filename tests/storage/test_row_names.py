from toy_rows import begin, rows

from bench import load_rows
from bench.storage.row_names import any_row_names, row_names
from bench.storage.store import stored_runs


def rise(num_masks):
    return {"name": "rise", "version": 1, "settings": {"kind": "Rise", "num_masks": num_masks}}


def test_rows_of_one_label_are_told_apart(tmp_path):
    for num_masks in (8, 64):
        begin(tmp_path, "RISE", method=rise(num_masks)).append(rows("a"))
    begin(tmp_path, "other", method=rise(3)).append(rows("a"))
    names = {"RISE (num_masks=8)", "RISE (num_masks=64)", "other"}
    assert set(row_names(stored_runs(tmp_path, "board"), "board").values()) == names
    assert set(load_rows(tmp_path, "board")["method"]) == names
    everything = load_rows(tmp_path)
    assert set(everything["label"]) == names
    assert set(everything["method"]) == {"rise"}


def test_a_row_of_several_leaderboards_or_of_none(tmp_path):
    run = begin(tmp_path, "second", method=rise(8))
    run.set_label("a board", "first")
    alone = begin(tmp_path, method=rise(9))
    assert any_row_names([run, alone]) == {run.key: "first", alone.key: "rise"}
    run.append(rows("a"))
    assert load_rows(tmp_path, "board")["label"].tolist() == ["second"]
    assert load_rows(tmp_path)["label"].tolist() == ["first"]
