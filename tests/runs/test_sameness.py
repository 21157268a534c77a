"""Rows are the same whatever else is in the run, and however it is run."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bench import load_rows

pytestmark = pytest.mark.usefixtures("two_threads")

CURVES = ("insertion_curve", "deletion_curve")
METHODS = "method=[random,saliency,rise,sobol]"
FEWER = ("method.rise.num_masks=9", "method.sobol.num_designs=4", "method.sobol.grid_size=3")


def rows(results):
    found = load_rows(results).drop(columns=["seconds", "run_key"])
    return found.sort_values(["method", "image_id"], ignore_index=True)


@pytest.fixture
def expected(bench):
    assert bench(METHODS, *FEWER, "results_dir=expected")[0] == 0
    return rows("expected")


@pytest.mark.parametrize(
    "changes",
    [
        ["workers=5"],
        ["block_size=2"],
        ["maps.keep=false"],
        ["method=[sobol,rise,random,saliency]"],
        ["protocol=smdl-cub", "then"],  # another protocol has left its maps there
    ],
)
def test_same_bits(bench, expected, changes):
    if "then" in changes:
        assert bench(METHODS, *FEWER, *changes[:-1], "results_dir=maps_only")[0] == 0
        changes = ["maps.folder=maps_only/maps"]
    given = [
        argument
        for argument in (METHODS, *FEWER)
        if not (argument[:7] == changes[0][:7] == "method=")
    ]
    assert bench(*given, *changes, "results_dir=other")[0] == 0
    pd.testing.assert_frame_equal(rows("other"), expected, check_exact=True)


@pytest.mark.parametrize("count", [2, 3])
def test_same_bits_in_any_number_of_shards(bench, expected, count):
    for number in range(1, count + 1):
        assert bench(METHODS, *FEWER, f"shard={number}/{count}", "results_dir=other")[0] == 0
    pd.testing.assert_frame_equal(rows("other"), expected, check_exact=True)


def test_same_bits_in_any_order_of_images(bench, expected, image_folder):
    lines = (image_folder / "list.txt").read_text().splitlines()
    (image_folder / "turned.txt").write_text("\n".join(lines[::-1]))
    turned = f'dataset.list="{image_folder}/turned.txt"'
    assert bench(METHODS, *FEWER, turned, "results_dir=other")[0] == 0
    pd.testing.assert_frame_equal(rows("other"), expected, check_exact=True)


@pytest.mark.parametrize("change", ["batch_size=3", "threads"])
def test_same_within_a_millionth(bench, expected, change):
    threads = torch.get_num_threads()
    if change == "threads":
        torch.set_num_threads(1 if threads > 1 else 2)
        change = "workers=2"
    try:
        assert bench(METHODS, *FEWER, change, "results_dir=other")[0] == 0
    finally:
        torch.set_num_threads(threads)
    found = rows("other")
    assert found["image_id"].equals(expected["image_id"])
    for curve in CURVES:
        ours, theirs = (np.stack(rows[curve].tolist()) for rows in (found, expected))
        assert np.abs(ours - theirs).max() <= 1e-6


def test_what_is_compared_varies(expected):
    """Else the tests above would prove little."""
    assert len(expected) == 4 * 7
    assert expected["method"].nunique() == 4
    assert Path("expected/maps").is_dir()
    curves = np.stack(expected["insertion_curve"].tolist())
    assert len(np.unique(curves[:, 3])) == 28
