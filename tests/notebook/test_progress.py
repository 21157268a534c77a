"""Where progress of `bench.evaluate` is shown."""

import re
import sys

import pytest
import torch
from toy import SIZE, ConvModel

import bench
from bench.evaluation.progress import Progress
from bench.notebook.progress import NotebookBar, shown_here


class Handle:
    """What IPython gives for something that can be replaced."""

    def __init__(self):
        self.shown = []

    def update(self, html):
        self.shown.append(html.data)


def test_a_bar_in_a_notebook():
    seconds, handle = [0.0], Handle()
    bar = NotebookBar(handle)
    bar._clock = lambda: seconds[0]
    bar._since = 0.0
    bar.started("my <b>method</b>", 8)
    bar.working("my <b>method</b>")
    seconds[0] = 10.0
    bar.advanced("my <b>method</b>", 3, failed=1)
    assert "4 of 8 maps, 1 failed, 10 s left" in handle.shown[-1]
    assert 'value="0.500"' in handle.shown[-1]
    assert "&lt;b&gt;method" in handle.shown[-1]
    count = len(handle.shown)
    bar.passed(3)
    assert len(handle.shown) == count  # no message for each pass
    bar.advanced("my <b>method</b>", 4)
    bar.ended("my <b>method</b>")
    bar.close()
    assert re.search(r"8 of 8 maps, 1 failed, 10 s$", handle.shown[-1])


def test_in_a_terminal_and_not_at_all(tmp_path, capsys):
    call = ConvModel().eval(), (torch.rand(2, 3, SIZE, SIZE), [0, 1]), "random"
    bench.evaluate(*call, results_dir=tmp_path / "a")
    assert "random: 2/2 images" in capsys.readouterr().err
    bench.evaluate(*call, results_dir=tmp_path / "b", progress=False)
    assert capsys.readouterr() == ("", "")


def test_whoever_is_told_instead(tmp_path):
    told = []

    class Told(Progress):
        def advanced(self, method, done, failed=0, skipped=0):
            told.append((method, done, failed))

    data = torch.rand(2, 3, SIZE, SIZE), [0, 1]
    bench.evaluate(ConvModel().eval(), data, "random", results_dir=tmp_path, progress=Told())
    assert {method for method, *_ in told} == {"random"}
    assert [sum(each) for each in zip(*[counts for _, *counts in told], strict=True)] == [2, 0]


def test_a_kernel_is_told_from_a_shell(monkeypatch):
    """IPython in a terminal shows no HTML."""
    displayed = []

    class Shell:
        kernel = None

    ipython = pytest.importorskip("IPython")
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setattr(ipython, "get_ipython", Shell)
    monkeypatch.setattr("IPython.display.display", lambda *_, **__: displayed.append(1) or Handle())
    with shown_here(True) as told:
        assert not isinstance(told, NotebookBar)
    monkeypatch.setattr(Shell, "kernel", object())
    with shown_here(True) as told:
        assert isinstance(told, NotebookBar)
    assert displayed == [1]
