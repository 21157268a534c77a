"""The jobs of a `bench run`, in this process or wherever Hydra's launcher puts them.

Each job leaves in its own folder how it ended: a list in the launching process would not be seen by
jobs in other processes or on other machines.
"""

import json
import os
import sys
import traceback
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import uuid4

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console
from yaml import YAMLError

from bench.config.composing import (
    Composed,
    as_written,
    declared_runs,
    explained,
    flags_first,
    name_other_methods,
    override_names,
    user_folders,
)
from bench.errors import BenchError, is_lost_output
from bench.files import write_atomically

if TYPE_CHECKING:
    from bench.config.settings import RunSettings
    from bench.evaluation.explain import Failed

OUTPUT = "output.txt"
"""Where a job that runs beside others writes, in its own folder, what it would print."""

_LAUNCHERS = {
    "joblib": "hydra-joblib-launcher",
    "submitit_local": "hydra-submitit-launcher",
    "submitit_slurm": "hydra-submitit-launcher",
}
"""Launchers whose jobs run in processes of their own -> the package that brings them."""

_CONFIGURATION = (HydraException, OmegaConfBaseException, YAMLError)


class Launch(Callback):
    """What the launching process must know of its jobs; `conf/run.yaml` installs it.

    Attributes:
        folder: The folder of all jobs' folders; None: nothing was launched.
        launcher: Its name.
        lost_output: Why what a job in this process prints could not be written; None: it could.
    """

    folder: ClassVar[Path | None] = None
    launcher: ClassVar[str] = "basic"
    lost_output: ClassVar[OSError | None] = None

    @classmethod
    def reset(cls) -> None:
        """Forgets the launch before this one."""
        cls.folder = cls.lost_output = None

    def on_run_start(self, config: Composed, **_: Any) -> None:
        """See `Callback`."""
        Launch.folder, Launch.launcher = Path(config.hydra.run.dir).absolute(), "basic"

    def on_multirun_start(self, config: Composed, **_: Any) -> None:
        """See `Callback`."""
        Launch.folder = Path(config.hydra.sweep.dir).absolute()
        Launch.launcher = config.hydra.runtime.choices["hydra/launcher"]


@dataclass
class Outcome:
    """How a job ended.

    Attributes:
        job: Its number in a sweep.
        failures: One line each.
        traces: Tracebacks of what should not have happened.
        results_dir: Its results folder.
        leaderboard: The leaderboard that its rows joined; None: it did not get that far.
        reference: The row that the others are compared with there.
        by: How images are grouped there.
    """

    job: int = 0
    failures: list[str] = field(default_factory=list)
    traces: list[str] = field(default_factory=list)
    results_dir: str = ""
    leaderboard: str | None = None
    reference: str | None = None
    by: str | None = None


@dataclass(frozen=True)
class Job:
    """What Hydra calls with each configuration; it may be pickled and called elsewhere.

    Attributes:
        command: The command line, program first.
        declared: See `bench.config.composing.declared_runs`.
        folders: The user's configuration folders.
        outcome: Name of the file that says how it ended; no other launch uses it.
    """

    command: Sequence[str]
    declared: Mapping[str, Mapping[str, Any]]
    folders: Sequence[Path]
    outcome: str

    def __call__(self, config: Composed) -> None:
        """Runs one configuration and writes how that ended."""
        hydra_config = HydraConfig.get()
        sys.argv = list(self.command)  # in another process it is the launcher's
        if str(Path.cwd()) not in sys.path:  # where a user's own methods may lie
            sys.path.append(str(Path.cwd()))
        folder = Path(hydra_config.runtime.output_dir)
        in_a_sweep = hydra_config.mode == RunMode.MULTIRUN
        outcome = Outcome(hydra_config.job.num if in_a_sweep else 0)
        if in_a_sweep and hydra_config.runtime.choices["hydra/launcher"] in _LAUNCHERS:
            with (folder / OUTPUT).open("w", encoding="utf-8") as file:
                try:
                    console = Console(file=file, width=200, markup=False)
                    self._run(config, console, outcome, share_gpus=True)
                except Exception as error:  # the other jobs go on, and this one's error is reported
                    outcome.failures.append(f"{type(error).__name__}: {_in_a_line(error)}")
                    outcome.traces.append(traceback.format_exc())
        else:
            try:
                self._run(config, Console(markup=False), outcome)
            except OSError as error:  # which Hydra would report, too, in another line
                if not is_lost_output(error):
                    raise
                Launch.lost_output = error
        write_atomically(folder / self.outcome, json.dumps(asdict(outcome)).encode())

    def _run(
        self, config: Composed, console: Console, outcome: Outcome, *, share_gpus: bool = False
    ) -> None:
        from bench.config.reading import read_settings
        from bench.experiment.reproduction import changed_settings
        from bench.experiment.run import run_experiment

        try:
            experiment = HydraConfig.get().runtime.choices.get("experiment")
            declared = None if experiment is None else self.declared.get(experiment)
            changes = changed_settings(as_written(config), declared)
            name_other_methods(config, self.folders)
            settings = read_settings(config)
            if share_gpus:
                settings = _share_gpus(settings, outcome.job)
            ended = run_experiment(settings, console, changes)
        except BenchError as error:  # so that Hydra prints no traceback and a sweep goes on
            outcome.failures.append(str(error))
            return
        except _CONFIGURATION as error:  # a method's name that is made of other settings, say
            outcome.failures.append(_in_a_line(error))
            return
        outcome.results_dir, outcome.leaderboard = str(settings.results_dir), ended.leaderboard
        outcome.reference, outcome.by = settings.reference, settings.by
        outcome.failures += _summaries(ended.failures)
        outcome.traces += [first.trace for first in _first_of_each(ended.failures) if first.trace]


def run_jobs(arguments: Sequence[str]) -> list[str]:
    """Hands a command line to Hydra, waits for its jobs and reports how they ended.

    Args:
        arguments: The arguments of `bench run`, checked.

    Returns:
        What failed in any of the jobs, one line each.

    Raises:
        BenchError: The launcher is not installed, or Hydra's flags do not go together.
        OSError: The standard output cannot be written.
    """
    for name in override_names(arguments, "hydra/launcher"):
        _check_launcher(name)
    job = Job(
        command=["bench run", *flags_first(arguments)],
        declared=declared_runs(arguments),
        folders=user_folders(arguments),
        outcome=f"outcome-{uuid4().hex[:12]}.json",
    )
    failures: list[str] = []
    Launch.reset()
    sys.argv = list(job.command)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises its errors instead of printing them
    try:
        hydra.main(version_base="1.3", config_path="pkg://bench.conf", config_name="run")(job)()
    except _CONFIGURATION as error:
        failures.append(explained(error, arguments))
    except Exception as error:
        if isinstance(error, ValueError) and Launch.folder is None:  # flags that exclude each other
            raise BenchError(_in_a_line(error)) from None
        if Launch.folder is None or Launch.launcher not in _LAUNCHERS:
            raise
        failures.append(
            f"hydra/launcher={Launch.launcher}: {_in_a_line(error)}; what was finished is stored, "
            f"the same command goes on from there (the jobs' folders: {Launch.folder})"
        )
    if Launch.lost_output is not None:
        raise Launch.lost_output
    outcomes = _outcomes(job.outcome)
    if Launch.folder is not None and not (outcomes or failures):  # better once too often than never
        failures.append(f"no job has told how it ended: expected {Launch.folder}/*/{job.outcome}")
    for trace in (trace for outcome in outcomes for trace in outcome.traces):
        print(trace, file=sys.stderr)  # noqa: T201
    if Launch.folder is not None and Launch.launcher in _LAUNCHERS:
        _write_leaderboards(outcomes)
    return failures + _failures(outcomes)


def _check_launcher(name: str) -> None:
    """Refuses a launcher that is not installed."""
    if name not in _LAUNCHERS:
        return
    try:
        metadata.distribution(_LAUNCHERS[name])
    except metadata.PackageNotFoundError:
        raise BenchError(
            f"hydra/launcher={name}: expected the package {_LAUNCHERS[name]}, found none: "
            "pip install 'insdel-bench[cluster]'"
        ) from None


def _share_gpus(settings: "RunSettings", job: int) -> "RunSettings":
    """Job k gets GPU k, counted round, where this machine shows it several and none is named."""
    import torch

    if settings.device != "auto" or torch.cuda.device_count() < 2:
        return settings
    return settings.on_device(f"cuda:{job % torch.cuda.device_count()}")


def _first_of_each(failed: Sequence["Failed"]) -> list["Failed"]:
    """The first failure of each method."""
    return list({failure.method: failure for failure in reversed(failed)}.values())[::-1]


def _summaries(failed: Sequence["Failed"]) -> list[str]:
    """One line for each method that failed."""
    lines = []
    for first in _first_of_each(failed):
        images = [each.image_id for each in failed if each.method == first.method]
        more = f" and {len(images) - 1} more images" if len(images) > 1 else ""
        lines.append(f"'{first.image_id}'{more}: {first.reason}")
    return lines


def _outcomes(name: str) -> list[Outcome]:
    """How the jobs of a launch ended, those that came to an end."""
    if Launch.folder is None:  # as for `bench run --help`
        return []
    read = (json.loads(path.read_text("utf-8")) for path in Launch.folder.rglob(name))
    return sorted((Outcome(**content) for content in read), key=lambda outcome: outcome.job)


def _failures(outcomes: Sequence[Outcome]) -> list[str]:
    """One line for each thing that failed; in a sweep with the jobs that it happened to."""
    jobs: dict[str, list[str]] = defaultdict(list)
    for outcome in outcomes:
        for reason in outcome.failures:
            jobs[reason].append(str(outcome.job))
    if len(outcomes) < 2:
        return list(jobs)
    return [f"job {', '.join(numbers)}: {reason}" for reason, numbers in jobs.items()]


def _write_leaderboards(outcomes: Sequence[Outcome]) -> None:
    """When all jobs have ended: each knew only the rows that were there when it ended itself."""
    from bench.leaderboard.groups import read_grouping
    from bench.report.writer import write_leaderboard

    console = Console(markup=False)
    boards = {(each.results_dir, each.leaderboard): each for each in outcomes if each.leaderboard}
    for (results_dir, name), last in boards.items():
        by = None if last.by is None else read_grouping(last.by)
        folder = Path(results_dir).expanduser()
        write_leaderboard(folder, name, console, reference=last.reference, by=by)
    console.print(f"Jobs:        {Launch.folder}/*/{OUTPUT}", soft_wrap=True, highlight=False)


def _in_a_line(error: Exception) -> str:
    return " ".join(str(error).split())
