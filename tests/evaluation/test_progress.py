"""What a run tells of itself, and the figures made of it."""

import pytest

from bench.evaluation.progress import Broadcast, Countdown, Progress, Tally, duration, rate_text


class Heard(Progress):
    """Keeps all events."""

    def __init__(self):
        self.events = []

    def planned(self, passes):
        self.events.append(("planned", passes))

    def passed(self, passes):
        self.events.append(("passed", passes))

    def started(self, method, images):
        self.events.append(("started", method, images))

    def working(self, method):
        self.events.append(("working", method))

    def advanced(self, method, done, failed=0, skipped=0):
        self.events.append(("advanced", method, done, failed, skipped))

    def ended(self, method):
        self.events.append(("ended", method))


class Clock:
    def __init__(self):
        self.seconds = 100.0

    def __call__(self):
        return self.seconds


def test_who_hears_nothing_is_told_everything():
    progress = Progress()
    progress.planned(3)
    progress.passed(3)
    progress.started("rise", 2)
    progress.working("rise")
    progress.advanced("rise", 2)
    progress.ended("rise")


def test_all_listeners_hear_all_events():
    heard = [Heard(), Heard()]
    told = Broadcast(*heard)
    told.planned(9)
    told.started("rise", 2)
    told.working("rise")
    told.passed(4)
    told.advanced("rise", 1, 1)
    told.ended("rise")
    assert heard[0].events == heard[1].events
    assert [name for name, *_ in heard[0].events] == [
        "planned", "started", "working", "passed", "advanced", "ended",
    ]  # fmt: skip


def test_a_countdown_ends_each_method_once_and_at_once():
    heard = Heard()
    countdown = Countdown(heard, {"rise": 3, "lime": 2, "done": 0})
    assert heard.events == [("started", "rise", 3), ("started", "lime", 2)]
    countdown.advance("rise", 1, failed=1)
    countdown.advance("lime", 0)  # nothing is no news
    countdown.advance("rise", 1)
    assert heard.events[2:] == [
        ("advanced", "rise", 1, 1, 0), ("advanced", "rise", 1, 0, 0), ("ended", "rise"),
    ]  # fmt: skip
    countdown.skip_rest()
    assert heard.events[5:] == [("advanced", "lime", 0, 0, 2), ("ended", "lime")]
    assert countdown.left("lime") == countdown.left("done") == 0


def tally(images=20):
    clock = Clock()
    counted = Tally(clock)
    counted.started("rise", images)
    counted.started("lime", images)
    return counted, clock


def test_figures_tell_images_rate_and_failures():
    counted, clock = tally()
    assert counted.figures("rise") == "0/20 images, 0 failed"
    clock.seconds += 120
    counted.advanced("rise", 12, failed=1)
    assert counted.figures("rise") == "13/20 images, 6.0/min, 1 failed"
    counted.advanced("rise", 0, skipped=5)
    assert counted.figures("rise") == "13/20 images, 6.0/min, 1 failed, 5 skipped"


def test_time_left_goes_by_what_is_planned_until_images_are_through():
    counted, clock = tally()
    assert counted.seconds_left is None
    counted.planned(1000)
    counted.passed(250)
    clock.seconds += 10
    assert counted.seconds_left == pytest.approx(30)
    counted.passed(800)  # batches are filled up, so more than were planned
    assert 0 < counted.seconds_left < 1


def test_time_left_goes_by_images_and_between_them_by_the_passes_that_they_take():
    counted, clock = tally()
    counted.planned(100)
    counted.passed(80)
    counted.advanced("rise", 4)
    counted.advanced("lime", 3, failed=1)
    clock.seconds += 10
    assert counted.fraction == pytest.approx(0.2)
    assert counted.seconds_left == pytest.approx(40)
    counted.passed(40)  # as many as two images took
    assert counted.fraction == pytest.approx(0.3)
    counted.passed(4000)
    assert counted.fraction == 0.99
    counted.advanced("rise", 16)
    counted.advanced("lime", 16)
    assert (counted.fraction, counted.seconds_left) == (1, 0)


def test_images_that_others_compute_are_no_part_of_the_run():
    counted, clock = tally()
    counted.advanced("rise", 0, skipped=20)
    counted.advanced("lime", 5)
    clock.seconds += 10
    assert counted.seconds_left == pytest.approx(30)
    counted.advanced("lime", 0, skipped=15)
    assert counted.seconds_left == 0


def test_units_fit():
    assert [rate_text(each) for each in (2.5, 1, 3.4 / 60, 1.2 / 3600)] == [
        "2.5/s", "1.0/s", "3.4/min", "1.2/h",
    ]  # fmt: skip
    assert [duration(each) for each in (12, 99, 180, 5999, 4.5 * 3600)] == [
        "12 s", "99 s", "3 min", "100 min", "4.5 h",
    ]  # fmt: skip
