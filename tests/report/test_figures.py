import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from bench.report import figures
from bench.report.figures import draw_contact_sheet, draw_curves, draw_maps


@pytest.fixture
def drawn(monkeypatch):
    """The figures themselves instead of their PNG."""
    monkeypatch.setattr(figures, "_png", lambda figure, dpi: figure)


def test_png():
    image = np.frombuffer(draw_curves({"m": (np.eye(3), np.eye(3))}, "output"), np.uint8)
    assert cv2.imdecode(image, cv2.IMREAD_COLOR).shape[0] > 300


def test_mean_curves_with_student_bands(drawn):
    draws = np.random.default_rng(0)
    curves = {name: (draws.uniform(size=(5, 6)), draws.uniform(size=(5, 4))) for name in "ab"}
    figure: Figure = draw_curves(curves, "log_probability")
    for direction, (axes, word) in enumerate(zip(figure.axes, ["insert", "delet"], strict=True)):
        assert word in axes.get_xlabel()
        for line, band, name in zip(axes.lines, axes.collections, "ab", strict=True):
            scores = curves[name][direction]
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


def test_one_image_has_no_band(drawn):
    figure = draw_curves({"m": (np.zeros((1, 4)), np.ones((1, 4)))}, "output")
    assert not figure.axes[0].collections


def test_maps_show_ranks_and_gaps_stay_empty(drawn):
    photo = np.full((4, 4, 3), 200, np.uint8)
    saliency_map = np.exp(np.arange(16, dtype=np.float32)).reshape(4, 4)
    figure = draw_maps({"a": photo, "b": photo}, {"m": {"a": saliency_map, "b": None}})
    assert [axes.get_title() for axes in figure.axes] == ["photo", "m", "", ""]
    assert [len(axes.images) for axes in figure.axes] == [1, 2, 1, 0]
    assert (figure.axes[0].images[0].get_array() == photo).all()
    ranks = figure.axes[1].images[1].get_array()
    assert (ranks == np.arange(1, 17).reshape(4, 4)).all()


def test_a_contact_sheet_shows_every_image_under_its_title(drawn):
    images = {f"n{i}/$ä_{i}.jpg {i}": np.full((4, 3 + i, 3), 20 * i, np.uint8) for i in range(5)}
    images["a/long/path/to/a/folder/of/images/1.jpg 7"] = np.zeros((2, 2, 3), np.uint8)
    figure = draw_contact_sheet(images, columns=4)
    shown = [axes for axes in figure.axes if axes.images]
    assert len(figure.axes) == 8
    assert [axes.get_title() for axes in shown] == [*list(images)[:5], "...older/of/images/1.jpg 7"]
    for axes, image in zip(shown, images.values(), strict=True):
        assert (axes.images[0].get_array() == image).all()
    assert not any(axes.axison for axes in figure.axes)


def test_a_contact_sheet_is_a_png():
    image = draw_contact_sheet({"$1$ {": np.zeros((2, 2, 3), np.uint8)})
    assert cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape[1] == 1200
