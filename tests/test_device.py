import platform
import subprocess
import sys

import pytest
import torch

from bench.device import resolve_batch_size, resolve_device
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
