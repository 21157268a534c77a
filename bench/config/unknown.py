"""What is meant by a setting that there is not; Hydra's errors say how to add it."""

import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any

from bench.config.choices import GROUPS
from bench.config.settings import flat

_WORDS = {
    "model": "backbone", "network": "backbone", "net": "backbone", "arch": "backbone",
    "models": "backbone", "networks": "backbone", "data": "dataset",
    "explainer": "method", "explainers": "method", "attribution": "method",
    "attributions": "method",
    "output": "results_dir", "output_dir": "results_dir", "out_dir": "results_dir",
    "out": "results_dir", "results": "results_dir", "results_folder": "results_dir",
    "max_images": "select.max_images", "num_images": "select.max_images",
    "n_images": "select.max_images", "limit": "select.max_images", "subset": "select.subset",
    "num_workers": "workers", "n_workers": "workers", "threads": "workers",
    "dtype": "precision", "amp": "precision", "gpu": "device", "cuda": "device",
    "random_state": "seed", "random_seed": "seed", "steps": "protocol",
}  # fmt: skip
"""What other tools call a setting -> what it is called here."""

_MOST = 3
"""Settings that an error names."""


def unknown_setting(key: str, value: str, known: Mapping[str, Any]) -> str:
    """An error's line for a setting that there is not, with the one that is meant.

    Args:
        key: With dots.
        value: As it was given; empty: none was.
        known: The configuration without it.

    Example:
        >>> unknown_setting("methods", "[rise]", {})
        "unknown setting 'methods': did you mean method=[rise]"
    """
    meant = [*dict.fromkeys(_meant(key, value, known))][:_MOST]
    if meant:
        return f"unknown setting '{key}': did you mean {' or '.join(meant)}"
    parent = _inside(known, key.rpartition(".")[0])
    if not isinstance(parent, Mapping):
        parent = known
    there = ", ".join(sorted(str(each) for each in parent if each != "_target_"))
    return f"unknown setting '{key}'." + (f" Known: {there}" if there else "")


def _meant(key: str, value: str, known: Mapping[str, Any]) -> Iterator[str]:
    """Settings that are likely, the likeliest first, as a command line has them."""
    prefix, _, name = key.rpartition(".")
    group = GROUPS.get(key, key if key in GROUPS.values() else _WORDS.get(key.lower(), ""))
    if group and not prefix:
        yield _chosen(group, value)
        return
    leaves = {path: given for path, given in flat(known) if "_target_" not in path}
    inside = _inside(known, prefix)
    if isinstance(inside, Mapping):
        names = {_plain(str(each)): str(each) for each in inside if each != "_target_"}
        close = get_close_matches(_plain(name), names, n=1, cutoff=0.75)
        dotted = [f"{prefix}.{names[each]}" if prefix else names[each] for each in close]
        # Of a method's setting without the method, as in method.num_masks, the methods are inside.
        if not dotted or not isinstance(_inside(known, dotted[0]), Mapping):
            yield from (f"{each}={value}" for each in dotted)
    top = prefix.partition(".")[0]
    for path in leaves:
        if path.startswith(f"{top}.") or not top:
            last = _plain(path.rpartition(".")[2])
            if "." in path and get_close_matches(_plain(name), [last], cutoff=0.75):
                yield f"{path}={value}"


def _chosen(setting: str, value: str) -> str:
    if setting == "method" and value and not value.startswith("["):
        value = f"[{value}]"
    if setting == "metric":  # there are none that another choice could take the place of
        return f"+metric={value if value.startswith('[') else f'[{value}]'}"
    return f"{setting}={value}"


def _inside(known: Mapping[str, Any], key: str) -> Any:
    found: Any = known
    for name in key.split(".") if key else ():
        found = found.get(name) if isinstance(found, Mapping) else None
    return found


def _plain(name: str) -> str:
    """A name without what spellings differ in: `n-masks`, `nMasks` and `num_masks`."""
    words = re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower().replace("-", "_")
    return re.sub(r"(^|_)n_", r"\1num_", words).replace("_", "")
