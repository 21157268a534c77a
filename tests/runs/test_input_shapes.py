"""Networks whose inputs are grey, or no squares: through methods, metrics, figures and the page."""

import cv2
import numpy as np
import pandas as pd
import pytest

from bench import load_rows
from bench.cli import main
from bench.storage.store import stored_runs

SHAPE = (29, 18)
CHEAP = {
    "hsic": "num_designs=8", "integrated_gradients": "steps=3", "kernel_shap": "num_samples=9",
    "lime": "num_samples=9", "rise": "num_masks=9", "rise_original": "num_masks=9",
    "smdl": "grid_size=3", "smooth_grad": "num_samples=3", "sobol": "num_designs=2",
}  # fmt: skip
OTHERS = [
    "blurred", "center", "constant", "edge", "grad_cam", "grad_cam_pp", "gradient_input",
    "guided_backprop", "occlusion", "random", "saliency", "score_cam",
]  # fmt: skip


@pytest.fixture
def photos(tmp_path):
    """Three grey photos, of which two are stored with three equal channels."""
    draws = np.random.default_rng(0)
    for number in range(3):
        grey = draws.integers(0, 256, (40, 33), dtype=np.uint8)
        grey = cv2.GaussianBlur(grey, (5, 5), 0)
        stored = grey if number == 0 else np.dstack([grey] * 3)
        cv2.imwrite(str(tmp_path / f"{number}.png"), stored)
    (tmp_path / "list.txt").write_text("".join(f"{number}.png {number}\n" for number in range(3)))
    return tmp_path


def run(photos, *overrides, channels=1):
    mean, std = ("120", "60") if channels == 1 else ("[120,120,120]", "[60,60,60]")
    main(
        [
            "run", "dataset=list", f"dataset.root={photos}", f"dataset.list={photos}/list.txt",
            "backbone=module", "backbone.name=net", "backbone.output_kind=logits",
            f"backbone.module={{_target_: toy.ConvModel, channels: {channels}}}",
            "backbone.feature_layer=head", f"backbone.preprocessing.size={list(SHAPE)}",
            f"backbone.preprocessing.mean={mean}", f"backbone.preprocessing.std={std}",
            "batch_size=4", *overrides,
        ]
    )  # fmt: skip


def test_all_methods_and_metrics(photos, monkeypatch):
    monkeypatch.chdir(photos)
    methods = [*OTHERS, *CHEAP, "inverted"]
    cheap = [f"method.{method}.{setting}" for method, setting in CHEAP.items()]
    cheap += ["method.smdl.set_size=1"]
    run(photos, f"method=[{','.join(methods)}]", *cheap, "protocol=xplique-mufidelity",
        "figures=false", "gallery=1")  # fmt: skip
    (board,) = photos.glob("results/leaderboards/*-mufidelity.csv")
    table = pd.read_csv(board)
    assert len(table) == len(methods)
    assert (table["n_missing"] == 0).all()
    assert np.isfinite(table[["insertion_auc", "deletion_auc", "mufidelity_xplique_1_1"]]).all(
        axis=None
    )
    for stored in stored_runs(photos / "results"):
        assert stored.load_map("0.png", SHAPE).shape == SHAPE


def test_figures_and_the_page(photos, monkeypatch):
    monkeypatch.chdir(photos)
    run(photos, "method=[center,random]", "protocol=xplique", "figures=true", "gallery=1")
    assert len([*photos.glob("results/leaderboards/*.png")]) > 3
    main(["report", "results", "--output", "page.html"])
    assert '"size": [18, 29]' in (photos / "page.html").read_text().replace('"size":[', '"size": [')


@pytest.mark.parametrize(
    "protocol",
    ["rise", "probability-10-mean", "probability-10-noise", "probability-10-black"],
)
def test_a_grey_network_gives_what_three_equal_channels_give(photos, monkeypatch, protocol):
    """But for noise, which has no equal channels: there it is finite and has its ends."""
    monkeypatch.chdir(photos)
    rows = {}
    for channels in (1, 3):
        results = f"results_{channels}"
        run(photos, "method=[center,rise,grad_cam]", "method.rise.num_masks=9", "figures=false",
            f"protocol={protocol}", "target=label", f"results_dir={results}",
            channels=channels)  # fmt: skip
        rows[channels] = load_rows(results).sort_values(["method", "image_id"])
    for column in ("insertion_curve", "deletion_curve"):
        grey, colour = (np.stack(rows[channels][column]) for channels in (1, 3))
        assert np.ptp(grey) > 0.01
        if "noise" in protocol:
            grey, colour = grey[:, :: len(grey[0]) - 1], colour[:, :: len(colour[0]) - 1]
            start = 0 if column == "deletion_curve" else 1  # the whole image
            grey, colour = grey[:, start], colour[:, start]
        np.testing.assert_allclose(grey, colour, atol=2e-6)
