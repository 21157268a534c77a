"""`bench check experiment=...`: can a published table be repeated here, and at what cost."""

import math
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.filesize import decimal

from bench.attribution.method import Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.backbones.checkpoint import file_sha256
from bench.checks.cures import Cures
from bench.checks.dataset import tell
from bench.config.building import (
    Explained,
    build_backbone,
    build_dataset,
    build_explained,
    build_method,
    build_protocol,
    check_methods,
)
from bench.config.choices import choices
from bench.config.composing import load_nodes
from bench.config.reading import assets_in
from bench.config.settings import Reproduces, RunSettings
from bench.datasets.annotation import NEEDS
from bench.datasets.dataset import Dataset
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.datasets.reading import read_image
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError
from bench.evaluation.method_run import MethodRun
from bench.evaluation.progress import duration
from bench.experiment.cost import count_cost, estimate_seconds, map_channels
from bench.experiment.select import predict
from bench.leaderboard.published import published_subset
from bench.leaderboard.sanity import accuracy_fault
from bench.score import accuracy_is
from bench.storage.map_store import DTYPES


def check_experiment(
    name: str,
    settings: RunSettings,
    sources: Mapping[str, str],
    console: Console,
    fetched: Collection[str] = (),
) -> list[str]:
    """Looks at all that an experiment needs, as far as it is there, and says what a run will cost.

    Args:
        name: The experiment's.
        settings: Its settings, as `bench run` would have them; assets may be missing.
        sources: Asset -> where it comes from.
        console: Where the findings go; a problem ends in the command that mends it.
        fetched: The assets that `bench fetch` gets.

    Returns:
        A line on how many problems were told; empty if a run can start and its list and weights
        are those that the experiment declares, as far as that can be checked.
    """
    doctor = _Doctor(settings, console, Cures(name, settings, frozenset(fetched)))
    doctor.check_paths(sources)
    dataset = doctor.dataset()
    backbone = doctor.backbone()
    if backbone is not None:
        doctor.check_one_image(backbone)
    if dataset is None or backbone is None:
        doctor.say("accuracy, time and disk: not known before data and weights are there")
        return doctor.verdict()
    explained = doctor.explained(backbone)
    doctor.check_accuracy(dataset, backbone, explained)
    if explained is None:
        doctor.say("time and disk: not known before the explained network is there")
    else:
        doctor.tell_cost(dataset, backbone, explained)
    return doctor.verdict()


class _Doctor:
    """The steps of a check; each prints what it finds, and keeps what is wrong.

    Args:
        settings: The experiment's, as `bench run` would have them; assets may be missing.
        console: Where the findings go.
        cures: The commands that mend what is wrong.
    """

    def __init__(self, settings: RunSettings, console: Console, cures: Cures) -> None:
        self.settings = settings
        self.console = console
        self.cures = cures
        self.problems = 0
        self.repeated = settings.reproduces
        self.device = resolve_device(settings.device)
        self.batch_size = resolve_batch_size(settings.batch_size, self.device)
        self.missing: set[str] = set()
        keep_freed_memory()

    def say(self, finding: str) -> None:
        """Prints what is neither good nor bad."""
        self.console.print(f"        {finding}", soft_wrap=True, highlight=False, markup=False)

    def judge(self, good: bool, finding: str, cure: str = "") -> None:
        """Prints a finding; a bad one with the command that mends it, and it is counted."""
        tell(self.console, good, finding if good else f"{finding}: `{cure}`")
        self.problems += not good

    def verdict(self) -> list[str]:
        """How many problems there are, in a line if there is any."""
        if not self.problems:
            return []
        counted = f"{self.problems} problem{'s'[: self.problems != 1]}"
        return [f"experiment '{self.cures.experiment}': {counted}, told above with what mends them"]

    def check_paths(self, sources: Mapping[str, str]) -> None:
        """Assets that are set, and the files that settings make of them, with their hashes."""
        absent = []
        for asset, place in self.settings.assets.items():
            source = f"; it is {sources[asset]}" if asset in sources else ""
            if place is None:
                self.judge(False, f"assets.{asset} is not set{source}", self.cures.of_asset(asset))
                continue
            path = Path(place).expanduser()
            there = path.exists()
            finding = f"assets.{asset}: {path}" + ("" if there else f" is not there{source}")
            self.judge(there, finding, self.cures.of_asset(asset))
            if not there:
                absent.append(path)
        for key, place in self.settings.made_of_assets.items():
            path = Path(place).expanduser()
            if assets_in(place) or any(path.is_relative_to(folder) for folder in absent):
                self.missing.add(key)  # as the asset, which is told
                continue
            if not path.exists():
                self.missing.add(key)
            hashed = f", sha256 {file_sha256(path)}" if path.is_file() else ""
            finding = f"{key}: {path}{hashed}" if path.exists() else f"{key}: {path} is not there"
            self.judge(path.exists(), finding, self.cures.of_setting(key, f"{key}=FILE"))
        if self.repeated is not None and self.repeated.unverified:
            self.say("hashes of the authors' weights are not on record: accuracy is what tells")

    def dataset(self) -> Dataset | None:
        """The images, if they are there; the list is compared with the published one."""
        if self._lacks("dataset"):
            return None
        try:
            dataset = build_dataset(self.settings.dataset, self.console)
            identity = dataset.identity(self.settings.workers)
        except BenchError as error:
            self.judge(False, _line(error), self.cures.of_data())
            return None
        self.judge(True, f"images: all {len(dataset):,} can be read")
        self._check_annotations(dataset)
        if self.repeated is not None:
            self._check_list(self.repeated, str(identity["list_sha256"]))
        return dataset

    def _check_annotations(self, dataset: Dataset) -> None:
        """Boxes and masks, where a metric reads them."""
        metrics = build_protocol(self.settings).metrics
        needs = {name: metric.needs for name, metric in metrics.items() if metric.needs}
        try:
            dataset.check_annotated(needs)
            for need in sorted(set(needs.values())):
                dataset.annotations_sha256(need, self.settings.workers)
        except BenchError as error:
            self.judge(False, _line(error), self.cures.of_annotations())
            return
        for need in sorted(set(needs.values())):
            having = sum(
                sample.annotation is not None and sample.annotation.gives(need)
                for sample in dataset.samples
            )
            self.judge(True, f"{having:,} of {len(dataset):,} images have a {NEEDS[need]}")

    def _check_list(self, repeated: Reproduces, sha256: str) -> None:
        published = next(known for known in PUBLISHED_LISTS if known.name == repeated.list)
        same = sha256 == published.entries_sha256
        finding = f"list: {'' if same else 'not '}{published}"
        if same or not repeated.deviations:
            self.judge(same, finding, self.cures.of_setting("dataset.list", "dataset.list=FILE"))
        else:
            self.say(f"{finding}, as the experiment says")

    def backbone(self) -> Backbone | None:
        """The network that scores, if its weights are there."""
        if self._lacks("backbone"):
            return None
        try:
            return build_backbone(self.settings, self.device)
        except BenchError as error:
            self.judge(False, _line(error), self.cures.of_network("backbone"))
            return None

    def explained(self, backbone: Backbone) -> Explained | None:
        """The network that methods explain, if its weights are there."""
        if self._lacks("explain"):
            return None
        try:
            protocol = build_protocol(self.settings)
            return build_explained(self.settings, protocol, backbone, self.device)
        except BenchError as error:
            self.judge(False, _line(error), self.cures.of_network("explain.backbone"))
            return None

    def check_one_image(self, backbone: Backbone) -> None:
        """The probability of one image that the authors printed."""
        known = None if self.repeated is None else self.repeated.one_image
        if known is None or assets_in(known.file):
            return
        path = Path(known.file).expanduser()
        if not path.is_file():
            self.say(f"one image: '{path}' is not there, so its probability cannot be compared")
            return
        scorer = Scorer(backbone, "probability", 1)
        x = backbone.preprocess([read_image(path)]).to(self.device)
        outputs = scorer.outputs_in_batches(x)
        top = outputs.argmax(dim=1)
        found = scorer.select(outputs, top).item()
        good = abs(found - known.probability) <= known.tolerance
        finding = (
            f"one image: {path.name} has the probability {found:.4f} of its top class, "
            f"{top.item()}; the authors' {known.probability} +- {known.tolerance}"
        )
        self.judge(good, finding, self.cures.of_network("backbone"))

    def check_accuracy(
        self, dataset: Dataset, backbone: Backbone, explained: Explained | None
    ) -> None:
        """Predictions on the list: a list of right or of wrong ones has all or none right."""
        try:
            dataset.check_targets(backbone.num_classes)
            right = self._right(dataset, backbone)
        except BenchError as error:
            self.judge(False, _line(error), self.cures.of_network("backbone"))
            return
        finding = f"accuracy: {right} of {len(dataset)} right ({right / len(dataset):.1%})"
        if backbone.output_kind == "multilabel":
            finding += f", which is {accuracy_is(backbone.output_kind)}"
        subset = None if self.repeated is None else published_subset(self.repeated.table)
        is_one_right = backbone.output_kind != "multilabel"
        classes = backbone.num_classes if is_one_right else None
        fault = accuracy_fault(right, len(dataset), subset, classes)
        if subset is None and fault is None:
            self.say(finding)
        else:
            good = fault is None
            finding += f"; {fault or f'the list is of {subset} predictions'}"
            self.judge(good, finding, self.cures.of_network("backbone"))
        if explained is not None and not explained.is_what_scores:
            right = self._right(dataset, explained.backbone)
            self.say(f"explained network: other weights; {right} of {len(dataset)} right")
        elif explained is not None and self.settings.explain.backbone is not None:
            self.say("explained network: the same weights as those that score")

    def tell_cost(self, dataset: Dataset, backbone: Backbone, explained: Explained) -> None:
        """Passes, time and disk of the whole experiment, as if nothing were stored yet."""
        protocol = build_protocol(self.settings)
        methods = self._methods()
        network = explained.backbone
        try:
            check_methods(methods, network, explained.score)
        except BenchError as error:
            self.judge(False, _line(error), self.cures.of_methods(methods))
            return
        runs = [
            MethodRun(name, method, method.passes(network))
            for name, method in methods.items()
            for _ in range(self.settings.seeds if protocol.may_draw or method.may_draw else 1)
        ]
        cost = count_cost(dataset.samples, runs, protocol, network.preprocessing.shape, network)
        seconds = estimate_seconds(
            cost, backbone, network, batch_size=self.batch_size, device=self.device
        )
        time = "not known: a batch does not fit in memory"
        if seconds is not None:
            time = f"about {duration(seconds)} on {self.device}"
        self.say(
            f"time: {time}, for {cost.curves + cost.forward:,} forward and {cost.backward:,} "
            f"backward passes of {len(methods)} method{'s'[: len(methods) != 1]}"
        )
        kept = sum(map_channels(run.method, network) for run in runs if not run.is_free)
        pixel = np.dtype(DTYPES[self.settings.maps.dtype]).itemsize
        needed = kept * len(dataset) * pixel * math.prod(network.preprocessing.shape)
        if not self.settings.maps.keep:
            needed = 0
        folder = self.settings.maps.folder.absolute()
        while not folder.exists():
            folder = folder.parent
        free = shutil.disk_usage(folder).free
        finding = f"disk: maps take {decimal(needed)}, {decimal(free)} are free"
        self.judge(needed < free, finding, self.cures.of_disk())

    def _right(self, dataset: Dataset, backbone: Backbone) -> int:
        may_shrink = self.settings.may_shrink
        scorer = Scorer(backbone, "output", self.batch_size, may_shrink=may_shrink)
        found = predict(dataset, scorer, self.device, self.settings.workers)
        return sum(top == sample.target for top, sample in zip(found, dataset.samples, strict=True))

    def _methods(self) -> dict[str, Method]:
        """The methods that can be built; for the others the reason is printed."""
        methods = {}
        for name, component in self.settings.methods.items():
            if self._lacks(component.key):
                self.say(f"{component.key} lacks files and is not counted")
                continue
            try:
                methods[name] = build_method(component)
            except BenchError as error:
                self.judge(False, _line(error), self.cures.of_methods([name]))
        return methods

    def _lacks(self, part: str) -> bool:
        return any(key.startswith(f"{part}.") for key in self.missing)


def asset_sources(experiment: str, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Asset -> where it comes from: the comments on an experiment's assets.

    Args:
        experiment: Its name; its YAML, and that of an experiment which it builds on, has lines
            `key: ??? # source`.
        folders: Configuration folders beside the shipped one.
    """
    known = choices("experiment", folders)
    path = known[experiment].path
    found: dict[str, str] = {}
    for base in load_nodes(path).get("defaults", ()):
        if isinstance(base, str) and base in known:
            found |= asset_sources(base, folders)
    text = path.read_text(encoding="utf-8")
    return found | dict(re.findall(r"^ +(\w+): \?\?\? # (.+)$", text, flags=re.MULTILINE))


def _line(error: BenchError) -> str:
    return " ".join(str(error).split())
