"""The published cells: every one has a source, and a blank stays blank."""

import csv
from pathlib import Path

import pytest

from bench.metrics.protocol import load_protocol, shipped_protocols

FOLDER = Path(__file__).parents[2] / "results" / "published"
FILES = sorted(FOLDER.glob("*.csv"))


def cells(name):
    with (FOLDER / f"{name}.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_cell_is_whole_and_stands_once(path):
    rows = cells(path.stem)
    keys = [(row["backbone"], row["method"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys) > 0
    for row in rows:
        assert row["source"] and row["paper"] and row["leaderboard"]
        assert row["value"] == "" or 0 < float(row["value"]) < 1


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_column_stands_beside_one_of_ours(path):
    protocols = map(load_protocol, shipped_protocols())
    ours = {one.published for protocol in protocols for one in protocol.statistics}
    assert {row["metric"] for row in cells(path.stem)} <= ours - {""}


def test_a_sample_of_the_record():
    value = {(r["method"], r["metric"]): r["value"] for r in cells("cub")}
    assert value["RISE", "insertion_auc"] == "0.7193"
    assert value["Saliency", "deletion_auc"] == "0.0682"
    errors = {(r["backbone"], r["method"], r["metric"]): r["value"] for r in cells("cub_errors")}
    smdl = "SMDL-Attribution (ICLR version)"
    assert errors["ResNet-101", smdl, "avg_highest_conf"] == "0.4513"
    assert errors["ResNet-101", smdl, "insertion_auc"] == ""
