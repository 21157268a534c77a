"""The experiment paper/mfaba on a small network and pictures of its own."""

import cv2
import numpy as np
import pandas as pd

from bench import load_rows
from bench.cli import main

SMALL = ["backbone.name=resnet18", "backbone.weights=random", "backbone.preprocessing.size=32"]


def test_mfaba(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pictures = tmp_path / "mfaba" / "visualized_imgs"
    pictures.mkdir(parents=True)
    draws = np.random.default_rng(0)
    for number in range(3):
        cv2.imwrite(str(pictures / f"{number}.png"), draws.integers(0, 256, (32, 32, 3), np.uint8))
    labels = [f"{number}.png {label}\n" for number, label in enumerate((249, 454, 121))]
    (tmp_path / "mfaba" / "labels.txt").write_text("".join(labels))
    methods = "method=[signed_gradient,channel_integrated_gradients,random]"
    assets = f"assets.mfaba={tmp_path / 'mfaba'}"
    main(["run", "experiment=paper/mfaba", assets, methods, *SMALL, "gallery=1"])
    assert "baseline: RGB (0, 0, 0)" in capsys.readouterr().out
    rows = load_rows("results")
    assert (rows["target"] == rows["prediction"]).all()
    assert rows["image_label"].tolist() == [249, 454, 121] * 3  # which is what methods explain
    assert {len(curve) for curve in rows["insertion_curve"]} == {33}
    table = pd.read_csv("results/leaderboards/paper_mfaba.csv").set_index("published_method")
    assert table.loc["Integrated Gradients", "published_insertion_auc"] == 0.1467
    assert table.loc["MFABA sharp", "published_insertion_auc"] == 0.3237
    assert table.loc["MFABA sharp", "n_images"] == 0  # a published row without ours
    notes = table.loc["Integrated Gradients", "notes"]
    assert "3 images of another list than mfaba/labels (1000)" in notes
    assert "pictures of 8 bits" in notes
    assert "backbone.name=resnet18" in notes
