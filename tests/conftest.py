"""A small labelled data set on disk, the toy pieces as configuration, and the command line."""

import copy
import os
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hydra._internal.core_plugins.importlib_resources_config_source import (
    ImportlibResourcesConfigSource,
)
from hydra._internal.hydra import Hydra

from bench.cli import main


def pytest_addoption(parser):
    parser.addoption(
        "--golden",
        type=Path,
        default=Path(__file__).parent / "golden",
        help="folder with arrays made by the reference implementations",
    )


def pytest_configure(config):
    """One thread each for the workers and for every process that a test starts.

    The networks are small: two threads wait for each other, and tests run side by side.
    `OMP_NUM_THREADS=4 pytest` has four; what is about several threads asks for `two_threads`.
    """
    torch.set_num_threads(int(os.environ.setdefault("OMP_NUM_THREADS", "1")))


def pytest_xdist_auto_num_workers(config):
    """A worker a core for folders and the whole; none for files, which are sooner done without."""
    if all(".py" in argument for argument in config.args):
        return 0
    return min(len(os.sched_getaffinity(0)), 8)


@pytest.fixture(autouse=True, scope="session")
def shipped_configuration_read_once():
    """Hydra parses the YAML of `bench.conf` twice for each run; here, once in all."""
    load, known = ImportlibResourcesConfigSource.load_config, {}

    def load_config(self, config_path):
        key = self.provider, self.path, config_path
        if key not in known:
            known[key] = load(self, config_path)
        return copy.deepcopy(known[key])  # what composes it also changes it

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ImportlibResourcesConfigSource, "load_config", load_config)
        yield


@pytest.fixture(autouse=True, scope="session")
def mode_asked_where_it_is_open():
    """Hydra composes every run once more to read `hydra.mode`, which experiments alone set here."""
    asked = Hydra.get_mode

    def get_mode(self, config_name, overrides):
        may_set = any(re.match(r"\+*(experiment|hydra)\b", override) for override in overrides)
        return asked(self, config_name, overrides) if may_set else None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hydra, "get_mode", get_mode)
        yield


@pytest.fixture
def two_threads():
    """For tests of bits, which several threads could change."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def image_folder(tmp_path: Path) -> Path:
    """Seven noise images of differing sizes in class folders, and `list.txt` beside them."""
    root = tmp_path / "images"
    draws = np.random.default_rng(0)
    lines = []
    for number in range(7):
        label = number % 4
        folder = root / f"class {label}"
        folder.mkdir(parents=True, exist_ok=True)
        name = f"{folder.name}/photo {number}.png"
        shape = (30 + 3 * number, 41 - 2 * number, 3)
        cv2.imwrite(str(root / name), draws.integers(0, 256, shape, dtype=np.uint8))
        lines.append(f"{name} {label}")
    (root / "list.txt").write_text("\n".join(lines))
    return root


@pytest.fixture
def toy_conf(tmp_path: Path) -> Path:
    """A user's own configuration folder: a backbone, a protocol and methods."""
    conf = tmp_path / "conf"
    files = {
        "backbone/toy.yaml": "_target_: toy.backbone\nclasses: 4\noutput_kind: logits\n",
        "dataset/drawn.yaml": "# Three drawn images\n_target_: toy.DrawnData\ncount: 3\n",
        "dataset/no_data.yaml": "_target_: toy.Constant\n",
        "metric/center.yaml": "# Share in the middle\ncenter:\n  _target_: toy.CenterMetric\n",
        "metric/raising.yaml": "raising:\n  _target_: toy.RaisingMetric\n",
        "metric/other_columns.yaml": "other_columns:\n  _target_: toy.OtherColumns\n",
        "method/flat.yaml": "# One value everywhere\nflat:\n  _target_: toy.Constant\n",
        "method/slow.yaml": "slow:\n  _target_: toy.Slow\n",
        "method/raises.yaml": "raises:\n  _target_: toy.Raises\n",
        "method/exits.yaml": "exits:\n  _target_: toy.Exits\n",
        "method/no_method.yaml": (
            "no_method:\n  _target_: toy.LinearModel\n"
            "  classes: 2\n  channels: 3\n  height: 4\n  width: 4\n"
        ),
        "method/broken_yaml.yaml": "broken_yaml: [",
        "method/elsewhere.yaml": "elsewhere:\n  _target_: nowhere.Method\n",
        "method/wrong_shape.yaml": "wrong_shape:\n  _target_: toy.WrongShape\n",
        "method/not_finite.yaml": (
            "not_finite:\n  _target_: toy.NotFinite\n  image_id: class 2/photo 2.png\n"
        ),
    }
    for name, text in files.items():
        path = conf / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return conf


@pytest.fixture
def bench(toy_conf, image_folder, tmp_path, monkeypatch, capsys):
    """Runs `bench run` on the toy pieces in an empty folder; returns exit code, stdout, stderr."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def run(*arguments, command="run"):
        if command in ("run", "select", "check"):
            settings = {
                "dataset": "list",
                "dataset.root": f'"{image_folder}"',
                "dataset.list": f'"{image_folder}/list.txt"',
                "backbone": "toy",
                "method": "[random,saliency]",
                "batch_size": 4,
            }
            given = {argument.partition("=")[0] for argument in arguments}
            if given & {"dataset"}:
                given |= {"dataset.root", "dataset.list"}
            rest = [f"{key}={value}" for key, value in settings.items() if key not in given]
            if command == "check":  # it checks what is named
                rest = [setting for setting in rest if setting.startswith("dataset")]
            arguments = ["--config-dir", str(toy_conf), *arguments, *rest]
        try:
            main([command, *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run
