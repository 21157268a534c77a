import numpy as np
import pandas as pd
import pytest
from compared import comparison, drawn_curves

from bench.report.figures.heatmaps import draw_agreement, draw_ranks


def cells(axes):
    """(row, column) -> text, in the order of the labels."""
    return {
        (text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts
    }


def labels(ticks):
    return [tick.get_text() for tick in ticks]


def level(height):
    return np.full((2, 3), height)


def test_ranks_over_benchmarks(tmp_path):
    first = comparison(
        tmp_path / "1", {"a": level(0.9), "b": level(0.5), "c": level(0.5)}, None, "c"
    )
    second = comparison(
        tmp_path / "2", {"b": level(0.4), "d": level(0.8)}, backbone={"name": "other"}
    )
    for metric, expected in (
        ("insertion", {"a": (1, None), "d": (None, 1), "b": (2, 2), "c": (2, None)}),
        ("deletion", {"b": (1, 1), "c": (1, None), "d": (None, 2), "a": (3, None)}),
    ):
        axes = draw_ranks([first, second], metric).axes[0]
        rows = labels(axes.get_yticklabels())
        assert rows == list(expected)
        assert labels(axes.get_xticklabels()) == ["toy", "other"]
        assert axes.get_title().splitlines()[1] == "birds · mine"
        assert cells(axes) == {
            (row, column): str(rank)
            for row, method in enumerate(rows)
            for column, rank in enumerate(expected[method])
            if rank is not None
        }
        shades = axes.collections[0].get_array()
        assert shades.mask.sum() == sum(row.count(None) for row in expected.values())
        styles = [label.get_style() for label in axes.get_yticklabels()]
        assert styles == ["italic" if name == "c" else "normal" for name in rows]


def test_comparisons_of_one_title_are_told_apart(tmp_path):
    both = [
        comparison(tmp_path / ties, drawn_curves("ab"), protocol={"ties": ties})
        for ties in ("stable", "numpy_1_23")
    ]
    names = labels(draw_ranks(both, "insertion").axes[0].get_xticklabels())
    assert names == [figure.key for figure in both]


def test_agreement():
    taus = pd.DataFrame([[1, -0.5], [np.nan, 0.25]], ["$a$", "b"], ["$a$", "b"])
    axes = draw_agreement(taus).axes[0]
    assert cells(axes) == {(0, 0): "+1.00", (0, 1): "-0.50", (1, 1): "+0.25"}
    assert labels(axes.get_yticklabels()) == labels(axes.get_xticklabels()) == ["$a$", "b"]
    assert axes.collections[0].get_clim() == (-1, 1)
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours == {"+1.00": "white", "-0.50": "black", "+0.25": "black"}


@pytest.mark.parametrize("count", [1, 25])
def test_long_names_are_not_cut(count):
    names = [f"a setting of a long name, number {number}" for number in range(count)]
    figure = draw_agreement(pd.DataFrame(np.eye(count), names, names))
    figure.draw_without_rendering()
    whole = figure.bbox.padded(1)
    for text in (*figure.axes[0].get_yticklabels(), *figure.axes[0].get_xticklabels()):
        box = text.get_window_extent()
        assert whole.contains(*box.min)
        assert whole.contains(*box.max)
