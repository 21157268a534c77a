from pathlib import Path

import pytest
from toy_rows import begin, identity, rows

from bench.leaderboard.comparison import comparisons, extremes


def one_method(folder: Path, heights: dict[str, float]):
    """A method whose insertion minus deletion on each image is given."""
    run = begin(folder, "rise", dataset=identity()["dataset"] | {"num_images": len(heights)})
    for image, height in heights.items():
        run.append(rows(image, insertion=(height, height), deletion=(0, 0)))
    (comparison,) = comparisons([run], "board")
    return comparison


@pytest.mark.parametrize(
    ("heights", "expected"),
    [
        ({"a": 0.2, "b": 0.5, "c": 0.9, "d": 0.1, "e": 0.4}, ("c", "e", "d")),
        ({"a": 0.2, "b": 0.5, "c": 0.9, "d": 0.1}, ("c", "a", "d")),  # the lower middle
        ({"a": 0.2, "b": 0.5}, ("b", "a", "a")),
        ({"a": 0.2}, ("a", "a", "a")),
        ({"c": 0.5, "a": 0.5, "b": 0.5}, ("a", "b", "c")),
        ({"d": 0.5, "c": 0.5, "b": 0.1, "a": 0.1}, ("c", "a", "b")),
    ],
)
def test_extremes_of_insertion_minus_deletion(tmp_path, heights, expected):
    found = extremes(one_method(tmp_path, heights), "rise")
    assert found == dict(zip(("best", "typical", "worst"), expected, strict=True))


def test_deletion_counts_against(tmp_path):
    run = begin(tmp_path, "rise")
    for image, deletion in {"a": 0.1, "b": 0.5, "c": 0.9}.items():
        run.append(rows(image, insertion=(1, 1), deletion=(deletion, deletion)))
    (comparison,) = comparisons([run], "board")
    assert extremes(comparison, "rise") == {"best": "a", "typical": "b", "worst": "c"}
