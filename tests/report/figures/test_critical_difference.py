import numpy as np
import pandas as pd
import pytest
from compared import STATISTICS

from bench.leaderboard.significance import Significance
from bench.report.figures.critical_difference import draw_critical_difference, groups_within

DEMSAR = pd.Series({"C4.5": 3.143, "C4.5+m": 2.000, "C4.5+cf": 2.893, "C4.5+m+cf": 1.964})
"""Average ranks on 14 data sets: Demsar 2006, table 6."""


def significance(ranks, critical_difference, metric="insertion"):
    nothing = pd.DataFrame()
    return Significance(
        STATISTICS[metric],
        list(ranks.index),
        {},
        nothing,
        nothing,
        ranks,
        critical_difference,
        0.01,
        0.5,
    )


@pytest.mark.parametrize(
    ("critical_difference", "expected"),
    [
        # 0.10: C4.5 is worse than C4.5+m and C4.5+m+cf; C4.5+cf belongs to both groups.
        (1.12, [["C4.5+m+cf", "C4.5+m", "C4.5+cf"], ["C4.5+cf", "C4.5"]]),
        # 0.05: even the best and the worst differ by less.
        (1.25, [["C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"]]),
        (0.1, [["C4.5+m+cf", "C4.5+m"]]),
        (0.0, []),
        (np.nan, []),
    ],
)
def test_groups_of_demsars_example(critical_difference, expected):
    assert groups_within(DEMSAR, critical_difference) == expected


def test_groups_are_all_largest_ones():
    """By another way: all pairs, joined as far as they go."""
    draws = np.random.default_rng(0)
    for _ in range(50):
        ranks = pd.Series(draws.uniform(1, 9, 9), list("abcdefghi"))
        within = [
            {other for other in ranks.index if 0 <= ranks[other] - ranks[method] < 2}
            for method in ranks.index
        ]
        largest = [
            group for group in within if len(group) > 1 and not any(group < o for o in within)
        ]
        found = [set(group) for group in groups_within(ranks, 2)]
        assert sorted(map(sorted, found)) == sorted(map(sorted, largest))


def labelled(axes, label):
    return [line for line in axes.lines if line.get_label() == label]


def test_diagram():
    figure = draw_critical_difference([significance(DEMSAR, 1.12)], ["C4.5"])
    (axes,) = figure.axes
    places = {}
    for method in DEMSAR.index:
        (line,) = labelled(axes, method)
        places[method] = line.get_xdata()[0]
        assert line.is_dashed() == (method == "C4.5")
    scale = np.polyfit(DEMSAR, [places[method] for method in DEMSAR.index], 1)
    assert scale[0] > 0  # best at the left
    assert [places[method] for method in DEMSAR.index] == pytest.approx(np.polyval(scale, DEMSAR))
    bars = [line.get_xdata() for line in labelled(axes, "group")]
    assert [(bar[1] - bar[0] - 0.08) / scale[0] for bar in bars] == pytest.approx(
        [2.893 - 1.964, 3.143 - 2.893]
    )
    (ruler,) = [line for line in axes.lines if line.get_marker() == "|"]
    assert np.ptp(ruler.get_xdata()) == pytest.approx(1.12 * scale[0])
    texts = {text.get_text() for text in axes.texts}
    assert {"C4.5+m  2.00", "C4.5  3.14", "critical difference 1.12", "1", "4"} < texts


def test_bars_that_share_a_method_do_not_lie_on_each_other():
    (axes,) = draw_critical_difference([significance(DEMSAR, 1.12)]).axes
    first, second = (line.get_ydata()[0] for line in labelled(axes, "group"))
    assert first != second


def test_no_critical_difference():
    (axes,) = draw_critical_difference([significance(DEMSAR, np.nan)]).axes
    assert not labelled(axes, "group")
    assert "no critical difference" in {text.get_text() for text in axes.texts}


def test_long_names_are_not_cut():
    names = [f"a $method of a very long name, number {number}" for number in range(20)]
    ranks = pd.Series(np.linspace(1.5, 19.5, 20), names)
    both = [significance(ranks, 3.0), significance(ranks[::-1], 3.0, "deletion")]
    figure = draw_critical_difference(both)
    assert len(figure.axes) == 2
    assert "deletion" in figure.axes[1].texts[0].get_text()
    for axes in figure.axes:
        boxes = [text.get_window_extent() for text in axes.texts]
        assert all(figure.bbox.contains(*corner) for box in boxes for corner in (box.min, box.max))
