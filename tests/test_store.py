import json

import numpy as np
import pandas as pd
import pytest

from bench import load_rows
from bench.errors import BenchError
from bench.identity import run_key
from bench.store import ROW_COLUMNS, open_run, stored_runs


def identity(**changes):
    ten = {"steps": 2, "baseline": {"kind": "ZeroBaseline"}}
    return {
        "dataset": {"name": "birds", "num_images": 3, "list_sha256": "a", "pixels_sha256": "b"},
        "backbone": {"name": "toy", "weights_sha256": "c"},
        "explain": {"backbone": "the same", "score": "probability"},
        "method": {"name": "rise", "version": 1, "settings": {"num_masks": 4}},
        "protocol": {
            "name": "mine", "hash": "d", "auc": "trapezoid", "score": "probability",
            "insertion": ten, "deletion": ten,
        },
        "seed": 0,
        "precision": "fp32",
        **changes,
    }  # fmt: skip


def rows(*names, insertion=(0.0, 0.5, 1.0), deletion=(1.0, 0.25, 0.0)):
    return pd.DataFrame(
        {
            "image_id": list(names),
            "target": 1,
            "prediction": [1] * (len(names) - 1) + [0],
            "clean_score": np.float32(1),
            "baseline_score": np.float32(0),
            "insertion_curve": [np.array(insertion, np.float32)] * len(names),
            "deletion_curve": [np.array(deletion, np.float32)] * len(names),
            "tied_fraction": np.float32(0.5),
            "seconds": np.float32(0.1),
        }
    )


def begin(folder, label=None, **changes):
    run = open_run(folder, identity(**changes), {"seed": 0}, {"python": "3"})
    if label:
        run.set_label("board", label)
    return run


def test_rows_come_back_ordered_and_typed(tmp_path):
    run = begin(tmp_path)
    run.append(rows("c", "a"))
    run.append(rows("b"))
    stored = run.rows()
    assert stored["image_id"].tolist() == ["a", "b", "c"]
    assert stored.columns.tolist()[: len(ROW_COLUMNS)] == ROW_COLUMNS
    assert stored["insertion_curve"][0].dtype == np.float32
    assert stored["insertion_curve"][0].tolist() == [0, 0.5, 1]
    assert stored["run_key"].unique().tolist() == [run_key(identity())]
    assert stored.loc[0, ["benchmark", "backbone", "protocol", "protocol_hash"]].tolist() == [
        "birds", "toy", "mine", "d",
    ]  # fmt: skip
    assert stored.loc[0, ["method", "seed"]].tolist() == ["rise", 0]


def test_the_same_identity_finds_the_same_run(tmp_path):
    begin(tmp_path).append(rows("a"))
    again = begin(tmp_path)
    assert len(again.rows()) == 1
    renamed = {"name": "my_rise", "version": 1, "settings": {"num_masks": 4}}
    assert len(begin(tmp_path, method=renamed).rows()) == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 1},
        {"precision": "bf16"},
        {"method": {"name": "rise", "version": 2, "settings": {"num_masks": 4}}},
        {"method": {"name": "rise", "version": 1, "settings": {"num_masks": 5}}},
        {"backbone": {"name": "toy", "weights_sha256": "x"}},
        {"dataset": {**identity()["dataset"], "pixels_sha256": "x"}},
        {"dataset": {**identity()["dataset"], "list_sha256": "x"}},
        {"protocol": {**identity()["protocol"], "hash": "x"}},
        {"explain": {"backbone": "the same", "score": "logit"}},
    ],
)
def test_whatever_decides_the_numbers_makes_another_run(tmp_path, changes):
    begin(tmp_path).append(rows("a"))
    assert begin(tmp_path, **changes).rows().empty


def test_parts_that_begin_alike_do_not_replace_each_other(tmp_path):
    run = begin(tmp_path)
    run.append(rows("a", "b"))
    run.append(rows("a", "c"))  # computed twice, as by two runs at once
    assert run.rows()["image_id"].tolist() == ["a", "b", "c"]


def test_a_row_can_be_renamed_without_being_computed_again(tmp_path):
    begin(tmp_path, "old").append(rows("a"))
    begin(tmp_path, "new")
    assert load_rows(tmp_path, "board")["method"].tolist() == ["new"]


def test_manifest_tells_the_whole_story(tmp_path):
    run = begin(tmp_path, label="RISE")
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["identity"] == identity()
    assert manifest["key"] == run_key(identity())
    assert manifest["labels"] == {"board": "RISE"}
    assert (manifest["config"], manifest["provenance"]) == ({"seed": 0}, {"python": "3"})


def test_load_rows(tmp_path):
    begin(tmp_path, label="RISE").append(rows("a", "b"))
    begin(tmp_path, seed=1).append(rows("a", insertion=(0, 1, 1), deletion=(1, 0, 0)))
    everything = load_rows(tmp_path)
    assert len(everything) == 3
    by_seed = everything.groupby("seed")[["insertion_auc", "deletion_auc"]].mean()
    assert by_seed.loc[0].tolist() == [0.5, 0.375]
    assert by_seed.loc[1].tolist() == [0.75, 0.25]
    assert load_rows(str(tmp_path), leaderboard="board")["method"].tolist() == ["RISE"] * 2


def test_maps_are_kept_and_missed(tmp_path):
    run = begin(tmp_path)
    own = np.arange(6, dtype=np.float32).reshape(2, 3)
    run.save_map("a/b c.png", own)
    assert (run.load_map("a/b c.png") == own).all()
    assert run.load_map("other.png") is None
    (kept,) = run.folder.glob("map-*.npy")
    kept.write_bytes(b"broken")
    with pytest.raises(BenchError, match=f"{kept.name}' is broken"):
        run.load_map("a/b c.png")


def test_a_part_that_cannot_be_read_is_named(tmp_path):
    run = begin(tmp_path)
    run.append(rows("a"))
    (part,) = run.folder.glob("part-*.parquet")
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(BenchError, match=f"{part.name}' cannot be read .* delete it"):
        run.rows()


def test_a_manifest_that_cannot_be_read_is_named(tmp_path):
    run = begin(tmp_path)
    (run.folder / "manifest.json").write_text("{")
    with pytest.raises(BenchError, match=r"manifest\.json' cannot be read"):
        stored_runs(tmp_path)
    (run.folder / "manifest.json").write_text("[]")
    with pytest.raises(BenchError, match=r"manifest\.json' is no manifest"):
        stored_runs(tmp_path)


def test_missing_and_empty_results(tmp_path):
    with pytest.raises(BenchError, match="nowhere' is missing"):
        load_rows(tmp_path / "nowhere")
    with pytest.raises(BenchError, match="no runs in"):
        load_rows(tmp_path)
    begin(tmp_path, "RISE").append(rows("a"))
    with pytest.raises(BenchError, match="'nope'; there are: board"):
        load_rows(tmp_path, "nope")
