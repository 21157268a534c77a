"""Nothing that a figure draws or writes is cut off, whatever the numbers are."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from compared import INSERTION, comparison
from localised import localised

from bench.leaderboard.significance import Significance, significance
from bench.report.figures import (
    draw_boxes,
    draw_cost,
    draw_critical_difference,
    draw_curves,
    draw_distributions,
    draw_examples,
    draw_maps,
    draw_ranks,
    draw_scatter,
    draw_success,
)
from bench.storage.pictures import Picture

PHOTO = np.full((8, 8, 3), 128, np.uint8)
MANY = [f"a method of a long name {number}" for number in range(16)]
DRAWS = np.random.default_rng(0)


def uniform(methods, images=6, points=8):
    return {method: DRAWS.uniform(size=(images, points)) for method in methods}


CASES = {
    "two images": (uniform("abc", images=2), {}),
    "one image": (uniform("a", images=1), {}),
    "many methods": (
        uniform(MANY),
        {"passes": dict(zip(MANY, 8 * [(100_000, 0)] + 8 * [(0, 0)], strict=True))},
    ),
    "wide names": (uniform([f"{'WM' * 20}{number}" for number in range(8)]), {}),
    "large numbers": ({method: DRAWS.normal(0, 1e6, (6, 8)) for method in "abc"}, {}),
    "logits": ({method: DRAWS.normal(0, 30, (6, 8)) for method in "abc"}, {}),
    "tiny values": (
        {method: 1e-30 * DRAWS.uniform(size=(5, 4)) for method in "ab"},
        {"passes": {"a": (0, 0), "b": (4000, 3)}},
    ),
    "scores alike": ({method: DRAWS.uniform(0.0745, 0.0790, (6, 8)) for method in "ab"}, {}),
    "all zero": ({method: np.zeros((5, 4)) for method in "ab"}, {}),
    "parts of an image": (uniform("ab"), {"protocol": {"insertion": {"max_fraction": 0.5}}}),
}


@pytest.fixture(params=CASES)
def compared(request, tmp_path):
    curves, parts = CASES[request.param]
    images, points = next(iter(curves.values())).shape
    settings = {part: {"steps": points - 1} for part in ("insertion", "deletion")}
    for part, changes in parts.get("protocol", {}).items():
        settings[part] |= changes
    ids = [chr(ord("a") + number) for number in range(images)]
    maps = {method: {ids[0]: DRAWS.random((8, 8), np.float32)} for method in curves}
    deletion = {method: 1.1 * curve[:, ::-1] for method, curve in curves.items()}
    return comparison(tmp_path, curves, deletion, maps=maps, **{**parts, "protocol": settings})


def figures(one):
    """Every kind of figure of a comparison; of photos there is one."""
    first = one.image_ids[0]
    pictures = {first: Picture(first, PHOTO, "label", {"insertion": PHOTO, "deletion": 0 * PHOTO})}
    yield "curves", draw_curves(one)
    yield "distributions", draw_distributions(one)
    yield "scatter", draw_scatter(one)
    yield "passes", draw_cost(one)
    yield "seconds", draw_cost(one, "seconds")
    yield "benchmarks", draw_ranks([one, one], "insertion")
    yield "maps", draw_maps(one, list(pictures.values()))
    images = dict(zip(("best", "typical", "worst"), one.image_ids, strict=False))
    yield "gallery", draw_examples(one, next(iter(one.runs)), images, pictures)
    if len(one.runs) > 1 and len(one.image_ids) > 1:
        tests = [significance(one, metric) for metric in ("insertion", "deletion")]
        yield "ranks", draw_critical_difference(tests)


def lines_outside(figure):
    """Lines of which a point is outside the limits of its panel."""
    found = []
    for axes in figure.axes:
        low, high = np.sort(np.transpose([axes.get_xlim(), axes.get_ylim()]), axis=0)
        near = 1e-9 * (high - low)
        for line in axes.lines:
            points = line.get_xydata()
            points = points[np.isfinite(points).all(axis=1)]
            if ((points < low - near) | (points > high + near)).any():
                found.append((line.get_label(), points.tolist(), low, high))
    return found


def texts_outside(figure):
    """What is written beyond the edge of a figure."""
    texts = [
        text
        for axes in figure.axes
        for text in (*axes.texts, axes.title, axes.xaxis.label, axes.yaxis.label)
    ]
    boxes = [(text.get_text(), text.get_window_extent()) for text in texts if text.get_text()]
    boxes += [("legend", legend.get_window_extent()) for legend in figure.legends]
    whole = figure.bbox.padded(1)
    return [
        text for text, box in boxes if not (whole.contains(*box.min) and whole.contains(*box.max))
    ]


def inches_outside(figure):
    """By how much all that is drawn, ticks and their labels too, goes beyond a figure."""
    drawn = figure.get_tightbbox()
    return (drawn.max - figure.get_size_inches()).max(), -drawn.min.min()


def test_lines_and_texts_are_inside(compared):
    for kind, figure in figures(compared):
        limits = [(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes]
        figure.draw_without_rendering()
        assert max(inches_outside(figure)) < 0.02, kind
        assert not lines_outside(figure), kind
        assert not texts_outside(figure), kind
        assert limits == [(axes.get_xlim(), axes.get_ylim()) for axes in figure.axes], kind


def test_a_gallery_has_one_scale_that_holds_all_curves(tmp_path):
    """The first image's curves are the lowest and the shortest."""
    curves = {"m": np.outer([1, 5, -3], np.linspace(0, 1, 8))}
    one = comparison(tmp_path, curves, {"m": np.outer([1, 2, 9], np.linspace(0, 1, 8))})
    figure = draw_examples(one, "m", {"best": "a", "typical": "b", "worst": "c"}, {})
    panels = [axes for axes in figure.axes if axes.lines]
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in panels}) == 1
    low, high = panels[0].get_ylim()
    assert low < -3
    assert high > 9
    assert not lines_outside(figure)


@pytest.mark.parametrize("count", [1, 3, 11])
def test_boxes_and_success(count, tmp_path):
    methods = [f"a_method_of_a_long_name_{number}" for number in range(count)]
    overlaps = {method: DRAWS.uniform(size=(2, 5)) for method in methods}
    maps = {method: {"a": DRAWS.random((8, 8), np.float32)} for method in methods}
    pointed = {method: [0, 1] for method in methods}
    one = localised(tmp_path, overlaps, pointed=pointed, maps=maps)
    picture = Picture("a", PHOTO, "a bird of a long name", {}, np.array([[2.0, 2, 6, 7]]))
    grid = draw_boxes(one, "max_box_acc", [picture])
    for figure in (grid, draw_success(one)):
        figure.draw_without_rendering()
        assert not lines_outside(figure)
        assert not texts_outside(figure)
    labels = [axes.xaxis.label.get_window_extent() for axes in grid.axes]
    assert all(left.x1 < right.x0 for left, right in pairwise(labels))
    (key,) = grid.legends
    assert min(box.y0 for box in labels) >= key.get_window_extent().y1


@pytest.mark.parametrize(
    ("difference", "ruler", "text"),
    [
        (0.4, 1, "critical difference 0.40"),
        (0.99, 1, "critical difference 0.99"),
        (1.39, 0, "critical difference 1.39, more than the axis is long"),
    ],
)
def test_a_critical_difference_about_as_long_as_the_axis(difference, ruler, text):
    nothing, ranks = pd.DataFrame(), pd.Series({"a": 1.5, "b": 1.5})
    significance = Significance(
        INSERTION, ["a", "b"], {}, nothing, nothing, ranks, difference, 1, 1
    )
    figure = draw_critical_difference([significance])
    (axes,) = figure.axes
    assert sum(line.get_marker() == "|" for line in axes.lines) == ruler
    assert text in {text.get_text() for text in axes.texts}
    assert not lines_outside(figure)
    assert not texts_outside(figure)
