import io
import re

import pytest
from leaderboard_rows import LEGEND, board, shown
from rich.console import Console

from bench.report.tables import to_text


def printed(table, width=120):
    console = Console(width=width, file=io.StringIO(), force_terminal=True, markup=False)
    for part in to_text(shown(table), width=width):
        console.print(part, highlight=False)
    return console.file.getvalue()


def test_text_marks_and_fits():
    text = printed(board())
    assert "\x1b[1m0.7000\x1b[0m" in text
    assert "\x1b[4m0.6000\x1b[0m** " in text
    (control,) = [line for line in text.splitlines() if "center" in line]
    assert "\x1b[2;3m0.9000***\x1b[0m" in control
    assert (
        max(len(line.rstrip()) for line in printed(board()).splitlines() if "\x1b" not in line)
        <= 120
    )
    assert " ".join(LEGEND.split()) in " ".join(text.split())


def test_text_goes_without_what_can_be_spared():
    plain = board(control=False)
    for width, gone in (
        (120, []),
        (100, ["ties"]),
        (90, ["ties", "group"]),
        (60, ["ties", "group", "95 %"]),
    ):
        parts = to_text(shown(plain), width=width)
        titles = [column.header.strip() for column in parts[0].columns]
        assert not set(gone) & set(titles)
        assert ({"ties", "group", "95 %"} - set(gone)) <= set(titles)
        told = [part for part in parts[1:] if part.startswith("No room here")]
        assert bool(told) == bool(gone)
        for name in gone:
            assert name in told[0]
    assert "share a letter" not in "".join(to_text(shown(plain), width=60)[1:])


def test_numbers_of_different_lengths_stay_aligned():
    lines = printed(board(control=False, insertion_auc=[12.5, 9.5, -1.5, 3.25])).splitlines()
    bare = [re.sub("\x1b\\[[0-9;]*m", "", line) for line in lines]
    ends = [
        line.index(number) + len(number)
        for number in ("12.5000", " 9.5000", "-1.5000", " 3.2500")
        for line in bare
        if number in line
    ]
    assert len(ends) == 4
    assert len(set(ends)) == 1


@pytest.mark.parametrize("width", [40, 60, 80, 120])
@pytest.mark.parametrize(
    "label", ["rise", "rise_with_sixty_four_masks_on_a_grid_of_seven_by_seven"]
)
def test_no_row_is_wider_than_the_terminal(width, label):
    table, *_ = to_text(shown(board(method=[label, "grad_cam", "saliency", "center"])), width=width)
    console = Console(width=1000, file=io.StringIO(), markup=False)
    console.print(table)
    lines = [line.rstrip() for line in console.file.getvalue().splitlines()]
    rows = [line for line in lines if "·" not in line]  # not the title
    assert max(map(len, rows)) <= width
    assert "".join(line for line in lines).count("0.7000") == 1
    words = "".join(line[:25].split("0.7000")[0].strip() for line in rows[1:])
    assert label[:14] in words
