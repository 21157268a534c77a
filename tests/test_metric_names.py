"""No module outside bench/metrics/ knows a metric by its name, so a new one needs no other line."""

import ast
import re
from pathlib import Path

import pytest

import bench

PACKAGE = Path(bench.__file__).parent

NAMES = re.compile(
    r"(?<![A-Za-z])(insertion|deletion|mufidelity|confidence|srg|parameter_randomisation"
    r"|random_logit|max_sensitivity|pointing_game|energy_in_box|mass_accuracy|rank_accuracy"
    r"|max_box_acc|pxap|grabcut_box|average_drop|adcc|road|idsds|infidelity|effective_complexity)"
    r"(?![A-Za-z])"
    r"|Insertion|Deletion|MuFidelity|Confidence|SRG|PointingGame|MaxBoxAcc|PxAP|GrabCutBox"
)
"""As words, also between underscores; and in the names of classes."""

ALLOWED = {
    # The name of a public function, which scripts call.
    "__init__.py": {"insertion_deletion", "bench.metrics.insertion_deletion"},
    # One of the four scores that SMDL chooses regions by: another quantity, of its paper.
    "attribution/submodular.py": {"confidence", "_confidence"},
    # The coverage of an interval, as scipy calls it.
    "leaderboard/statistics.py": {"confidence", "confidence_level", "confidence_interval"},
}
"""By module, what is no metric's name there. `confidence: expected ...` is a message on one."""


def words(code):
    """Names and texts of code; docstrings and comments may speak of metrics."""
    tree = ast.parse(code)
    documentation = {
        id(node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            if id(node) not in documentation:
                yield node.value
        else:
            for attribute in ("id", "attr", "arg", "name", "asname", "module"):
                name = getattr(node, attribute, None)
                if isinstance(name, str):
                    yield name


def named(path):
    """Where a file names a metric."""
    text = path.read_text(encoding="utf-8")
    found = words(text) if path.suffix == ".py" else text.splitlines()
    return {word.partition(":")[0] for word in found if NAMES.search(word)}


FILES = {
    path.relative_to(PACKAGE).as_posix(): path
    for path in sorted(PACKAGE.rglob("*"))
    if path.suffix in (".py", ".j2", ".js", ".css")
    and path.relative_to(PACKAGE).parts[0] not in ("metrics", "conf", "published")
}


def test_no_module_outside_metrics_names_one():
    assert len(FILES) > 100
    found = {name: named(path) - ALLOWED.get(name, set()) for name, path in FILES.items()}
    assert {name: words for name, words in found.items() if words} == {}


def test_nothing_is_allowed_in_vain():
    for name, words in ALLOWED.items():
        assert named(FILES[name]) == words, name


@pytest.mark.parametrize(
    "code",
    [
        "row['insertion_auc']",
        "protocol.deletion.steps",
        "from bench.metrics import mufidelity",
        "import bench.metrics.confidence",
        "def f(insertion): pass",
        "def insertion_curve(): pass",
        "class HighestConfidence: pass",
        "f(deletion=3)",
        "f'{x} of MuFidelity'",
        "match x:\n    case 'srg': pass",
    ],
)
def test_what_names_a_metric(code, tmp_path):
    (tmp_path / "module.py").write_text(code)
    assert named(tmp_path / "module.py")


def test_what_does_not(tmp_path):
    text = '"""On insertion."""\nx = 1  # deletion\n"""Of confidence."""\ny = "deletions"\n'
    (tmp_path / "module.py").write_text(text)
    assert not named(tmp_path / "module.py")
