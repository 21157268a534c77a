"""Runs on networks of other kinds than most: one logit, several labels, half precision, `view`."""

import json

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from toy import ConvModel, ViewModel, method_runs

from bench.attribution.cam import GradCAM, ScoreCAM
from bench.attribution.gradient import GradientInput, IntegratedGradients, Saliency
from bench.attribution.masking import Occlusion, Rise
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.attribution.submodular import Smdl
from bench.backbones.backbone import Backbone, Preprocessing
from bench.cli import main
from bench.datasets.dataset import Sample
from bench.evaluation.loop import Evaluated, evaluate_runs
from bench.metrics.protocol import load_protocol

pytestmark = pytest.mark.filterwarnings("ignore:all of the model's outputs lie in 0..1")

METHODS = {
    "saliency": Saliency(),
    "gradient_input": GradientInput(),
    "integrated_gradients": IntegratedGradients(3),
    "grad_cam": GradCAM(),
    "score_cam": ScoreCAM("prediction"),
    "rise": Rise(5),
    "occlusion": Occlusion(),
    "smdl": Smdl(prior=None, grid_size=3, set_size=1),
}
SQUARE = Preprocessing(23, mean=(120.0, 110.0, 100.0), std=(60.0, 61.0, 62.0))
CPU = torch.device("cpu")


@pytest.fixture
def samples(tmp_path):
    draws = np.random.default_rng(0)
    found = []
    for number in range(5):
        path = tmp_path / f"{number}.png"
        cv2.imwrite(str(path), draws.integers(0, 256, (30, 26, 3), dtype=np.uint8))
        found.append(Sample(path.name, path, number % 2))
    return found


def rows_of(samples, module, kind="logits", block_size=5):
    network = Backbone("net", module, SQUARE, kind, None, cam_layer="last", feature_layer="last")
    scorer = Scorer(network, "probability", 4)
    protocol = load_protocol("xplique-probability")
    results = list(
        evaluate_runs(
            samples, scorer, method_runs(METHODS), protocol, device=CPU, block_size=block_size
        )
    )
    assert all(isinstance(result, Evaluated) for result in results)
    rows = pd.concat([result.rows.assign(method=result.method) for result in results])
    return rows.set_index(["method", "image_id"]).sort_index()


def bits(rows):
    return [np.array(rows[key].tolist()) for key in ("insertion_curve", "deletion_curve")]


@pytest.mark.parametrize(
    "make",
    [
        lambda: ViewModel(),
        lambda: ConvModel().half(),
        lambda: ConvModel().bfloat16(),
        lambda: ConvModel().double(),
        lambda: ConvModel(1),
    ],
    ids=["view", "half", "bfloat16", "double", "one logit"],
)
def test_all_methods_run_and_rows_do_not_depend_on_the_blocks(samples, make):
    rows = rows_of(samples, make())
    assert len(rows) == len(METHODS) * len(samples)
    for curves, others in zip(
        bits(rows), bits(rows_of(samples, make(), block_size=2)), strict=True
    ):
        assert np.isfinite(curves).all()
        assert (curves == others).all()


def test_one_logit_gives_the_rows_of_two(samples):
    """A network of logits (0, z) has the same probabilities."""
    one, two = ConvModel(1), ConvModel(2)
    two.load_state_dict(
        one.state_dict()
        | {
            f"head.{name}": torch.cat([torch.zeros_like(tensor), tensor])
            for name, tensor in one.head.state_dict().items()
        }
    )
    found, expected = rows_of(samples, one), rows_of(samples, two)
    assert (found["prediction"] == expected["prediction"]).all()
    for ours, theirs in zip(bits(found), bits(expected), strict=True):
        # Maps may differ in the last bit, and so the order of nearly equal pixels.
        assert np.abs(ours[:, [0, -1]] - theirs[:, [0, -1]]).max() <= 1e-6
        assert np.median(np.abs(ours - theirs)) <= 1e-6
    assert found["clean_score"].nunique() > 2


def test_maps_of_both_classes_of_one_logit_are_of_opposite_sign(samples):
    network = Backbone("net", ConvModel(1), SQUARE, "logits")
    x = network.preprocess([sample.read() for sample in samples])
    zeros, ones = (
        GradientInput()(
            Scorer(network, "logit", 4),
            Batch(x, torch.full((5,), target), [s.image_id for s in samples], [], 0),
        )
        for target in (0, 1)
    )
    assert torch.equal(zeros, -ones)
    assert ones.std() > 0


def write_list(folder, labels):
    draws = np.random.default_rng(0)
    for number in range(len(labels)):
        image = draws.integers(0, 256, (20, 18, 3), dtype=np.uint8)
        cv2.imwrite(str(folder / f"{number}.png"), image)
    lines = [f"{number}.png {label}" for number, label in enumerate(labels)]
    (folder / "list.txt").write_text("\n".join(lines))


def run(folder, *overrides):
    main(
        [
            "run", "dataset=list", f"dataset.root={folder}", f"dataset.list={folder}/list.txt",
            "backbone=module", "backbone.name=net", "backbone.preprocessing.size=23",
            "backbone.preprocessing.mean=[120,110,100]", "backbone.preprocessing.std=[60,61,62]",
            "method=[saliency,random]", "protocol=xplique-probability", "figures=false",
            "gallery=0", f"results_dir={folder}/results", *overrides,
        ]
    )  # fmt: skip


def test_a_run_tells_what_kind_of_network_it_is(tmp_path, capsys):
    write_list(tmp_path, [0, 1, 0])
    overrides = (
        "backbone.module={_target_: toy.ViewModel, classes: 1}",
        "backbone.output_kind=logits",
    )
    run(tmp_path, *overrides)
    out = capsys.readouterr().out
    assert "has one output: a binary classifier of classes 0 and 1" in out
    assert out.count("cannot take channels-last inputs") == 1
    manifests = [
        json.loads(path.read_text()) for path in tmp_path.glob("results/runs/**/manifest.json")
    ]
    assert {manifest["provenance"]["memory_format"] for manifest in manifests} == {
        "contiguous_format"
    }
    write_list(tmp_path, [0, 1, 2])
    with pytest.raises(SystemExit):
        run(tmp_path, *overrides)
    assert "outside the model's classes 0..1" in capsys.readouterr().err


def test_accuracy_of_several_labels_says_what_it_counts(tmp_path, capsys):
    write_list(tmp_path, [0, 1, 2, 3])
    module = "backbone.module={_target_: toy.ConvModel}"
    run(tmp_path, module, "backbone.output_kind=multilabel")
    out = " ".join(capsys.readouterr().out.split())
    assert "target's probability above 1/2 on " in out
    assert "(target's probability above 1/2)" in out  # of the table's title
    (table,) = tmp_path.glob("results/leaderboards/*-probability.csv")
    rows = pd.concat([pd.read_parquet(path) for path in tmp_path.glob("results/runs/**/*.parquet")])
    right = rows["clean_score"] > 0.5
    assert (right == (rows["prediction"] == rows["target"])).all()
    assert pd.read_csv(table)["clean_accuracy"].unique() == pytest.approx(right.mean())
