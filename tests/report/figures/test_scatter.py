from itertools import combinations

import numpy as np
import pytest
from compared import bootstrap_interval, comparison, drawn_curves

from bench.report.figures.scatter import draw_scatter


def test_means_with_crosses(tmp_path):
    one = comparison(tmp_path, drawn_curves("acb"), drawn_curves("acb", points=3), ("c",))
    axes = draw_scatter(one).axes[0]
    assert "lower" in axes.get_xlabel()
    assert "higher" in axes.get_ylabel()
    lines = [line for line in axes.lines if line.get_zorder() in (1, 5)]
    for number, method in enumerate(one.runs):
        insertion, deletion = (one.values(name)[method] for name in ("insertion", "deletion"))
        across, along, point = lines[3 * number : 3 * number + 3]
        assert point.get_label() == method
        assert [*point.get_xdata(), *point.get_ydata()] == [deletion.mean(), insertion.mean()]
        assert across.get_xdata() == pytest.approx(bootstrap_interval(deletion))
        assert along.get_ydata() == pytest.approx(bootstrap_interval(insertion))
        assert (point.get_markerfacecolor() == "white") == (method == "c")
        assert across.is_dashed() == (method == "c")


def test_names_stand_inside_and_not_on_each_other(tmp_path):
    draws = np.random.default_rng(1)
    names = [f"a method of a long name {number}" for number in range(12)]
    curves = {name: draws.uniform(0.2, 1) + draws.uniform(-0.2, 0.2, (4, 3)) for name in names}
    other = {name: draws.uniform(0.2, 1) + draws.uniform(-0.2, 0.2, (4, 3)) for name in names}
    figure = draw_scatter(comparison(tmp_path, curves, other))
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in axes.texts]
    panel = axes.get_window_extent().padded(1)
    assert len(boxes) == 13  # and the corner that is better
    assert all(panel.contains(*corner) for box in boxes for corner in (box.min, box.max))
    assert not any(one.padded(-1).overlaps(other) for one, other in combinations(boxes, 2))


def test_one_image_and_equal_methods(tmp_path):
    """No intervals, and all points in one place."""
    figure = draw_scatter(comparison(tmp_path, {"a": np.eye(3)[:1], "b": np.eye(3)[:1]}))
    assert {"a", "b"} < {text.get_text() for text in figure.axes[0].texts}
