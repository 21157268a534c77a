"""Insertion/deletion leaderboards for image attribution methods.

Without the command line: `explain` makes maps, `evaluate` a leaderboard, `insertion_deletion`
judges maps that you have, and `load_rows` gives stored rows as a DataFrame.
"""

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors know of the names that are imported on first use
    from bench.errors import BenchError
    from bench.metrics.insertion_deletion import insertion_deletion
    from bench.notebook.evaluate import evaluate
    from bench.notebook.explain import explain
    from bench.notebook.network import load_backbone
    from bench.storage.load import load_rows

if os.environ.get("BENCH_OFFLINE") == "1":  # timm and the hub's library read it when imported
    os.environ["HF_HUB_OFFLINE"] = "1"

__version__ = version("insdel-bench")
__all__ = [
    "BenchError",
    "evaluate",
    "explain",
    "insertion_deletion",
    "load_backbone",
    "load_rows",
]

_HOMES = {
    "BenchError": "bench.errors",
    "evaluate": "bench.notebook.evaluate",
    "explain": "bench.notebook.explain",
    "insertion_deletion": "bench.metrics.insertion_deletion",
    "load_backbone": "bench.notebook.network",
    "load_rows": "bench.storage.load",
}


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])


def __getattr__(name: str) -> Any:
    """Imports on first use, so that `bench --help` does not wait for torch."""
    if name not in _HOMES:
        raise AttributeError(f"module 'bench' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)
