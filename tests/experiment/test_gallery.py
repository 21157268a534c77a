"""What a run keeps for its readers."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import toy
from outcomes import files

from bench import load_rows
from bench.leaderboard.comparison import comparisons, extremes
from bench.storage.pictures import load_picture, pictures_folder
from bench.storage.store import stored_runs

PHOTOS = ["class 0/photo 0.png", "class 1/photo 1.png"]
NOISE = """
name: noise
score: probability
ties: numpy_1_23
auc: trapezoid
metrics:
  insertion: {steps: 3, baseline: {kind: uniform}}
  deletion: {steps: 3, baseline: {kind: constant, rgb: [0, 128, 255]}}
"""


@pytest.fixture
def noise(toy_conf):
    """A protocol whose curves begin at noise and end at a colour."""
    (toy_conf / "protocol").mkdir()
    (toy_conf / "protocol/noise.yaml").write_text(NOISE)


def compared(name="list_toy_xplique-probability", results="results"):
    (comparison,) = comparisons(stored_runs(Path(results), name), name)
    return comparison


def pictures(comparison, results="results"):
    folder = pictures_folder(Path(results), comparison.title, comparison.key)
    found = {image_id: load_picture(folder, image_id) for image_id in comparison.image_ids}
    return {image_id: picture for image_id, picture in found.items() if picture is not None}


def maps(run):
    found = {image_id: run.load_map(image_id) for image_id in run.rows()["image_id"]}
    return {image_id: kept for image_id, kept in found.items() if kept is not None}


def test_the_first_images_and_the_extremes_of_each_method(bench):
    """With the maps of every method; controls choose none."""
    code, out, err = bench("gallery=2", "method=[random,saliency]")
    assert code == 0, err
    comparison = compared()
    shown = {*PHOTOS, *extremes(comparison, "saliency").values()}
    assert 2 < len(shown) < 7  # else this could not fail
    for run in comparison.runs.values():
        assert set(maps(run)) == shown
    assert set(pictures(comparison)) == shown
    assert "lack" not in out


def test_extremes_are_those_of_the_rows(bench):
    bench("method=[random]", "gallery=1")
    rows = load_rows("results").assign(value=lambda rows: rows.insertion_auc - rows.deletion_auc)
    ranked = rows.sort_values("value")["image_id"].tolist()
    expected = {"best": ranked[6], "typical": ranked[3], "worst": ranked[0]}
    assert extremes(compared(), "random") == expected


def test_maps_kept_late_are_those_that_were_evaluated(bench):
    """The whole gallery is kept while maps are made, the extremes' afterwards."""
    methods = "method=[random,saliency,edge,center]"
    bench(methods, "gallery=7", "results_dir=all")
    bench(methods, "gallery=1")
    every = {run.key: maps(run) for run in stored_runs(Path("all"))}
    for run in stored_runs(Path("results")):
        few = maps(run)
        assert 2 <= len(few) < 7
        for image_id, saliency_map in few.items():
            expected = every[run.key][image_id]
            np.testing.assert_allclose(saliency_map, expected, rtol=1e-5, atol=1e-6)


def test_a_picture_is_what_the_network_gets(bench, noise, image_folder):
    bench("method=[random]", "gallery=2", "protocol=noise")
    picture = pictures(compared("list_toy_noise"))[PHOTOS[1]]
    image = cv2.cvtColor(cv2.imread(str(image_folder / PHOTOS[1])), cv2.COLOR_BGR2RGB)
    assert (picture.photo == cv2.resize(image, (23, 23))).all()
    assert (picture.baselines["deletion"] == [0, 128, 255]).all()
    noisy = picture.baselines["insertion"].astype(float)
    assert noisy.std() == pytest.approx(255 / 12**0.5, rel=0.05)
    assert (picture.image_id, picture.label) == (PHOTOS[1], "1")
    other = pictures(compared("list_toy_noise"))[PHOTOS[0]]
    assert (other.baselines["insertion"] != picture.baselines["insertion"]).mean() > 0.9


def test_pictures_of_a_bgr_network_with_a_crop_and_names(bench, toy_conf, image_folder):
    """Labels are the folders' names; values that leave 0..255 are clipped."""
    (toy_conf / "backbone/bgr.yaml").write_text("_target_: gallery_toys.cropped\n")
    (toy_conf / "gallery_toys.py").write_text(
        "import toy\n"
        "from bench.backbones.backbone import Backbone, Preprocessing\n"
        "def cropped():\n"
        "    preprocessing = Preprocessing(23, (300, 120, -20), (60, 61, 62), 'bgr', crop=0.8)\n"
        "    return Backbone('bgr', toy.ConvModel(), preprocessing, 'logits', 4)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(toy_conf)
        code, _, err = bench(
            "dataset=folder", f'dataset.root="{image_folder}"', "backbone=bgr", "method=[center]",
            "gallery=1",
        )  # fmt: skip
    assert code == 0, err
    (name,) = {name for run in stored_runs(Path("results")) for name in run.manifest.leaderboards}
    picture = pictures(compared(name))[PHOTOS[0]]
    image = cv2.cvtColor(cv2.imread(str(image_folder / PHOTOS[0])), cv2.COLOR_BGR2RGB)  # 30 x 41
    resized = cv2.resize(image, (round(41 * 29 / 30), 29))
    left = (resized.shape[1] - 23) // 2
    assert (picture.photo == resized[3:26, left : left + 23]).all()
    assert (picture.baselines["deletion"] == [255, 120, 0]).all()
    assert picture.label == "class 0"
    assert picture.class_names == [f"class {number}" for number in range(4)]


def test_nothing_is_written_or_read_twice(bench, monkeypatch):
    arguments = ["gallery=2", "method=[random,saliency]"]
    bench(*arguments)
    before = {**files("results/runs"), **files("results/pictures")}
    monkeypatch.setattr("bench.experiment.gallery.PictureKeeper.paint", None)
    monkeypatch.setattr("bench.experiment.gallery.MapKeeper._batch", None)
    monkeypatch.setattr("bench.storage.map_store.MapStore.load", None)
    code, _, err = bench(*arguments)
    assert code == 0, err
    assert {**files("results/runs"), **files("results/pictures")} == before


def test_a_wider_gallery_and_broken_files_are_made_up_for(bench):
    bench("gallery=1", "method=[random,saliency]")
    run = stored_runs(Path("results"))[0]
    for pattern in ("runs/*/*/map-*.npy", "pictures/*/*.npz"):
        for path in Path("results").glob(pattern):
            path.write_bytes(b"no array")
    code, _, err = bench("gallery=7", "method=[random,saliency]")
    assert code == 0, err
    assert all(len(maps(run)) == 7 for run in stored_runs(Path("results")))
    assert len(pictures(compared())) == 7
    assert run.load_map(PHOTOS[0]).shape == (23, 23)


def test_no_gallery_keeps_nothing(bench):
    bench("gallery=0")
    assert not Path("results/pictures").exists()
    assert not list(Path("results").rglob("map-*"))


def test_incomplete_rows_have_no_extremes(bench):
    """A share of the images, and a method that fails on one of them."""
    code, _, _ = bench("gallery=1", "method=[saliency,not_finite]", "shard=1/2")
    assert code == 1
    for run in stored_runs(Path("results")):
        assert list(maps(run)) == PHOTOS[:1]
    (folder,) = Path("results/pictures").iterdir()
    assert len(list(folder.iterdir())) == 1
    bench("gallery=1", "method=[saliency,not_finite]", "shard=2/2")
    shown = {*PHOTOS[:1], *extremes(compared(), "saliency").values()}
    kept = {run.folder.name.split("-")[0]: maps(run) for run in stored_runs(Path("results"))}
    assert set(kept["saliency"]) == shown
    assert set(kept["not_finite"]) == shown - {"class 2/photo 2.png"}


def test_maps_that_would_take_passes_are_left_out_and_counted(bench):
    code, out, _ = bench("gallery=1", "method=[random,saliency]", "maps.keep=false")
    assert code == 0
    comparison = compared()
    expected = set(extremes(comparison, "saliency").values()) - set(PHOTOS[:1])
    assert f"Maps that figures lack: {len(expected)} of saliency (" in out
    assert list(maps(comparison.runs["saliency"])) == PHOTOS[:1]
    assert len(maps(comparison.runs["random"])) > 1


def test_shards_keep_what_the_whole_keeps(bench):
    bench("gallery=2", "results_dir=whole")
    for shard in ("2/3", "1/3", "3/3"):
        bench("gallery=2", f"shard={shard}")
    whole, shards = compared(results="whole"), compared()
    assert pictures(whole, "whole").keys() == pictures(shards).keys()
    for method, run in whole.runs.items():
        there, here = maps(run), maps(shards.runs[method])
        assert there.keys() == here.keys()
        assert all((there[image_id] == here[image_id]).all() for image_id in there)


def test_noise_is_that_of_the_curves(bench, noise):
    """The first point of the insertion curve is the score of the picture's noise."""
    bench("method=[random]", "gallery=1", "protocol=noise", "seed=3")
    comparison = compared("list_toy_noise")
    noise = torch.from_numpy(pictures(comparison)[PHOTOS[0]].baselines["insertion"])
    backbone = toy.backbone()
    x = backbone.to_input(noise.float()).permute(2, 0, 1)[None]
    row = comparison.rows["random"].set_index("image_id").loc[PHOTOS[0]]
    score = backbone.outputs(x).softmax(1)[0, row["target"]]
    assert float(score) == pytest.approx(row["insertion_curve"][0], abs=1e-3)


@pytest.fixture
def boxed(toy_conf, image_folder):
    """Settings of a run on images of which some have boxes."""
    path = image_folder.parent / "boxes.csv"

    def settings(*lines):
        path.write_text("\n".join(["image_id,x,y,width,height", *lines, ""]))
        return [f"dataset.boxes={path}", "method=[random,center]", "gallery=2"]

    return settings


def test_boxes_follow_the_photo_into_the_picture(bench, boxed):
    arguments = boxed(f"{PHOTOS[0]},0,0,20,15")  # of 41 x 30 pixels
    assert bench(*arguments)[0] == 0
    assert all(picture.boxes is None for picture in pictures(compared()).values())
    added = [*arguments, "+metric=max_box_acc"]
    code, _, err = bench(*added)
    assert code == 0, err
    found = pictures(compared())
    assert found[PHOTOS[0]].boxes == pytest.approx(np.array([[0, 0, 20 / 41 * 23, 15 / 30 * 23]]))
    assert found[PHOTOS[1]].boxes.shape == (0, 4)
    before = files("results/pictures")
    bench(*added)
    assert files("results/pictures") == before
    bench(*boxed(f"{PHOTOS[0]},0,0,41,15"), "+metric=max_box_acc")
    assert pictures(compared())[PHOTOS[0]].boxes[0, 2] == 23
