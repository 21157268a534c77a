"""What `bench list` says of metrics; of methods see tests/test_documentation.py."""

import csv
import re
import subprocess
import sys
from io import StringIO

import pytest
from rich.console import Console

from bench.cli.facts import FACTS
from bench.cli.listing import RECORDS, TITLES, print_choices
from bench.config.choices import GROUPS, choices


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


@pytest.mark.parametrize("group", FACTS)
def test_what_is_recorded_is_what_the_classes_say(group):
    with (RECORDS / f"{group}.csv").open(newline="") as file:
        title, *recorded = map(tuple, csv.reader(file))
    said = [(name, *FACTS[group](choice.path)) for name, choice in choices(group).items()]
    assert (title, recorded) == (("name", *TITLES[group]), said), (
        "run `python scripts/record_facts.py`"
    )


def test_a_user_s_method_says_it_beside_the_recorded_ones(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "mine_listed.py").write_text(
        "from bench.attribution.masking import Rise\n\n\n"
        "class Mine(Rise):\n    citation = 'Me 2026'\n"
    )
    (tmp_path / "method").mkdir()
    (tmp_path / "method/mine.yaml").write_text(
        "# My masks\nmine:\n  _target_: mine_listed.Mine\n  num_masks: 33\n"
        "  grid_size: 7\n  probability: 0.5\n"
    )
    output = StringIO()
    print_choices("method", [tmp_path], Console(file=output))
    lines = {line.split()[0]: line for line in output.getvalue().splitlines()}
    assert re.split(r" {2,}", lines["mine"].strip()) == [
        "mine", str(tmp_path), "33 + 0", "Me 2026", "My masks",
    ]  # fmt: skip
    assert "4000 + 0" in lines["rise"]


@pytest.mark.parametrize("arguments", [["--help"], *(["list", what] for what in GROUPS)])
def test_nothing_waits_for_torch(arguments):
    code = (
        "import sys\nfrom contextlib import suppress\nfrom bench.cli import main\n"
        f"with suppress(SystemExit):\n    main({arguments!r})\n"
        "print({'torch', 'hydra', 'pandas'} & {*sys.modules}, file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stderr == "set()\n"
    assert len(run.stdout) > 200
