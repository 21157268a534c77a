"""What `make` does before it runs anything, with a stand-in for Python that only takes notes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Answers the script's questions from the environment and acts as python, venv and pip.
PYTHON = """#!/bin/sh
case "$*" in
    *version_info\\ \\<*) exit ${OLD:-0} ;;
    *"import ensurepip"*) exit ${NO_VENV:-0} ;;
    *'print(version("torch"))'*) [ -e .venv/torch ] && cat .venv/torch ;;
    *"import torchvision"*) exit ${UNFIT_TORCHVISION:-0} ;;
    *"print("*) echo 3.11 ;;
    *"import bench"*) [ -e .venv/packages ] ;;
    *"-m pip --version") exit 0 ;;
    *"-m venv"*)
        rm -rf .venv; mkdir -p .venv/bin; cp "$0" .venv/bin/python; echo venv >> notes ;;
    *"-m pip install"*)
        echo "pip $*" >> notes
        [ -z "${KILLED:-}" ] || exit 1
        case "$*" in
            *--index-url*) echo 2.9.1+cpu > .venv/torch ;;
            *)
                [ -e .venv/torch ] || echo 2.9.1 > .venv/torch
                touch .venv/packages; cp "$0" .venv/bin/bench ;;
        esac ;;
esac
"""


@pytest.fixture
def install(tmp_path):
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(ROOT / name, tmp_path)

    def run(extra, **answers):
        """Returns exit code, error output, and what was done: `venv` and the extras installed."""
        (tmp_path / "notes").write_text("")
        outcome = subprocess.run(
            ["sh", str(ROOT / "scripts/install.sh"), extra],
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "PYTHON": str(tmp_path / "python"), **answers},
            capture_output=True,
            text=True,
        )
        notes = (tmp_path / "notes").read_text().splitlines()
        run.told, run.notes = outcome.stdout, notes
        done = [n if n == "venv" else n.partition("[")[2].partition("]")[0] for n in notes]
        return outcome.returncode, outcome.stderr, done

    run.folder = tmp_path
    run.told, run.notes = "", []  # by the last call
    return run


def test_a_second_call_installs_nothing(install):
    assert install("demo") == (0, "", ["venv", "demo"])
    assert install("demo") == (0, "", [])


def test_each_works_first_or_after_the_other(install):
    assert install("demo")[2] == ["venv", "demo"]
    assert install("test")[2] == ["test"]
    assert install("demo")[2] == []


def test_the_larger_extra_serves_the_smaller(install):
    assert install("test")[2] == ["venv", "test"]
    assert install("demo")[2] == []
    assert install("docs")[2] == []


def test_the_demo_does_not_serve_the_documentation(install):
    assert install("demo")[2] == ["venv", "demo"]
    assert install("docs")[2] == ["docs"]


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed(install, name):
    install("demo")
    with (install.folder / name).open("a") as file:
        file.write("\n# another dependency\n")
    assert install("demo")[2] == ["demo"]


def test_an_interrupted_installation_is_completed(install):
    code, _, _ = install("demo", KILLED="1")
    assert code != 0
    assert install("demo") == (0, "", ["demo"])


@pytest.mark.parametrize("left", [[], ["bin"], ["bin/python"]])
def test_a_half_made_environment_is_made_anew(install, left):
    (install.folder / ".venv").mkdir()
    for name in left:
        path = install.folder / ".venv" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("broken") if name == "bin/python" else path.mkdir()
    assert install("demo") == (0, "", ["venv", "demo"])


def test_lost_packages_are_installed_again(install):
    install("demo")
    (install.folder / ".venv/packages").unlink()
    assert install("demo")[2] == ["demo"]


def test_a_missing_venv_module_gives_the_line_that_installs_it(install):
    code, err, done = install("demo", NO_VENV="1")
    assert (code, done) == (1, [])
    assert "sudo apt install python3.11-venv" in err


def test_an_old_python_is_refused(install):
    code, err, done = install("demo", OLD="1")
    assert (code, done) == (1, [])
    assert "Python >= 3.11" in err


def test_what_will_be_loaded_is_told_with_the_smaller_way(install):
    install("demo")
    assert re.search(r"About [\d.]+ GB from PyPI, [\d.]+ GB on disk", install.told)
    assert "make demo TORCH=cpu" in install.told
    assert install.notes[1:] == [
        "pip -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "
        "--editable .[demo]"
    ]


def test_a_cpu_only_torch_is_one_setting(install):
    index = "https://download.pytorch.org/whl/cpu"
    install("test", TORCH="cpu")
    assert f"PyTorch comes from {index}" in install.told
    _, first, second = install.notes
    assert first.endswith(f" torch torchvision --index-url {index}")
    assert second.endswith(" --constraint constraints.txt torch==2.9.1+cpu --editable .[test]")


def test_another_index_of_torch_can_be_named_and_nothing_else(install):
    assert install("demo", TORCH="http://127.0.0.1:1/simple")[0] == 0
    assert install.notes[1].endswith("--index-url http://127.0.0.1:1/simple")
    code, err, done = install("demo", TORCH="gpu")
    assert (code, done) == (2, [])
    assert err == "install.sh: TORCH: expected 'cpu' or the URL of an index, found 'gpu'\n"


def test_a_torch_that_is_there_is_kept(install):
    install("demo", TORCH="cpu")
    install("test")
    assert "PyTorch 2.9.1+cpu is there and is kept" in install.told
    (line,) = install.notes
    assert "torch==2.9.1+cpu --editable" in line


def test_a_torchvision_of_another_build_is_told_with_the_mend(install):
    code, err, _ = install("demo", UNFIT_TORCHVISION="1")
    assert code == 1
    assert "make demo TORCH=cpu" in err
    assert install("demo")[2] == ["demo"]  # it was not taken for a whole one
