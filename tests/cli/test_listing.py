"""What `bench list` says of metrics; of methods see tests/test_documentation.py."""

import re
from io import StringIO

import pytest
from rich.console import Console

from bench.cli.listing import print_choices


@pytest.fixture
def listed(toy_conf):
    """The cells of the metrics' rows, by name."""
    output = StringIO()
    print_choices("metric", [toy_conf], Console(file=output))
    title, *lines = output.getvalue().splitlines()
    assert re.split(r" {2,}", title.strip()) == [
        "name", "from", "forward a map", "an image", "maps again", "needs", "citation",
        "description",
    ]  # fmt: skip
    return {line.split()[0]: re.split(r" {2,}", line.strip())[1:] for line in lines}


def test_shipped_metrics(listed):
    assert listed["insertion"][:5] == ["bench", "9", "0", "0", "scores, order of pixels"]
    assert listed["insertion"][5] == "Petsiuk et al. 2018, arXiv 1806.07421"
    assert listed["insertion"][6].startswith("Insertion AUC (Petsiuk et al. 2018)")
    assert listed["confidence"][1:3] == ["24", "0"]
    assert listed["mufidelity"][1:5] == ["0", "200", "0", "scores"]


def test_a_users_own(listed, toy_conf):
    origin, *counts, needs, description = listed["center"]
    assert (origin, counts) == (str(toy_conf), ["0", "0", "0"])
    assert (needs, description) == ("the map alone", "Share in the middle")


def test_one_that_cannot_be_loaded(toy_conf):
    (toy_conf / "metric/elsewhere.yaml").write_text("# Far\nelsewhere:\n  _target_: nowhere.M\n")
    output = StringIO()
    print_choices("metric", [toy_conf], Console(file=output))
    (line,) = [each for each in output.getvalue().splitlines() if each.startswith("elsewhere ")]
    assert line.split()[2:] == ["unknown"] * 4 + ["Far"]
