"""`bench.evaluate`: methods on a network and images, to a leaderboard."""

import io
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from rich.console import Console
from torch import nn

from bench.arrays import as_integer
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import AUTO, Backbone
from bench.config.building import build_explained, check_methods
from bench.config.choices import choices
from bench.config.composing import load_nodes
from bench.config.reading import check_name
from bench.config.settings import MOST_DRAWS, Component, Explain, Maps, RunSettings
from bench.datasets.dataset import Dataset
from bench.datasets.selection import Selection
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError, require_integer, require_known, require_text, warn
from bench.evaluation.progress import Progress
from bench.experiment.run import Experiment, run_prepared
from bench.experiment.select import predict
from bench.files import check_writable, file_name
from bench.metrics.metric import Metric
from bench.metrics.protocol import Protocol, load_protocol, protocol_on, protocol_with
from bench.metrics.registry import metric_from_settings
from bench.notebook.data import Given, as_data
from bench.notebook.methods import Chosen, as_methods
from bench.notebook.network import Colours, NetworkSettings, as_network, home_of
from bench.notebook.progress import shown_here
from bench.notebook.result import Result
from bench.storage.store import StoredRun, rows_of_draws, stored_runs
from bench.target import PREDICTION, Target, require_target


def evaluate(
    model: nn.Module | Backbone | str,
    data: Any,
    methods: Any,
    protocol: str | Protocol = "xplique-probability",
    *,
    metrics: str | Sequence[str] | Mapping[str, Any] = (),
    target: Target | None = None,
    name: str | None = None,
    model_name: str | None = None,
    output_kind: str = "logits",
    preprocessing: Any = None,
    mean: Colours | None = None,
    std: Colours | None = None,
    cam_layer: str | None = AUTO,
    cam_layout: Any = AUTO,
    feature_layer: str | None = None,
    results_dir: str | Path = "results",
    batch_size: int | Literal["auto"] = "auto",
    seed: int = 0,
    seeds: int = 1,
    device: str | None = None,
    progress: bool | Progress = True,
) -> Result:
    """Evaluates attribution methods on a network and images; computes what is not stored yet.

    Rows are kept in `results_dir`, which the command line reads, too (`bench leaderboard`, `bench
    report`). A shipped network and method find the rows of `bench run`, and the other way round.
    Your functions and modules are known by a hash over their code and state: an edited one
    never gets the rows of the one before.

    Args:
        model: A torch module in eval mode, inputs (B, C, H, W) to outputs (B, K); a `Backbone`; or
            a name for `bench.load_backbone`. A module is left as it is.
        data: `(x, targets)` with inputs (N, C, H, W) or photos (N, H, W, 3) uint8; x alone, then
            the model's predictions are the targets; a torch `DataLoader` or `Dataset` of (input,
            target); a data set of bench; a folder of class folders; or the name of a shipped one.
        methods: Names of `bench list methods`, `Method` objects, functions `f(model, x, targets)`
            that give maps (B, H, W), or a mapping of labels to these. Settings go in a mapping, as
            `{"rise": {"num_masks": 500}}`, or `{"rise500": {"method": "rise", "num_masks": 500}}`.
        protocol: A protocol or the name of a shipped one (`bench list protocols`).
        metrics: Names of metrics beside the protocol's (`bench list metrics`), or a mapping of them
            to their settings.
        target: The class that is scored and explained: `label`, `prediction` or a class's number;
            None: the protocol's.
        name: The leaderboard; None: `<data set>_<network>_<protocol>`.
        model_name: What tables call a module; None: its class's name.
        output_kind: What a module's outputs are: `logits`, `probabilities`, `cosines` or
            `multilabel`.
        preprocessing: Of a module and photos: `bench.backbones.backbone.Preprocessing`, or its
            settings.
        mean: What was taken off inputs in 0..1, as torchvision's `Normalize` takes it: one number
            or one a channel. Colours of baselines, methods that look at photos, and figures need
            it. None: colours count as input values, and photos are inputs stretched from the least
            to the largest value.
        std: What inputs were divided by, as mean.
        cam_layer: Of a module: the submodule of class activation maps, `auto` or None.
        cam_layout: How its output holds maps; see `bench.backbones.backbone.Backbone`.
        feature_layer: The submodule that gives embeddings, for methods that ask for them.
        results_dir: Where everything is kept.
        batch_size: Inputs in one forward pass; `auto`: 16 on a CPU, 64 elsewhere, halved when
            memory runs out.
        seed: Of all draws.
        seeds: How many draws a row is the mean of, with the seeds `seed`, `seed + 1`, ...; what
            draws nothing is computed once.
        device: Where the network computes; None: where a module is, else CUDA or the CPU.
        progress: Whether a bar is shown, in a notebook or a terminal; or what is told instead.

    Returns:
        The rows, tables and figures of these methods.

    Warns:
        BenchWarning: Methods failed on images, the network is no function of its input, or what a
            function does cannot be told, so that it is never found again.

    Raises:
        BenchError: Something of the above cannot be used; nothing that was stored is lost.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5)).eval()
        >>> def mine(model, x, targets):
        ...     return x.abs().sum(1)
        >>> images = torch.rand(4, 3, 8, 8), [0, 1, 2, 3]
        >>> found = evaluate(net, images, {"mine": mine, "random": "random"}, results_dir="results")
        >>> sorted(found.leaderboard()["method"])
        ['mine', 'random']
    """
    seed, seeds, batch_size = as_integer(seed), as_integer(seeds), as_integer(batch_size)
    require_integer("seed", seed, 0)
    require_integer("seeds", seeds, 1, MOST_DRAWS)
    for key, text in (("name", name), ("model_name", model_name)):
        if text is not None:
            require_text(key, text)
    resolve_batch_size(batch_size, torch.device("cpu"))  # refuses a wrong one
    chosen, given = as_methods(methods), as_data(data)
    measured = _protocol(protocol, metrics, target, given)
    said = NetworkSettings(
        model_name, output_kind, preprocessing, mean, std, cam_layer, cam_layout, feature_layer
    )
    keep_freed_memory()
    with as_network(model, given, said) as backbone:
        place = home_of(backbone)
        if device is not None or isinstance(model, str):
            place = resolve_device(device or "auto")
        backbone.to(place)
        dataset = _labelled(given, backbone, batch_size, place)
        name = name or file_name(f"{dataset.name}_{backbone.name}_{measured.name}")
        settings = _settings(
            name,
            Path(results_dir),
            chosen,
            seed=seed,
            seeds=seeds,
            device=str(place),
            batch_size=batch_size,
        )
        experiment = _experiment(
            settings, chosen, dataset, backbone=backbone, protocol=measured, device=place
        )
        _leave_earlier_editions(settings)
        log = io.StringIO()
        with shown_here(progress) as told:
            console = Console(file=log, width=120, markup=False, force_jupyter=False)
            ended = run_prepared(experiment, console, progress=told)
    if ended.failures:
        first = ended.failures[0]
        warn(
            f"{len(ended.failures)} maps failed, first {first.method} on image "
            f"{first.image_id}: {first.reason}"
        )
    return Result(
        Path(results_dir),
        name,
        rows_of_draws(
            [StoredRun(run.folder, run.manifest, run.protocol) for run in ended.runs], name
        ),
        [sample.image_id for sample in dataset.samples],
        ended.failures,
        log.getvalue(),
    )


def _leave_earlier_editions(settings: RunSettings) -> None:
    """Takes what a function was before it was edited off the leaderboard; its rows stay."""
    folder, name = settings.results_dir, str(settings.name)
    for run in stored_runs(folder, name) if (folder / "runs").is_dir() else ():
        component = settings.methods.get(run.label(name))
        code = run.identity.method.settings.get("code")
        if component is not None and code != component.settings.get("code") and code is not None:
            run.leave(name)


def _protocol(
    protocol: Any, metrics: str | Sequence[str] | Mapping[str, Any], target: Any, given: Given
) -> Protocol:
    """What is measured, of which class."""
    found = load_protocol(protocol) if isinstance(protocol, str) else protocol
    if not isinstance(found, Protocol):
        raise BenchError(f"protocol: expected a Protocol or a name, found {found!r:.80}")
    if target is None and not given.is_labelled and found.target == "label":
        target = PREDICTION
    if target is not None:
        require_target("target", target)
        found = protocol_on(found, target)
    metrics = [metrics] if isinstance(metrics, str) else metrics
    wanted = metrics if isinstance(metrics, Mapping) else {each: {} for each in metrics}
    return protocol_with(found, {each: _metric(each, wanted[each]) for each in wanted})


def _metric(name: str, settings: Any) -> Metric:
    known = choices("metric")
    require_known("metrics", name, known)
    (node,) = load_nodes(known[name].path).values()
    return metric_from_settings(name, {**node, **(settings or {})}, f"metric.{name}")


def _labelled(
    given: Given, backbone: Backbone, batch_size: int | str, device: torch.device
) -> Dataset:
    """The data set; where the user has no classes, with those that the network predicts."""
    if given.is_labelled:
        return given.dataset
    size = resolve_batch_size(batch_size, device)
    scorer = Scorer(backbone, "output", size, may_shrink=batch_size == "auto")
    dataset = copy(given.dataset)
    predicted = predict(dataset, scorer, device)
    dataset.samples = [
        replace(sample, target=found)
        for sample, found in zip(dataset.samples, predicted, strict=True)
    ]
    return dataset


def _settings(
    name: str,
    results_dir: Path,
    chosen: Mapping[str, Chosen],
    *,
    seed: int,
    seeds: int,
    device: str,
    batch_size: Any,
) -> RunSettings:
    """Settings of a run, as `conf/run.yaml` has them where nothing is said."""
    check_name(name)
    check_writable(results_dir)
    here = Component("", __name__)  # what is built already
    return RunSettings(
        name=name,
        results_dir=results_dir,
        dataset=here,
        backbone=here,
        protocol={},
        target=None,
        metrics={},
        methods={label: each.component for label, each in chosen.items()},
        unused_methods=(),
        explain=Explain(),
        select=Selection(),
        maps=Maps(keep=True, folder=results_dir / "maps", dtype="float32"),
        policy="missing",
        seed=seed,
        seeds=seeds,
        shard=None,
        device=device,
        batch_size=batch_size,
        precision="fp32",
        compile=False,
        block_size=32,
        workers=1,  # a torch data set is read by one thread, as its author tried it
        fail_fast=False,
        strict=False,
        figures=False,
        gallery=4,
        reference=None,
        by=None,
        assets={},
        made_of_assets={},
        reproduces=None,
        resolved={"made_by": "bench.evaluate"},
    )


def _experiment(
    settings: RunSettings,
    chosen: Mapping[str, Chosen],
    dataset: Dataset,
    *,
    backbone: Backbone,
    protocol: Protocol,
    device: torch.device,
) -> Experiment:
    """What is asked for, checked to fit together."""
    dataset.check_targets(backbone.num_classes)
    dataset.check_annotated({name: each.needs for name, each in protocol.metrics.items()})
    explained = build_explained(settings, protocol, backbone, device)
    methods = {label: each.method for label, each in chosen.items()}
    check_methods(methods, backbone, explained.score)
    return Experiment(settings, methods, dataset, backbone, protocol, explained, device)
