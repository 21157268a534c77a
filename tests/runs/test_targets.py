"""`bench run target=...`: which class is scored, and which is explained."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from toy import linear_backbone

from bench import load_rows
from bench.datasets.reading import read_image
from bench.storage.store import stored_runs

BOARD = "list_linear_xplique-probability"
PREDICTED = f"{BOARD}-prediction"


@pytest.fixture
def run(bench, toy_conf):
    """`bench run` of a network whose predictions are of several classes."""
    (toy_conf / "backbone/linear.yaml").write_text("_target_: toy.linear_backbone\n")
    return lambda *arguments: bench("backbone=linear", *arguments)


@pytest.fixture
def predictions(image_folder):
    """What the network takes the images for, by their ids."""
    model = linear_backbone()
    names = [line.rpartition(" ")[0] for line in (image_folder / "list.txt").open()]
    x = model.preprocess([read_image(image_folder / name) for name in names])
    found = dict(zip(names, model.outputs(x).argmax(dim=1).tolist(), strict=True))
    assert len({*found.values()}) > 2
    return found


def parts():
    return {path: path.stat().st_mtime_ns for path in Path("results").rglob("part-*")}


def by_image(rows, method):
    return rows[rows["method"] == method].set_index("image_id").sort_index()


def test_predictions_are_scored_and_labels_counted(run, predictions):
    code, out, err = run("target=prediction", "block_size=3")
    assert code == 0, err
    labels = [number % 4 for number in range(7)]
    right = sum(top == label for top, label in zip(predictions.values(), labels, strict=True))
    assert 0 < right < 7
    assert f"top-1 right on {right} of 7 images" in out
    title = "list · linear · xplique-probability-prediction (target: prediction) · 7 images"
    assert f"{title} · accuracy {right / 7:.3f}" in " ".join(out.split())
    rows = by_image(load_rows("results"), "saliency")
    assert rows["target"].to_dict() == rows["prediction"].to_dict() == predictions
    assert rows["image_label"].to_dict() == dict(zip(predictions, labels, strict=True))
    table = pd.read_csv(f"results/leaderboards/{PREDICTED}.csv")
    assert set(table["target"]) == {"prediction"}
    assert table["clean_accuracy"].tolist() == pytest.approx([right / 7] * 2, abs=1e-6)
    before = parts()
    code, out, err = run("target=prediction", "block_size=3")
    assert code == 0, err
    assert "To do: " not in out
    assert parts() == before


def test_a_label_is_the_default_and_needs_no_column(run):
    run()
    before = parts()
    assert "target" not in pd.read_csv(f"results/leaderboards/{BOARD}.csv")
    code, out, err = run("target=label", "explain.target=label")
    assert code == 0, err
    assert "To do: " not in out
    assert parts() == before
    (path,) = Path("results/runs").glob("*/saliency-*/manifest.json")
    assert "target" not in json.loads(path.read_text())["protocols"].popitem()[1]


def test_maps_of_one_target_are_not_served_for_another(run, predictions):
    """And each target has its own rows, whichever came first."""
    targets = ["label", "prediction", "2", "1"]
    for target in targets:
        code, _, err = run(f"target={target}", "method=[saliency]", "gallery=7")
        assert code == 0, err
    run("target=prediction", "method=[saliency]", "results_dir=alone", "maps.keep=false")
    alone = by_image(load_rows("alone"), "saliency")
    together = load_rows("results")
    names = [f"xplique-probability{end}" for end in ("", "-prediction", "-class_2", "-class_1")]
    of_target = {
        name: by_image(together[together["protocol"] == name], "saliency") for name in names
    }
    for column in ("insertion_curve", "deletion_curve"):
        kept = of_target[names[1]][column]
        assert [list(curve) for curve in kept] == [list(curve) for curve in alone[column]]
    assert set(of_target[names[2]]["target"]) == {2}
    assert len(list(Path("results/maps").iterdir())) == 4
    maps = {
        run.protocol.name: {image: run.load_map(image) for image in predictions}
        for run in stored_runs(Path("results"))
    }
    for image, top in predictions.items():
        is_top = (maps[names[2]][image] == maps[names[1]][image]).all()
        assert is_top == (top == 2), image


def test_what_is_explained_may_be_another_class_than_is_scored(run, predictions):
    """MFABA's table: the label is explained, the prediction scored."""
    run("method=[saliency,inverted]")
    before = parts()
    code, out, err = run("target=prediction", "explain.target=label", "method=[saliency,inverted]")
    assert code == 0, err
    assert "explains the label; scored is the predicted class" in " ".join(out.split())
    assert before.items() <= parts().items()  # the label's rows are as they were
    new = parts().keys() - before.keys()
    assert not [path for path in new if path.suffix == ".safetensors"]  # the maps are there
    rows = load_rows("results")
    rows = rows[rows["protocol"] == "xplique-probability-prediction"]
    assert by_image(rows, "saliency")["target"].to_dict() == predictions
    table = pd.read_csv(f"results/leaderboards/{PREDICTED}.csv")
    assert table["notes"].str.contains("explains the label").all()
    assert table.set_index("method").loc["inverted", "control"]
    # Inverted, the most important pixel is the least: of the same map.
    upright, turned = (by_image(rows, name) for name in ("saliency", "inverted"))
    assert (upright["target"] == turned["target"]).all()


def test_maps_that_a_gallery_makes_later_are_of_the_same_class(run, toy_conf, predictions):
    """Of methods without passes maps are made when they are wanted: here of the class alone."""
    (toy_conf / "method/of_class.yaml").write_text("of_class:\n  _target_: toy.OfClass\n")
    for gallery in (0, 7):
        code, _, err = run("target=prediction", "method=[of_class]", f"gallery={gallery}")
        assert code == 0, err
    (stored,) = stored_runs(Path("results"))
    found = {image: int(stored.load_map(image)[0, 0]) for image in predictions}
    assert found == predictions


def test_a_rerun_has_the_same_bits(run, bench):
    run("target=prediction", "method=[saliency]")
    (path,) = Path("results/runs").glob("*/saliency-*/manifest.json")
    code, out, err = bench(str(path), "--trust", command="rerun")
    assert code == 0, err
    assert "insertion curves: the same bits" in out
    assert "Rerun:   protocol" not in out
    assert "Differs" not in out


def test_a_protocol_file_says_it(run, toy_conf):
    (toy_conf / "protocol").mkdir()
    (toy_conf / "protocol/mine.yaml").write_text(
        "# Hits of the predicted class\nname: mine\nscore: hit\ntarget: prediction\n"
        "ties: numpy_1_23\nauc: trapezoid\n"
        "metrics:\n  deletion: {steps: 5, baseline: {kind: zero}}\n"
    )
    code, out, err = run("protocol=mine")
    assert code == 0, err
    assert "mine (target: prediction)" in " ".join(out.split())
    rows = load_rows("results")
    assert set(rows["clean_score"]) == {1}  # what is predicted is hit
    assert {value for curve in rows["deletion_curve"] for value in curve} == {0, 1}
    (run,) = (run for run in stored_runs(Path("results")) if run.identity.method.name == "saliency")
    explain = run.identity.explain
    assert (explain.score, explain.target) == ("output", "prediction")


def test_leaderboard_and_page_tell_the_target(run, bench):
    run("target=3", "method=[saliency,random]", "name=board")
    code, _, err = bench("-o", "page.html", command="report")
    assert code == 0, err
    text = Path("page.html").read_text()
    assert "xplique-probability-class_3 (target: 3)" in text
    assert "The target is class 3." in text
    assert "target: class 3" in text  # of images of another class, beside their label
    assert "(target: 3)" in Path("results/leaderboards/board.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["target=foo"], "target: expected 'label', 'prediction' or the number of a class"),
        (["target=-1"], "target: expected 'label', 'prediction' or the number of a class"),
        (["target=true"], "target: expected 'label', 'prediction' or the number of a class"),
        (["target=1.5"], "target: expected 'label', 'prediction' or the number of a class"),
        (["target=4"], "target: expected a class of the network, 0..3, found 4"),
        (["explain.target=Label"], "explain.target: expected 'label', 'prediction' or the number"),
        (["explain.target=9"], "explain.target: expected a class of the network, 0..3, found 9"),
        (["protocol=rise", "protocol.target=label"], "protocol 'rise' is frozen"),
        (["+protocol.target=x", "protocol.name=mine"], "protocol.target: expected 'label'"),
        (["explain.score=hit"], "method saliency: explain.score: 'hit' has no gradient"),
        (
            ["explain.score=hit", "method=[rise,saliency,grad_cam]"],
            "method saliency, grad_cam: explain.score: 'hit' has no gradient",
        ),
    ],
)
def test_what_is_refused_in_one_line(bench, arguments, message):
    code, _, err = bench(*arguments)
    assert code == 1
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path("results/runs").exists()


def test_an_adapter_that_wants_a_gradient_of_hits_is_refused_when_it_asks(bench):
    captum = "method.captum.attribution=captum.attr.Saliency"
    code, _, err = bench("method=[captum]", captum, "explain.score=hit", "gallery=0")
    assert code == 1
    assert "'hit' has no gradient" in err
    assert "Traceback" not in err


def test_methods_without_gradients_explain_hits(bench):
    code, _, err = bench("method=[occlusion]", "explain.score=hit", "method.occlusion.patch_size=8")
    assert code == 0, err
    assert torch.isfinite(torch.tensor(load_rows("results")["clean_score"].to_numpy())).all()
