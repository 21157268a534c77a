import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from bench.datasets.dataset import Sample
from bench.errors import BenchError
from bench.map_store import image_key, open_maps

IDENTITY = {
    "backbone": {"name": "net", "weights_sha256": "a"},
    "score": "probability",
    "method": {"name": "rise", "version": 1, "settings": {"num_masks": 5}},
    "seed": 0,
}
KEYS = {name: image_key(Sample(name, Path(name), 1), "pixels") for name in "abcd"}


def noise(count, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 5, 7)).astype(np.float32)


def opened(folder, dtype="float32", keys=KEYS, **changes):
    return open_maps(folder, IDENTITY | changes, dtype, keys)


def test_maps_come_back_to_the_bit_in_any_order(tmp_path):
    first, second = noise(2), noise(1, seed=1)
    store = opened(tmp_path)
    store.save(["a", "b"], first, 1.5)
    store.save(["c"], second, 2.5)
    assert [name in store for name in "abcd"] == [True, True, True, False]
    for own in (store, opened(tmp_path)):  # in this process, and in the next
        maps, seconds = own.load(["c", "b", "a"])
        assert maps.dtype == np.float32
        assert np.array_equal(maps, np.concatenate([second, first[::-1]]))
        assert seconds.tolist() == [2.5, 1.5, 1.5]


def test_a_store_for_each_thing_that_decides_a_map(tmp_path):
    opened(tmp_path).save(["a"], noise(1), 0)
    method = IDENTITY["method"]
    for changes in (
        {"backbone": {"name": "net", "weights_sha256": "b"}},
        {"score": "logit"},
        {"method": method | {"version": 2}},
        {"method": method | {"settings": {"num_masks": 6}}},
        {"seed": 1},
    ):
        assert "a" not in opened(tmp_path, **changes), changes
    assert "a" not in opened(tmp_path, dtype="float16")
    assert "a" in opened(tmp_path, method=method | {"name": "my name for it"})


@pytest.mark.parametrize(
    ("sample", "pixels"),
    [
        (Sample("a", Path("a"), 2), "pixels"),
        (Sample("a", Path("a"), 1), "others"),
        (Sample("b", Path("a"), 1), "pixels"),
    ],
)
def test_a_map_belongs_to_image_label_and_pixels(tmp_path, sample, pixels):
    opened(tmp_path).save(["a"], noise(1), 0)
    other = opened(tmp_path, keys={sample.image_id: image_key(sample, pixels)})
    assert sample.image_id not in other
    moved = Sample("a", Path("elsewhere/a"), 1)
    assert "a" in opened(tmp_path, keys={"a": image_key(moved, "pixels")})


def test_float16_keeps_large_and_small_maps_to_three_digits(tmp_path):
    maps = noise(3) * np.array([1e9, 1e-9, 0], np.float32)[:, None, None]
    store = opened(tmp_path, dtype="float16")
    store.save(["a", "b", "c"], maps, 0)
    found, _ = store.load(["a", "b", "c"])
    assert found.dtype == np.float32
    for own, expected in zip(found, maps, strict=True):
        assert np.abs(own - expected).max() <= 2**-11 * np.abs(expected).max()
    (part,) = store.folder.glob("part-*")
    with safe_open(part, framework="numpy") as file:
        assert file.get_tensor("maps").dtype == np.float16


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_float64_maps_keep_what_float32_cannot_hold(tmp_path, dtype):
    small = noise(1).astype(np.float64) * 1e-60
    store = opened(tmp_path, dtype)
    store.save(["a"], small, 0)
    store.save(["b"], noise(1), 0)
    for own in (store, opened(tmp_path, dtype)):
        found, _ = own.load(["a"])
        assert found.dtype == np.float64
        tolerance = 0 if dtype == "float32" else 2**-11 * np.abs(small).max()
        assert np.abs(found - small).max() <= tolerance
        assert own.load(["b"])[0].dtype == np.float32
        assert own.load(["b", "a"])[0].dtype == np.float64


def test_the_folder_says_what_it_holds(tmp_path):
    folder = opened(tmp_path).folder
    assert folder.name.startswith("net_rise-")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["identity"] == IDENTITY | {"dtype": "float32"}


def test_a_broken_part_is_set_aside_and_made_again(tmp_path):
    store = opened(tmp_path)
    store.save(["a"], noise(1), 0)
    (part,) = store.folder.glob("part-*")
    part.write_bytes(part.read_bytes()[:40])
    with pytest.raises(BenchError, match=f"{part.name}' cannot be read .*: delete it, and its"):
        store.load(["a"])
    again = opened(tmp_path)
    assert again.broken == [part.with_name(f"broken-{part.name}")]
    assert "a" not in again
    again.save(["a"], noise(1), 0)
    assert np.array_equal(opened(tmp_path).load(["a"])[0], noise(1))
