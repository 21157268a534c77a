"""One experiment: objects to stored rows, rows to a leaderboard."""

from collections.abc import Callable, Mapping, MutableMapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import torch
from rich.console import Console
from rich.filesize import decimal

from bench.attribution.method import Method, Passes
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.config.building import (
    Explained,
    build_backbone,
    build_dataset,
    build_explained,
    build_methods,
    build_protocol,
    check_methods,
)
from bench.config.reading import check_name
from bench.config.settings import RunSettings
from bench.datasets.annotation import NEEDS
from bench.datasets.dataset import Dataset, Sample
from bench.datasets.shard import Shard
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError, tell_warnings
from bench.evaluation.explain import Explainer, Failed
from bench.evaluation.loop import evaluate_runs
from bench.evaluation.method_run import StoredMethodRun
from bench.evaluation.progress import Countdown, Progress, duration
from bench.evaluation.repeatability import repeatability, warning
from bench.experiment.cost import Cost, count_cost, estimate_seconds
from bench.experiment.gallery import MapKeeper, PictureKeeper, images_to_show
from bench.experiment.progress import kept, shown
from bench.experiment.reproduction import reproduction
from bench.experiment.select import kept_predictions, predict, select
from bench.files import file_name
from bench.leaderboard.comparison import comparison_title
from bench.leaderboard.groups import read_grouping
from bench.leaderboard.reference import require_reference
from bench.metrics.baseline import Inputs
from bench.metrics.protocol import Protocol
from bench.report.writer import write_figures, write_leaderboard
from bench.score import accuracy_is
from bench.storage.batch_sizes import CURVES, BatchSizes
from bench.storage.identity import (
    DatasetIdentity,
    ExplainedIdentity,
    Identity,
    MethodIdentity,
    NetworkIdentity,
    without_paths,
)
from bench.storage.map_store import MapStore, image_key, open_maps
from bench.storage.pictures import pictures_folder
from bench.storage.provenance import provenance
from bench.storage.row_names import comparison_key
from bench.storage.store import Run, open_run, stored_runs
from bench.target import LABEL

BLOCK_SECONDS = 60.0
"""About how long rows are waited for before they are stored; see `evaluate_runs`."""

_PREDICTIONS = "predictions"
"""What progress calls the passes that tell which images to select."""


@dataclass(frozen=True)
class RunResult:
    """What a run leaves behind.

    Attributes:
        leaderboard: Name of the one that its rows joined.
        failures: The methods that failed. Whatever succeeded is stored.
        runs: Where that is, draw by draw, in the order of the methods.
    """

    leaderboard: str
    failures: list[Failed]
    runs: Sequence[Run]


def run_experiment(
    settings: RunSettings, console: Console, changes: Sequence[str] = ()
) -> RunResult:
    """Runs what is asked for and is not stored yet, and writes the leaderboard.

    Args:
        settings: Of the run.
        console: Where progress and the leaderboard go.
        changes: Settings in which it differs from the experiment that it names; see
            `bench.experiment.reproduction.changed_settings`.

    Raises:
        BenchError: The configuration, the data or the results folder cannot be used.
    """
    with tell_warnings(
        lambda text: console.print(f"Warning: {text}", soft_wrap=True, highlight=False)
    ):
        return run_prepared(_prepare(settings, console), console, changes)


def run_prepared(
    experiment: "Experiment",
    console: Console,
    changes: Sequence[str] = (),
    *,
    progress: Progress | None = None,
) -> RunResult:
    """As `run_experiment`, of objects that are made.

    Args:
        experiment: What is asked for.
        console: Where the leaderboard goes.
        changes: See `run_experiment`.
        progress: Is told how far methods are; by default the console shows it.

    Raises:
        BenchError: The data or the results folder cannot be used.
    """
    settings, results_dir = experiment.settings, experiment.settings.results_dir
    backbone, dataset, protocol = experiment.backbone, experiment.dataset, experiment.protocol
    name = settings.name or file_name(f"{dataset.name}_{backbone.name}_{protocol.name}")
    check_name(name)

    _tell_baselines(protocol, backbone, console)
    _tell_annotated(dataset, protocol, console)
    draws = [(draw, _method_runs(draw)) for draw in _draws(experiment)]
    runs, every = draws[0][1], [run for _, of_draw in draws for run in of_draw]
    _set_aside_broken(every, console)
    for run in every:
        run.apply_policy(settings.policy, dataset.samples)
    _check_repeatability(experiment, every, console)
    seeds = _seeds_of_rows(every)
    for run in every:
        repeated = reproduction(settings.reproduces, run, changes)
        run.stored.set_label(name, run.label, repeated, seeds[run.name])
    if settings.reference is not None:
        require_reference(settings.reference, [(stored_runs(results_dir, name), name)])
    failures: list[Failed] = []
    for draw, of_draw in draws:
        _tell_draw(draw, experiment, console)
        failures += _compute(draw, of_draw, console, progress)
        if failures and settings.fail_fast:
            break

    _report_accuracy(runs, backbone, dataset, console)
    by = None if settings.by is None else read_grouping(settings.by)
    write_leaderboard(results_dir, name, console, reference=settings.reference, by=by)
    if settings.gallery:
        _keep_gallery(experiment, runs, name, console)
    if settings.figures:
        write_figures(results_dir, name, runs[0].stored, console)
    console.print(
        f"Curves:      {results_dir / 'runs'} (one row an image and method)", soft_wrap=True
    )
    return RunResult(name, failures, [run.stored for run in every])


def _draws(experiment: "Experiment") -> list["Experiment"]:
    """The experiment once for each seed; after the first without the methods that draw nothing.

    Each is what a run with that seed alone would be, so that they share their rows.
    """
    settings, methods = experiment.settings, experiment.methods
    if settings.seeds == 1:
        return [experiment]
    found = []
    for seed in range(settings.seed, settings.seed + settings.seeds):
        if seed > settings.seed and not experiment.protocol.may_draw:
            methods = {name: method for name, method in methods.items() if method.may_draw}
        alone = replace(
            settings,
            seed=seed,
            seeds=1,
            methods={name: settings.methods[name] for name in methods},
            resolved={**settings.resolved, "seed": seed, "seeds": 1},
        )
        found.append(replace(experiment, settings=alone, methods=methods))
    return [draw for draw in found if draw.methods]


def _seeds_of_rows(runs: Sequence[StoredMethodRun]) -> dict[str, list[int]]:
    """By method, the seeds of its row's draws; none where there is one draw."""
    seeds: dict[str, list[int]] = {}
    for run in runs:
        seeds.setdefault(run.name, []).append(run.stored.identity.seed)
    return {name: each if len(each) > 1 else [] for name, each in seeds.items()}


def _compute(
    experiment: "Experiment",
    runs: Sequence[StoredMethodRun],
    console: Console,
    progress: Progress | None,
) -> list[Failed]:
    """Computes what one draw lacks, and tells of it; returns the failures."""
    settings, protocol = experiment.settings, experiment.protocol
    _tell_stored(runs, len(experiment.dataset), console)
    _tell_shard(experiment, console)
    network = experiment.explained.backbone
    cost = count_cost(experiment.samples, runs, protocol, network.preprocessing.shape, network)
    _tell_not_asked(runs, protocol, console)
    expected = _tell_cost(experiment, runs, cost, console)
    shard, images = str(settings.shard or Shard()), len(experiment.samples)
    shower = shown(console) if progress is None else nullcontext(progress)
    with shower as listener, kept(listener, runs, shard, images) as told:
        known = all(run.passes is not None for run in runs)
        told.planned(cost.passes if known else 0)
        failures = _evaluate(experiment, runs, told, expected if known else None)
    _tell_elsewhere(runs, console)
    _tell_not_kept(runs, console)
    return failures


def _evaluate(
    experiment: "Experiment",
    runs: Sequence[StoredMethodRun],
    progress: Progress,
    expected_seconds: float | None,
) -> list[Failed]:
    """Evaluates what is not done and stores it; returns the failures."""
    settings, explained = experiment.settings, experiment.explained
    scorer = experiment.scorer(experiment.backbone, experiment.protocol.score, progress.passed)
    sizes = experiment.remembered_batch_sizes()
    scorer.batch_size = sizes.get(CURVES, scorer.batch_size)
    keep = {sample.image_id for sample in experiment.dataset.samples[: settings.gallery]}
    stored = {run.name: run.stored for run in runs}
    failures: list[Failed] = []
    for result in evaluate_runs(
        experiment.samples,
        scorer,
        runs,
        experiment.protocol,
        device=experiment.device,
        seed=settings.seed,
        block_size=settings.block_size,
        block_seconds=BLOCK_SECONDS,
        expected_seconds=expected_seconds,
        workers=settings.workers,
        explained=experiment.scorer(explained.backbone, explained.score, progress.passed),
        explained_target=explained.target,
        batch_sizes=sizes,
        progress=progress,
    ):
        run = stored[result.method]
        if isinstance(result, Failed):
            run.record_failure(result.image_id, result.reason, result.trace)
            failures.append(result)
            if settings.fail_fast:
                break
            continue
        if scorer.batch_size != experiment.batch_size:
            sizes[CURVES] = scorer.batch_size
        run.append(result.rows)  # before what only figures need: the disk may be full
        for image_id, saliency_map in zip(result.rows["image_id"], result.maps, strict=True):
            if image_id in keep:
                run.save_map(image_id, saliency_map.numpy())
    return failures


def _keep_gallery(
    experiment: "Experiment",
    runs: Sequence[StoredMethodRun],
    name: str,
    console: Console,
) -> None:
    """Keeps pictures and maps of the first images and of the methods' best and worst ones."""
    settings, dataset, explained = experiment.settings, experiment.dataset, experiment.explained
    first = [sample.image_id for sample in dataset.samples[: settings.gallery]]
    shown = images_to_show([run.stored for run in runs], name, first)
    title, key = comparison_title(runs[0].stored), comparison_key(runs[0].stored)
    pictures = PictureKeeper(dataset, experiment.backbone, experiment.protocol, settings.seed)
    pictures.keep(pictures_folder(settings.results_dir, title, key), shown)
    scorer = experiment.scorer(explained.backbone, explained.score, lambda _: None)
    sizes = experiment.remembered_batch_sizes()
    explainer = Explainer(scorer, sizes, target=explained.target)
    keeper = MapKeeper(explainer, experiment.device, settings.seed)
    lacking = keeper.keep(dataset.samples, runs, shown)
    if lacking:
        told = ", ".join(f"{count} of {method}" for method, count in lacking.items())
        console.print(
            f"Maps that figures lack: {told} (they are in no store, and take passes to make)",
            soft_wrap=True,
            highlight=False,
        )


def write_selection(settings: RunSettings, console: Console) -> None:
    """Writes the list of images that a run would use; evaluates nothing.

    Args:
        settings: Of the run.
        console: Where progress, the list and its sha256 go.

    Raises:
        BenchError: The configuration, the data or the results folder cannot be used.
    """
    device = resolve_device(settings.device)
    keep_freed_memory()
    dataset = build_dataset(settings.dataset, console)
    needed = settings.select.needs_predictions
    backbone = build_backbone(settings, device) if needed else None
    _selected(settings, dataset, backbone, device, console)


@dataclass(frozen=True)
class Experiment:
    """What is asked for, as objects.

    Attributes:
        settings: Of the run; what they say of the objects below is only kept beside the rows.
        methods: By the names that `settings.methods` has, too.
        dataset: The images.
        backbone: The network that scores.
        protocol: What is measured.
        explained: What methods explain.
        device: Where the networks live.
    """

    settings: RunSettings
    methods: Mapping[str, Method]
    dataset: Dataset
    backbone: Backbone
    protocol: Protocol
    explained: Explained
    device: torch.device

    @cached_property
    def samples(self) -> list[Sample]:
        """The images to evaluate here: all of the data set's, or those of a share."""
        return (self.settings.shard or Shard()).choose(self.dataset.samples)

    @property
    def batch_size(self) -> int:
        """Inputs in one forward pass, unless memory runs out."""
        return resolve_batch_size(self.settings.batch_size, self.device)

    def scorer(self, backbone: Backbone, score: str, advance: Callable[[int], None]) -> Scorer:
        """A network with a score; `advance` is told how many inputs were passed."""
        return Scorer(
            backbone,
            score,
            self.batch_size,
            on_forward=advance,
            on_backward=advance,
            may_shrink=self.settings.may_shrink,
        )

    @cached_property
    def passes(self) -> dict[str, Passes | None]:
        """What one image costs, by method; None: unknown."""
        backbone = self.explained.backbone
        return {name: method.passes(backbone) for name, method in self.methods.items()}

    def remembered_batch_sizes(self) -> MutableMapping[str, int]:
        """What was left of `auto` batch sizes on this device; of others nothing is remembered."""
        if not self.settings.may_shrink:
            return {}
        file, size = self.settings.results_dir / "batch_sizes.json", self.batch_size
        return BatchSizes(file, self.device, self.backbone.name, size)

    def keeps_maps(self, name: str) -> bool:
        """Whether a method's maps are worth the disk: unless it is known to make no passes."""
        return self.settings.maps.keep and self.passes[name] != Passes()

    @cached_property
    def identities(self) -> dict[str, Identity]:
        """By method, what decides its numbers but for the protocol."""
        explained, settings = self.explained, self.settings
        network = None
        if not explained.is_what_scores:
            network = NetworkIdentity(**explained.backbone.identity())
        shared = Identity(
            dataset=DatasetIdentity(**self.dataset.identity(settings.workers)),
            backbone=NetworkIdentity(**self.backbone.identity()),
            explain=ExplainedIdentity(explained.score, network, str(explained.target)),
            method=MethodIdentity("", 0),
            seed=settings.seed,
            precision=self.backbone.precision,
            compile=self.backbone.is_compiled,
        )
        return {
            name: replace(
                shared,
                method=self._method_identity(name),
                maps=settings.maps.dtype if self.keeps_maps(name) else "float32",
            )
            for name in settings.methods
        }

    @cached_property
    def annotations(self) -> dict[str, str]:
        """By what the protocol's metrics read of annotations, a hash over it."""
        needs = {metric.needs for metric in self.protocol.metrics.values() if metric.needs}
        workers = self.settings.workers
        return {need: self.dataset.annotations_sha256(need, workers) for need in sorted(needs)}

    def _method_identity(self, name: str) -> MethodIdentity:
        method, node = self.methods[name], self.settings.methods[name].node
        return MethodIdentity(
            name,
            method.version,
            without_paths({key: value for key, value in node.items() if key not in method.places}),
            method.identity([sample.image_id for sample in self.dataset.samples]),
        )


def _prepare(settings: RunSettings, console: Console) -> Experiment:
    """Builds everything and checks that it fits together."""
    device = resolve_device(settings.device)
    keep_freed_memory()
    protocol = build_protocol(settings)
    methods = build_methods(settings, console)
    dataset = build_dataset(settings.dataset, console)
    backbone = build_backbone(settings, device)
    if not settings.select.takes_all:
        dataset = _selected(settings, dataset, backbone, device, console)
    dataset.check_targets(backbone.num_classes)
    dataset.check_annotated({name: each.needs for name, each in protocol.metrics.items()})
    _check_gallery(backbone, dataset, settings.workers)
    explained = build_explained(settings, protocol, backbone, device)
    check_methods(methods, explained.backbone, explained.score)
    for network in dict.fromkeys((backbone, explained.backbone)):
        for note in network.notes:
            console.print(note, soft_wrap=True, highlight=False, markup=False)
    return Experiment(settings, methods, dataset, backbone, protocol, explained, device)


def _method_runs(experiment: Experiment) -> list[StoredMethodRun]:
    """The methods with what is stored of them."""
    stores, stored = _open_maps(experiment), _open_runs(experiment)
    return [
        StoredMethodRun(
            name,
            experiment.methods[name],
            experiment.passes[name],
            stores.get(name),
            stored=stored[name],
            label=component.label or name,
            published=component.published,
        )
        for name, component in experiment.settings.methods.items()
    ]


def _open_maps(experiment: Experiment) -> dict[str, MapStore]:
    settings, dataset, explained = experiment.settings, experiment.dataset, experiment.explained
    hashes = dataset.pixel_hashes(settings.workers)
    keys = {each.image_id: image_key(each, hashes[each.image_id]) for each in dataset.samples}
    stores = {}
    for name in filter(experiment.keeps_maps, experiment.methods):
        identity = asdict(experiment.identities[name])
        deciding = {part: identity[part] for part in ("method", "seed", "precision", "compile")}
        deciding |= {"backbone": explained.backbone.identity(), "score": explained.score}
        if explained.target != LABEL:  # an image's label is in its own key
            deciding["target"] = explained.target
        again = settings.policy == "always"
        stores[name] = open_maps(settings.maps.folder, deciding, settings.maps.dtype, keys, again)
    return stores


def _open_runs(experiment: Experiment) -> dict[str, Run]:
    origin = provenance(experiment.device) | {
        "dataset": experiment.dataset.notes,
        "weights_file_sha256": experiment.backbone.file_sha256,
        "num_classes": experiment.backbone.num_classes,
        "memory_format": str(experiment.backbone.memory_format).removeprefix("torch."),
        "dtype": str(experiment.backbone.dtype).removeprefix("torch."),
    }
    networks = (experiment.backbone.citation, experiment.explained.backbone.citation)
    cited = {
        "dataset": experiment.dataset.citation,
        "backbone": "; ".join(dict.fromkeys(filter(None, networks))),
    }
    settings = experiment.settings
    runs = {}
    for name, identity in experiment.identities.items():
        passes = experiment.passes[name]
        provenance_of_run = origin | {"passes": passes._asdict() if passes else {}}
        citations = cited | {"method": "; ".join(experiment.methods[name].citations)}
        provenance_of_run["citations"] = citations
        runs[name] = open_run(
            settings.results_dir,
            identity,
            experiment.protocol,
            settings.resolved,
            provenance_of_run,
            annotations=experiment.annotations,
        )
    return runs


def _selected(
    settings: RunSettings,
    dataset: Dataset,
    backbone: Backbone | None,
    device: torch.device,
    console: Console,
) -> Dataset:
    """The data set reduced to the images that `select` asks for."""
    results_dir, predictions = settings.results_dir, None
    if settings.select.needs_predictions and backbone is not None:
        predictions = kept_predictions(
            dataset,
            backbone,
            results_dir,
            lambda: _predict(settings, dataset, backbone, device, console),
        )
    return select(dataset, settings.select, predictions, results_dir, console)


def _predict(
    settings: RunSettings,
    dataset: Dataset,
    backbone: Backbone,
    device: torch.device,
    console: Console,
) -> list[int]:
    """Predicted class of each image, with a bar of what is done."""
    with shown(console) as progress:
        countdown = Countdown(progress, {_PREDICTIONS: len(dataset)})

        def advance(inputs: int) -> None:  # the last batch is filled up
            countdown.advance(_PREDICTIONS, min(inputs, countdown.left(_PREDICTIONS)))

        scorer = Scorer(
            backbone,
            "output",
            resolve_batch_size(settings.batch_size, device),
            on_forward=advance,
            may_shrink=settings.may_shrink,
        )
        return predict(dataset, scorer, device, settings.workers)


def _tell_annotated(dataset: Dataset, protocol: Protocol, console: Console) -> None:
    """Counts the images that metrics leave out."""
    for need in sorted({metric.needs for metric in protocol.metrics.values() if metric.needs}):
        names = ", ".join(name for name, each in protocol.metrics.items() if each.needs == need)
        having = sum(
            sample.annotation is not None and sample.annotation.gives(need)
            for sample in dataset.samples
        )
        if having < len(dataset):
            console.print(
                f"{len(dataset) - having} of {len(dataset)} images have no {NEEDS[need]}: left out "
                f"of {names}",
                soft_wrap=True,
                highlight=False,
            )


def _check_gallery(backbone: Backbone, dataset: Dataset, workers: int) -> None:
    """Refuses images that the backbone's class vectors were made of, and other people's labels."""
    if not backbone.enrolled:
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
    both = [image_id for image_id, pixels in hashes.items() if pixels in backbone.enrolled]
    if both:
        raise BenchError(
            f"backbone.gallery: {len(both)} of {len(dataset)} evaluated images are in it "
            f"({', '.join(both[:3])}{', ...' if len(both) > 3 else ''}): expected other images of "
            "the same classes"
        )


def _set_aside_broken(runs: Sequence[StoredMethodRun], console: Console) -> None:
    """Takes parts that cannot be read out of the way and says so: what they held is missing now."""
    for lines in (
        *(run.stored.set_aside_broken() for run in runs),
        *(run.maps.broken for run in runs if run.maps is not None),
    ):
        for line in lines:
            console.print(line, soft_wrap=True, highlight=False)


def _tell_elsewhere(runs: Sequence[StoredMethodRun], console: Console) -> None:
    """Counts the images that another process was computing."""
    for run in runs:
        images = run.left_to_others()
        if images:
            console.print(f"Left to another run that is at it: {len(images)} images of {run.name}")


def _tell_not_kept(runs: Sequence[StoredMethodRun], console: Console) -> None:
    """Counts the maps that were evaluated but could not be written."""
    kept = [(run.name, run.maps) for run in runs if run.maps is not None]
    counts = [f"{maps.not_kept} of {name}" for name, maps in kept if maps.not_kept]
    if counts:
        console.print(
            f"Maps not kept: {', '.join(counts)} (their rows are stored)",
            soft_wrap=True,
            highlight=False,
        )


def _check_repeatability(
    experiment: Experiment, runs: Sequence[StoredMethodRun], console: Console
) -> None:
    """Tells, and keeps beside the rows, if a network is no function of its input.

    Only if there is something to compute. Images that cannot be read are left to the run.
    """
    lacking = [run.missing(experiment.samples, experiment.protocol.metrics) for run in runs]
    missing = sorted({i for each in lacking for positions in each.values() for i in positions})
    images = []
    for i in missing[: experiment.batch_size]:
        with suppress(BenchError):
            images.append(experiment.samples[i].read())
    if not images:
        return
    found = {}
    for backbone in dict.fromkeys((experiment.backbone, experiment.explained.backbone)):
        scorer = experiment.scorer(backbone, "output", lambda _: None)
        x = backbone.preprocess(images).to(experiment.device)
        differences = repeatability(scorer, x).differences
        if differences:
            found[backbone.name] = differences
    for name, differences in found.items():
        told = warning(name, differences)
        if experiment.settings.strict:
            raise BenchError(f"{told}; strict=true refuses it")
        console.print(f"Warning: {told}", soft_wrap=True, highlight=False)
    if found:
        for run in runs:
            run.stored.add_provenance("not_repeatable", found)


def _tell_baselines(protocol: Protocol, backbone: Backbone, console: Console) -> None:
    """Says which colour a constant baseline is: the same zero differs from network to network."""
    channels = backbone.preprocessing.channels
    for name, curve in protocol.curves.items():
        baseline = curve.baseline
        if not baseline.depends_on_image:
            inputs = Inputs(torch.zeros(1, channels, 1, 1), to_input=backbone.to_input)
            rgb = backbone.preprocessing.to_rgb(baseline(inputs).flatten()).tolist()
            colour = ", ".join(f"{value:.6g}" for value in rgb)
            console.print(f"{name} baseline: RGB ({colour})", highlight=False)


def _tell_not_asked(runs: Sequence[StoredMethodRun], protocol: Protocol, console: Console) -> None:
    """Says which methods have no number of a metric that asks methods again."""
    metrics = [name for name, metric in protocol.metrics.items() if metric.explains_again]
    methods = [run.name for run in runs if not run.method.can_explain_again]
    if metrics and methods:
        console.print(
            f"Without {', '.join(metrics)}: {', '.join(methods)} (their maps were made before, so "
            "they cannot be asked again)",
            highlight=False,
            soft_wrap=True,
        )


def _tell_shard(experiment: Experiment, console: Console) -> None:
    shard, share, images = experiment.settings.shard, experiment.samples, experiment.dataset.samples
    if shard is not None:
        console.print(
            f"Shard {shard}: {len(share)} of {len(images)} images; the table is filled when all "
            "shards have run",
            highlight=False,
        )


def _tell_draw(draw: Experiment, experiment: Experiment, console: Console) -> None:
    """Says which of several draws begins, and what it leaves out because it draws nothing."""
    asked, seed = experiment.settings, draw.settings.seed
    if asked.seeds == 1:
        return
    told = f"Draw {seed - asked.seed + 1} of {asked.seeds}, seed {seed}"
    fixed = [name for name in experiment.methods if name not in draw.methods]
    if fixed:
        told += f"; the same for each seed: {', '.join(fixed)}"
    console.print(told, highlight=False, soft_wrap=True)


def _tell_stored(runs: Sequence[StoredMethodRun], images: int, console: Console) -> None:
    stored = []
    for run in runs:
        counts = {name: len(part.image_ids()) for name, part in run.stored.metrics.items()}
        most, least = max(counts.values()), min(counts.values())
        lacking = [f"{name} {count}" for name, count in counts.items() if count < most]
        told = f" ({', '.join(lacking)})" if least < most else ""
        if most:
            stored.append(f"{run.name} {most} of {images}{told}")
    if stored:
        console.print(f"Rows stored before: {', '.join(stored)}", highlight=False)


def _tell_cost(
    experiment: Experiment, runs: Sequence[StoredMethodRun], cost: Cost, console: Console
) -> float | None:
    """Says what there is to do, about how long it takes, and what its maps take on the disk."""
    if not cost.passes:
        return None
    explained = experiment.explained.backbone
    seconds = estimate_seconds(
        cost,
        experiment.backbone,
        explained,
        batch_size=experiment.batch_size,
        device=experiment.device,
    )
    unknown = [run.name for run in runs if run.passes is None]
    time = "time not known: a batch does not fit in memory"
    if seconds is not None:
        time = f"about {duration(seconds)}"
    console.print(
        f"To do: {cost.curves + cost.forward:,} forward and {cost.backward:,} backward passes, "
        f"{time}" + (f"; not counted: {', '.join(unknown)}" if unknown else ""),
        highlight=False,
        soft_wrap=True,
    )
    if cost.map_bytes:
        console.print(
            f"Maps:  {decimal(cost.map_bytes)} more in {experiment.settings.maps.folder} "
            "(maps.keep=false keeps none, maps.dtype=float16 half as much)",
            highlight=False,
            soft_wrap=True,
        )
    return seconds


def _report_accuracy(
    runs: Sequence[StoredMethodRun], backbone: Backbone, dataset: Dataset, console: Console
) -> None:
    rows = max((run.stored.rows() for run in runs), key=len)
    right = int((rows["prediction"] == rows["image_label"]).sum())
    missing = len(dataset) - len(rows)
    counted = accuracy_is(backbone.output_kind)
    console.print(
        f"{backbone.name} on {dataset.name}: {counted} on {right} of {len(rows)} images "
        f"({right / max(len(rows), 1):.1%})" + (f"; {missing} more are missing" if missing else "")
    )
