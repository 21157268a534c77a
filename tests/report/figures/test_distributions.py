import numpy as np
import pytest
from compared import bootstrap_interval, comparison, drawn_curves

from bench.report.figures import distributions
from bench.report.figures.distributions import draw_distributions


def test_a_row_a_method_in_the_order_of_the_table(tmp_path):
    one = comparison(tmp_path, drawn_curves("acb"), drawn_curves("acb", points=3), ("c",))
    figure = draw_distributions(one)
    insertion, deletion = figure.axes
    labels = insertion.get_yticklabels()
    assert [label.get_text() for label in labels] == list(one.runs)
    assert [label.get_style() for label in labels] == [
        "italic" if method == "c" else "normal" for method in one.runs
    ]
    low, high = insertion.get_ylim()
    assert low > high  # the best row stands at the top
    for axes, metric in ((insertion, "insertion"), (deletion, "deletion")):
        assert metric in axes.get_xlabel()
        lines = [line for line in axes.lines if line.get_zorder() in (1, 4, 5)]
        for row, method in enumerate(one.runs):
            values = one.values(metric)[method]
            points, interval, mean = lines[3 * row : 3 * row + 3]
            assert points.get_xdata() == pytest.approx(values)
            assert np.abs(points.get_ydata() - row).max() < 0.3
            assert interval.get_xdata() == pytest.approx(bootstrap_interval(values))
            assert (mean.get_xdata(), mean.get_ydata()) == ([values.mean()], [row])


def test_boxes_go_from_quartile_to_quartile(tmp_path):
    heights = np.array([0.1, 0.2, 0.3, 0.4, 0.5])
    one = comparison(tmp_path, {"m": heights[:, None].repeat(3, axis=1)})
    box = draw_distributions(one).axes[0].lines[0]
    assert {round(float(x), 6) for x in box.get_xdata()} == {0.2, 0.4}


def test_many_points_are_pixels_in_an_svg(tmp_path, monkeypatch):
    monkeypatch.setattr(distributions, "_MANY", 4)
    one = comparison(tmp_path, drawn_curves("a"))
    points = [line for line in draw_distributions(one).axes[0].lines if line.get_zorder() == 1]
    assert [line.get_rasterized() for line in points] == [True]


def test_images_without_a_finite_area_are_left_out(tmp_path):
    one = comparison(tmp_path, drawn_curves("ab"), protocol={"auc": "relative_trapezoid"})
    one.rows["a"].loc[2, "clean_score"] = np.float32(0)
    with np.errstate(divide="ignore"):
        figure = draw_distributions(one)
    points = [line for line in figure.axes[0].lines if line.get_zorder() == 1]
    assert [len(line.get_xdata()) for line in points] == [4, 4]
