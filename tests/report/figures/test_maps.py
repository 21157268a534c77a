import warnings

import cv2
import numpy as np
import pytest
from compared import comparison, drawn_curves
from localised import localised

from bench.report.figures.maps import draw_contact_sheet, draw_examples, draw_maps
from bench.report.figures.style import to_png
from bench.report.steps import step_pictures
from bench.storage.pictures import Picture

MAP = np.exp(np.arange(16, dtype=np.float32)).reshape(4, 4)
PHOTO = np.full((4, 4, 3), 200, np.uint8)


def picture(image_id, level=200):
    photo = np.full((4, 4, 3), level, np.uint8)
    baselines = {"insertion": np.zeros_like(photo), "deletion": np.ones_like(photo)}
    return Picture(image_id, photo, "a label", baselines)


def titles(figure):
    return [axes.get_title() for axes in figure.axes]


def test_maps_show_ranks_and_gaps_stay_empty(tmp_path):
    one = comparison(tmp_path, drawn_curves("mn"), maps={"m": {"a": MAP}, "n": {"a": MAP**3}})
    figure = draw_maps(one, [picture("a"), picture("b")])
    assert titles(figure) == ["photo", *one.runs, "", "", ""]
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 1, 0, 0]
    photo, first, second = (axes.images[0].get_array() for axes in figure.axes[:3])
    assert (photo == 200).all()
    assert (first == second).all()  # ranks are all that the metrics see
    brightness = np.asarray(first).sum(axis=2).flatten()
    assert (np.diff(brightness) > 0).all()
    assert [text.get_text() for text in figure.axes[4].texts] == ["not kept"]


def test_the_photo_shines_through_a_map(tmp_path):
    one = comparison(tmp_path, drawn_curves("m"), maps={"m": {"a": MAP}})
    dark, light = (
        np.asarray(draw_maps(one, [picture("a", level)]).axes[1].images[0].get_array(), int)
        for level in (0, 200)
    )
    assert set((light - dark).flatten()) <= {49, 50, 51}


def test_long_names_are_broken_into_lines(tmp_path):
    name = "a_method_of_a_long_name (layer=1)"
    figure = draw_maps(comparison(tmp_path, {name: np.eye(3)}), [picture("a")])
    assert titles(figure)[1].replace("\n", "").replace(" ", "") == name.replace(" ", "")
    figure.draw_without_rendering()
    for axes in figure.axes:
        assert axes.title.get_window_extent().y1 <= figure.bbox.y1
        assert axes.title.get_window_extent().width < 1.2 * axes.get_window_extent().width


def gallery(tmp_path, **images):
    curves = drawn_curves("m", points=11), drawn_curves("m", points=21)
    settings = {"steps": 20, "rows_per_step": None, "max_fraction": 0.8}
    one = comparison(
        tmp_path,
        *curves,
        maps={"m": {"a": MAP, "c": MAP}},
        protocol={"insertion": settings | {"steps": 10, "max_fraction": 1}, "deletion": settings},
    )
    pictures = {"a": picture("a"), "b": picture("b")}
    return one, draw_examples(one, "m", images, pictures), pictures


def test_a_gallery_shows_steps_with_their_scores(tmp_path):
    one, figure, pictures = gallery(tmp_path, best="a")
    assert "best: a (a label, class 1)" in [text.get_text() for text in figure.texts]
    assert titles(figure)[:2] == ["photo", "map"]
    row, protocol = one.rows["m"].iloc[0], one.protocol
    for direction, shares in (
        ("insertion", [0.1, 0.2, 0.3, 0.5, 0.7]),
        ("deletion", [0.08, 0.16, 0.24, 0.4, 0.56]),
    ):
        shown = [axes for axes in figure.axes if direction[:-3] in axes.get_title()]
        every = step_pictures(pictures["a"], MAP, protocol, direction)
        curve = row[f"{direction}_curve"]
        for axes, share, part in zip(shown, shares, (0.1, 0.2, 0.3, 0.5, 0.7), strict=True):
            step = round(part * (len(curve) - 1))
            assert axes.get_title() == f"{share:.0%} {direction[:-3]}ed"
            assert axes.get_xlabel() == f"{curve[step]:.3f}"
            assert (axes.images[0].get_array() == every[step]).all()
        line = next(
            line for axes in figure.axes for line in axes.lines if line.get_label() == direction
        )
        assert line.get_ydata() == pytest.approx(curve)
        reach = 1 if direction == "insertion" else 0.8
        assert line.get_xdata() == pytest.approx(np.linspace(0, reach, len(curve)))


@pytest.mark.parametrize(("image_id", "lacks"), [("b", 1), ("c", 2), ("d", 2)])
def test_curves_remain_where_a_map_or_a_picture_was_not_kept(tmp_path, image_id, lacks):
    _, figure, _ = gallery(tmp_path, best="a", worst=image_id)
    whole = len(gallery(tmp_path, best="a")[1].axes)
    assert len(figure.axes) == whole + 3
    assert sum(len(axes.lines) for axes in figure.axes) == 4
    lacking = [text.get_text() for axes in figure.axes[whole:] for text in axes.texts]
    assert lacking == ["not kept"] * lacks


def test_few_steps_are_shown_once(tmp_path):
    one = comparison(
        tmp_path,
        drawn_curves("m", points=3),
        maps={"m": {"a": MAP}},
        protocol={part: {"steps": 2} for part in ("insertion", "deletion")},
    )
    figure = draw_examples(one, "m", {"best": "a"}, {"a": picture("a")})
    assert [title for title in titles(figure) if "inserted" in title] == ["50% inserted"]


def test_a_contact_sheet_shows_every_image_under_its_title():
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
    image = to_png(draw_contact_sheet({"$1$ {": np.zeros((2, 2, 3), np.uint8)}), dpi=100)
    assert cv2.imdecode(np.frombuffer(image, np.uint8), cv2.IMREAD_COLOR).shape[1] == 1200


def test_a_gallery_without_curves_is_photos_beside_maps(tmp_path):
    overlaps = {"m": np.array([[0.9], [0.5], [0.2]])}
    one = localised(tmp_path, overlaps, maps={"m": {"a": MAP}})
    pictures = {image_id: Picture(image_id, PHOTO, "bird", {}) for image_id in "ab"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = draw_examples(one, "m", {"best": "a", "typical": "b", "worst": "c"}, pictures)
    assert titles(figure) == ["photo", "map"] * 3
    assert [len(axes.images) for axes in figure.axes] == [1, 1, 1, 0, 0, 0]
    assert not any(axes.lines for axes in figure.axes)
    lacking = [text.get_text() for axes in figure.axes for text in axes.texts]
    assert lacking == ["not kept"] * 3
    headings = [text.get_text() for text in figure.texts]
    assert headings == ["m", "best\na\nbird, class 1", "typical\nb\nbird, class 1", "worst\nc"]
