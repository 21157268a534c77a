import pytest
import torch

from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize("name", ["gpu", "cuda:99", ""])
def test_no_such_device(name):
    with pytest.raises(BenchError, match=f"device: '{name}'"):
        resolve_device(name)


def test_batch_sizes():
    assert resolve_batch_size("auto", torch.device("cpu")) == 16
    assert resolve_batch_size("auto", torch.device("cuda")) == 64
    assert resolve_batch_size(5, torch.device("cpu")) == 5
    with pytest.raises(BenchError, match="batch_size"):
        resolve_batch_size("many", torch.device("cpu"))


def test_keeping_memory_changes_no_number():
    x = torch.rand(64, 64)
    before = x @ x
    keep_freed_memory()
    assert torch.equal(x @ x, before)
