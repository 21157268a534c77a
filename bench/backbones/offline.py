"""BENCH_OFFLINE=1: nothing connects, neither for `bench fetch` nor for weights of libraries."""

import os
from pathlib import Path

import torch

from bench.errors import BenchError

OFFLINE = "BENCH_OFFLINE"
"""The variable; `bench/__init__.py` sets the hub's, HF_HUB_OFFLINE, by it."""


def is_offline() -> bool:
    """Whether the user forbids connections.

    Example:
        >>> is_offline()
        False
    """
    return os.environ.get(OFFLINE) == "1"


def require_cached(url: str) -> None:
    """Refuses weights that torch would download, where that is forbidden.

    Args:
        url: Where they are.

    Raises:
        BenchError: They are not in torch's cache, and BENCH_OFFLINE=1.

    Example:
        >>> require_cached("https://download.pytorch.org/models/vgg16-397923af.pth") is None
        True
    """
    cached = Path(torch.hub.get_dir(), "checkpoints", Path(url).name)
    if is_offline() and not cached.exists():
        raise BenchError(
            f"weights: '{cached}' is not there, and {OFFLINE}=1 forbids to load {url}: choose "
            "backbone.weights=FILE, or load it where you are online"
        )


def require_timm_cached(name: str) -> None:
    """As `require_cached`, of a network of timm whose weights are not on the hub.

    Args:
        name: As timm lists it.

    Raises:
        BenchError: See `require_cached`.

    Example:
        >>> require_timm_cached("resnet18.a1_in1k") is None
        True
    """
    if not is_offline():
        return
    import timm  # late: it takes seconds

    declared = timm.get_pretrained_cfg(name)
    if declared is not None and not declared.hf_hub_id and isinstance(declared.url, str):
        require_cached(declared.url)
