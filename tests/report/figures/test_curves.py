import numpy as np
import pytest
from compared import comparison, drawn_curves

from bench.report.figures.curves import draw_curves
from bench.report.figures.style import marks_of


def test_mean_curves_with_student_bands(tmp_path):
    curves = drawn_curves("ab"), drawn_curves("ab", points=4)
    one = comparison(tmp_path, *curves, protocol={"score": "log_probability"})
    figure = draw_curves(one)
    for direction, (axes, word) in enumerate(zip(figure.axes, ["insert", "delet"], strict=True)):
        assert word in axes.get_xlabel()
        for line, band, name in zip(axes.lines, axes.collections, "ab", strict=True):
            scores = np.float32(curves[direction][name])
            assert line.get_label() == name
            assert line.get_xdata() == pytest.approx(np.linspace(0, 1, scores.shape[1]))
            assert line.get_ydata() == pytest.approx(scores.mean(axis=0))
            # 2.776 is the 97.5 % point of Student's t with four degrees of freedom.
            half = 2.776 * scores.std(axis=0, ddof=1) / np.sqrt(5)
            edges = band.get_paths()[0].vertices[:, 1]
            low, high = (scores.mean(axis=0) - half).min(), (scores.mean(axis=0) + half).max()
            assert edges.max() == pytest.approx(min(high, scores.max()), abs=1e-3)
            assert edges.min() == pytest.approx(max(low, scores.min()), abs=1e-3)
    assert figure.axes[0].get_ylabel() == "log probability"


def test_one_image_has_no_band(tmp_path):
    figure = draw_curves(comparison(tmp_path, {"m": np.zeros((1, 4))}))
    assert not figure.axes[0].collections


def test_the_axis_ends_where_the_last_step_does(tmp_path):
    half = {"steps": 3, "max_fraction": 0.5}
    figure = draw_curves(
        comparison(tmp_path, drawn_curves("a", points=4), protocol={"deletion": half})
    )
    insertion, deletion = (axes.lines[0].get_xdata() for axes in figure.axes)
    assert insertion[-1] == 1
    assert deletion == pytest.approx([0, 1 / 6, 1 / 3, 0.5])


def test_marks_and_legend(tmp_path):
    one = comparison(tmp_path, drawn_curves("acb"), controls=("c",))
    figure, marks = draw_curves(one), marks_of(one)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(one.runs)
    for line, method in zip(figure.axes[0].lines, one.runs, strict=True):
        assert line.get_color() == marks[method].colour
        assert line.get_marker() == marks[method].marker
        assert line.is_dashed() == (method == "c")


def test_a_legend_of_many_long_names_makes_the_figure_higher(tmp_path):
    few = draw_curves(comparison(tmp_path / "few", drawn_curves("ab")))
    names = {f"a method of a long name, number {number}": np.eye(3) for number in range(20)}
    many = draw_curves(comparison(tmp_path / "many", names))
    many.draw_without_rendering()
    legend = many.legends[0].get_window_extent()
    assert many.get_figheight() > few.get_figheight() + 1
    assert 0 <= legend.x0 < legend.x1 <= many.bbox.x1
    assert legend.y1 < many.axes[0].get_tightbbox().y0
    heights = [figure.axes[0].get_window_extent().height for figure in (few, many)]
    assert heights[1] > 0.8 * heights[0]


def test_confidence_is_a_third_panel(tmp_path):
    one = comparison(
        tmp_path, drawn_curves("ab"), protocol={"confidence": {"steps": 5, "whole_image": False}}
    )
    for table in one.rows.values():
        table["confidence_curve"] = [np.linspace(0, 0.5, 6, dtype=np.float32)] * len(table)
    figure = draw_curves(one)
    assert [axes.get_title().split(":")[0] for axes in figure.axes] == [
        "Insertion", "Deletion", "Confidence",
    ]  # fmt: skip
    assert figure.axes[2].lines[0].get_ydata() == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])
    figure.draw_without_rendering()
    boxes = [axes.get_tightbbox() for axes in figure.axes]
    assert boxes[0].x1 < boxes[1].x0 < boxes[1].x1 < boxes[2].x0 < boxes[2].x1 <= figure.bbox.x1
