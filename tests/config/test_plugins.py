"""Configuration of installed packages, made by hand on a search path of their own."""

import os
import subprocess
import sys

import pytest

from bench.cli import main
from bench.config import plugins
from bench.config.choices import choices, known_names
from bench.config.composing import check_arguments, compose_run


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs a package with an entry point; returns its folder."""
    site = tmp_path / "site"
    monkeypatch.syspath_prepend(site)
    plugins._entry_points.cache_clear()

    def package(name, value, files=()):
        folder = site / f"{name}-1.2.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.2\n")
        (folder / "entry_points.txt").write_text(f"[bench.configs]\n{name} = {value}\n")
        for path, text in dict(files).items():
            (site / path).parent.mkdir(parents=True, exist_ok=True)
            (site / path).write_text(text)
        return site

    yield package
    plugins._entry_points.cache_clear()


BIRDLIB = {
    "birdlib/__init__.py": "raise RuntimeError('nobody asked for this')",
    "birdlib/conf/method/wing.yaml": (
        "# Control: looks at wings\nwing:\n  _target_: bench.attribution.control.Center\n"
    ),
    "birdlib/conf/method/rise.yaml": "# Another one\nrise:\n  _target_: birdlib.Rise\n",
    "birdlib/conf/dataset/nest.yaml": "_target_: birdlib.Nest\n",
}


def test_names_of_an_installed_package(install, tmp_path):
    """Beside the shipped ones, which come first; its code is not imported."""
    site = install("birdlib", "birdlib.conf", BIRDLIB)
    assert known_names("method")["wing"] == "Control: looks at wings"
    found = choices("method", [tmp_path])
    assert found["wing"].origin == "birdlib 1.2"
    assert found["wing"].path == site / "birdlib/conf/method/wing.yaml"
    assert found["rise"].origin == "bench"
    arguments = ["method=[wing,rise,blurred]", "dataset=nest", "method.blurred.of=wing"]
    check_arguments(arguments)
    config = compose_run(arguments)
    assert config.method.wing._target_ == "bench.attribution.control.Center"
    assert config.method.rise._target_ == "bench.attribution.masking.Rise"
    assert config.dataset._target_ == "birdlib.Nest"
    assert plugins.plugin_problems() == []


@pytest.mark.parametrize("value", ["nowhere.conf", "birdlib.cnf", "birdlib.conf:name", "csv"])
def test_an_entry_point_that_leads_nowhere_costs_nothing_else(install, value, capsys):
    install("other", value)
    install("birdlib", "birdlib.conf", BIRDLIB)
    main(["list", "methods"])
    out, err = capsys.readouterr()
    (line,) = err.splitlines()
    assert line.startswith(f"bench: warning: bench.configs: '{value}' of other 1.2 is no folder")
    (line,) = [line for line in out.splitlines() if line.startswith("wing ")]
    assert line.split() == "wing birdlib 1.2 0 + 0 Control: looks at wings".split()


def test_running_a_method_of_an_installed_package(install, tmp_path):
    site = install("birdlib", "birdlib.conf", BIRDLIB)
    arguments = ["method=[wing,inverted]", "method.inverted.of=wing", "dataset.max_images=1"]
    command = [sys.executable, "-m", "bench", "run", *arguments, "gallery=0"]
    environment = os.environ | {"PYTHONPATH": str(site)}
    out = subprocess.run(
        command, cwd=tmp_path, env=environment, text=True, capture_output=True, check=True
    ).stdout
    assert "wing" in out
    assert (tmp_path / "results/leaderboards").is_dir()
