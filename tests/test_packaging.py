"""The wheel holds everything, and `bench` works from any folder."""

import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    # By the setuptools that is installed: making an environment for it takes ten seconds more.
    build = [sys.executable, "-m", "build", "--no-isolation", "--wheel", "--outdir"]
    command = [*build, str(folder), str(ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (path,) = folder.glob("insdel_bench-*.whl")
    return path


def tracked(folder, pattern):
    return {p.relative_to(ROOT / folder).as_posix() for p in (ROOT / folder).rglob(pattern)}


def test_every_module_and_every_configuration_file_is_in_the_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {f"bench/{name}" for name in tracked("bench", "*.py")} <= names
    assert {f"bench/conf/{name}" for name in tracked("conf", "*.yaml")} <= names
    assert "bench/datasets/photos_boxes.csv" in names
    assert {f"bench/cli/recorded/{each}.csv" for each in ("method", "metric")} <= names
    cells = {f"bench/published/{name}" for name in tracked("results/published", "*.csv")}
    assert cells | {"bench/published/names.yaml"} <= names
    page = tracked("bench/report/page", "*.*")
    assert {"page.html.j2", "style.css", "script.js"} <= page
    assert {f"bench/report/page/{name}" for name in page} <= names
    assert not [name for name in names if not name.startswith(("bench/", "insdel_bench-"))]


def test_the_installed_wheel_runs_from_another_folder(wheel, tmp_path):
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    subprocess.run([*install, str(site), str(wheel)], check=True)
    environment = {**os.environ, "PYTHONPATH": str(site)}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=environment, text=True,
            capture_output=True, check=True,
        ).stdout  # fmt: skip

    assert str(site) in run("-c", "import bench; print(bench.__file__)")
    assert "rise_500" in run("-m", "bench", "list", "methods")
    settings = ["dataset.max_images=1", "method=[center]", "gallery=0", "results_dir=out"]
    assert "top-1 right on 1 of 1" in run("-m", "bench", "run", *settings)
    assert (tmp_path / "out/leaderboards").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "site"]


def test_the_console_script_and_the_declared_extras():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"bench": "bench.cli:main"}
    extras = "captum clip cluster demo dev docs faces fast grad-cam hf test"
    assert set(project["optional-dependencies"]) == {*extras.split()}
    output = subprocess.run(
        [Path(sys.executable).with_name("bench"), "--version"], capture_output=True, text=True
    )
    assert output.stdout.strip() == project["version"]
