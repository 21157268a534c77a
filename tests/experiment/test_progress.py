"""How progress looks with a terminal and without one."""

import io

import pytest
from rich.console import Console

from bench.evaluation import progress as evaluation_progress
from bench.experiment import progress as experiment_progress
from bench.experiment.progress import Lines, shown


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""

    class Clock:
        seconds = 0.0

    monkeypatch.setattr(evaluation_progress.Tally, "seconds", property(lambda _: Clock.seconds))
    return Clock


def console(width=80, terminal=False):
    return Console(file=io.StringIO(), width=width, force_terminal=terminal)


def test_without_a_terminal_a_line_each_minute_and_at_each_end(clock):
    out = console()
    with shown(out) as progress:
        assert isinstance(progress, Lines)
        progress.started("rise", 20)
        progress.started("lime", 20)
        progress.working("rise")
        clock.seconds = 59
        progress.advanced("rise", 4)
        assert out.file.getvalue() == ""
        clock.seconds = 61
        progress.passed(16)
        progress.passed(16)
        assert out.file.getvalue() == ("rise: 4/20 images, 3.9/min, 0 failed, time left 9 min\n")
        clock.seconds = 150
        progress.advanced("rise", 15, failed=1)
        progress.ended("rise")
    assert out.file.getvalue().splitlines()[1:] == [
        "rise: 20/20 images, 7.6/min, 1 failed, time left 2 min",
        "rise: 20/20 images, 7.6/min, 1 failed, ended after 2 min",
    ]


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_has_one_row_that_does_not_wrap(clock, width):
    out = console(width, terminal=True)
    with shown(out) as progress:
        progress.started("integrated_gradients", 10000)
        progress.working("integrated_gradients")
        clock.seconds = 3600
        progress.advanced("integrated_gradients", 5000, failed=120)
        plain = console(width)
        plain.print(progress._bar.make_tasks_table(progress._bar.tasks))
    (row,) = plain.file.getvalue().splitlines()
    assert "5120/10000 images, 1.4/s, 120 failed" in row
    assert "57 min left" in row
    assert "integrated_gr" in row
    assert "1 method " in out.file.getvalue()
    assert "5120/10000 maps, 120 failed" in out.file.getvalue()


def test_a_terminal_shows_nothing_where_nothing_is_to_do():
    out = console(terminal=True)
    with shown(out):
        pass
    assert "images" not in out.file.getvalue()
    assert experiment_progress.SECONDS_A_LINE == 60
