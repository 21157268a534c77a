"""What decides the numbers of a run, and the hashes that tell what is stored from what is not."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any

from bench.target import LABEL

ROW_KEYS = ("label", "published", "title")
"""Keys of a method's configuration that name its row: in our tables, in published ones, and in
those for papers. They decide no number."""


@dataclass(frozen=True)
class DatasetIdentity:
    """A list of images and their pixels.

    Attributes:
        name: Of the data set.
        num_images: On the list.
        list_sha256: Over image ids and labels.
        pixels_sha256: Over the decoded images.
    """

    name: str
    num_images: int
    list_sha256: str = ""
    pixels_sha256: str = ""


@dataclass(frozen=True)
class NetworkIdentity:
    """A network: weights, preprocessing, and the layers that methods ask for by name.

    Attributes:
        name: Of the network.
        weights_sha256: Over names and values of parameters and buffers.
        preprocessing: Fields of `bench.backbones.backbone.Preprocessing`.
        output_kind: What its outputs are.
        cam_layer: The layer of class activation maps.
        feature_layer: The layer of embeddings.
        classes_of_one_output: Of a network with a single output: its two labels.
        cam_layout: How that layer's output holds maps, where the user says it.
        code: Hash over what its code does, of a user's module in a notebook.
    """

    name: str
    weights_sha256: str = ""
    preprocessing: Mapping[str, Any] = field(default_factory=dict)
    output_kind: str = "logits"
    cam_layer: str | None = None
    feature_layer: str | None = None
    classes_of_one_output: list[int] | None = None
    cam_layout: Mapping[str, Any] | None = None
    code: str | None = None

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of its inputs in pixels; None where that is not on record."""
        size = self.preprocessing.get("size")
        return (size, size) if isinstance(size, int) else size and tuple(size)


@dataclass(frozen=True)
class ExplainedIdentity:
    """What methods explain.

    Attributes:
        score: A key of `bench.scores.SCORES`.
        backbone: The network; None: the one that scores.
        target: The class: `label`, `prediction` (of the explained network) or a class's number.
    """

    score: str
    backbone: NetworkIdentity | None = None
    target: str = LABEL


@dataclass(frozen=True)
class MethodIdentity:
    """A method with its settings.

    Attributes:
        name: What the user calls it; it decides no number.
        version: Of its code.
        settings: As configured; see `without_paths`.
        found: What else decides its maps: hashes of files, versions of packages.
    """

    name: str
    version: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    found: Mapping[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The class's name, or the dotted path of one that is not shipped."""
        return str(self.settings.get("kind", self.settings.get("_target_", "")))


@dataclass(frozen=True)
class Identity:
    """Everything that decides a method's maps and the scores of its metrics.

    What decides a metric's numbers besides is in the key of its rows; see `metric_key`.

    Attributes:
        dataset: The images.
        backbone: The network that scores.
        explain: What methods explain.
        method: The method.
        seed: Of all draws.
        precision: `fp32`, `tf32` or `bf16`.
        compile: Whether the network is compiled.
        maps: The dtype that maps are kept in; float16 rounds them, which makes ties.
        version: Of these fields.
    """

    dataset: DatasetIdentity
    backbone: NetworkIdentity
    explain: ExplainedIdentity
    method: MethodIdentity
    seed: int
    precision: str = "fp32"
    compile: bool = False
    maps: str = "float32"
    version: int = 1

    @cached_property
    def key(self) -> str:
        """Hash over all but the method's name."""
        content = asdict(self)
        del content["method"]["name"]
        # Keys are older than these fields.
        if self.explain.target == LABEL:
            del content["explain"]["target"]
        for network in (content["backbone"], content["explain"]["backbone"]):
            for newer in ("cam_layout", "code"):
                if network is not None and network[newer] is None:
                    del network[newer]
        return content_key(content)


def content_key(content: Any) -> str:
    """sha256 over nested mappings, sequences, strings and numbers."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def without_paths(settings: Any) -> Any:
    """Settings in which shipped classes are called by their names and not by where their code lies.

    `_target_: bench.attribution.masking.Rise` becomes `kind: Rise`, however deep, so that moving
    code changes no key. Other people's classes keep their dotted paths.

    Example:
        >>> without_paths({"_target_": "bench.attribution.masking.Rise", "num_masks": 4})
        {'kind': 'Rise', 'num_masks': 4}
    """
    if isinstance(settings, Mapping):
        target = settings.get("_target_")
        is_shipped = isinstance(target, str) and target.startswith("bench.")
        named = {"kind": target.rpartition(".")[2]} if is_shipped and target else {}
        rest = {
            key: without_paths(value)
            for key, value in settings.items()
            if not (is_shipped and key == "_target_")
        }
        return named | rest
    if isinstance(settings, list | tuple):
        return [without_paths(value) for value in settings]
    return settings
