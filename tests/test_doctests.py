"""Examples in docstrings: all of them run, and every public function and class has one."""

import ast
import doctest
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[1]

PUBLIC_FOLDERS = ("attribution", "backbones", "datasets", "leaderboard", "metrics", "notebook")
"""With the modules at the top of the package and `bench.storage.load`, what users may import."""


def module_name(path):
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def public_modules():
    top = [path for path in (ROOT / "bench").glob("*.py") if not path.stem.startswith("__")]
    folders = [path for name in PUBLIC_FOLDERS for path in (ROOT / "bench" / name).glob("*.py")]
    return sorted([*top, *folders, ROOT / "bench/storage/load.py"])


def public_definitions(path):
    """The functions and classes of a module, without importing it."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node


WITH_EXAMPLES = sorted(
    module_name(path)
    for path in (ROOT / "bench").rglob("*.py")
    if ">>> " in path.read_text() and path.stem != "__init__"
)

WRAPPED = doctest.NORMALIZE_WHITESPACE
"""Messages longer than a line of code may go on in the next."""


EXTRAS = {
    "bench.attribution.adapters": "captum",
    "bench.backbones.huggingface_network": "transformers",
    "bench.backbones.open_clip_network": "open_clip",
    "bench.notebook.progress": "IPython",
}
"""By module, the package that its examples need and that not every environment has."""


def namespace(module):
    """What an example need not import: `np`, `torch` and what its module defines."""
    defined = {
        name: value
        for name, value in vars(module).items()
        if getattr(value, "__module__", module.__name__) == module.__name__
        and not isinstance(value, ModuleType)
    }
    return {**defined, "np": np, "torch": torch, "__name__": "__main__"}


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_give_what_they_show(name, tmp_path, monkeypatch):
    if name in EXTRAS:
        pytest.importorskip(EXTRAS[name])
    module = import_module(name)
    monkeypatch.chdir(tmp_path)  # files that they write
    monkeypatch.setattr("bench.ties._compiled", lambda: None)  # compiling takes seconds
    report, failed, runner = [], 0, doctest.DocTestRunner(optionflags=WRAPPED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for test in doctest.DocTestFinder().find(module, globs=namespace(module)):
            failed += runner.run(test, out=report.append).failed
    assert failed == 0, "".join(report)


@pytest.mark.parametrize("path", public_modules(), ids=module_name)
def test_everything_public_has_an_example_that_can_fail(path):
    """One without output says nothing and fails only where it raises."""
    parser, without = doctest.DocTestParser(), []
    for node in public_definitions(path):
        examples = parser.get_examples(ast.get_docstring(node) or "")
        if not any(example.want for example in examples):
            without.append(node.name)
    assert without == []
