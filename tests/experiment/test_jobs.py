"""Jobs in processes of their own: joblib, submitit's local executor, and a stand-in for SLURM."""

import os
import re
from pathlib import Path

import pandas as pd
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from omegaconf import OmegaConf

from bench import load_rows
from bench.config.composing import compose_run
from bench.config.reading import read_settings
from bench.experiment.jobs import OUTPUT, _share_gpus
from bench.storage.store import stored_runs

BOARD = Path("results/leaderboards/list_toy_xplique-probability.csv")

SLURM = {  # answers as SLURM would, and runs each task of an array here, one after the other
    "sbatch": """\
cp "$1" submitted.sh
last=$(sed -n 's/^#SBATCH --array=0-\\([0-9]*\\)%.*/\\1/p' submitted.sh)
export SLURM_ARRAY_JOB_ID=7 SLURM_NTASKS=1 SLURM_JOB_NUM_NODES=1 SLURM_NODEID=0
export SLURM_PROCID=0 SLURM_LOCALID=0
for task in $(seq 0 "$last"); do
    SLURM_JOB_ID=7$task SLURM_ARRAY_TASK_ID=$task bash submitted.sh
    touch "ended_$task"
done > slurm.log 2>&1 &
echo "Submitted batch job 7"
""",
    "srun": """\
while [[ "$1" == --* ]]; do
    case "$1" in --output | --error) shift ;; esac
    shift
done
exec "$@"
""",
    "sacct": """\
echo "JobID|State"
for task in 0 1; do
    [ -e "ended_$task" ] && echo "7_$task|COMPLETED" || echo "7_$task|RUNNING"
done
""",
}

SHARDS = "shard=1/2,2/2"


@pytest.fixture(scope="module")
def pool():
    """Joblib's processes start once for all tests: each of them imports torch anew."""
    yield
    get_reusable_executor().shutdown()


@pytest.fixture
def elsewhere(bench, pool, monkeypatch):
    """Runs `bench run -m` with a launcher; its processes find the toy pieces, too."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    return lambda launcher, *arguments: bench("-m", f"hydra/launcher={launcher}", *arguments)


def here():
    """The results folder by its whole path: joblib's processes stay where they were started."""
    return f'results_dir="{Path.cwd()}/results"'


def assert_as_one_process_would_have_it(bench):
    assert bench("results_dir=whole")[0] == 0
    whole, shards = (load_rows(folder).drop(columns="seconds") for folder in ("whole", "results"))
    pd.testing.assert_frame_equal(whole, shards, check_exact=True)
    boards = [Path(folder) / BOARD.relative_to("results") for folder in ("whole", "results")]
    assert boards[0].read_bytes() == boards[1].read_bytes()


def outputs():
    """What each job has written in its folder."""
    paths = sorted(Path("results/hydra/sweeps").glob(f"*/*/*/{OUTPUT}"))
    return {path.parent.name: path.read_text() for path in paths}


def test_joblib(bench, elsewhere):
    get_reusable_executor().shutdown()  # of another folder
    code, out, err = elsewhere("joblib", SHARDS, "hydra.launcher.n_jobs=2")
    assert code == 0, err
    assert out.count("toy · xplique-probability · 7 images") == 1  # when both have ended
    assert "images missing" not in out
    assert_as_one_process_would_have_it(bench)
    assert outputs().keys() == {"0", "1"}
    assert "Shard 2/2: 3 of 7 images" in outputs()["1"]
    for run in stored_runs(Path("results")):
        assert run.manifest.provenance["command"][:2] == ["bench run", "--config-dir"]


def test_failures_elsewhere_are_told_here(elsewhere):
    methods = "method=[random,wrong_shape,raises]"
    code, _, err = elsewhere("joblib", SHARDS, methods, "hydra.launcher.n_jobs=2", here())
    assert code == 1
    lines = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    assert [line.split("method")[0] for line in lines] == [
        f"bench: error: job {job}: 'class {job}/photo {job}.png' and 2 more images: "
        for job in (0, 0, 1, 1)
    ]
    assert sum("method 'raises' raised ZeroDivisionError: " in line for line in lines) == 2
    assert "in __call__" in err  # the traceback is for the method's author
    missing = pd.read_csv(BOARD).set_index("method")["n_missing"].to_dict()
    assert missing == {"random": 0, "wrong_shape": 7, "raises": 7}


def test_a_job_that_is_killed(elsewhere, toy_conf):
    """What was finished is stored; the same command does the rest."""
    (toy_conf / "method/killed.yaml").write_text("killed:\n  _target_: toy.Killed\n")
    methods = "method=[random,killed]"
    code, _, err = elsewhere("joblib", SHARDS, methods, "hydra.launcher.n_jobs=2", here())
    assert code == 1
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    assert "hydra/launcher=joblib: " in line
    assert "the same command goes on from there" in line


def test_submitit_on_this_machine(bench, elsewhere):
    code, out, err = elsewhere("submitit_local", SHARDS)
    assert code == 0, err
    assert out.count("toy · xplique-probability · 7 images") == 1
    assert_as_one_process_would_have_it(bench)


def test_slurm(bench, elsewhere, tmp_path, monkeypatch):
    """What is submitted, and that the submitted script does the work; the cluster is a stand-in."""
    for name, text in SLURM.items():
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/bash\n{text}")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    asked = ["partition=gpu", "gpus_per_node=1", "cpus_per_task=8", "mem_gb=32", "timeout_min=240"]
    settings = [f"hydra.launcher.{setting}" for setting in asked]
    code, _, err = elsewhere("submitit_slurm", SHARDS, *settings)
    assert code == 0, err
    script = Path("submitted.sh").read_text()
    flags = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, flags=re.MULTILINE))
    wanted = {
        "partition": "gpu", "gpus-per-node": "1", "cpus-per-task": "8", "mem": "32GB",
        "time": "240", "array": "0-1%2", "job-name": "bench", "nodes": "1",
    }  # fmt: skip
    assert wanted.items() <= flags.items()
    assert_as_one_process_would_have_it(bench)


def test_jobs_that_do_not_tell_how_they_ended(elsewhere, monkeypatch):
    monkeypatch.setattr("bench.experiment.jobs._outcomes", lambda name: [])
    code, _, err = elsewhere("basic", SHARDS)
    assert code == 1
    assert "no job has told how it ended" in err


@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
def test_a_launcher_that_is_not_installed(elsewhere, launcher, monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError

    from bench.experiment.jobs import metadata

    monkeypatch.setattr(metadata, "distribution", absent)
    code, _, err = elsewhere(launcher, SHARDS)
    assert code == 1
    assert err.startswith(f"bench: error: hydra/launcher={launcher}: expected the package hydra-")
    assert "pip install 'insdel-bench[cluster]'" in err


def test_no_slurm_here(elsewhere):
    code, _, err = elsewhere("submitit_slurm", SHARDS)
    assert code == 1
    assert err.startswith("bench: error: hydra/launcher=submitit_slurm: ")
    assert "srun" in err
    code, _, err = elsewhere("submitit_slurm", "--cfg", "hydra")
    assert (code, err.count("\n")) == (1, 1)  # Hydra shows a configuration or runs several


def test_a_cluster_as_an_experiment(bench, toy_conf):
    """The one of docs/how-to/clusters.md."""
    text = (Path(__file__).parents[2] / "docs/how-to/clusters.md").read_text()
    (experiment,) = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    (toy_conf / "experiment").mkdir()
    (toy_conf / "experiment/birds.yaml").write_text(experiment)
    code, out, _ = bench("experiment=birds", "--cfg", "hydra")
    assert code == 0
    settings = OmegaConf.create(out).hydra
    assert settings.launcher._target_.endswith("SlurmLauncher")
    assert settings.launcher.partition == "gpu"
    assert settings.sweeper.params.shard.split(",") == [f"{number}/8" for number in range(1, 9)]


@pytest.mark.parametrize(
    ("device", "job", "gpus", "expected"),
    [
        ("auto", 0, 2, "cuda:0"),
        ("auto", 1, 2, "cuda:1"),
        ("auto", 5, 4, "cuda:1"),
        ("auto", 1, 1, "auto"),
        ("auto", 1, 0, "auto"),
        ("cuda:0", 1, 2, "cuda:0"),
        ("cpu", 1, 2, "cpu"),
    ],
)
def test_a_gpu_for_each_job(monkeypatch, device, job, gpus, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    settings = _share_gpus(read_settings(compose_run([f"device={device}"])), job)
    assert settings.device == settings.resolved["device"] == expected
