"""`bench run experiment=robustness`: the same maps under several protocols, in one command."""

from pathlib import Path

import pandas as pd
import yaml
from outcomes import assert_bad, files

from bench.leaderboard.comparison import comparisons
from bench.leaderboard.robustness import comparable, robustness
from bench.metrics.protocol import load_protocol
from bench.storage.store import stored_runs

CONF = Path(__file__).parents[2] / "conf"
PROTOCOLS = [
    "xplique-probability", "probability-10-black", "probability-10-mean", "probability-10-blur",
    "probability-10-noise", "probability-5-zero", "probability-25-zero", "logit-10-zero",
    "log_probability-10-zero",
]  # fmt: skip
BOARD = Path("results/leaderboards/robustness.csv")


def run(bench, *arguments):
    return bench("experiment=robustness", "batch_size=64", "gallery=0", *arguments)


def test_each_protocol_is_a_job_and_maps_are_made_once(bench):
    code, out, err = run(bench, "method=[random,saliency,inverted]")
    assert code == 0, err
    table = pd.read_csv(BOARD)
    assert sorted(table["protocol"].unique()) == sorted(PROTOCOLS)
    assert (table.groupby("protocol")["method"].nunique() == 3).all()
    assert (table["n_missing"] == 0).all()
    todo = [line for line in out.splitlines() if line.startswith("To do: ")]
    assert " 14 backward passes" in todo[0]  # 7 images, saliency and the one that is inverted
    assert all(" 0 backward passes" in line for line in todo[1:])
    assert len(todo) == len(PROTOCOLS)
    runs = stored_runs(Path("results"), "robustness")
    assert {run.identity.explain.score for run in runs} == {"probability"}
    (comparison,) = comparable(comparisons(runs, "robustness"))
    assert comparison[0].protocol.name == "xplique-probability"
    found = robustness(comparison, "insertion")
    assert found.left_out == ()
    assert sorted(found.means.index) == ["random", "saliency", "saliency inverted"]
    assert sorted(found.protocols) == sorted(PROTOCOLS)


def test_the_same_command_goes_on_from_there_and_a_manifest_runs_again(bench):
    arguments = ["method=[saliency]", "protocol=logit-10-zero,probability-10-noise"]
    run(bench, *arguments)
    before = files("results/runs") | files("results/maps")
    runs = {run.protocol.name: run for run in stored_runs(Path("results"))}
    lost, *_ = runs["logit-10-zero"].metrics["insertion"].folder.glob("part-*")
    lost.unlink()
    code, out, err = run(bench, *arguments)
    assert code == 0, err
    assert out.count("To do: ") == 1
    after = files("results/runs") | files("results/maps")
    changed = {path for path in before if before[path] != after.get(path)}
    assert {path for path in changed if not path.name.startswith("activity-")} == {lost}
    path = runs["probability-10-noise"].folder / "manifest.json"
    code, out, err = bench(str(path), "--trust", command="rerun")
    assert code == 0, err
    assert "7 of 7 stored rows compared" in out
    assert "insertion curves: the same bits" in out


def test_other_protocols_in_their_place(bench):
    for change, names in {
        "protocol=xplique,smdl-cub": ["smdl-cub", "xplique"],
        'hydra.sweeper.params.protocol="xplique,smdl-cub"': ["smdl-cub", "xplique"],
        "protocol=xplique": ["xplique"],
    }.items():
        folder = f"results{len(list(Path().iterdir()))}"
        code, _, err = run(bench, "method=[center]", change, f"results_dir={folder}")
        assert code == 0, err
        table = pd.read_csv(f"{folder}/leaderboards/robustness.csv")
        assert sorted(table["protocol"]) == names
    assert_bad(run(bench, "protocol=rise,nonsense"), "unknown name 'nonsense'")


def test_a_protocol_that_the_network_cannot_give_does_not_end_the_others(bench, toy_conf):
    (toy_conf / "backbone/toy.yaml").write_text(
        "_target_: toy.backbone\nclasses: 4\noutput_kind: cosines\n"
    )
    code, _, err = run(
        bench, "method=[center]", "explain.score=output", "protocol=logit-10-zero,xplique"
    )
    assert code == 1
    assert "job 0: score: 'logit' cannot be read off cosines" in err
    assert pd.read_csv(BOARD)["protocol"].tolist() == ["xplique"]


def test_it_can_be_checked(bench, image_folder):
    arguments = ["experiment=robustness", "backbone=toy", f'dataset.root="{image_folder}"']
    code, out, err = bench(*arguments, command="check")
    assert code == 0, err
    assert "images: all 7 can be read" in out


def test_its_protocols_are_shipped():
    experiment = yaml.safe_load((CONF / "experiment/robustness.yaml").read_text())
    names = experiment["hydra"]["sweeper"]["params"]["protocol"].replace(" ", "").split(",")
    assert names == PROTOCOLS
    for name in names:
        assert load_protocol(name).name == name
