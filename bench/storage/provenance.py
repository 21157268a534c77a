"""The provenance of a run: command, commit, packages, device."""

import platform
import re
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib import import_module, metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import torch

from bench.device import device_name

_DRIVER = Path("/proc/driver/nvidia/version")


def provenance(device: torch.device) -> dict[str, Any]:
    """Versions, commit, command, folder and device of this process, ready for JSON.

    Packages are all that are installed: methods may be anybody's code. numpy's CPU features are
    part of it because the order of ties under `running_numpy` depends on them.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": sys.argv,
        "directory": str(Path.cwd()),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": dict(_packages()),
        "git": _git(),
        "device": _cpu() if device.type == "cpu" else device_name(device),
        "driver": _driver(),
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "tf32": {
            "matmul": torch.backends.cuda.matmul.allow_tf32,
            "cudnn": torch.backends.cudnn.allow_tf32,
        },
        "numpy_cpu_features": _numpy_cpu_features(),
    }


def _numpy_cpu_features() -> list[str]:
    """What numpy found of the CPU's instruction sets, which only a private module of it has."""
    try:
        module = import_module("numpy._core._multiarray_umath")
    except ImportError:  # numpy 1
        module = import_module("numpy.core._multiarray_umath")
    return sorted(name for name, present in module.__cpu_features__.items() if present)


@cache  # reading them takes a tenth of a second, and a sweep asks once a job
def _packages() -> dict[str, str]:
    """Versions of all installed packages by name, in the order of their names."""
    texts = [distribution.metadata for distribution in metadata.distributions()]
    texts.sort(key=lambda text: (text["Name"] or "").lower())
    return {text["Name"]: text["Version"] for text in texts}


def _driver() -> str | None:
    """Version of the NVIDIA driver, as its kernel module reports it; None if there is none."""
    if not _DRIVER.exists():
        return None
    found = re.search(r"Kernel Module.*?\s(\d+\.[\d.]+)", _DRIVER.read_text())
    return found[1] if found else None


def _git() -> dict[str, Any] | None:
    """Origin and commit of the checkout that this package is run from; None: it is installed."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(root), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {
            "origin": _without_credentials(
                git("config", "--get", "--default", "", "remote.origin.url")
            ),
            "commit": git("rev-parse", "HEAD"),
            "dirty": bool(git("status", "--porcelain")),
        }
    except (OSError, subprocess.CalledProcessError):
        return None  # no git here, or no commit yet


def _without_credentials(url: str) -> str | None:
    """A remote's URL without user, password, token or query; None: there is none."""
    if "://" not in url:  # a path, or user@host:path, which holds no secret
        return url or None
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
