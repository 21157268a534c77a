"""A release that moves code: what its predecessor stored is still known."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MOVED = {
    "bench.attribution.masking": "bench.attribution.elsewhere.masks",
    "bench.attribution.gradient": "bench.attribution.elsewhere.gradients",
    "bench.metrics.insertion": "bench.metrics.elsewhere.inserted",
    "bench.metrics.deletion": "bench.metrics.elsewhere.deleted",
}


@pytest.fixture
def release(tmp_path):
    """The folder of a copy of the package in which modules lie elsewhere."""
    package = tmp_path / "release" / "bench"
    leave_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "bench", package, ignore=leave_out)
    shutil.copytree(ROOT / "conf", package / "conf", ignore=leave_out)
    shutil.copytree(ROOT / "results" / "published", package / "published", ignore=leave_out)
    for old, new in MOVED.items():
        place = package.parent / (new.replace(".", "/") + ".py")
        place.parent.mkdir(exist_ok=True)
        (package.parent / (old.replace(".", "/") + ".py")).rename(place)
    for path in [*package.rglob("*.py"), *package.rglob("*.yaml")]:
        text = path.read_text()
        for old, new in MOVED.items():
            text = text.replace(old, new)
        path.write_text(text)
    return package.parent


SCRIPT = """
import sys
import bench
from bench.cli import main
print(bench.__file__)
main(sys.argv[1:])
"""


def parts():
    return {path: path.stat().st_mtime_ns for path in Path("results").rglob("part-*.parquet")}


def test_moved_classes_change_no_key(release, bench, toy_conf, image_folder):
    settings = ["method=[rise,inverted,saliency]", "method.rise.num_masks=4"]
    code, *_ = bench(*settings)
    assert code == 0
    before = parts()
    assert len(before) >= 3 * 2  # methods, metrics
    of_the_toys = [
        "--config-dir", str(toy_conf), "dataset=list", f"dataset.root={image_folder}",
        f"dataset.list={image_folder}/list.txt", "backbone=toy", "batch_size=4",
    ]  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, "run", *of_the_toys, *settings],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(release), str(ROOT / "tests")])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"{release}/bench/")
    assert parts() == before
