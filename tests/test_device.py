import platform
import subprocess
import sys

import pytest
import torch

from bench.device import device_name, devices, resolve_batch_size, resolve_device, synchronize
from bench.errors import BenchError


def test_devices():
    assert resolve_device("cpu") == torch.device("cpu")
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


@pytest.mark.parametrize(
    "name", ["gpu", "cuda:99", "", "meta", "xpu:77", "vulkan", "hpu", "privateuseone", "cuda:x"]
)
def test_no_such_device(name):
    with pytest.raises(BenchError, match=f"device: '{name}'.* offers cpu.* auto chooses$") as error:
        resolve_device(name)
    assert "\n" not in str(error.value)


def test_every_device_that_torch_has_is_taken(monkeypatch):
    """By what torch says of it: no list of ours decides."""
    for name in devices():
        assert resolve_device(name) == torch.device(name)
    zeros = torch.zeros
    monkeypatch.setattr(torch, "zeros", lambda count, device: zeros(count))
    for name in ("mps", "xpu", "xpu:1", "cuda:1"):
        assert resolve_device(name) == torch.device(name)


def test_what_torch_offers(monkeypatch):
    def current_accelerator(check_available=False):
        return torch.device("xpu")

    monkeypatch.setattr(torch.accelerator, "current_accelerator", current_accelerator)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: 3)
    assert devices() == ["cpu", "xpu", "xpu:1", "xpu:2"]
    with pytest.raises(BenchError, match="offers cpu, xpu, xpu:1, xpu:2 here"):
        resolve_device("cuda:99")


def test_waiting_and_names(monkeypatch):
    waited = []
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda: torch.device("xpu"))
    monkeypatch.setattr(torch.accelerator, "synchronize", waited.append)
    for name in ("cpu", "xpu:1", "mps"):
        synchronize(torch.device(name))
    assert waited == [torch.device("xpu:1")]
    monkeypatch.setattr(torch.xpu, "get_device_name", lambda device: f"Arc {device.index}")
    assert device_name(torch.device("xpu:1")) == "Arc 1"
    assert device_name(torch.device("mps")) == "mps"
    assert device_name(torch.device("cpu")) == "cpu"


def test_batch_sizes():
    assert resolve_batch_size("auto", torch.device("cpu")) == 16
    for name in ("cuda", "mps", "xpu:1"):
        assert resolve_batch_size("auto", torch.device(name)) == 64
    assert resolve_batch_size(5, torch.device("cpu")) == 5
    with pytest.raises(BenchError, match="batch_size"):
        resolve_batch_size("many", torch.device("cpu"))


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="about glibc's malloc")
def test_freed_memory_is_kept():
    """What a large tensor leaves stays mapped for the next one."""
    code = """
import re, torch
from bench.device import keep_freed_memory
if {keep}: keep_freed_memory()
def mapped(): return int(re.search(r"VmData:\\s+(\\d+)", open("/proc/self/status").read())[1])
torch.ones(1)
before = mapped()
torch.empty(2**26)
print(mapped() - before)
"""

    def kept(keep):
        command = [sys.executable, "-c", code.format(keep=keep)]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)

    assert kept(keep=True) > 2**17  # of its 256 MiB, in kB
    assert kept(keep=False) < 2**16
