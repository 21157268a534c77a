"""scripts/visualise_class.py: the image that maximises a class's score."""

import runpy
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from toy import backbone, linear_scorer

from bench.attribution.scorer import Scorer
from bench.errors import BenchError

SCRIPT = Path(__file__).parents[2] / "scripts/visualise_class.py"
visualise = runpy.run_path(str(SCRIPT))["visualise"]


def test_of_a_linear_model_it_is_the_weight_over_twice_the_regularisation():
    """The maximum of w x - r ||x||^2, and every step on the way: x = w (1 - (1 - 2 l r)^t) / 2r."""
    scorer, module = linear_scorer()
    for steps, share in ((1, 1 - 0.6), (3, 1 - 0.6**3), (60, 1)):
        x = visualise(scorer, [2, 0, 1, 3, 2], steps, learning_rate=0.1, regularisation=2)
        expected = share * module.weight[[2, 0, 1, 3, 2]] / 4
        torch.testing.assert_close(x, expected)


def test_the_score_rises():
    scorer = Scorer(backbone(), "output", 2)
    few, many = (visualise(scorer, [1, 3], steps, 5.0, 1e-3) for steps in (1, 30))
    targets = torch.tensor([1, 3])
    assert (scorer(many, targets) > scorer(few, targets)).all()


def test_an_ascent_that_diverges():
    with pytest.raises(BenchError, match="learning_rate: the ascent diverges at 10"):
        visualise(linear_scorer()[0], [0], 100, learning_rate=10, regularisation=2)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
    try:
        runpy.run_path(str(SCRIPT), run_name="__main__")
    except SystemExit as stop:
        return stop.code
    return 0


def test_the_script(toy_conf, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    settings = [f"hydra.searchpath=[file://{toy_conf}]", "backbone=toy"]
    arguments = [*settings, "--class", "2", "--class", "0", "--output", "out", "--steps", "4"]
    arguments += ["--learning-rate", "100"]
    assert run(monkeypatch, *arguments, "batch_size=4") == 0
    out = capsys.readouterr().out
    assert "out/toy_class_2.png: output " in out
    for index in (0, 2):
        image = cv2.imread(f"out/toy_class_{index}.png")
        assert image.shape == (23, 23, 3)
        grey = np.abs(image.astype(int) - [100, 110, 120]).mean()  # the mean colour, as BGR
        assert 0 < grey < 60


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "4"], "class: expected 0..3, found 4"),
        (["--class", "1", "--steps", "0"], "steps: expected an integer >= 1"),
        (["--class", "1", "--learning-rate", "-1"], "learning_rate: expected a number"),
        (["--class", "1", "--regularisation", "0"], "regularisation: expected a number"),
        (["--class", "1", "--output", "taken"], "output: cannot write to 'taken'"),
        (["--class", "1", "backbone.output_kind=probabilities"], "gives probabilities"),
        (["--class", "1", "backbone=toi"], "Did you mean 'toy'"),
    ],
)
def test_bad_arguments(arguments, message, toy_conf, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("taken").write_text("")
    settings = [f"hydra.searchpath=[file://{toy_conf}]"]
    if "backbone=toi" not in arguments:
        settings.append("backbone=toy")
    stopped = run(monkeypatch, *settings, *arguments)
    assert stopped.startswith("visualise_class: error: ")
    assert message in stopped
