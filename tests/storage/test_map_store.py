import errno
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save as safetensors_bytes

from bench.datasets.dataset import Sample
from bench.errors import BenchWarning
from bench.storage.map_store import image_key, open_maps

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


SIZE = (5, 7)


def loaded(store, *names):
    """Maps (n, 5, 7) of images that all have one."""
    found = store.load(names, SIZE)
    return np.stack([found[name].values for name in names])


def test_maps_come_back_to_the_bit_in_any_order(tmp_path):
    first, second = noise(2), noise(1, seed=1)
    store = opened(tmp_path)
    store.save(["a", "b"], first, 1.5)
    store.save(["c"], second, 2.5)
    assert [name in store for name in "abcd"] == [True, True, True, False]
    for reader in (store, opened(tmp_path)):  # in this process, and in the next
        found = reader.load(["c", "b", "d", "a"], SIZE)
        assert found.keys() == {"a", "b", "c"}
        assert all(kept.values.dtype == np.float32 for kept in found.values())
        maps = loaded(reader, "c", "b", "a")
        assert np.array_equal(maps, np.concatenate([second, first[::-1]]))
        assert [found[name].seconds for name in "cba"] == [2.5, 1.5, 1.5]


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_maps_with_channels(tmp_path, dtype):
    maps = np.random.default_rng(0).normal(size=(2, 3, 5, 7)).astype(np.float32)
    given = opened(tmp_path, dtype).save(["a", "b"], maps, 0)
    again = opened(tmp_path, dtype)
    found = loaded(again, "a", "b")
    assert np.array_equal(found, np.stack([given[name].values for name in "ab"]))
    assert np.array_equal(again.as_kept(maps), found)
    np.testing.assert_allclose(found, maps, rtol=0 if dtype == "float32" else 1e-3, atol=1e-4)
    mean = again.load(["b"], SIZE)["b"].in_one_channel
    np.testing.assert_array_equal(mean, found[1].mean(axis=0))


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
    given = store.save(["a", "b", "c"], maps, 0)
    found = loaded(store, "a", "b", "c")
    assert found.dtype == np.float32
    assert np.array_equal(found, [given[name].values for name in "abc"])  # what is kept is given
    for saliency, expected in zip(found, maps, strict=True):
        assert np.abs(saliency - expected).max() <= 2**-11 * np.abs(expected).max()
    (part,) = store.folder.glob("part-*")
    with safe_open(part, framework="numpy") as file:
        assert file.get_tensor("maps").dtype == np.float16


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_float64_maps_keep_what_float32_cannot_hold(tmp_path, dtype):
    small = noise(1).astype(np.float64) * 1e-60
    store = opened(tmp_path, dtype)
    store.save(["a"], small, 0)
    store.save(["b"], noise(1), 0)
    for reader in (store, opened(tmp_path, dtype)):
        found = loaded(reader, "a")
        assert found.dtype == np.float64
        tolerance = 0 if dtype == "float32" else 2**-11 * np.abs(small).max()
        assert np.abs(found - small).max() <= tolerance
        assert loaded(reader, "b").dtype == np.float32
        assert loaded(reader, "b", "a").dtype == np.float64


def test_the_folder_says_what_it_holds(tmp_path):
    store = opened(tmp_path)
    store.save(["a"], noise(1), 0)
    folder = store.folder
    assert folder.name.startswith("net_rise-")
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["identity"] == IDENTITY | {"dtype": "float32"}


def tensors(**changes):
    """A part of this store's maps of a and b with other tensors; None: without it."""
    kept = {
        "maps": noise(2), "scales": np.ones(2, np.float32), "seconds": np.ones(2, np.float32),
        **changes,
    }  # fmt: skip
    return {name: kept_map for name, kept_map in kept.items() if kept_map is not None}


def part(keys=("a", "b"), **changes):
    words = json.dumps([KEYS.get(key, key) for key in keys])
    return safetensors_bytes(tensors(**changes), {"keys": words})


NAN = noise(2)
NAN[:, 3, 2] = np.nan


@pytest.mark.parametrize(
    "content",
    [
        b"",
        part()[:40],
        part()[:-1],
        b"\xff" * 100,
        part(scales=None),
        part(keys="abc"),
        part(maps=noise(2)[0]),
        safetensors_bytes(tensors(), {"keys": "{"}),
        safetensors_bytes(tensors(), {"keys": "3"}),
        safetensors_bytes(tensors()),
        safetensors_bytes(tensors(), {"keys": json.dumps(list(KEYS.values())[:2]), "store": "x"}),
    ],
)
def test_a_broken_part_is_set_aside_and_made_again(tmp_path, content):
    store = opened(tmp_path)
    store.save(["a", "b"], noise(2), 0)
    (path,) = store.folder.glob("part-*")
    path.write_bytes(content)
    again = opened(tmp_path)
    (line,) = again.broken
    assert f"broken-{path.name}" in line
    assert path.with_name(f"broken-{path.name}").read_bytes() == content
    assert "a" not in again
    again.save(["a", "b"], noise(2), 0)
    assert np.array_equal(loaded(opened(tmp_path), "a", "b"), noise(2))


def test_a_map_that_breaks_later_is_missing(tmp_path):
    store = opened(tmp_path)
    store.save(["a"], noise(1), 0)
    (path,) = store.folder.glob("part-*")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.warns(BenchWarning, match=f"broken-{path.name}"):
        assert store.load(["a"], SIZE) == {}
    assert "a" not in store


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_flipped_bit_costs_its_own_map_only(tmp_path, dtype):
    maps = noise(3)
    store = opened(tmp_path, dtype)
    given = store.save(["a", "b", "c"], maps, 2)
    (path,) = store.folder.glob("part-*")
    content = path.read_bytes()
    values = (maps[1] / (1 if dtype == "float32" else np.abs(maps[1]).max())).astype(dtype)
    place = content.index(values.tobytes()) + 9
    path.write_bytes(content[:place] + bytes([content[place] ^ 4]) + content[place + 1 :])
    again = opened(tmp_path, dtype)
    assert not again.broken  # to read all maps would take long
    with pytest.warns(BenchWarning, match="the map of 'b' is not what was kept"):
        found = again.load(["a", "b", "c"], SIZE)
    assert found.keys() == {"a", "c"}
    assert "b" not in again
    fresh = opened(tmp_path, dtype)
    found = fresh.load(["a", "b", "c"], SIZE)
    for name in ("a", "c"):  # written anew, to the bit
        assert np.array_equal(found[name].values, given[name].values)
        assert found[name].seconds == 2
    assert "b" not in fresh
    assert list(store.folder.glob("broken-part-*"))


@pytest.mark.parametrize("maps", [NAN, noise(2).transpose(0, 2, 1).copy()])
def test_maps_that_do_not_fit_are_missing(tmp_path, maps):
    store = opened(tmp_path)
    store.save(["c"], noise(1), 0)
    (store.folder / "part-0.safetensors").write_bytes(part(maps=maps))  # without checksums
    again = opened(tmp_path)
    assert "a" in again
    with pytest.warns(BenchWarning, match="the map of 'a', 'b' is not what was kept, or not of"):
        assert again.load(["a", "b", "c"], SIZE).keys() == {"c"}


def test_maps_of_before_are_read(tmp_path):
    store = opened(tmp_path)
    store.save(["c"], noise(1), 0)
    (store.folder / "part-0.safetensors").write_bytes(part())
    assert np.array_equal(loaded(opened(tmp_path), "a", "b"), noise(2))


def test_a_broken_manifest_is_set_aside(tmp_path):
    store = opened(tmp_path)
    store.save(["a"], noise(1), 0)
    for content in ("{", "{}", "[]", '{"identity": {"method": {"name": 1}}}'):
        (store.folder / "manifest.json").write_text(content)
        again = opened(tmp_path)
        assert "manifest.json" in again.broken[0]
        assert "a" in again
        again.save(["b"], noise(1), 0)
        assert not opened(tmp_path).broken


def test_maps_that_cannot_be_written_are_given_told_once_and_counted(tmp_path, monkeypatch):
    store = opened(tmp_path, "float16")
    expected = store.save(["a"], noise(1), 0)["a"].values

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    store = opened(tmp_path / "other", "float16")
    with pytest.warns(BenchWarning, match="not kept, but evaluated: .* No space left") as told:
        assert np.array_equal(store.save(["a"], noise(1), 0)["a"].values, expected)
        store.save(["b", "c"], noise(2), 0)
    assert len(told) == 1
    assert store.not_kept == 3
    assert "a" not in store
