"""The audit and the boards of localisation, on small networks."""

from pathlib import Path

import dataset_trees
import numpy as np
import pandas as pd

FAST = ("figures=false", "gallery=0")
PHOTOS = ("dataset=photos", "backbone=toy", "backbone.classes=1000", *FAST)


def test_an_audit_is_a_file_and_a_part_of_the_page(bench):
    """Controls stand beside whatever is chosen; on too few images nothing is said against it."""
    settings = ("metric.parameter_randomisation.stages=2", "metric.max_sensitivity.samples=2")
    code, out, err = bench(
        "experiment=audit", "method=[saliency]", "dataset.max_images=2", *settings, *PHOTOS
    )
    assert code == 0, err
    table = pd.read_csv("results/leaderboards/audit.csv").set_index("method")
    assert set(table.index) == {"saliency", "random", "center"}
    controls = table.loc[["random", "center"]]
    assert (controls[["parameter_randomisation", "random_logit"]] == 1).all(axis=None)
    assert "results/leaderboards/audit_audit.md" in out
    text = Path("results/leaderboards/audit_audit.md").read_text()
    questions = (
        "Faithful? See the numbers", "Localised? See the numbers", "Stable? See the numbers",
        "Depends on the network? ", "Concentrated? See the numbers",
        "Beats the controls? See the numbers",
    )  # fmt: skip
    assert [text.count(f"**{question}") for question in questions] == [1] * 6
    assert text.count("### saliency") == text.count("### ") == 1
    code, _, err = bench("results", "--output", "page.html", command="report")
    assert code == 0, err
    page = Path("page.html").read_text()
    assert '<section class="audit"' in page
    assert all(f"<dt>{question.partition('?')[0]}? " in page for question in questions)


def test_controls_of_ones_own_choice(bench):
    code, _, err = bench(
        "experiment=audit", "method=[saliency]", "control=[edge]", "metric=[sparseness]",
        "dataset.max_images=1", *PHOTOS,
    )  # fmt: skip
    assert code == 0, err
    table = pd.read_csv("results/leaderboards/audit.csv")
    assert set(table["method"]) == {"saliency", "edge"}


def test_boxes_of_the_demos_photos(bench):
    code, out, err = bench("experiment=localisation_demo", "method=[saliency,center]", *PHOTOS)
    assert code == 0, err
    assert "1 of 20 images have no box" in out
    table = pd.read_csv("results/leaderboards/localisation_demo.csv").set_index("method")
    assert table["max_box_acc"].between(0, 1).all()
    hits = table["pointing_game"] * 19  # of the photos that have a box
    np.testing.assert_allclose(hits, hits.round(), atol=1e-9)


def test_birds_beside_the_published_row(bench, tmp_path):
    root = dataset_trees.cub(tmp_path / "CUB_200_2011")
    code, out, err = bench(
        "experiment=cub_localisation", f"assets.cub_root={root}", "dataset=cub200",
        "dataset.split=all", "backbone=timm", "backbone.name=resnet10t", "backbone.weights=random",
        "backbone.preprocessing.size=32", "method=[grad_cam,center]", *FAST,
    )  # fmt: skip
    assert code == 0, err
    table = pd.read_csv("results/leaderboards/cub_localisation.csv").set_index("method")
    assert table.loc["grad_cam", "published_max_box_acc_v2"] == 0.63
    assert table.loc["grad_cam", "published_method"] == "CAM"
    assert pd.isna(table.loc["center", "published_max_box_acc_v2"])
    assert "images of another list than cub200/test (5794)" in out
    assert "the network is yours" in out
