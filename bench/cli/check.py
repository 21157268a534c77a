"""`bench check`: a data set, a backbone or an experiment."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from bench.errors import BenchError

if TYPE_CHECKING:
    from bench.config.composing import Composed
    from bench.config.settings import RunSettings


def check_command(arguments: Sequence[str]) -> list[str]:
    """Checks the groups that the arguments name; returns what is wrong with them."""
    from bench.config.composing import compose_run, named_groups, prepared

    sys.path.append(str(Path.cwd()))
    arguments = prepared(arguments)
    config = compose_run(arguments)
    groups, console = named_groups(arguments), Console(markup=False)
    if "experiment" in groups:
        return _check_experiment(arguments, config, console)
    if not groups & {"dataset", "backbone"}:
        raise BenchError(
            "check: expected what to check, as in `bench check dataset=cub200`, `bench check "
            "backbone=sface ...` or `bench check experiment=paper/cub`"
        )
    from bench.config.reading import read_settings

    settings = read_settings(config, may_lack_assets=True)
    problems = _check_dataset(settings, console) if "dataset" in groups else []
    if "backbone" in groups:
        _check_backbone(settings, console, reads_score="protocol" in groups)
    return problems


def _check_dataset(settings: "RunSettings", console: Console) -> list[str]:
    from bench.checks.dataset import check_dataset
    from bench.config.building import build_dataset

    dataset = build_dataset(settings.dataset, console)
    return check_dataset(dataset, console, settings.results_dir / "checks", settings.workers)


def _check_backbone(settings: "RunSettings", console: Console, *, reads_score: bool) -> None:
    """Checks the network; with the protocol's score if that is asked for, else with its outputs."""
    from bench.checks.backbone import check_backbone
    from bench.config.building import build_backbone
    from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
    from bench.metrics.protocol import protocol_from_mapping

    device = resolve_device(settings.device)
    keep_freed_memory()
    backbone = build_backbone(settings, device)
    score = protocol_from_mapping(settings.protocol).score if reads_score else "output"
    batch_size = resolve_batch_size(settings.batch_size, device)
    check_backbone(backbone, score, device, batch_size, console)


def _check_experiment(arguments: Sequence[str], config: "Composed", console: Console) -> list[str]:
    from bench.assets.needs import fetched_for
    from bench.checks.experiment import asset_sources, check_experiment
    from bench.config.composing import declared_runs, name_other_methods, user_folders
    from bench.config.reading import read_settings

    names, folders = list(declared_runs(arguments)), user_folders(arguments)
    if len(names) != 1:
        raise BenchError(f"check: expected one experiment, found {len(names)}")
    name_other_methods(config, folders)
    sources = asset_sources(names[0], folders)
    settings = read_settings(config, may_lack_assets=True)
    fetched = fetched_for(names[0], folders)
    return check_experiment(names[0], settings, sources, console, fetched)
