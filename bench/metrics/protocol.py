"""Protocols: everything that decides a curve, but for the model, the image and the map."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from bench.errors import (
    BenchError,
    require_integer,
    require_known,
    require_number,
    require_settings,
    require_text,
)
from bench.metrics.auc import AUC_RULES
from bench.metrics.baseline import Baseline, make_baseline
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity
from bench.metrics.perturbation import TIE_RULES
from bench.metrics.score import SCORES

_MOST_STEPS = 10**6
"""More than any network's input has pixels."""


@dataclass(frozen=True)
class Perturbation:
    """One direction of a protocol: how many pixels change at each step, and into what.

    Attributes:
        baseline: What a removed pixel becomes.
        steps: Number of equal intervals (Xplique's `steps`); -1 is one pixel a step; or None.
        rows_per_step: Image rows' worth of pixels a step (RISE's `step`, in rows), or None.
        max_fraction: Fraction of the pixels that the last step reaches (Xplique's
            `max_percentage_perturbed`).
    """

    baseline: Baseline
    steps: int | None = None
    rows_per_step: int | None = None
    max_fraction: float = 1

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.rows_per_step is None):
            raise BenchError(
                "protocol: expected either steps or rows_per_step for each of insertion and "
                f"deletion, found steps={self.steps} and rows_per_step={self.rows_per_step}"
            )
        if self.steps is not None and self.steps != -1:
            require_integer("protocol steps", self.steps, 1, _MOST_STEPS)
        if self.rows_per_step is not None:
            require_integer("protocol rows_per_step", self.rows_per_step, 1, _MOST_STEPS)
        require_number("protocol max_fraction", self.max_fraction, 0, 1)

    def counts(self, height: int, width: int) -> NDArray[np.int32]:
        """Number of changed pixels at each point of the curve, from 0 on.

        Equal intervals are truncated to whole pixels as Xplique does
        (`np.linspace(0, last, steps + 1, dtype=np.int32)`); with rows, the last step is shorter
        where they do not divide evenly, as in RISE.

        Returns:
            (S+1,) int32, not decreasing.
        """
        last = math.floor(height * width * self.max_fraction)
        if self.steps is not None:
            steps = last if self.steps == -1 else self.steps
            return np.linspace(0, last, steps + 1, dtype=np.int32)
        each = self.rows_per_step * width
        return np.minimum(np.arange(0, last + each, each), last).astype(np.int32)


_OPTIONAL = {"mufidelity": MuFidelity, "confidence": Confidence}
_CURVES = "Petsiuk et al. 2018, arXiv 1806.07421"
"""Where insertion and deletion come from."""

_PARTS = {"insertion": Perturbation, "deletion": Perturbation, **_OPTIONAL}
"""Parts of a protocol that have a baseline."""


@dataclass(frozen=True)
class Protocol:
    """A named way to turn attribution maps into insertion and deletion curves.

    Attributes:
        name: Its name. Shipped names are frozen: a change needs a name of its own.
        score: What is read off the model for the target: a key of `SCORES`.
        ties: How equal values of a map are ordered: one of `TIE_RULES`.
        auc: How a curve becomes a number: a key of `AUC_RULES`.
        insertion: Most important pixels first, from the baseline to the image.
        deletion: Most important pixels first, from the image to the baseline.
        mufidelity: Settings of MuFidelity if it is asked for, else None.
        confidence: Settings of the highest confidence if it is asked for, else None.
        citation: Where it comes from, as "Author et al. 2020, arXiv 2001.00001"; no part of what
            is set.
    """

    name: str
    score: str
    ties: str
    auc: str
    insertion: Perturbation
    deletion: Perturbation
    mufidelity: MuFidelity | None = None
    confidence: Confidence | None = None
    citation: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        require_text("protocol.name", self.name)
        if self.citation:
            require_text("protocol.citation", self.citation)
        require_known("protocol.score", self.score, SCORES)
        require_known("protocol.ties", self.ties, TIE_RULES)
        require_known("protocol.auc", self.auc, AUC_RULES)

    def settings(self) -> dict[str, Any]:
        """Everything that is set as nested dictionaries, ready for JSON."""
        settings = {key: value for key, value in asdict(self).items() if value is not None}
        del settings["citation"]
        for part in _PARTS.keys() & settings.keys():
            kind = type(getattr(self, part).baseline).__name__
            settings[part]["baseline"]["kind"] = kind
        return settings

    @property
    def citations(self) -> list[str]:
        """Where it and what it measures come from."""
        parts = [getattr(self, part) for part in _OPTIONAL]
        found = [_CURVES, *(part.citation for part in parts if part is not None), self.citation]
        return list(dict.fromkeys(filter(None, found)))

    @property
    def hash(self) -> str:
        """Sixteen hexadecimal digits over everything but the name."""
        settings = self.settings()
        del settings["name"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def protocol_from_mapping(settings: Mapping[str, Any]) -> Protocol:
    """Builds a protocol from the contents of a protocol YAML.

    Raises:
        BenchError: A key is missing or unknown, a value is out of range, or the name is that of a
            shipped protocol and the settings are not.
    """
    protocol = _build(settings)
    shipped = shipped_protocols()
    if protocol.name in shipped and _build(shipped[protocol.name]).hash != protocol.hash:
        raise BenchError(
            f"protocol '{protocol.name}' is frozen, but its settings were changed: give yours "
            "a name of its own with protocol.name=NAME"
        )
    return protocol


def load_protocol(name: str) -> Protocol:
    """Returns the shipped protocol of this name.

    Raises:
        BenchError: There is none; the message lists the known names.
    """
    shipped = shipped_protocols()
    require_known("protocol", name, shipped)
    return _build(shipped[name])


def shipped_protocols() -> dict[str, dict[str, Any]]:
    """Settings of the protocols in `bench.conf`, by name."""
    folder = resources.files("bench.conf") / "protocol"
    files = [entry for entry in folder.iterdir() if entry.name.endswith(".yaml")]
    loaded = [yaml.safe_load(entry.read_text(encoding="utf-8")) for entry in files]
    return {settings["name"]: settings for settings in loaded}


def _build(settings: Mapping[str, Any]) -> Protocol:
    given = {key: value for key, value in settings.items() if value is not None}
    known = set(Protocol.__dataclass_fields__)
    spare = [*_OPTIONAL, "citation"]
    if not known - set(spare) <= set(given) <= known:
        raise BenchError(
            f"protocol: expected the keys {', '.join(sorted(known))}, of which "
            f"{', '.join(spare)} may be left out; found {', '.join(sorted(given))}"
        )
    for part in _PARTS.keys() & given.keys():
        require_settings(f"protocol.{part}", given[part])
        own = dict(given[part])
        for key in own:
            require_known(f"protocol.{part}", key, _PARTS[part].__dataclass_fields__)
        if "baseline" not in own:
            raise BenchError(f"protocol.{part}.baseline is missing: say what pixels become")
        require_settings(f"protocol.{part}.baseline", own["baseline"])
        given[part] = _PARTS[part](**own | {"baseline": make_baseline(**own["baseline"])})
    return Protocol(**given)
