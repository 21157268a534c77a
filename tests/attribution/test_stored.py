import cv2
import numpy as np
import pytest
import torch
from toy import IDS, SIZE, make_batch

from bench.attribution.stored import Stored
from bench.errors import BenchError


@pytest.fixture
def folder(tmp_path):
    """Maps of the toy batch's images, in three shapes."""
    draws = np.random.default_rng(0)
    for number, image_id in enumerate(IDS):
        shape = [(SIZE, SIZE), (SIZE, SIZE, 1), (SIZE, SIZE, 3)][number % 3]
        np.save(tmp_path / f"{image_id}.npy", draws.standard_normal(shape))
    return tmp_path


def test_channels_are_averaged(folder):
    maps = Stored(str(folder))(None, make_batch())
    assert maps.dtype == torch.float64
    for saliency, image_id in zip(maps.numpy(), IDS, strict=True):
        array = np.load(folder / f"{image_id}.npy")
        assert np.array_equal(saliency, array if array.ndim == 2 else array.mean(axis=2))


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("f2", torch.float32),
        (">f4", torch.float32),
        (">f8", torch.float64),
        ("?", torch.float32),
        ("u2", torch.float32),
        ("u4", torch.float64),
        (">i8", torch.float64),
    ],
)
def test_numbers_are_read_as_floats_that_hold_them(tmp_path, dtype, expected):
    array = (np.arange(SIZE * SIZE).reshape(SIZE, SIZE) % 2000).astype(dtype)
    np.save(tmp_path / f"{IDS[0]}.npy", array[:, ::-1])  # not contiguous
    (found,) = Stored(str(tmp_path))(None, make_batch(IDS[:1]))
    assert found.dtype == expected
    assert (found.numpy() == array[:, ::-1]).all()


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.full((SIZE, SIZE), 2**53 + 1), r"image 0\.npy': maps: expected integers below"),
        (np.ones((SIZE, SIZE), np.longdouble), "at most 64 bits, found .*: save it as float64"),
    ],
)
def test_numbers_that_no_float_holds_are_refused(tmp_path, array, message):
    np.save(tmp_path / f"{IDS[0]}.npy", array)
    with pytest.raises(BenchError, match=message):
        Stored(str(tmp_path))(None, make_batch(IDS[:1]))


def test_a_path_keeps_its_folders_and_loses_its_suffix(tmp_path):
    (tmp_path / "3").mkdir()
    np.save(tmp_path / "3/a.b bird.npy", np.ones((SIZE, SIZE)))
    batch = make_batch(IDS[:1])
    named = type(batch)(batch.x, batch.targets, ["3/a.b bird.jpg"], batch.images)
    assert (Stored(str(tmp_path))(None, named) == 1).all()


def test_identity_is_of_content_and_order(folder):
    method = Stored(str(folder))
    before = method.identity(IDS)
    assert before == Stored(str(folder)).identity(IDS)
    assert before != method.identity(IDS[::-1])
    np.save(folder / f"{IDS[2]}.npy", np.zeros((SIZE, SIZE)))
    assert before != method.identity(IDS)


def test_missing_maps_are_counted_before_anything_runs(folder):
    for image_id in IDS[1:3]:
        (folder / f"{image_id}.npy").unlink()
    with pytest.raises(BenchError, match=r"2 of 5 maps are missing \(.*image 1\.npy, .*image 2"):
        Stored(str(folder)).identity(IDS)


def region_file(folder, k=5):
    draws = np.random.default_rng(1)
    owner = draws.integers(0, k + 1, (SIZE, SIZE))  # k: in no region
    image = draws.integers(0, 4, (SIZE, SIZE, 3), dtype=np.uint8)  # a quarter of the values is 0
    regions = np.stack([image * (owner == n)[:, :, None] for n in range(k)]).astype(np.uint8)
    np.save(folder / f"{IDS[0]}.npy", regions)
    return owner, image


def test_regions_count_down_channel_by_channel(tmp_path):
    """A channel that is 0 in the image stays 0, as in the record's scripts."""
    owner, image = region_file(tmp_path)
    (found,) = Stored(str(tmp_path), layout="regions")(None, make_batch(IDS[:1]))
    expected = np.where(image > 0, (5 - owner)[:, :, None], 0).mean(axis=2)
    assert np.abs(found.numpy() - expected).max() <= 1e-6
    assert {0.0, 5.0} <= set(np.unique(found.numpy()).round(3))


@pytest.mark.parametrize("smooth", [7, 28])
def test_regions_are_smoothed_as_uint8(tmp_path, smooth):
    owner, image = region_file(tmp_path)
    order = np.where(image > 0, (5 - owner)[:, :, None], 0).astype(np.uint8)
    expected = cv2.resize(cv2.resize(order, (smooth, smooth)), (SIZE, SIZE)).mean(axis=2)
    method = Stored(str(tmp_path), layout="regions", smooth=smooth)
    (found,) = method(None, make_batch(IDS[:1]))
    assert np.abs(found.numpy() - expected).max() <= 1e-6


class Evil:
    def __reduce__(self):
        return print, ("evil",)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((SIZE, SIZE + 1)), r"expected numbers of shape \(23, 23\).*found \(23, 24\)"),
        (np.zeros(SIZE), r"found \(23,\)"),
        (np.full((SIZE, SIZE), "a"), "of <U1"),
        (np.full((SIZE, SIZE), Evil()), "cannot be read: Object arrays"),
    ],
)
def test_what_is_no_map(tmp_path, capsys, array, message):
    np.save(tmp_path / f"{IDS[0]}.npy", array, allow_pickle=True)
    with pytest.raises(BenchError, match=message):
        Stored(str(tmp_path))(None, make_batch(IDS[:1]))
    assert "evil" not in capsys.readouterr().out


def test_broken_files_and_bad_settings(tmp_path):
    (tmp_path / f"{IDS[0]}.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(BenchError, match=r"image 0\.npy' cannot be read"):
        Stored(str(tmp_path))(None, make_batch(IDS[:1]))
    np.save(tmp_path / f"{IDS[0]}.npy", np.zeros((SIZE, SIZE, 3), np.uint8))
    with pytest.raises(BenchError, match="expected regions"):
        Stored(str(tmp_path), "regions")(None, make_batch(IDS[:1]))
    for arguments, message in [
        (("nowhere",), "root: 'nowhere' is not a folder"),
        ((str(tmp_path), "maps"), "layout: unknown name 'maps'. Did you mean 'map'"),
        ((str(tmp_path), "regions", 0), "smooth: expected an integer"),
        ((str(tmp_path), "map", 7), "smooth: expected layout=regions"),
    ]:
        with pytest.raises(BenchError, match=message):
            Stored(*arguments)


@pytest.mark.parametrize("pair", [("a.png", "a.jpg"), ("3/frame.0001", "3/frame.0002")])
def test_two_images_that_would_read_one_file_are_refused(tmp_path, pair):
    (tmp_path / "3").mkdir()
    for name in ("a", "b", "3/frame"):
        np.save(tmp_path / f"{name}.npy", np.ones((SIZE, SIZE)))
    with pytest.raises(BenchError, match=f"images '{pair[0]}' and '{pair[1]}' would both read"):
        Stored(str(tmp_path)).identity(["b.png", *pair])
    assert Stored(str(tmp_path)).identity(["a.png", "b.png", "3/frame.0001"])


def test_names_that_a_file_system_does_not_tell_apart_are_refused(tmp_path):
    np.save(tmp_path / "a.npy", np.ones((SIZE, SIZE)))
    np.save(tmp_path / "A.npy", np.zeros((SIZE, SIZE)))
    assert Stored(str(tmp_path)).identity(["a.png", "A.png"])
    (tmp_path / "A.npy").unlink()
    (tmp_path / "A.npy").symlink_to(tmp_path / "a.npy")  # as if the file system took A for a
    with pytest.raises(BenchError, match=r"'a\.png' and 'A\.png' would both read"):
        Stored(str(tmp_path)).identity(["a.png", "A.png"])
