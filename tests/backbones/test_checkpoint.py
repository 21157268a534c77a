import argparse
import hashlib
import os

import pytest
import torch
from safetensors.torch import save_file
from toy import ConvModel

from bench.backbones.checkpoint import file_sha256, load_strictly, read_state, verify
from bench.errors import BenchError


@pytest.fixture
def state():
    return ConvModel(seed=3).state_dict()


def equal(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pt", "weights"])
def test_formats_are_told_by_content(tmp_path, state, name):
    for write in (save_file, torch.save):
        write(state, tmp_path / name)
        assert equal(read_state(tmp_path / name), state)


def test_the_old_format_of_torch(tmp_path, state):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert equal(read_state(tmp_path / "old.pth"), state)


@pytest.mark.parametrize("container", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_containers_and_prefixes(tmp_path, state, container, prefix):
    inside = {prefix + name: value for name, value in state.items()}
    torch.save({"epoch": 3, container: inside}, tmp_path / "weights.pth")
    assert equal(read_state(tmp_path / "weights.pth"), state)


def test_a_prefix_that_is_no_wrapper_stays(tmp_path, state):
    odd = state | {"module.extra": torch.zeros(1)}
    torch.save(odd, tmp_path / "weights.pth")
    assert equal(read_state(tmp_path / "weights.pth"), odd)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"state_dict": {"a": Evil()}}, r"posix\.mkdir"),
        (ConvModel(), r"toy\.ConvModel"),
        ({"state_dict": {"a": torch.zeros(1)}, "args": argparse.Namespace()}, "Namespace"),
    ],
)
def test_code_is_never_run(tmp_path, monkeypatch, content, name):
    monkeypatch.chdir(tmp_path)
    torch.save(content, "weights.pth")
    with pytest.raises(BenchError, match=rf"{name}\); loading that would run code.*state_dict\(\)"):
        read_state(tmp_path / "weights.pth")
    assert not (tmp_path / "evil").exists()


def test_broken_files(tmp_path, state):
    torch.save(state, tmp_path / "whole.pth")
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "whole.safetensors")
    contents = [(tmp_path / name).read_bytes() for name in
                ("whole.pth", "old.pth", "whole.safetensors")]  # fmt: skip
    broken = [content[:share] for content in contents for share in (20, len(content) // 2, -1)]
    for content in [*broken, b"", b"no checkpoint at all", bytes(range(256))]:
        (tmp_path / "broken").write_bytes(content)
        with pytest.raises(BenchError, match=r"weights: '.*broken' is broken"):
            read_state(tmp_path / "broken")


def test_missing_files(tmp_path):
    for read in (read_state, file_sha256):
        with pytest.raises(BenchError, match=r"nowhere\.pth"):
            read(tmp_path / "nowhere.pth")
    with pytest.raises(BenchError, match="cannot read"):
        read_state(tmp_path)


def test_keras_files_are_sent_elsewhere(tmp_path):
    (tmp_path / "model.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(BenchError, match="backbone=keras_h5"):
        read_state(tmp_path / "model.h5")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ([torch.zeros(1)], "but a list"),
        ({}, "but a dict"),
        ({"epoch": 3, "weights": {"a": torch.zeros(1)}}, "the keys epoch, weights"),
    ],
)
def test_no_state_dict(tmp_path, content, found):
    torch.save(content, tmp_path / "weights.pth")
    with pytest.raises(BenchError, match=f"holds no state dict.*{found}"):
        read_state(tmp_path / "weights.pth")


def test_sha256_is_computed_and_verified(tmp_path):
    path = tmp_path / "weights.pth"
    path.write_bytes(b"some bytes")
    digest = hashlib.sha256(b"some bytes").hexdigest()
    assert verify(path, None) == verify(path, digest) == verify(path, digest.upper()) == digest
    with pytest.raises(BenchError, match=rf"expected sha256 {'0' * 64}, found {digest}"):
        verify(path, "0" * 64)


def test_strict_loading(tmp_path, state):
    module = ConvModel(seed=4)
    load_strictly(module, state, tmp_path)
    assert equal(module.state_dict(), state)
    del state["norm.num_batches_tracked"]
    load_strictly(module, state, tmp_path)


def test_what_does_not_fit_is_named_with_both_shapes(tmp_path, state):
    del state["first.bias"]
    state["extra"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(9, 8)
    with pytest.raises(BenchError) as error:
        load_strictly(ConvModel(), state, tmp_path / "other.pth")
    message = str(error.value)
    assert "other.pth" in message
    assert "1 missing (first.bias)" in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (head.weight: expected (4, 8), found (9, 8))" in message


def test_only_the_first_ten_are_named(tmp_path):
    state = {f"extra{number:02}": torch.zeros(1) for number in range(12)}
    with pytest.raises(BenchError, match=r"12 unexpected \(extra00;.*extra09, \.\.\.\)"):
        load_strictly(torch.nn.Identity(), state, tmp_path)
