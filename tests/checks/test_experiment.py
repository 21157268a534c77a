"""`bench check experiment=...`: a toy experiment with assets, each of them present or not."""

import hashlib
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from toy import ConvModel

import bench.checks.experiment
from bench.backbones.backbone import Preprocessing
from bench.cli import main
from bench.cli.parser import COMMANDS
from bench.config.composing import compose_run
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.datasets.reading import read_image
from bench.leaderboard.published import published_subset

EXPERIMENT = """\
# @package _global_
# Seven noise images as if they were a published table
defaults:
  - override /dataset: list
  - override /backbone: module
  - override /protocol: smdl-cub
  - override /method: [saliency, hsic, random, smdl_cub]
name: doctored
assets:
  root: ??? # seven images of noise
  weights: ??? # a small network
fetch: {root: cub200}
dataset: {name: birds, root: "${assets.root}", list: "${assets.root}/list.txt"}
backbone:
  name: small
  module: {_target_: toy.ConvModel}
  output_kind: logits
  weights: ${assets.weights}/small.safetensors
  preprocessing: {size: 23, mean: [120, 110, 100], std: [60, 61, 62]}
method:
  hsic: {num_designs: 20}
  smdl_cub:
    uncertainty: {weights: "${assets.weights}/edl.pth"}
batch_size: 4
reproduces:
  table: cub
  backbone: ResNet-101
  list: cub200/eval-resnet
  one_image:
    file: ${assets.root}/class 0/photo 0.png
    probability: 0.5
    tolerance: 0.005
  unverified: [backbone.weights]
"""
NO_SMDL = "method=[saliency,hsic,random]"


@pytest.fixture
def check(toy_conf, image_folder, tmp_path, monkeypatch, capsys):
    """Runs the doctor in an empty folder; all assets are there but the uncertainty network."""
    (toy_conf / "experiment").mkdir()
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    Path("data").symlink_to(image_folder)
    Path("weights").mkdir()
    module = ConvModel(seed=3)
    save_file(module.state_dict(), "weights/small.safetensors")

    preprocessing = Preprocessing(23, mean=(120, 110, 100), std=(60, 61, 62))
    lines = Path("data/list.txt").read_text().splitlines()
    names = [line.rpartition(" ")[0] for line in lines]
    x = preprocessing([read_image(Path("data") / name) for name in names])
    with torch.inference_mode():
        probabilities = module.eval()(x).softmax(1)
    top = probabilities.argmax(1).tolist()
    text = EXPERIMENT.replace("0.5\n", f"{probabilities[0].max():.4f}\n")
    (toy_conf / "experiment/doctored.yaml").write_text(text)

    def run(*arguments, offset=0, assets=("root=data", "weights=weights"), known=True):
        """The list's labels are the network's predictions plus an offset."""
        listed = [f"{name} {(label + offset) % 4}" for name, label in zip(names, top, strict=True)]
        (image_folder / "list.txt").write_text("\n".join(listed))
        entries = hashlib.sha256("".join(f"{line}\n" for line in listed).encode()).hexdigest()
        lists = [
            replace(published, entries_sha256=entries * known) for published in PUBLISHED_LISTS
        ]
        monkeypatch.setattr(bench.checks.experiment, "PUBLISHED_LISTS", lists)
        given = [f"assets.{asset}" for asset in assets]
        try:
            main(
                ["check", "--config-dir", str(toy_conf), "experiment=doctored", *given, *arguments]
            )
            code = 0
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in err
        return code, out, err

    return run


def test_all_is_well(check):
    code, out, err = check(NO_SMDL)
    assert (code, err) == (0, "")
    assert "PROBLEM" not in out
    file = Path("weights/small.safetensors")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert f"ok      backbone.weights: {file}, sha256 {digest}" in out
    assert "ok      images: all 7 can be read" in out
    assert "ok      list: the published list cub200/eval-resnet" in out
    assert "ok      one image: photo 0.png has the probability 0." in out
    assert "ok      accuracy: 7 of 7 right (100.0%); the list is of correct predictions" in out
    # Maps: 1 + 20 forward passes and 1 backward an image; curves: 33 points of each of three.
    assert f"for {7 * (1 + 20 + 3 * 33):,} forward and 7 backward passes of 3 methods" in out
    assert "on cpu" in out
    assert f"disk: maps take {7 * 2 * 23**2 * 4 / 1000:.1f} kB, " in out
    assert not Path("results").exists()  # a doctor changes nothing


def test_all_that_is_missing_is_told_at_once(check):
    code, out, err = check(assets=())
    assert code == 1
    root = "assets.root is not set; it is seven images of noise: "
    assert f"PROBLEM {root}`bench fetch doctored`\n" in out
    cure = "`bench check experiment=doctored assets.weights=PATH`"
    assert f"PROBLEM assets.weights is not set; it is a small network: {cure}\n" in out
    assert "not known before data and weights are there" in out
    told = "experiment 'doctored': 2 problems, told above with what mends them"
    assert err == f"bench: error: {told}\n"

    code, out, err = check(assets=("root=gone", "weights=weights"))
    assert code == 1
    told = "PROBLEM assets.root: gone is not there; it is seven images of noise: `bench fetch doct"
    assert told in out
    assert out.count("PROBLEM") == 2  # what is in it is not told once more
    cure = "`bench check experiment=doctored method.smdl_cub.uncertainty.weights=FILE`"
    assert f"uncertainty.weights: weights/edl.pth is not there: {cure}\n" in out
    assert "ok      backbone.weights" in out
    assert "2 problems" in err


def test_every_problem_ends_in_a_command(check, toy_conf):
    """Each of those that this file makes; the commands exist, and their settings too."""
    found = [check(assets=())]
    found.append(check(NO_SMDL, offset=1))
    found.append(check(NO_SMDL, "reproduces.one_image.probability=0.99"))
    found.append(check(NO_SMDL, known=False))
    found.append(check(NO_SMDL, "+metric=[pointing_game]"))
    Path("weights/edl.pth").write_bytes(b"no checkpoint")
    found.append(check())
    Path("weights/small.safetensors").write_bytes(b"x")
    Path("data/class 1/photo 1.png").write_bytes(b"x")
    found.append(check(NO_SMDL))
    problems = [line for _, out, _ in found for line in out.splitlines() if "PROBLEM" in line]
    assert len(problems) >= 9
    for line in problems:
        (command,) = re.findall(r": `(.+)`$", line)
        *_, last = command.split(" && ")
        program, name, *settings = shlex.split(last)
        assert program == "bench" and name in COMMANDS
        if name != "fetch":
            compose_run(["--config-dir", str(toy_conf), *settings])
    cures = "\n".join(problems)
    for cure in (
        "`bench fetch doctored`",
        "`bench check experiment=doctored backbone.weights=FILE`",
        "`bench check experiment=doctored dataset.boxes=FILE`",
        "`bench run experiment=doctored 'method=[saliency,hsic,random]'`",
        "`mv data data.unexpected && bench fetch doctored`",
    ):
        assert cure in cures


def test_a_method_that_lacks_files_is_left_out_of_the_count(check):
    code, out, err = check()
    assert code == 1
    assert "method.smdl_cub lacks files and is not counted" in out
    assert "passes of 3 methods" in out
    assert "PROBLEM method.smdl_cub.uncertainty.weights" in out
    assert "1 problem, told above" in err
    assert "accuracy: 7 of 7 right" in out
    Path("weights/edl.pth").write_bytes(b"no checkpoint")
    _, out, err = check()
    (line,) = [line for line in out.splitlines() if line.startswith("PROBLEM")]
    assert "edl.pth" in line


def test_predictions_that_are_not_the_lists(check):
    code, out, err = check(NO_SMDL, offset=1)
    assert code == 1
    assert "PROBLEM accuracy: 0 of 7 right (0.0%); the list is of correct predictions: w" in out
    assert "1 problem, told above" in err
    errors = (NO_SMDL, "reproduces.table=cub_errors")
    assert check(*errors, offset=1)[0] == 0
    assert "list is of misclassified predictions: weights" in check(*errors)[1]


def test_the_probability_of_one_image(check):
    code, out, _ = check(NO_SMDL, "reproduces.one_image.probability=0.99")
    assert code == 1
    assert "PROBLEM one image: photo 0.png" in out
    code, out, _ = check(NO_SMDL, "reproduces.one_image.file=gone.png")
    assert code == 0
    assert "one image: 'gone.png' is not there" in out


def test_another_list(check):
    code, out, _ = check(NO_SMDL, known=False)
    assert code == 1
    assert "PROBLEM list: not the published list" in out
    code, out, _ = check(NO_SMDL, "+reproduces.deviations=[ours]", known=False)
    assert code == 0
    assert "list: not the published list cub200/eval-resnet" in out
    assert "as the experiment says" in out


def test_metrics_that_read_annotations(check, tmp_path):
    asked = [NO_SMDL, "+metric=[pointing_game]"]
    code, out, _ = check(*asked)
    assert code == 1
    assert "PROBLEM metric 'pointing_game' on dataset 'birds'" in out
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("class 0/photo 0.png,1,1,9,9\nclass 2/photo 2.png,0,0,5,5\n")
    code, out, err = check(*asked, f"dataset.boxes={boxes}")
    assert (code, err) == (0, "")
    assert "ok      2 of 7 images have a box or mask" in out
    boxes.write_text("class 0/photo 0.png,900,1,9,9\n")
    code, out, _ = check(*asked, f"dataset.boxes={boxes}")
    assert code == 1 and "boxes that lie outside them" in out


def test_the_explained_network(check):
    explained = "backbone@explain.backbone=module"
    settings = [
        "explain.backbone.name=other", "explain.backbone.output_kind=logits",
        "explain.backbone.module={_target_:toy.ConvModel,seed:3}",
        "explain.backbone.preprocessing={size:23,mean:[120,110,100],std:[60,61,62]}",
    ]  # fmt: skip
    _, out, err = check(NO_SMDL, explained, *settings)
    assert err == ""
    assert "explained network: other weights; " in out
    settings[0] = "explain.backbone.name=small"
    settings.append("explain.backbone.weights=${assets.weights}/small.safetensors")
    assert "explained network: the same weights" in check(NO_SMDL, explained, *settings)[1]
    settings[-1] = "explain.backbone.weights=${assets.weights}/gone.pth"
    code, out, err = check(NO_SMDL, explained, *settings)
    assert code == 1
    assert "accuracy: 7 of 7 right" in out
    assert "time and disk: not known before the explained network is there" in out
    assert "explain.backbone.weights: weights/gone.pth is not there" in out


def test_weights_and_images_that_are_broken(check):
    broken = Path("data/class 1/photo 1.png")
    content = broken.read_bytes()
    broken.write_bytes(content[:100])
    code, out, _ = check(NO_SMDL)
    assert code == 1
    assert "photo 1.png' " in out and "PROBLEM" in out
    broken.write_bytes(content)
    Path("weights/small.safetensors").write_bytes(b"x")
    code, out, _ = check(NO_SMDL)
    assert code == 1
    assert "PROBLEM backbone.weights: 'weights/small.safetensors'" in out


def test_every_experiment_of_the_paper_says_where_its_assets_come_from(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    from bench.checks.experiment import asset_sources
    from bench.config.choices import choices
    from bench.config.composing import compose_run

    for name in choices("experiment"):
        if name.startswith("paper/"):
            assets = compose_run([f"experiment={name}"]).assets
            assert asset_sources(name).keys() == set(assets)
    with pytest.raises(SystemExit):
        main(["check", "experiment=paper/cub"])
    out = capsys.readouterr().out
    for asset in ("cub_root", "lists", "weights"):
        assert f"assets.{asset} is not set; it is " in out
    assert out.count(": `bench fetch paper/cub`\n") == 3


def test_the_subsets_on_record():
    tables = ("celeba", "vggface2", "cub", "cub_errors")
    subsets = ["correct", "correct", "correct", "misclassified"]
    assert [published_subset(table) for table in tables] == subsets


def test_an_experiment_without_assets(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["check", "experiment=demo", "dataset.max_images=2", "method=[center]"])
    out = capsys.readouterr().out
    assert "images: all 2 can be read" in out
    assert "accuracy: 2 of 2 right" in out or "accuracy: 1 of 2 right" in out
    assert "passes of 1 method\n" in out
