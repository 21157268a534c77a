"""Objects that differ in what they do differ in their fingerprints, and in nothing else."""

import functools
import importlib
import subprocess
import sys
import textwrap
import threading
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from bench.attribution.control import Random
from bench.attribution.masking import Rise
from bench.notebook.fingerprint import NotIdentifiedError, fingerprint
from bench.notebook.packages import is_installed


def made(source, name="f", **given):
    """What a cell of a notebook defines."""
    cell = {"__name__": "__main__", **given}
    exec(textwrap.dedent(source), cell)
    return cell[name]


def closing(value):
    return lambda x: x + value


ALIKE = {
    "spaces and comments": ("def f(x): return x + 1", "def f(x):\n    # more\n    return (x + 1)"),
    "line": ("def f(x): return x", "\n\n\ndef f(x): return x"),
}
APART = {
    "constant": ("def f(x): return x + 1", "def f(x): return x + 2"),
    "kind of constant": ("def f(x): return x + 1", "def f(x): return x + 1.0"),
    "operator": ("def f(x): return x + 1", "def f(x): return x - 1"),
    "attribute": ("def f(x): return x.abs()", "def f(x): return x.neg()"),
    "default": ("def f(x, n=1): return x * n", "def f(x, n=2): return x * n"),
    "keyword default": ("def f(x, *, n=1): return x * n", "def f(x, *, n=2): return x * n"),
    "annotation of order": ("def f(x, y): return x - y", "def f(y, x): return x - y"),
    "constant of a function inside": (
        "def f(x): return [v + 1 for v in x]",
        "def f(x): return [v + 2 for v in x]",
    ),
    "global number": ("n = 1\ndef f(x): return x * n", "n = 2\ndef f(x): return x * n"),
    "global read inside": (
        "n = 1\ndef f(x): return (lambda v: v * n)(x)",
        "n = 2\ndef f(x): return (lambda v: v * n)(x)",
    ),
    "global function": (
        "def g(x): return x\ndef f(x): return g(x)",
        "def g(x): return -x\ndef f(x): return g(x)",
    ),
    "function two calls away": (
        "def h(x): return x\ndef g(x): return h(x)\ndef f(x): return g(x)",
        "def h(x): return -x\ndef g(x): return h(x)\ndef f(x): return g(x)",
    ),
    "set of numbers": ("def f(x): return x in {1, 2}", "def f(x): return x in {1, 3}"),
    "caught error": (
        "def f(x):\n try: return x\n except ValueError: return 0",
        "def f(x):\n try: return x\n except KeyError: return 0",
    ),
    "method of a class": (
        "class f:\n def g(self): return 1",
        "class f:\n def g(self): return 2",
    ),
    "base class": (
        "class A:\n def g(self): return 1\nclass f(A): pass",
        "class A:\n def g(self): return 2\nclass f(A): pass",
    ),
    "property": (
        "class f:\n @property\n def g(self): return 1",
        "class f:\n @property\n def g(self): return 2",
    ),
    "static method": (
        "class f:\n @staticmethod\n def g(): return 1",
        "class f:\n @staticmethod\n def g(): return 2",
    ),
    "dataclass default": (
        "import dataclasses\n@dataclasses.dataclass\nclass f:\n a: int = 1",
        "import dataclasses\n@dataclasses.dataclass\nclass f:\n a: int = 2",
    ),
    "instance": (
        "class C:\n def __init__(self, n): self.n = n\nf = C(1)",
        "class C:\n def __init__(self, n): self.n = n\nf = C(2)",
    ),
    "slots": (
        "class C:\n __slots__ = ('n',)\nf = C()\nf.n = 1",
        "class C:\n __slots__ = ('n',)\nf = C()\nf.n = 2",
    ),
    "decorated": (
        "import functools\ndef d(g):\n @functools.wraps(g)\n def h(x): return g(x)\n return h\n"
        "@d\ndef f(x): return x",
        "import functools\ndef d(g):\n @functools.wraps(g)\n def h(x): return g(x)\n return h\n"
        "@d\ndef f(x): return -x",
    ),
    "metaclass": (
        "class M(type):\n def __call__(c): return 1\nclass f(metaclass=M): pass",
        "class M(type):\n def __call__(c): return 2\nclass f(metaclass=M): pass",
    ),
    "number with methods": (
        "class N(int):\n def g(self): return 1\nf = N(3)",
        "class N(int):\n def g(self): return 2\nf = N(3)",
    ),
    "what pickle would leave out": (
        "class C:\n def __getstate__(self): return {}\nf = C()\nf.n = 1",
        "class C:\n def __getstate__(self): return {}\nf = C()\nf.n = 2",
    ),
    "cached property": (
        "import functools\nclass f:\n @functools.cached_property\n def g(self): return 1",
        "import functools\nclass f:\n @functools.cached_property\n def g(self): return 2",
    ),
    "without gradients": (
        "import torch\n@torch.no_grad()\ndef f(x): return x",
        "import torch\n@torch.no_grad()\ndef f(x): return -x",
    ),
    "cached": (
        "import functools\n@functools.lru_cache\ndef f(x): return x",
        "import functools\n@functools.lru_cache\ndef f(x): return -x",
    ),
}


@pytest.mark.parametrize("case", ALIKE)
def test_what_does_the_same(case):
    one, other = map(made, ALIKE[case])
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize("case", APART)
def test_what_does_another_thing(case):
    one, other = map(made, APART[case])
    assert fingerprint(one) == fingerprint(made(APART[case][0]))
    assert fingerprint(one) != fingerprint(other)


PAIRS = {
    "closure": (closing(1), closing(2)),
    "closed over array": (closing(np.zeros(3)), closing(np.array([0.0, 0.0, 1e-9]))),
    "dtype": (np.zeros(3), np.zeros(3, np.float32)),
    "shape": (np.zeros((2, 3)), np.zeros((3, 2))),
    "array of objects": (np.array([1, "a"], object), np.array([1, "b"], object)),
    "record or array": (np.zeros(2, [("a", int)]), np.zeros(2, [("a", int)]).view(np.recarray)),
    "mask": (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0])),
    "tensor": (torch.zeros(3), torch.ones(3)),
    "bfloat16": (torch.zeros(3).bfloat16(), torch.ones(3).bfloat16()),
    "where one list ends": ([[1], [2, 3]], [[1, 2], [3]]),
    "where one text ends": (("ab", "c"), ("a", "bc")),
    "list or tuple": ([1], (1,)),
    "text or number": ("1", 1),
    "truth or number": (True, 1),
    "mapping": ({"a": 1}, {"a": 2}),
    "ordered mapping": (OrderedDict(a=1), OrderedDict(a=2)),
    "frame": (pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1, 3]})),
    "path": (Path("a"), Path("b")),
    "partial": (functools.partial(max, 1), functools.partial(max, 2)),
    "bound": ("a".upper, "b".upper),
    "library": (torch.nn.functional.relu, torch.nn.functional.gelu),
    "built in": (torch.add, torch.sub),
    "setting of a layer": (nn.Conv2d(1, 1, 1, stride=1), nn.Conv2d(1, 1, 1, stride=2)),
    "shipped method": (Rise(8), Rise(9)),
    "generator": (np.random.default_rng(0), np.random.default_rng(1)),
}


@pytest.mark.parametrize("case", PAIRS)
def test_what_holds_another_thing(case):
    one, other = PAIRS[case]
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


def network(act=torch.relu):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    model.act = act
    return model.eval()


def test_a_network_is_its_parameters_buffers_settings_and_hooks():
    base = fingerprint(network())
    assert base == fingerprint(network())
    changed = [network() for _ in range(6)]
    with torch.no_grad():
        changed[0][0].weight[0, 0, 0, 0] += 1e-6
        changed[1][1].running_mean[0] += 1e-6
    changed[2][1].eps = 1e-3
    changed[3][0].register_forward_hook(lambda *call: call[2] + 1)
    changed[4].act = torch.sigmoid
    changed[5][1].train()
    found = [fingerprint(model) for model in changed]
    assert len({base, *found}) == 7


def test_a_hook_is_known_by_what_it_does_not_by_its_number():
    one, other = network(), network()
    other[0].register_forward_hook(print).remove()
    for model in (one, other):
        model[0].register_forward_hook(closing(1))
    assert fingerprint(one) == fingerprint(other)


def test_an_edited_forward_with_the_same_weights():
    cell = """
        from torch import nn
        class Net(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Linear(2, 2)
                nn.init.ones_(self.layer.weight)
                nn.init.ones_(self.layer.bias)
            def forward(self, x):
                return self.layer(x){}
        f = Net().eval()
    """
    plain, edited = made(cell.format("")), made(cell.format(" * 2"))
    assert fingerprint(plain) == fingerprint(made(cell.format("")))
    assert fingerprint(plain) != fingerprint(edited)


@pytest.mark.parametrize("freeze", [False, True])
def test_scripted_networks_differ_by_weights_and_code(freeze):
    def scripted(weight, stride):
        torch.manual_seed(0)
        layer = nn.Conv2d(1, 1, 1, stride=stride).eval()
        nn.init.constant_(layer.weight, weight)
        script = torch.jit.script(layer)
        return torch.jit.freeze(script) if freeze else script

    found = {fingerprint(scripted(weight, stride)) for weight in (1, 2) for stride in (1, 2)}
    assert len(found) == 4


def test_traced_graphs_differ_by_weights_and_code():
    def traced(weight, negative):
        layer = nn.Linear(2, 2).eval()
        nn.init.constant_(layer.weight, weight)
        nn.init.zeros_(layer.bias)
        return torch.fx.symbolic_trace(nn.Sequential(layer, nn.ReLU() if negative else nn.GELU()))

    found = [fingerprint(traced(weight, act)) for weight in (1, 2) for act in (True, False)]
    assert len(set(found)) == 4
    assert fingerprint(traced(1, True)) == found[0]
    hooked = traced(1, True)
    hooked.register_forward_hook(lambda *call: call[2] + 1)
    assert fingerprint(hooked) != found[0]
    assert fingerprint(traced(1, True).train()) != found[0]


def test_a_compiled_network_is_what_was_compiled():
    one, other = network(), network()
    with torch.no_grad():
        other[0].weight += 1
    assert fingerprint(torch.compile(one)) == fingerprint(torch.compile(network()))
    assert fingerprint(torch.compile(one)) != fingerprint(torch.compile(other))
    functions = [torch.compile(made(f"def f(x): return x + {n}")) for n in (1, 1, 2)]
    first, same, edited = map(fingerprint, functions)
    assert first == same != edited


def test_a_file_of_the_users_counts_with_what_it_imports(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "deep_of_user.py").write_text("def deep(x): return x\n")
    (tmp_path / "code_of_user.py").write_text("from deep_of_user import deep\nn = 1\n")
    cells = ("import code_of_user\ndef f(x): return code_of_user.deep(x)",
             "def f(x):\n import code_of_user\n return code_of_user.deep(x)")  # fmt: skip
    before = [fingerprint(made(cell)) for cell in cells]
    for name in ("deep_of_user", "code_of_user"):
        (tmp_path / f"{name}.py").write_text((tmp_path / f"{name}.py").read_text() + "# more\n")
        after = [fingerprint(made(cell)) for cell in cells]
        assert all(one != other for one, other in zip(before, after, strict=True))
        before = after


@pytest.fixture
def user_module(tmp_path, monkeypatch):
    """Writes modules of a user's, which are forgotten afterwards."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    before = set(sys.modules)

    def forget():
        for name in set(sys.modules) - before:
            if name.partition(".")[0] in ("a_user", "b_user", "p_user", "this"):
                del sys.modules[name]
        importlib.invalidate_caches()
        is_installed.cache_clear()

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        forget()  # as in another session

    yield write
    forget()


FILES = {
    "import within, two files away": ("import a_user\n return a_user.g(x)", {
        "a_user.py": "from b_user import h\ndef g(x): return h(x)",
        "b_user.py": "def h(x): return x",
    }, ("b_user.py", "def h(x): return -x")),
    "submodule taken within": ("from p_user import core\n return core.g(x)", {
        "p_user/__init__.py": "",
        "p_user/core.py": "def g(x): return x",
    }, ("p_user/core.py", "def g(x): return -x")),
    "submodule by its dotted name": ("import p_user.core\n return p_user.core.g(x)", {
        "p_user/core.py": "def g(x): return x",
    }, ("p_user/core.py", "def g(x): return -x")),
    "relative import": ("import p_user.a\n return p_user.a.g(x)", {
        "p_user/__init__.py": "",
        "p_user/a.py": "def g(x):\n from . import b\n return b.h(x)",
        "p_user/b.py": "def h(x): return x",
    }, ("p_user/b.py", "def h(x): return -x")),
    "constant that a module imports": ("import a_user\n return a_user.g(x)", {
        "a_user.py": "from b_user import N\ndef g(x): return x * N",
        "b_user.py": "N = 1",
    }, ("b_user.py", "N = 2")),
    "file called as one of Python's": ("from this import g\n return g(x)", {
        "this.py": "def g(x): return x",
    }, ("this.py", "def g(x): return -x")),
}  # fmt: skip


@pytest.mark.parametrize("case", FILES)
def test_files_that_a_function_imports_when_it_is_called(case, user_module):
    body, files, (edited, text) = FILES[case]
    cell = f"def f(x):\n {body}"
    for name, content in files.items():
        user_module(name, content)
    before = fingerprint(made(cell))
    assert made(cell)(3) == 3
    assert fingerprint(made(cell)) == before  # though it has been imported by now
    user_module(edited, text)
    assert fingerprint(made(cell)) != before


def test_what_is_loaded_of_a_file_counts_not_only_what_it_says_now(user_module, tmp_path):
    """Edited and not yet reloaded: the numbers are those of the code before."""
    user_module("a_user.py", "N = 1\ndef g(x): return x * N")
    cell = "import a_user\ndef f(x): return a_user.g(x)"
    stale = made(cell)
    (tmp_path / "a_user.py").write_text("N = 1\ndef g(x): return x * N * 5")
    found = fingerprint(stale)
    user_module("a_user.py", "N = 1\ndef g(x): return x * N * 5")
    assert fingerprint(made(cell)) != found


def test_what_was_set_in_a_module_counts(user_module):
    user_module("a_user.py", "N = 1\ndef g(x): return x * N")
    f = made("import a_user\ndef f(x): return a_user.g(x)")
    before = fingerprint(f)
    f.__globals__["a_user"].N = 2
    assert fingerprint(f) != before


def test_what_a_user_puts_into_a_package_counts(monkeypatch):
    patch = made("def f(self, x): return x * 2")
    calls = made("import torch\ndef f(x): return torch.nn.functional.relu(x)")
    plain = fingerprint(nn.ReLU(), torch.nn.Sequential), fingerprint(calls)
    assert plain == (fingerprint(nn.ReLU(), torch.nn.Sequential), fingerprint(calls))
    with monkeypatch.context() as patched:
        patched.setattr(nn.ReLU, "forward", patch)
        assert fingerprint(nn.ReLU(), torch.nn.Sequential) != plain[0]
    with monkeypatch.context() as patched:
        patched.setattr(torch.nn.functional, "relu", patch)
        assert fingerprint(calls) != plain[1]
    assert fingerprint(calls) == plain[1]


def test_a_module_that_fails_when_it_is_imported(user_module):
    user_module("a_user.py", "1 / 0")
    with pytest.raises(NotIdentifiedError, match=r"'a_user' cannot be imported .*by zero"):
        fingerprint(made("def f(x):\n import a_user\n return x"))
    absent = "def f(x):\n try:\n  import no_such_module\n except ImportError: pass\n return x"
    assert fingerprint(made(absent)) == fingerprint(made(absent))
    user_module("a_user.py", "")
    found = "def f(x):\n try:\n  import a_user\n except ImportError: pass\n return x"
    before = fingerprint(made(found))
    Path(sys.modules.pop("a_user").__file__).unlink()
    importlib.invalidate_caches()
    assert fingerprint(made(found)) != before


def test_a_class_that_was_pickled_is_the_same():
    kind = made("class f: pass")
    before = fingerprint(kind)
    kind().__reduce_ex__(4)  # leaves a note in the class
    assert fingerprint(kind) == before


def test_a_function_that_calls_itself_and_objects_in_a_circle():
    f = made("def f(x): return x if x < 1 else f(x - 1)")
    circle = [1]
    circle.append(circle)
    assert fingerprint(f, circle) == fingerprint(
        made("def f(x): return x if x < 1 else f(x - 1)"), circle
    )


@pytest.mark.parametrize(
    "value", [threading.Lock(), (each for each in [1]), torch.zeros(2, device="meta"), sys.stderr]
)
def test_what_cannot_be_told(value):
    with pytest.raises(NotIdentifiedError, match="cannot be"):
        fingerprint(closing(value))


def test_too_deep():
    value = None
    for _ in range(100_000):
        value = [value]
    with pytest.raises(NotIdentifiedError, match="nested too deeply"):
        fingerprint(value)
    while value:  # or taking it down overflows the stack
        value = value[0]


def test_the_same_in_another_session():
    program = """
        import torch
        from bench.notebook.fingerprint import fingerprint
        from tests.notebook.test_fingerprint import APART, made, network
        print(fingerprint([made(one) for one, _ in APART.values()], network(), {"a", "b", "c"}))
    """
    found = {
        subprocess.run(
            [sys.executable, "-c", textwrap.dedent(program)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
            env={"PYTHONHASHSEED": seed, "PATH": ""},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(found) == 1


def test_a_shipped_class_is_known_by_name_and_version(monkeypatch):
    before = fingerprint(Random())
    monkeypatch.setattr(Random, "version", 99)
    assert fingerprint(Random()) != before
