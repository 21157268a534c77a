import pytest

from bench.datasets.problems import Problems
from bench.errors import BenchError


def test_no_problems_raise_nothing():
    problems = Problems("dataset 'd'")
    assert problems.lines() == []
    problems.raise_any()


def test_all_kinds_are_told_with_counts_and_the_first_ten():
    problems = Problems("dataset 'd'")
    for number in range(12):
        problems.add("images that are missing", f"'{number}.png'")
    problems.add("images listed twice", "'a.png'")
    first, second = problems.lines()
    assert first.startswith("images that are missing (12): '0.png'; '1.png'; ")
    assert first.endswith("; '9.png' (and 2 more)")
    assert second == "images listed twice (1): 'a.png'"
    with pytest.raises(BenchError) as raised:
        problems.raise_any()
    assert str(raised.value) == f"dataset 'd': {first}\n  {second}"


def test_ten_are_all_named():
    problems = Problems("d")
    for number in range(10):
        problems.add("kind", str(number))
    assert problems.lines() == ["kind (10): 0; 1; 2; 3; 4; 5; 6; 7; 8; 9"]
