import re
import warnings
from xml.etree import ElementTree

import cv2
import matplotlib as mpl
import numpy as np
import pytest
from compared import comparison, drawn_curves

from bench.report.figures.curves import draw_curves
from bench.report.figures.style import (
    COLOURS,
    CONTROL,
    letters_in,
    letters_wide,
    marks,
    shown,
    to_png,
    to_svg,
)

HOSTILE = "$\\bad$ <b>&amp;</b> \x1b[2J\nnew 日本"


def grey(colour):
    red, green, blue = (int(colour[start : start + 2], 16) for start in (1, 3, 5))
    return 0.299 * red + 0.587 * green + 0.114 * blue


def test_methods_differ_without_their_colours():
    methods = [f"m{number}" for number in range(28)]
    controls = ["c1", "c2", "c3", "c4"]
    found = marks([*methods, *controls], controls)
    assert [found[name].colour for name in methods] == [COLOURS[n % 7] for n in range(28)]
    assert {found[name].colour for name in controls} == {CONTROL}
    assert len({(mark.dashes, mark.marker, mark.is_control) for mark in found.values()}) == 32
    assert len({(mark.colour, mark.marker) for mark in found.values()}) == 32
    assert not found["m0"].dashes
    assert all(found[name].dashes for name in controls)
    assert {found[name].point["markerfacecolor"] for name in controls} == {"white"}


def test_controls_take_no_colour_from_the_methods():
    assert marks(["a", "c", "b"], ["c"])["b"] == marks(["a", "b"])["b"]


def test_colours_are_dark_enough_for_lines_on_paper():
    assert all(grey(colour) < 180 for colour in (*COLOURS, CONTROL))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rise", "rise"),
        ("a\nb\x1b\udce9", "a b  "),
        ("abcdefghij", "abc…hij"),
        ("abcdefg", "abcdefg"),
    ],
)
def test_names_as_they_are_shown(name, expected):
    assert shown(name, 7) == expected


def test_the_longest_of_texts():
    assert letters_wide(["a", "ill"]) == letters_wide(["lll"])  # an average letter's, at least
    assert letters_wide(["a", "WWW"]) > 1.5 * letters_wide(["lll"])
    assert letters_in(letters_wide(["lll"]) + 1e-9) == 3
    assert letters_wide([]) == 0


def test_the_same_figure_gives_the_same_bytes(tmp_path):
    one = comparison(tmp_path, drawn_curves("ab"))
    for write in (to_png, to_svg):
        first, second = write(draw_curves(one)), write(draw_curves(one))
        assert first == second
    assert b"<dc:date>" not in first


def test_files_of_hostile_names(tmp_path):
    """No formula, no markup, no control characters, and no warnings."""
    one = comparison(tmp_path, {HOSTILE: np.ones((2, 3))})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, svg = to_png(draw_curves(one), dpi=60), to_svg(draw_curves(one))
    assert cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR).shape[1] == 420
    texts = [element.text for element in ElementTree.fromstring(svg).iter() if element.text]
    assert "$\\bad$ <b>&amp;</b>  [2J new 日本" in texts
    assert re.search(rb"font-size: 8px; font-family: [^;\"]*sans-serif", svg)


def test_settings_of_the_reader_do_not_matter(tmp_path):
    one = comparison(tmp_path, drawn_curves("ab"))
    expected = to_svg(draw_curves(one))
    with mpl.rc_context({"font.size": 30, "text.usetex": True, "svg.fonttype": "path"}):
        assert to_svg(draw_curves(one)) == expected
        assert mpl.rcParams["font.size"] == 30
