import argparse
import collections
import hashlib
import os
import pathlib
import pickle
import warnings

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from toy import ConvModel, same_state

from bench.backbones.checkpoint import file_sha256, read_state, verify
from bench.errors import BenchError, BenchWarning


@pytest.mark.parametrize("name", ["weights.safetensors", "weights.pth", "weights.pt", "weights"])
def test_formats_are_told_by_content(tmp_path, state, name):
    for write in (save_file, torch.save):
        write(state, tmp_path / name)
        assert same_state(read_state(tmp_path / name), state)


def test_the_old_format_of_torch(tmp_path, state):
    torch.save(state, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same_state(read_state(tmp_path / "old.pth"), state)


@pytest.mark.parametrize("container", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_containers_and_prefixes(tmp_path, state, container, prefix):
    inside = {prefix + name: value for name, value in state.items()}
    torch.save({"epoch": 3, container: inside}, tmp_path / "weights.pth")
    assert same_state(read_state(tmp_path / "weights.pth"), state)


def test_a_prefix_that_is_no_wrapper_stays(tmp_path, state):
    odd = state | {"module.extra": torch.zeros(1)}
    torch.save(odd, tmp_path / "weights.pth")
    assert same_state(read_state(tmp_path / "weights.pth"), odd)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        ({"state_dict": {"a": Evil()}}, r"posix\.mkdir"),
        (ConvModel(), r"toy\.ConvModel"),
        ({"state_dict": {"a": torch.zeros(1)}, "args": argparse.Namespace(a=Evil())}, "mkdir"),
        ({"state_dict": {"a": torch.zeros(1)}, "cfg": collections.deque()}, "deque"),
        (argparse.Namespace(a=Evil()), "mkdir"),
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
    pickled = pickle.dumps({"a": np.zeros(1)}, protocol=4)  # of which torch warns
    for content in [*broken, b"", b"no checkpoint at all", bytes(range(256)), pickled]:
        (tmp_path / "broken").write_bytes(content)
        with (
            warnings.catch_warnings(action="error"),
            pytest.raises(BenchError, match=r"weights: '.*broken' is broken"),
        ):
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
        ({}, "but an empty dict"),
        ({"epoch": 3, "weights": {"a": [1.0]}}, "the keys epoch, weights"),
        ({"epoch": 3, "a": torch.zeros(1)}, "the keys epoch, a"),
        ({"state": {0: {"step": torch.zeros(1)}}}, "the keys state"),  # an optimizer
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


def written(folder, content):
    torch.save(content, folder / "weights.pth")
    return folder / "weights.pth"


def test_what_training_scripts_save_beside_the_weights_is_read_past(tmp_path, state):
    """Arguments, numpy scalars and arrays, paths: nothing of them is looked up or built."""
    allowed = set(torch.serialization.get_safe_globals())  # a list in no order
    arguments = argparse.Namespace(lr=0.1, output=pathlib.Path("a/b"), best=np.float64(3))
    beside = {"args": arguments, "best": np.float32(0.5), "step": np.int64(3), "lrs": np.zeros(3)}
    assert same_state(read_state(written(tmp_path, {"model": state, **beside})), state)
    old = {"model": state, "args": arguments}
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert same_state(read_state(tmp_path / "old.pth"), state)
    assert set(torch.serialization.get_safe_globals()) == allowed


def test_what_is_read_past_is_nothing_that_runs(tmp_path, monkeypatch):
    """A Namespace that the file says is os.mkdir, or hands to it, does nothing."""
    monkeypatch.chdir(tmp_path)

    class Called:
        def __reduce__(self):
            return np.dtype, ("evil",), {"__setstate__": "evil"}

    path = written(tmp_path, {"model": {"a": torch.zeros(1)}, "args": Called()})
    assert list(read_state(path)) == ["a"]
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps({"a": Evil()}, protocol=2))
    with pytest.raises(BenchError, match=r"mkdir|is broken"):
        read_state(tmp_path / "plain.pkl")
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "key", ["net_state_dict", "model_state", "weights", "params", "teacher", "state_dict_ema"]
)
def test_the_only_state_dict_is_found_under_any_key(tmp_path, state, key):
    optimizer = torch.optim.SGD(ConvModel().parameters(), lr=1, momentum=0.9)
    beside = {"epoch": 3, "optimizer": optimizer.state_dict(), "scaler": {"scale": 2.0}}
    assert same_state(read_state(written(tmp_path, {**beside, key: state})), state)
    assert same_state(read_state(written(tmp_path, {"ours": {"epoch": 3, key: state}})), state)


def test_plain_weights_are_taken_before_averaged_ones_and_that_is_told(tmp_path, state):
    averaged = {f"module.{name}": value + 1 for name, value in state.items()}
    averaged["n_averaged"] = torch.tensor(3)
    path = written(tmp_path, {"state_dict_ema": averaged, "state_dict": state})
    with pytest.warns(BenchWarning, match="2 times: state_dict is taken, .*key=state_dict_ema"):
        assert same_state(read_state(path), state)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chosen = read_state(path, key="state_dict_ema")
        assert same_state(read_state(path, key="state_dict"), state)
        loss = {"state_dict": state, "loss": {"center": torch.zeros(2)}}  # another thing
        assert same_state(read_state(written(tmp_path, loss)), state)
    assert torch.equal(chosen["head.bias"], state["head.bias"] + 1)


def test_a_key_chooses_an_entry_or_a_prefix(tmp_path, state):
    both = {"student": state, "teacher": {name: value + 1 for name, value in state.items()}}
    path = written(tmp_path, {"epoch": 3, "nets": both})
    with pytest.raises(BenchError, match=r"2 state dicts \(nets.student, nets.teacher\): .*key="):
        read_state(path)
    assert same_state(read_state(path, key="nets.teacher"), both["teacher"])
    joint = {f"module.{net}.{name}": value for net in both for name, value in both[net].items()}
    for content in (joint, {"epoch": 3, "state_dict": joint}):
        path = written(tmp_path, content)
        for net in both:
            assert same_state(read_state(path, key=net), both[net])
    assert same_state(read_state(path, key="state_dict.teacher"), both["teacher"])
    with pytest.raises(BenchError, match=r"key=pupil: expected one of .*student, teacher") as error:
        read_state(path, key="pupil")
    assert "\n" not in str(error.value)


def test_programs_are_named_and_the_mend_works(tmp_path, state):
    module = ConvModel(seed=3).eval()
    torch.jit.save(torch.jit.trace(module, torch.zeros(1, 3, 16, 16)), tmp_path / "jit.pt")
    with pytest.raises(BenchError, match=r"TorchScript archive.*torch\.jit\.load.*'weights\.pth'"):
        read_state(tmp_path / "jit.pt")
    torch.save(torch.jit.load(tmp_path / "jit.pt").state_dict(), tmp_path / "weights.pth")
    assert same_state(read_state(tmp_path / "weights.pth"), state)
    program = torch.export.export(module, (torch.zeros(1, 3, 16, 16),))
    torch.export.save(program, tmp_path / "export.pt2")
    with pytest.raises(BenchError, match=r"torch\.export archive"):
        read_state(tmp_path / "export.pt2")


def test_averaged_weights_alone(tmp_path, state):
    averaged = torch.optim.swa_utils.AveragedModel(ConvModel(seed=3)).state_dict()
    assert same_state(
        read_state(written(tmp_path, averaged)), state | {"n_averaged": torch.tensor(0)}
    )
    only = {"n_averaged": torch.tensor(3)}
    assert same_state(read_state(written(tmp_path, only)), only)
