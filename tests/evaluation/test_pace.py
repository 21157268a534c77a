"""The length of blocks, by the clock."""

import math

from bench.evaluation.pace import GROWTH, Pace


class Clock:
    seconds = 5.0

    def __call__(self):
        return self.seconds


def block(pace, clock, images, seconds):
    started = pace.begin()
    clock.seconds += seconds
    pace.adapt(images, started)
    return pace.images


def test_without_a_limit_blocks_are_full():
    clock = Clock()
    pace = Pace(32, math.inf, clock=clock)
    assert pace.images == 32
    assert block(pace, clock, 32, 1e9) == 32
    assert not pace.is_over()


def test_blocks_grow_from_one_image_and_shrink():
    clock = Clock()
    pace = Pace(32, 60, clock=clock)
    assert pace.images == 1
    assert block(pace, clock, 1, 0) == GROWTH
    assert block(pace, clock, GROWTH, 1) == 32
    assert block(pace, clock, 32, 320) == 6
    assert block(pace, clock, 6, 600) == 1
    assert block(pace, clock, 1, 25) == 2


def test_a_first_block_is_cut_by_what_is_expected():
    """With caution: images that take three times as long still end in time."""
    assert [Pace(32, 60, expected).images for expected in (0, 0.1, 2, 19, 1000)] == [
        32,
        32,
        10,
        1,
        1,
    ]
    assert Pace(32, math.inf, 1000).images == 32


def test_a_block_that_others_computed_says_nothing():
    clock = Clock()
    pace = Pace(32, 60, clock=clock)
    assert block(pace, clock, 1, 20) == 3
    assert block(pace, clock, 0, 0) == 3


def test_a_part_is_over_when_its_time_is():
    clock = Clock()
    pace = Pace(32, 60, clock=clock)
    pace.begin()
    clock.seconds += 59
    assert not pace.is_over()
    clock.seconds += 1
    assert pace.is_over()
    pace.begin()
    assert not pace.is_over()
