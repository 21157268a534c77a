"""Configuration to objects: everything that a run is made of, checked."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from bench.arguments import as_dict, typed
from bench.attribution.method import Method, require_declared
from bench.backbones.backbone import PRECISIONS, Backbone
from bench.datasets.dataset import Dataset
from bench.device import resolve_batch_size
from bench.errors import (
    BenchError,
    require_integer,
    require_known,
    require_settings,
    require_text,
    require_unicode,
)
from bench.files import BESIDE, LONGEST_NAME, SIDE_BY_SIDE, check_writable, expand_user, file_name
from bench.identity import ROW_KEYS
from bench.leaderboard.significance import TESTS
from bench.map_store import DTYPES
from bench.metrics.auc import AUC_RULES
from bench.metrics.protocol import Protocol
from bench.metrics.score import check_score
from bench.reproduction import check_reproduces
from bench.shard import read_shard


@dataclass(frozen=True)
class Explained:
    """What methods explain: a score that a network gives.

    Attributes:
        backbone: The network.
        score: A key of `bench.metrics.score.SCORES`.
        is_what_scores: Whether the network is the one that scores the curves.
    """

    backbone: Backbone
    score: str
    is_what_scores: bool


def check_settings(config: DictConfig) -> None:
    """Refuses what needs no loading to be seen as wrong."""
    for group in ("dataset", "backbone", "protocol", "explain", "select", "maps", "store"):
        require_settings(group, config.get(group))
    if OmegaConf.select(config, "explain.backbone") is not None:
        require_settings("explain.backbone", OmegaConf.select(config, "explain.backbone"))
    if config.get("reproduces") is not None:
        check_reproduces(config.reproduces)
    for name in ("results_dir", "maps.folder", "device"):
        require_text(name, OmegaConf.select(config, name))
    for key, value in flat(OmegaConf.to_container(config)):
        require_unicode(key, value)
    check_writable(Path(config.results_dir))
    expand_user(Path(config.maps.folder), "maps.folder")
    require_integer("seed", config.seed, 0)
    require_integer("block_size", config.block_size, 1)
    require_integer("workers", config.workers, 1)
    require_integer("gallery", config.gallery, 0)
    require_known("precision", config.precision, PRECISIONS)
    resolve_batch_size(config.batch_size, torch.device("cpu"))
    read_shard(config.shard)
    _check_assets(config)
    require_known("store.policy", str(config.store.policy), ("missing", "always", "never"))
    require_known("maps.dtype", str(config.maps.dtype), DTYPES)
    for switch in ("figures", "compile", "maps.keep", "fail_fast", "strict"):
        value = OmegaConf.select(config, switch)
        if not isinstance(value, bool):
            raise BenchError(f"{switch}: expected true or false, found {value!r}")


def _check_assets(config: DictConfig) -> None:
    """Refuses a configuration that needs assets which are not set; tells all of them at once."""
    parts = {part: config.get(part) for part in ("dataset", "backbone", "explain", "method")}
    needed = re.findall(r"\$\{assets\.(\w+)\}", OmegaConf.to_yaml(OmegaConf.create(parts)))
    missing = [name for name in dict.fromkeys(needed) if OmegaConf.is_missing(config.assets, name)]
    if missing:
        raise BenchError(
            f"assets: this experiment needs paths that are not set: add "
            f"{' '.join(f'assets.{name}=PATH' for name in missing)}, or lines `{missing[0]}: PATH` "
            "to assets.yaml in the working directory"
        )


def build_dataset(config: DictConfig, console: Console) -> Dataset:
    """The data set that a configuration names; what it has to say of itself is printed.

    Raises:
        BenchError: It cannot be built, or is no `Dataset`.
    """
    dataset = _build(config.dataset, "dataset")
    if not isinstance(dataset, Dataset):
        raise BenchError(
            "dataset: expected _target_ to be a subclass of bench.datasets.dataset.Dataset, "
            f"found {config.dataset['_target_']}"
        )
    for note in dataset.notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)
    return dataset


def build_backbone(config: DictConfig, device: torch.device) -> Backbone:
    """The backbone that a configuration names, on a device, at the precision asked for.

    Raises:
        BenchError: It cannot be built.
    """
    backbone: Backbone = _build(config.backbone, "backbone").to(device)
    return backbone.set_speed(config.precision, config.compile)


def build_explained(
    config: DictConfig, protocol: Protocol, backbone: Backbone, device: torch.device
) -> Explained:
    """What `explain` asks for; by default what the protocol scores.

    Args:
        config: As `conf/run.yaml` composes it.
        protocol: How maps become curves.
        backbone: The network that scores.
        device: Where the network will live.

    Raises:
        BenchError: The network cannot be built or does not fit the one that scores, or the score
            cannot be read off it.
    """
    check_score(protocol.score, backbone.output_kind)
    score = str(config.explain.score or protocol.score)
    if "_target_" not in (config.explain.get("backbone") or {}):
        check_score(score, backbone.output_kind)
        return Explained(backbone, score, is_what_scores=True)
    other: Backbone = _build(config.explain.backbone, "explain.backbone").to(device)
    other.set_speed(config.precision, config.compile)
    check_score(score, other.output_kind)
    for what, own, expected in (
        ("inputs", other.preprocessing.size, backbone.preprocessing.size),
        ("classes", other.num_classes, backbone.num_classes),
    ):
        if own != expected:
            raise BenchError(
                f"explain.backbone: expected {what} as of backbone '{backbone.name}', {expected}, "
                f"found {own} of '{other.name}'"
            )
    is_the_same = other.identity() == backbone.identity()
    return Explained(backbone if is_the_same else other, score, is_the_same)


def method_settings(config: DictConfig, console: Console) -> dict[str, DictConfig]:
    """The chosen methods' nodes; what an experiment sets for methods not chosen is told."""
    chosen, unused = {}, []
    require_settings("method", config.get("method") or {})
    for name, node in (config.get("method") or {}).items():
        if not isinstance(node, DictConfig):
            raise BenchError(f"method.{name}: expected its settings, found {node!r}")
        if "_target_" in node:
            chosen[name] = node
        else:
            unused.append(name)
    if unused:
        console.print(f"Not chosen, so their settings are not used: {', '.join(unused)}")
    if not chosen:
        raise BenchError("method: none is chosen; expected at least one, as in method=[random]")
    return chosen


def build_method(node: DictConfig, name: str) -> Method:
    """The method that a node of `method_settings` describes.

    Raises:
        BenchError: It cannot be built, is no `Method`, or declares what a method cannot.
    """
    method = _build(node, f"method.{name}")
    if not isinstance(method, Method):
        raise BenchError(
            f"method.{name}: expected _target_ to be a subclass of "
            f"bench.attribution.method.Method, found {node['_target_']}"
        )
    require_declared(f"method.{name}", method)
    return method


def check_methods(methods: Mapping[str, Method], backbone: Backbone) -> None:
    """Refuses methods that cannot explain a network, before anything is spent on them.

    Args:
        methods: By name.
        backbone: The network to explain.

    Raises:
        BenchError: A method cannot explain it; all that cannot for the same reason are named.
    """
    refused: dict[str, list[str]] = {}
    for name, method in methods.items():
        try:
            method.check(backbone)
        except BenchError as error:
            refused.setdefault(str(error), []).append(name)
    for reason, names in refused.items():
        raise BenchError(f"method {', '.join(names)}: {reason}")


def leaderboard_name(config: DictConfig, default: str) -> str:
    """The name of the leaderboard that a run's rows join.

    Args:
        config: As `conf/run.yaml` composes it.
        default: Its name where the configuration has none.

    Raises:
        BenchError: The name cannot be a file's.
    """
    name = file_name(default) if config.name is None else str(config.name)
    if file_name(name) != name:
        raise BenchError(
            f"name: '{name}' cannot be a file's name; expected letters, digits and ._+-, at most "
            f"{LONGEST_NAME} bytes, for instance name={file_name(name)}"
        )
    if name.casefold() == SIDE_BY_SIDE:
        raise BenchError(
            f"name: expected another name than '{name}': `bench leaderboard` writes "
            "the table of several benchmarks under it"
        )
    for ending in (*AUC_RULES, *TESTS, *BESIDE):
        if name.casefold().endswith(f"_{ending}"):
            other = name[: -len(ending) - 1]
            raise BenchError(
                f"name: expected one that does not end in '_{ending}', found '{name}': files of "
                f"the leaderboard '{other}' are called so (name= sets another)"
            )
    return name


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


def _build(node: DictConfig, key: str) -> Any:
    """Instantiates a configuration node; what goes wrong is told in one line."""
    missing = OmegaConf.missing_keys(node)
    if missing:
        names = " ".join(f"{name}=VALUE" for name in sorted(missing))
        raise BenchError(f"{key}: not everything it needs is set; add {names}")
    arguments = {name: value for name, value in as_dict(node).items() if name not in ROW_KEYS}
    citation = None if key.startswith("method.") else _taken_citation(arguments)
    try:
        made = instantiate(typed(arguments, key), _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, BenchError):
            argument = re.match(r"(\w+):", str(cause))
            inside = argument is not None and argument[1] in node
            raise BenchError(f"{key}.{cause}" if inside else str(cause)) from error
        reason = " ".join(str(cause if cause is not None else error).split())
        raise BenchError(f"{key}: cannot build {node['_target_']}: {reason}") from error
    except SystemExit as error:  # a script, imported, would end the run as if all had gone well
        raise BenchError(
            f"{key}: cannot build {node['_target_']}: its code calls sys.exit({error.code!r}) when "
            "it is imported or built; put what makes it a script under if __name__ == '__main__'"
        ) from error
    if citation is not None:
        made.citation = citation
    return made


def _taken_citation(arguments: dict[str, Any]) -> str | None:
    """What the node of a data set or network cites: nothing is built of it."""
    if isinstance(arguments.get("gallery"), dict):
        arguments["gallery"].pop("citation", None)
    citation = arguments.pop("citation", None)
    return None if citation is None else str(citation)
