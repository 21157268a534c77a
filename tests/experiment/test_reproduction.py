"""A published table repeated: cells, differences, deviations; the assets of an experiment."""

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import bench.experiment.reproduction
from bench import load_rows
from bench.cli import main
from bench.config.composing import with_assets
from bench.datasets.published_lists import PUBLISHED_LISTS
from bench.errors import BenchError
from bench.report.tables.table import WITHIN_A_BACKBONE

BOARD = Path("results/leaderboards/repeated.csv")

EXPERIMENT = """\
# @package _global_
# Seven noise images as if they were a published table
defaults:
  - override /dataset: list
  - override /backbone: toy
  - override /protocol: smdl-cub-errors
  - override /method: [saliency, hsic, score_cam_paper]
name: repeated
assets:
  root: ???
  weights: ???
dataset: {name: birds, root: "${assets.root}", list: "${assets.root}/list.txt"}
method:
  hsic: {num_designs: 20}
batch_size: 4
reproduces:
  table: cub_errors
  backbone: ResNet-101
  list: cub200/eval_fair-resnet
  unverified: [assets.weights, method.smdl_cub.uncertainty.weights]
  notes: {HSIC-Attribution: "so they say, 50 % & more"}
"""


@pytest.fixture
def repeat(toy_conf, image_folder, tmp_path, monkeypatch, capsys):
    """Runs that experiment in an empty folder, with more arguments, as if its list were theirs."""
    (toy_conf / "experiment").mkdir()
    (toy_conf / "experiment/repeated.yaml").write_text(EXPERIMENT)
    (image_folder / "weights.h5").write_bytes(b"w")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    lines = (image_folder / "list.txt").read_text().splitlines()
    entries = hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
    lists = [
        replace(published, entries_sha256=entries, num_images=7)
        if published.name.endswith("r-resnet")
        else published
        for published in PUBLISHED_LISTS
    ]
    monkeypatch.setattr(bench.experiment.reproduction, "PUBLISHED_LISTS", lists)
    Path("assets.yaml").write_text(f"root: {image_folder}\nweights: {image_folder}/weights.h5\n")

    def run(*arguments):
        try:
            main(["run", "--config-dir", str(toy_conf), "experiment=repeated", *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def row(method):
    return pd.read_csv(BOARD, index_col="method").loc[method]


def test_the_table_as_published_and_ours_beside_it(repeat):
    code, out, err = repeat()
    assert code == 0, err
    hsic = row("hsic")
    assert hsic["published_insertion_auc"] == 0.1446
    assert hsic["insertion_delta"] == pytest.approx(hsic["insertion_auc"] - 0.1446, abs=2e-6)
    assert hsic["published_confidence"] == 0.2493
    assert hsic["confidence_delta"] == pytest.approx(hsic["confidence_100"] - 0.2493, abs=2e-6)
    for metric, theirs in (("insertion", 0.1446), ("confidence", 0.2493)):
        low, high = hsic[f"{metric}_ci_low"], hsic[f"{metric}_ci_high"]
        assert bool(hsic[f"{metric}_inside"]) == (low <= theirs <= high)
    assert np.isnan(hsic["published_deletion_auc"])
    assert hsic["notes"] == "so they say, 50 % & more"
    rows = load_rows("results", "repeated")
    curves = np.stack(rows[rows["method"] == "hsic"]["confidence_curve"].tolist())
    assert hsic["confidence_25"] == pytest.approx(curves[:, 1:7].max(axis=1).mean(), abs=1e-6)
    assert hsic["confidence_100"] == pytest.approx(curves[:, 1:25].max(axis=1).mean(), abs=1e-6)
    saliency = row("saliency")  # not in that table
    assert saliency[["published_insertion_auc", "insertion_delta", "notes"]].isna().all()
    smdl = row("SMDL-Attribution (ICLR version)")  # in that table, but not run
    assert (smdl["published_confidence"], smdl["n_images"]) == (0.4513, 0)
    assert np.isnan(smdl["insertion_auc"]) and np.isnan(smdl["rank"])

    sha256 = hashlib.sha256(b"w").hexdigest()
    unverified = f"Not verified, the record has no hashes: weights.h5: sha256 {sha256}"
    assert unverified in out
    markdown = BOARD.with_suffix(".md").read_text()
    (line,) = [line for line in markdown.splitlines() if "| hsic (a) |" in line]
    assert "| 0.1446 | +" in line
    assert "| 0.2493 | +" in line
    assert "- (a) so they say, 50 % & more" in markdown
    assert markdown.rstrip().endswith(unverified)
    (line,) = [line for line in markdown.splitlines() if "SMDL-Attribution" in line]
    assert line.endswith("| not run |")
    assert WITHIN_A_BACKBONE not in markdown
    latex = BOARD.with_suffix(".tex").read_text()
    assert "\\toprule" in latex
    assert "(a) so they say, 50 \\% \\& more" in latex
    assert "smdl-cub-errors" in latex
    assert "Score-CAM" in latex
    begin, end = latex.count("\\begin{"), latex.count("\\end{")
    assert begin == end == 2


def test_a_method_that_was_not_published(repeat):
    code, *_ = repeat("method=[random]")
    assert code == 0
    assert row("random")[["published_insertion_auc", "notes"]].isna().all()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dataset.max_images=3"], "3 images of another list than cub200/eval_fair-resnet (7)"),
        (["seed=1"], "seed=1"),
        (["+backbone.feature_layer=last"], "backbone.feature_layer=last"),
        (["explain.score=logit"], "explain.score=logit"),
        (["explain.target=prediction"], "explain.target=prediction"),
        (["target=prediction"], "target=prediction"),
        (["method.hsic.num_designs=30"], "method.hsic.num_designs=30"),
        (["protocol=smdl-cub"], "without protocol.metrics.confidence.steps"),
        (["+reproduces.deviations=[weights made anew]"], "weights made anew"),
    ],
)
def test_what_the_user_changed_is_told(repeat, arguments, told):
    code, out, err = repeat("method=[hsic,saliency]", *arguments)
    assert code == 0, err
    assert told in row("hsic")["notes"]
    ours = told.startswith("method.hsic")
    assert ours == (str(row("saliency")["notes"]) == "nan")  # of another method, not of this one
    assert told in out.replace("\n", " ")


def test_what_decides_nothing_is_no_deviation(repeat, image_folder):
    copy = Path("copy")
    copy.symlink_to(image_folder)
    repeat(
        "dataset.root=copy", "batch_size=3", "workers=1", "method.hsic.label=ours", "gallery=0",
        "assets.weights=copy/weights.h5",
    )  # fmt: skip
    assert row("ours")["notes"] == "so they say, 50 % & more"


def test_networks_are_not_ranked_against_each_other(repeat, toy_conf):
    other = "_target_: toy.backbone\nclasses: 4\nseed: 1\nname: other\n"
    (toy_conf / "backbone/other.yaml").write_text(other)
    repeat("method=[hsic]")
    _, out, _ = repeat("method=[hsic]", "backbone=other")
    assert WITHIN_A_BACKBONE in out
    table = pd.read_csv(BOARD)
    ours = table[table["method"].str.startswith("hsic")]
    assert ours["backbone"].tolist() == ["other", "toy"]
    assert ours["rank"].tolist() == [1, 1]
    assert "backbone" in ours[ours["backbone"] == "other"]["notes"].item()


def test_assets_that_are_missing_are_told_at_once(repeat):
    Path("assets.yaml").unlink()
    code, _, err = repeat()
    assert code == 1
    assert "Traceback" not in err
    assert "add assets.root=PATH, or lines" in err.replace("assets.weights=PATH ", "")


def test_assets_of_the_file_and_of_the_command_line(tmp_path):
    file = tmp_path / "assets.yaml"
    given = ["experiment=paper/cub", "assets.lists=mine"]
    assert with_assets(given, file) == given
    file.write_text('lists: theirs\nweights: with "quotes" and \\\n')
    assert with_assets(given, file) == [*given, '++assets.weights="with \\"quotes\\" and \\\\"']
    assert with_assets(["dataset=photos"], file) == ["dataset=photos"]
    for content in ("- a\n", "a: [1]\n", "a: b: c\n"):
        file.write_text(content)
        with pytest.raises(BenchError, match=r"assets\.yaml'"):
            with_assets(given, file)
