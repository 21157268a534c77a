"""Shares of a run's images: how they are dealt, and that their rows are those of the whole."""

from pathlib import Path

import pandas as pd
import pytest

from bench import load_rows
from bench.datasets.dataset import Sample
from bench.datasets.shard import Shard, read_shard
from bench.errors import BenchError
from bench.storage.store import stored_runs

BOARD = Path("results/leaderboards/list_toy_xplique-probability.csv")


@pytest.mark.parametrize("count", [1, 2, 3, 8, 11, 20])
def test_every_image_is_in_one_shard(count):
    samples = [Sample(f"{number}", Path(f"{number}"), 0) for number in range(11)]
    shares = [read_shard(f"{number + 1}/{count}").choose(samples) for number in range(count)]
    assert sorted((sample for share in shares for sample in share), key=samples.index) == samples
    assert {len(share) for share in shares} <= {11 // count, 11 // count + 1}
    assert shares[0] == samples[::count]


def test_no_shard_is_the_whole():
    assert read_shard(None) == Shard(1, 1)
    assert Shard().choose([1, 2]) == [1, 2]
    assert str(read_shard("3/8")) == "3/8"


@pytest.mark.parametrize("value", ["0/4", "5/4", "1", "1/0", "-1/4", "a/b", "1/2/3", 3, 0.5, ""])
def test_bad_shards(value):
    with pytest.raises(BenchError, match=r"shard: expected k/n with 1 <= k <= n.* found"):
        read_shard(value)


def test_shards_are_the_whole_bit_for_bit(bench):
    """In any order, with other blocks, and whatever was stored before."""
    methods = "method=[random,saliency,rise]"
    settings = [methods, "method.rise.num_masks=5", "gallery=3"]
    assert bench(*settings, "block_size=4", "results_dir=whole")[0] == 0
    for shard in ("3/4", "1/4", "4/4"):
        assert bench(*settings, f"shard={shard}")[0] == 0
    _, out, _ = bench("results", command="leaderboard")
    table = pd.read_csv(BOARD)
    assert (table["n_missing"] == 2).all()
    assert table["insertion_auc"].isna().all()
    assert out.count("2 of 7 images missing") == 3
    assert bench(*settings, "shard=2/4")[0] == 0
    whole, shards = (load_rows(folder).drop(columns="seconds") for folder in ("whole", "results"))
    pd.testing.assert_frame_equal(whole, shards, check_exact=True)
    boards = [Path(folder) / BOARD.relative_to("results") for folder in ("whole", "results")]
    assert boards[0].read_bytes() == boards[1].read_bytes()
    kept = [
        sorted(p.name for p in Path(folder).rglob("map-*.npy")) for folder in ("whole", "results")
    ]
    assert kept[0] == kept[1]
    assert len(kept[0]) > 9  # the first three images of each method, and its extremes


def test_a_sweep_over_shards(bench):
    code, out, _ = bench("-m", "shard=1/4,2/4,3/4,4/4")
    assert code == 0
    assert "Shard 2/4: 2 of 7 images" in out
    assert (pd.read_csv(BOARD)["n_missing"] == 0).all()
    assert len(stored_runs(Path("results"))) == 2


def test_what_a_shard_prints_is_not_taken_for_the_whole(bench):
    code, out, _ = bench("method=[random]", "shard=2/3")
    assert code == 0
    assert "Shard 2/3: 2 of 7 images" in out
    right = (load_rows("results")["prediction"] == load_rows("results")["target"]).sum()
    assert f"right on {right} of 2 images ({right / 2:.1%}); 5 more are missing" in out
    assert "5 of 7 images missing" in out
    assert " · accuracy" not in out
    assert "To do: 36 forward" in out  # 2 images, 18 points each
    _, out, _ = bench("method=[random]")
    assert "To do: 90 forward" in out  # the others
    assert "of 7 images (" in out
    assert "missing" not in out


def test_more_shards_than_images(bench):
    code, out, _ = bench("method=[random]", "shard=8/8")
    assert code == 0
    assert "Shard 8/8: 0 of 7 images" in out
    assert "7 of 7 images missing" in out


def test_a_bad_shard_is_told(bench):
    code, _, err = bench("shard=5/4")
    assert code == 1
    assert (
        err == "bench: error: shard: expected k/n with 1 <= k <= n, as in shard=3/8, found '5/4'\n"
    )
