import numpy as np
import pytest
from compared import comparison, drawn_curves

from bench.report.figures.cost import draw_cost
from bench.report.figures.style import to_svg


def points(axes):
    """Method -> its place, and how far the axis is from there to its ends."""
    marked = [line for line in axes.lines if line.get_marker() not in ("None", "", None)]
    return {line.get_label(): (line.get_xdata()[0], line.get_ydata()[0]) for line in marked}


def test_areas_against_passes(tmp_path):
    passes = {"a": (1, 1), "b": (4000, 0), "c": (0, 0)}
    one = comparison(tmp_path, drawn_curves("abcd"), drawn_curves("abcd"), ("c",), passes)
    figure = draw_cost(one)
    for axes, metric in zip(figure.axes, ("insertion", "deletion"), strict=True):
        means = one.values(metric).mean()
        found = points(axes)
        assert {name: x for name, (x, _) in found.items()} == pytest.approx(
            {"a": 2, "b": 4000, "c": 0}
        )
        assert {name: y for name, (_, y) in found.items()} == pytest.approx(
            means[["a", "b", "c"]].to_dict()
        )
        low, high = axes.get_xlim()
        assert low < 0 < 4000 < high
        figure.draw_without_rendering()
        ticks = [label.get_text() for label in axes.get_xticklabels()]
        assert ticks == ["0", "1", "10", "100", "1,000", "10,000"]
        places = axes.transData.transform([(10, 0), (100, 0), (1000, 0)])[:, 0]
        assert np.diff(places)[0] == pytest.approx(np.diff(places)[1])  # logarithmic
    assert "cost not known: d" in to_svg(figure).decode()


def test_median_seconds(tmp_path):
    one = comparison(tmp_path, drawn_curves("ab", images=3))
    one.rows["a"]["seconds"] = [0.02, 0.5, 0.04]
    found = points(draw_cost(one, "seconds").axes[0])
    assert found["a"][0] == pytest.approx(0.04)
    assert found["b"][0] == pytest.approx(0.1)


def test_equal_costs_stand_side_by_side(tmp_path):
    names = "abcdefghijkl"
    one = comparison(tmp_path, drawn_curves(names), passes=dict.fromkeys(names, (0, 0)))
    figure = draw_cost(one)
    found = [x for x, _ in points(figure.axes[0]).values()]
    low, high = figure.axes[0].get_xlim()
    assert low < found[0] < found[-1] < high
    assert (np.diff(found) > 0).all()
    assert np.mean(found) == pytest.approx(0)
    (legend,) = figure.legends  # so many names beside points would hide each other
    assert [text.get_text() for text in legend.get_texts()] == list(one.runs)


def test_no_cost_is_known(tmp_path):
    figure = draw_cost(comparison(tmp_path, drawn_curves("ab")))
    assert not points(figure.axes[0])
    assert b"cost not known: a, b" in to_svg(figure)
