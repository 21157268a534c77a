"""Writes constraints.txt: the newest versions of all that the package and its extras bring.

    .venv/bin/python scripts/write_constraints.py

pip resolves them and installs nothing. Whoever commits the file has run `.ci/run` with it.
"""

import json
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
LEFT_OUT = re.compile(
    r"insdel-bench|torch|torchvision|triton|(nvidia|cuda)-.*|sympy|mpmath|setuptools"
)
"""torch, what comes with it alone, and what some of its versions ask for in one version: any torch
that is in an environment has to be one that fits."""
HEADER = """\
# The versions that continuous integration passed with; `make` installs these.
# `make constraints` writes the newest ones here. Left out are torch and what it asks for itself, so
# that a torch (2.6 or later) that is in an environment is kept.
"""


def oldest_python() -> tuple[int, ...]:
    """The oldest Python that the package runs on: what is for it is there for later ones, too."""
    lowest = read_project()["requires-python"].removeprefix(">=")
    return tuple(int(number) for number in lowest.split("."))


def read_project() -> dict:
    """The table `project` of pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def resolve(extras: Iterable[str]) -> dict[str, str]:
    """The version of each package that pip would install into an empty environment."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet"]
        subprocess.run([*pip, "--report", report, f".[{','.join(extras)}]"], cwd=ROOT, check=True)
        packages = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {normalised(each["metadata"]["name"]): each["metadata"]["version"] for each in packages}


def normalised(name: str) -> str:
    """A package's name as indexes have it: `open_clip_torch` is `open-clip-torch`."""
    return re.sub(r"[-_.]+", "-", name).lower()


def to_text(versions: dict[str, str]) -> str:
    """The file's text."""
    lines = [
        f"{name}=={version}\n"
        for name, version in sorted(versions.items())
        if not LEFT_OUT.fullmatch(name)
    ]
    return HEADER + "".join(lines)


def main() -> None:
    """Resolves all extras and writes the file."""
    if sys.version_info[:2] != oldest_python():
        wanted = ".".join(str(number) for number in oldest_python())
        sys.exit(
            f"constraints.txt: expected Python {wanted}, the oldest that it has to serve, found "
            f"{sys.version.split()[0]}; run `make constraints VENV=.venv-{wanted} "
            f"PYTHON=python{wanted}`"
        )
    text = to_text(resolve(read_project()["optional-dependencies"]))
    (ROOT / "constraints.txt").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
