"""What `bench.evaluate` gives: tables, tests, curves, figures and a page of the same rows."""

import re

import numpy as np
import pandas as pd
import pytest
import torch
from toy import SIZE, ConvModel

import bench
from bench.errors import BenchError


def gradient(model, x, targets):
    """A user's method."""
    x = x.clone().requires_grad_()
    (found,) = torch.autograd.grad(model(x).gather(1, targets[:, None]).sum(), x)
    return found.abs().sum(1)


@pytest.fixture(scope="module")
def images():
    draws = torch.Generator().manual_seed(3)
    return torch.rand(12, 3, SIZE, SIZE, generator=draws), torch.arange(12) % 4


@pytest.fixture(scope="module")
def found(images, tmp_path_factory):
    methods = {"mine": gradient, "random": "random", "rise": {"num_masks": 8}}
    folder = tmp_path_factory.mktemp("results")
    return bench.evaluate(ConvModel().eval(), images, methods, name="board", results_dir=folder)


def test_rows_are_those_of_load_rows(found):
    """In the order of the methods and images that were given; load_rows sorts by id as text."""
    rows = found.rows
    assert rows["label"].unique().tolist() == ["mine", "random", "rise"]
    assert rows["image_id"].tolist() == [str(number) for number in range(12)] * 3
    stored = bench.load_rows(found.results_dir, "board").assign(method=lambda t: t["label"])
    both = [
        table.sort_values(["label", "image_id"], ignore_index=True)[sorted(stored)]
        for table in (rows.assign(method=rows["label"]), stored)
    ]
    pd.testing.assert_frame_equal(*both)


def test_the_leaderboard_is_the_mean_of_the_rows(found):
    board = found.leaderboard().set_index("method")
    means = found.rows.groupby("label")[["insertion_auc", "deletion_auc"]].mean()
    for column in means:
        np.testing.assert_allclose(board.loc[means.index, column], means[column], rtol=1e-6)
    assert board["rank"].sort_values().tolist() == [1, 2, 3]
    normalised = found.leaderboard(auc="mean").set_index("method")["insertion_auc"]
    assert not np.allclose(normalised.loc[means.index], board.loc[means.index, "insertion_auc"])


def test_pairs_with_a_reference_are_those_of_the_rows(found):
    pairs = found.pairs(reference="mine", metric="insertion").set_index("method")
    assert set(pairs.index) == {"random", "rise"}
    values = found.rows.pivot_table(index="image_id", columns="label", values="insertion_auc")
    for other in pairs.index:
        expected = (values[other] - values["mine"]).mean()
        assert pairs.loc[other, "difference"] == pytest.approx(expected, abs=1e-6)
    assert (pairs["p_value"] >= pairs["p_raw"]).all()
    assert pairs["metric"].unique().tolist() == ["insertion"]
    by_all = found.pairs(reference="mine")
    assert by_all["metric"].unique().tolist()[:2] == ["insertion", "deletion"]


def test_means_of_classes(found, tmp_path):
    classes = found.by().set_index(["group", "method", "metric"])
    rows = found.rows[found.rows["label"] == "rise"]
    means = rows.groupby("target")["insertion_auc"].mean()
    for target, mean in means.items():
        cell = classes.loc[(str(target), "rise", "insertion")]
        assert cell["mean"] == pytest.approx(mean, abs=1e-6)
        assert cell["n_images"] == 3
    halves = pd.DataFrame({"image_id": range(12), "half": ["first"] * 6 + ["second"] * 6})
    halves.to_csv(tmp_path / "halves.csv", index=False)
    of_file = found.by(f"{tmp_path / 'halves.csv'}:half")
    assert of_file["group"].unique().tolist() == ["first", "second"]


def test_all_pairs(found):
    pairs = found.pairs(metric="deletion")
    assert len(pairs) == 3
    assert {*pairs["better"], *pairs["worse"]} == {"mine", "random", "rise"}


def test_curves_are_those_of_the_rows(found):
    curves = found.curves("rise")
    assert set(curves) == {"insertion", "deletion"}
    rows = found.rows[found.rows["label"] == "rise"]
    np.testing.assert_array_equal(curves["insertion"], np.stack([*rows["insertion_curve"]]))
    assert curves["deletion"].shape == (12, 11)


def test_figures(found):
    assert found.plots[0] == "curves"
    assert {"curves", "scatter", "maps"} <= set(found.plots)
    curves, scatter = found.plot(), found.plot("scatter")
    assert len(curves.axes) >= 2
    drawn = " ".join(
        text.get_text() for text in scatter.findobj(lambda each: hasattr(each, "get_text"))
    )
    assert "mine" in drawn


def test_latex_and_markdown(found):
    assert re.search(r"(?m)^.*mine.* & .*\\\\", found.to_latex())
    assert found.to_markdown().count("\n| ") >= 4


def test_a_page(found, tmp_path):
    page = found.report(tmp_path / "page.html").read_text()
    assert "mine" in page
    assert "<svg" in page


def test_a_page_has_no_rows_of_others(found, images, tmp_path):
    """Those of methods that were evaluated before and are on the same leaderboard."""
    again = bench.evaluate(
        ConvModel().eval(), images, ["random"], name="board", results_dir=found.results_dir
    )
    assert again.leaderboard()["method"].tolist() == ["random"]
    assert "mine" not in again.report(tmp_path / "page.html").read_text()
    assert "mine" in found.report(tmp_path / "page.html").read_text()


def test_shown_in_a_notebook(found):
    shown = found._repr_html_()
    assert shown.count("<tr") == 4
    assert all(f">{label}" in shown for label in ("mine", "random", "rise"))
    assert "<script" not in shown


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda found: found.plot("curve"), "plot: unknown name 'curve'. Did you mean 'curves'"),
        (lambda found: found.curves("rize"), "method: unknown name 'rize'. Did you mean 'rise'"),
        (lambda found: found.pairs(reference="me"), "reference: unknown name 'me'"),
        (lambda found: found.pairs(metric="auc"), "unknown name 'auc'"),
        (lambda found: found.leaderboard(auc="area"), "area"),
    ],
)
def test_bad_input(found, ask, message):
    with pytest.raises(BenchError, match=message):
        ask(found)


def test_one_image_and_one_method(tmp_path):
    found = bench.evaluate(
        ConvModel().eval(), (torch.rand(1, 3, SIZE, SIZE), [1]), "random", results_dir=tmp_path
    )
    assert found.pairs().empty
    assert "random" in found._repr_html_()
    found.report(tmp_path / "page.html")


def test_no_complete_row(tmp_path):
    def failing(model, x, targets):
        raise ValueError("never")

    with pytest.warns(UserWarning, match="maps failed"):
        found = bench.evaluate(
            ConvModel().eval(), torch.rand(4, 3, SIZE, SIZE), [failing], results_dir=tmp_path
        )
    assert len(found.rows) == 0
    assert found.leaderboard()["n_missing"].tolist() == [4]
    assert "failing" in found._repr_html_()
    with pytest.raises(BenchError, match="no method has the rows of all 4 images"):
        found.pairs()
