"""The manifest beside a run's rows: what it is, where it came from, which tables it is a row of."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.errors import BenchError
from bench.storage.identity import Identity
from bench.storage.records import record_of


@dataclass(frozen=True)
class Reproduced:
    """The published row that a run repeats.

    Attributes:
        table: A file of results/published.
        backbone: Of the published row.
        method: Of the published row; None if the record does not have it.
        note: On the published row.
        deviations: In which the run differs from the record.
        unverified: Files whose hashes are not on record.
    """

    table: str
    backbone: str
    method: str | None = None
    note: str = ""
    deviations: list[str] = field(default_factory=list)
    unverified: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Entry:
    """A run as a row of a leaderboard.

    Attributes:
        label: What the row is called.
        reproduces: The published row that it repeats, if it does.
        seeds: Those of all draws of the row, where it is the mean of several. It stands at the run
            of the first; the others are a part of it, and no rows themselves.
    """

    label: str
    reproduces: Reproduced | None = None
    seeds: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Manifest:
    """What is known of a run.

    Attributes:
        key: That of its identity.
        identity: What decides its numbers.
        protocols: By `Protocol.key`, what its rows were asked for: `Protocol.stored`.
        leaderboards: By name and by `Protocol.key`, the rows that it is.
        config: The resolved configuration of the command that began it.
        provenance: Versions, machine, command; what methods and networks cite and cost.
        annotations: By what metrics read of annotations (`boxes`, `mask`, `region`), a hash over
            what they last read.
        version: Of these fields.
    """

    key: str
    identity: Identity
    protocols: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    leaderboards: Mapping[str, Mapping[str, Entry]] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    version: int = 1

    def to_json(self) -> bytes:
        """As it is written."""
        return json.dumps(asdict(self), indent=2).encode()


@dataclass(frozen=True)
class _Provenance:
    """What is read of a run's provenance, where it is there."""

    passes: Mapping[str, int] = field(default_factory=dict)
    citations: Mapping[str, str] = field(default_factory=dict)
    packages: Mapping[str, Any] = field(default_factory=dict)
    command: list[str] = field(default_factory=list)
    directory: str = ""


def manifest_of(content: Any) -> Manifest:
    """The manifest that a JSON file holds.

    Raises:
        ValueError: It is none: names what was expected and what was found.
    """
    from bench.metrics.protocol import stored_protocol  # imports torch; `bench status` needs none

    manifest = record_of(Manifest, content)
    known = _Provenance.__dataclass_fields__.keys() & manifest.provenance.keys()
    record_of(_Provenance, {key: manifest.provenance[key] for key in known}, "provenance")
    for key, protocol in manifest.protocols.items():
        try:
            found = stored_protocol(protocol)
        except BenchError as error:
            raise ValueError(f"protocols.{key}: {error}") from None
        if found.key != key:
            raise ValueError(f"protocols.{key}: its key is not that of its settings")
    for name, rows in manifest.leaderboards.items():
        for key in rows.keys() - manifest.protocols.keys():
            raise ValueError(f"leaderboards.{name}.{key}: expected a key of protocols")
    if manifest.identity.key != manifest.key:
        raise ValueError("its key is not that of its identity")
    return manifest
