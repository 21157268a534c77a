"""The settings of a run as frozen dataclasses: each has its type and its range.

`bench.config.reading` makes them of what Hydra composes; past them nobody looks up a key by name.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from bench.datasets.selection import Selection
from bench.datasets.shard import Shard
from bench.target import Target

MISSING = "???"
"""What stands where a setting has to be given."""

MOST_DRAWS = 1000
"""Of a row."""

POLICIES = ("missing", "always", "never")
"""What is computed of what is stored; see
`bench.evaluation.method_run.StoredMethodRun.apply_policy`."""


@dataclass(frozen=True)
class Component:
    """A class or function to build, with its settings; see `bench.config.building.build`.

    Attributes:
        key: Where it stands in the configuration: `backbone`, `method.rise`.
        target: Dotted path of the class or function.
        settings: What it is given: plain values, some of them components themselves (mappings with
            `_target_`).
        label: What tables call it; only of a method.
        published: What the published table calls it; only of a method.
        citation: What it cites; only of a data set or network, as a method says it itself.
    """

    key: str
    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    label: str | None = None
    published: str | None = None
    citation: str | None = None

    @property
    def node(self) -> dict[str, Any]:
        """Target and settings as one mapping, as Hydra builds it."""
        return {"_target_": self.target, **self.settings}

    @property
    def missing(self) -> list[str]:
        """Keys of the settings that have to be given and are not, sorted."""
        return sorted(key for key, value in flat(self.settings, self.key) if value == MISSING)

    def with_settings(self, **changes: Any) -> "Component":
        """The same with some settings changed."""
        return replace(self, settings={**self.settings, **changes})


@dataclass(frozen=True)
class Explain:
    """What methods explain, where it is not what the curves score.

    Attributes:
        score: A key of `bench.score.SCORES`; None: the protocol's.
        backbone: The network; None: the one that scores.
        target: The class: see `bench.target.Target`; None: the protocol's target.
    """

    score: str | None = None
    backbone: Component | None = None
    target: Target | None = None


@dataclass(frozen=True)
class Maps:
    """Which maps are kept.

    Attributes:
        keep: Whether any are.
        folder: Where.
        dtype: A key of `bench.storage.map_store.DTYPES`.
    """

    keep: bool
    folder: Path
    dtype: str


@dataclass(frozen=True)
class OneImage:
    """An image whose probability the authors printed.

    Attributes:
        file: Where it lies.
        probability: The probability of its top class.
        tolerance: How far another one may be off.
    """

    file: str
    probability: float
    tolerance: float


@dataclass(frozen=True)
class Reproduces:
    """The published table that an experiment repeats.

    Attributes:
        table: A file of results/published.
        backbone: What the table calls the network.
        list: Name of the list of images in `bench.datasets.published_lists`.
        deviations: In what the experiment itself differs from the record.
        unverified: Files whose hash the record does not have, by the setting that names them; None:
            of a method that is not run.
        notes: On the published rows, by their names.
        one_image: An image whose probability is on record.
    """

    table: str
    backbone: str
    list: str
    deviations: tuple[str, ...] = ()
    unverified: Mapping[str, str | None] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    one_image: OneImage | None = None


@dataclass(frozen=True)
class RunSettings:
    """What a run is asked to do; conf/run.yaml says what each setting means.

    Attributes:
        name: The name of the leaderboard; None: the names of data set, network and protocol.
        results_dir: Where everything is written.
        dataset: The images.
        backbone: The network that scores.
        protocol: As a protocol's YAML has it; see `bench.metrics.protocol.protocol_from_mapping`.
        target: The class that is scored, if it is not the protocol's own.
        metrics: By name, those that are measured beside the protocol's.
        methods: The chosen methods by name.
        unused_methods: Names of methods that settings were given for and that are not chosen.
        explain: What methods explain.
        select: Which images of the data set.
        maps: Which maps are kept.
        policy: What is computed: one of `POLICIES`.
        seed: The seed of all draws.
        seeds: How many draws a row is the mean of; `seed` is the first one's.
        shard: The share of the images; None: all of them.
        device: `auto`, or what torch calls a device: `cpu`, `cuda:1`, `mps`, `xpu`.
        batch_size: Inputs in one forward pass.
        precision: One of `bench.backbones.backbone.PRECISIONS`.
        compile: Whether the network that scores is compiled.
        block_size: Images whose rows are saved together.
        workers: Threads that read images.
        fail_fast: Whether the first map that fails ends the run.
        strict: Whether a network that is no function of its input is refused.
        reference: The row that the others are compared with, by its name in tables.
        by: How images are grouped for further means; see
            `bench.leaderboard.groups.read_grouping`.
        figures: Whether figures are drawn.
        gallery: Images that keep their pictures and maps.
        assets: Where things lie that an experiment needs; None: not said.
        made_of_assets: Settings of what is built that assets are a part of, by key with dots. Where
            an asset is not said, `${assets.NAME}` is left in the value.
        reproduces: The published table that is repeated, if any.
        resolved: All settings as plain values, for a run's manifest.
    """

    name: str | None
    results_dir: Path
    dataset: Component
    backbone: Component
    protocol: Mapping[str, Any]
    target: Target | None
    metrics: Mapping[str, Component]
    methods: Mapping[str, Component]
    unused_methods: tuple[str, ...]
    explain: Explain
    select: Selection
    maps: Maps
    policy: str
    seed: int
    seeds: int
    shard: Shard | None
    device: str
    batch_size: int | Literal["auto"]
    precision: str
    compile: bool
    block_size: int
    workers: int
    fail_fast: bool
    strict: bool
    reference: str | None
    by: str | None
    figures: bool
    gallery: int
    assets: Mapping[str, str | None]
    made_of_assets: Mapping[str, str]
    reproduces: Reproduces | None
    resolved: Mapping[str, Any]

    @property
    def may_shrink(self) -> bool:
        """Whether batches may become smaller where memory runs out."""
        return self.batch_size == "auto"

    def on_device(self, device: str) -> "RunSettings":
        """The same on another device."""
        return replace(self, device=device, resolved={**self.resolved, "device": device})


def flat(config: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Key with dots -> value, through mappings and lists."""
    if isinstance(config, Mapping):
        for key, value in config.items():
            yield from flat(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(config, list):
        for number, value in enumerate(config):
            yield from flat(value, f"{prefix}.{number}")
    else:
        yield prefix, config
