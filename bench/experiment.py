"""One experiment: configuration to objects, objects to stored rows, rows to a leaderboard."""

import re
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.attribution.method import Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.datasets.dataset import Dataset
from bench.datasets.selection import Selection
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError, require_integer
from bench.evaluate import Failed, count_passes, evaluate
from bench.files import check_writable, file_name
from bench.metrics.baseline import Inputs
from bench.metrics.protocol import Protocol, protocol_from_mapping
from bench.provenance import provenance
from bench.report.writer import write_figures, write_leaderboard
from bench.select import select
from bench.store import Run, open_run


def run_experiment(config: DictConfig, console: Console) -> list[Failed]:
    """Runs what a configuration asks for and is not stored yet, and writes the leaderboard.

    Args:
        config: As `conf/run.yaml` composes it.
        console: Where progress and the leaderboard go.

    Returns:
        The methods that failed; empty if none did. Whatever succeeded is stored.

    Raises:
        BenchError: The configuration, the data or the results folder cannot be used.
    """
    _check_settings(config)
    results_dir = Path(config.results_dir).expanduser()
    device = resolve_device(config.device)
    batch_size = resolve_batch_size(config.batch_size, device)
    keep_freed_memory()

    protocol = protocol_from_mapping(OmegaConf.to_container(config.protocol, resolve=True))
    settings = _method_settings(config, console)
    methods = {name: _build_method(node, name) for name, node in settings.items()}
    dataset = build_dataset(config, console)
    backbone = build_backbone(config, device)
    dataset = _selected(config, dataset, backbone, device, console)
    dataset.check_targets(backbone.num_classes)
    _check_gallery(backbone, dataset, config.workers)
    name = _leaderboard_name(config, f"{dataset.name}_{backbone.name}_{protocol.name}")

    _tell_baselines(protocol, backbone, console)
    runs = _open_runs(config, results_dir, settings, methods, dataset, backbone, protocol, device)
    for method, run in runs.items():
        run.set_label(name, str(settings[method].get("label") or method))
    done = {method: set(run.rows()["image_id"]) for method, run in runs.items()}
    _tell_stored(done, len(dataset), console)
    failures = []
    size = backbone.preprocessing.size
    total = count_passes(dataset.samples, methods, protocol, backbone, done)
    keep = {sample.image_id for sample in dataset.samples[: config.gallery]}
    with _progress(console, sum(total)) as advance:
        scorer = Scorer(
            backbone,
            protocol.score,
            batch_size,
            on_forward=advance,
            on_backward=advance,
            may_shrink=config.batch_size == "auto",
        )
        for result in evaluate(
            dataset.samples,
            scorer,
            methods,
            protocol,
            device,
            config.seed,
            config.block_size,
            done,
            config.workers,
        ):
            if isinstance(result, Failed):
                failures.append(result)
                continue
            run = runs[result.method]
            for image_id, saliency_map in zip(result.rows["image_id"], result.maps, strict=True):
                if image_id in keep:
                    run.save_map(image_id, saliency_map.numpy())
            run.append(result.rows)

    _report_accuracy(runs, backbone, dataset, console)
    write_leaderboard(results_dir, name, console)
    if config.figures:
        gallery = dataset.samples[: config.gallery]
        photos = {s.image_id: cv2.resize(s.read(), (size, size)) for s in gallery}
        write_figures(results_dir, name, next(iter(runs.values())), photos, console)
    console.print(
        f"Curves:      {results_dir / 'runs'} (one row an image and method)", soft_wrap=True
    )
    return failures


def write_selection(config: DictConfig, console: Console) -> None:
    """Writes the list of images that a configuration selects; evaluates nothing.

    Args:
        config: As `conf/run.yaml` composes it.
        console: Where progress, the list and its sha256 go.

    Raises:
        BenchError: The configuration, the data or the results folder cannot be used.
    """
    _check_settings(config)
    device = resolve_device(config.device)
    keep_freed_memory()
    dataset = build_dataset(config, console)
    needed = _selection(config).needs_predictions
    backbone = build_backbone(config, device) if needed else None
    _selected(config, dataset, backbone, device, console, write_all=True)


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


def _selection(config: DictConfig) -> Selection:
    try:
        return Selection(**config.select)
    except TypeError:
        known = ", ".join(field.name for field in fields(Selection))
        raise BenchError(f"select: expected the settings {known}, found {config.select}") from None


def _selected(
    config: DictConfig,
    dataset: Dataset,
    backbone: Backbone | None,
    device: torch.device,
    console: Console,
    write_all: bool = False,
) -> Dataset:
    """The data set reduced to the images that `select` asks for."""
    selection = _selection(config)
    if selection.takes_all and not write_all:
        return dataset
    batch_size = resolve_batch_size(config.batch_size, device)

    def make_scorer(advance: Callable[[int], None]) -> Scorer:
        may_shrink = config.batch_size == "auto"
        return Scorer(backbone, "output", batch_size, on_forward=advance, may_shrink=may_shrink)

    return select(
        dataset,
        selection,
        backbone,
        make_scorer,
        device,
        Path(config.results_dir).expanduser(),
        config.workers,
        partial(_progress, console),
        console,
    )


def _check_settings(config: DictConfig) -> None:
    """Refuses what needs no loading to be seen as wrong."""
    check_writable(Path(config.results_dir))
    require_integer("seed", config.seed, 0)
    require_integer("block_size", config.block_size, 1)
    require_integer("workers", config.workers, 1)
    require_integer("gallery", config.gallery, 0)
    for switch in ("figures", "compile"):
        if not isinstance(config[switch], bool):
            raise BenchError(f"{switch}: expected true or false, found {config[switch]!r}")


def _check_gallery(backbone: Backbone, dataset: Dataset, workers: int) -> None:
    """Refuses images that the backbone's class vectors were made of, and other people's labels."""
    if not backbone.gallery:
        return
    theirs, ours = backbone.class_names, dataset.class_names
    if theirs is not None and ours is not None:
        for target in sorted({sample.target for sample in dataset.samples}):
            if theirs[target] != ours[target]:
                raise BenchError(
                    f"backbone.gallery: label {target} is '{theirs[target]}' there, but "
                    f"'{ours[target]}' in dataset '{dataset.name}': expected the same classes in "
                    "both"
                )
    hashes = dataset.pixel_hashes(workers)
    both = [image_id for image_id, pixels in hashes.items() if pixels in backbone.gallery]
    if both:
        raise BenchError(
            f"backbone.gallery: {len(both)} of {len(dataset)} evaluated images are in it "
            f"({', '.join(both[:3])}{', ...' if len(both) > 3 else ''}): expected other images of "
            "the same people"
        )


def _leaderboard_name(config: DictConfig, default: str) -> str:
    if config.name is None:
        return file_name(default)
    name = str(config.name)
    if file_name(name) != name:
        raise BenchError(
            f"name: '{name}' cannot be a file's name; expected letters, digits and ._+-, for "
            f"instance name={file_name(name)}"
        )
    return name


def _method_settings(config: DictConfig, console: Console) -> dict[str, DictConfig]:
    """The chosen methods' nodes; what an experiment sets for methods not chosen is told."""
    chosen, unused = {}, []
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


def _build(node: DictConfig, key: str) -> Any:
    """Instantiates a configuration node; what goes wrong is told in one line."""
    missing = OmegaConf.missing_keys(node)
    if missing:
        names = " ".join(f"{name}=VALUE" for name in sorted(missing))
        raise BenchError(f"{key}: not everything it needs is set; add {names}")
    arguments = OmegaConf.to_container(node, resolve=True)
    arguments.pop("label", None)
    try:
        return instantiate(arguments, _convert_="all")
    except InstantiationException as error:
        cause = error.__cause__
        if isinstance(cause, BenchError):
            argument = re.match(r"(\w+):", str(cause))
            inside = argument is not None and argument[1] in node
            raise BenchError(f"{key}.{cause}" if inside else str(cause)) from error
        reason = " ".join(str(cause if cause is not None else error).split())
        raise BenchError(f"{key}: cannot build {node['_target_']}: {reason}") from error


def _build_method(node: DictConfig, name: str) -> Method:
    method = _build(node, f"method.{name}")
    if not isinstance(method, Method):
        raise BenchError(
            f"method.{name}: expected _target_ to be a subclass of "
            f"bench.attribution.method.Method, found {node['_target_']}"
        )
    return method


def _open_runs(
    config: DictConfig,
    results_dir: Path,
    settings: Mapping[str, DictConfig],
    methods: Mapping[str, Method],
    dataset: Dataset,
    backbone: Backbone,
    protocol: Protocol,
    device: torch.device,
) -> dict[str, Run]:
    identity = {
        "dataset": dataset.identity(config.workers),
        "backbone": backbone.identity(),
        "explain": {"backbone": "the same", "score": protocol.score},
        "protocol": protocol.settings() | {"hash": protocol.hash},
        "seed": config.seed,
        "precision": backbone.precision,
        "compile": backbone.is_compiled,
    }
    origin = provenance(device) | {
        "dataset": dataset.notes,
        "weights_file_sha256": backbone.file_sha256,
    }
    resolved = OmegaConf.to_container(config, resolve=True)
    runs = {}
    for name, node in settings.items():
        own = OmegaConf.to_container(node, resolve=True)
        own.pop("label", None)
        method = {"name": name, "version": methods[name].version, "settings": own}
        method |= methods[name].identity([sample.image_id for sample in dataset.samples])
        runs[name] = open_run(results_dir, identity | {"method": method}, resolved, origin)
    return runs


def _tell_baselines(protocol: Protocol, backbone: Backbone, console: Console) -> None:
    """Says which colour a constant baseline is: the same zero differs from network to network."""
    for direction in ("insertion", "deletion"):
        baseline = getattr(protocol, direction).baseline
        if not baseline.depends_on_image:
            inputs = Inputs(torch.zeros(1, 3, 1, 1), to_input=backbone.to_input)
            rgb = backbone.preprocessing.to_rgb(baseline(inputs).flatten()).tolist()
            colour = ", ".join(f"{value:.6g}" for value in rgb)
            console.print(f"{direction} baseline: RGB ({colour})", highlight=False)


def _tell_stored(done: Mapping[str, set[str]], images: int, console: Console) -> None:
    stored = [f"{method} {len(own)} of {images}" for method, own in done.items() if own]
    if stored:
        console.print(f"Rows stored before: {', '.join(stored)}", highlight=False)


@contextmanager
def _progress(console: Console, total: int) -> Any:
    """A bar over forward passes; yields what to call with how many were made."""
    columns = (
        TextColumn("forward passes"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("time left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=total == 0) as progress:
        task = progress.add_task("", total=total)

        def advance(passes: int) -> None:
            left = total - progress.tasks[0].completed
            progress.advance(task, min(passes, left))

        yield advance
        progress.update(task, completed=total)


def _report_accuracy(
    runs: Mapping[str, Run], backbone: Backbone, dataset: Dataset, console: Console
) -> None:
    rows = max((run.rows() for run in runs.values()), key=len)
    right = int((rows["prediction"] == rows["target"]).sum())
    console.print(
        f"{backbone.name} on {dataset.name}: top-1 right on {right} of {len(rows)} images "
        f"({right / max(len(rows), 1):.1%})"
    )
