"""scripts/train_backbone.py: real trainings of a tiny network on birds of one colour a class."""

import json
import math
import os
import re
import runpy
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_trees import coloured_cub
from safetensors.torch import load_file, save_file

from bench import files
from bench.backbones.backbone import Preprocessing
from bench.cli import main
from bench.errors import BenchError

SCRIPT = Path(__file__).parents[2] / "scripts/train_backbone.py"
names = runpy.run_path(str(SCRIPT))

NETWORK = ("backbone.name=test_resnet", "backbone.preprocessing.size=32")
SETTINGS = (
    "dataset.root=birds", *NETWORK, "backbone.weights=random", "--epochs", "6", "--batch-size", "6",
    "--learning-rate", "0.02",
)  # fmt: skip


@pytest.fixture
def birds(tmp_path, monkeypatch):
    """Three classes of 12 training and 4 test images, in the official layout."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # for such small tensors two are slower, on a busy machine by far
    yield coloured_cub(Path("birds"))
    torch.set_num_threads(threads)


@pytest.fixture
def train(birds, monkeypatch, capsys):
    """Runs the script here; returns what it stopped with, 0 if with nothing, and its output."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *arguments])
        stopped = 0
        try:
            runpy.run_path(str(SCRIPT), run_name="__main__")
        except SystemExit as stop:
            stopped = stop.code
        return stopped, capsys.readouterr().out

    return run


def record(name="net"):
    return json.loads(Path(f"{name}.json").read_text())


def same(one, other):
    left, right = load_file(one), load_file(other)
    return left.keys() == right.keys() and all(torch.equal(left[k], right[k]) for k in left)


def test_a_network_learns_and_is_what_the_benchmark_takes(train, capsys):
    stopped, out = train("net.safetensors", *SETTINGS)
    assert stopped == 0, stopped
    told = record()
    losses = [each["loss"] for each in told["history"]]
    assert len(losses) == 6
    assert losses[-1] < 0.8 * losses[0]
    assert told["images"] == 12
    assert told["accuracy"] == told["right"] / 12 >= 0.75  # chance is a third
    assert f"top-1 right on {told['right']} of 12 images" in out
    assert f"epoch 6: loss {losses[-1]:.4f}, accuracy {told['accuracy']:.1%}" in out
    assert told["made_of"]["trained on"]["num_images"] == 36
    assert told["made_of"]["recipe"]["precision"] == "fp32"
    assert sorted(path.name for path in Path().iterdir()) == [
        "birds",
        "net.json",
        "net.safetensors",
    ]

    settings = re.search(r"^bench run (.*)$", out, flags=re.MULTILINE)[1].split()
    assert settings == [
        "backbone=resnet101", "backbone.weights=net.safetensors", "backbone.name=test_resnet",
        "backbone.preprocessing.size=32", "backbone.num_classes=3",
    ]  # fmt: skip
    main(["run", *settings, "dataset=cub200", "dataset.root=birds", "method=[center]", "gallery=0"])
    assert f"top-1 right on {told['right']} of 12 images" in capsys.readouterr().out
    main(["check", *settings])
    checked = " ".join(capsys.readouterr().out.split())
    assert f"file sha256 {told['file_sha256']}" in checked
    assert f"weights sha256 {told['weights_sha256']}" in checked

    stamp = Path("net.safetensors").stat().st_mtime_ns
    assert train("net.safetensors", *SETTINGS)[0] == 0  # finished: nothing is done again
    assert Path("net.safetensors").stat().st_mtime_ns == stamp
    stopped, _ = train("net.safetensors", *SETTINGS, "--epochs", "7")
    assert stopped == (
        "train_backbone: error: 'net.json' is of another training (recipe.epochs: now 7, there 6): "
        "use its settings, or another output file"
    )


@pytest.mark.parametrize("optimizer", names["OPTIMIZERS"])
def test_stopped_and_resumed_is_the_same_to_the_bit(optimizer, train, monkeypatch):
    settings = (*SETTINGS, "--epochs", "3", "--optimizer", optimizer)
    assert train("whole.safetensors", *settings)[0] == 0

    write, written = files.write_atomically, []

    def stop_after_the_third(path, content):
        write(path, content)
        written.append(path)
        if len(written) == 3:  # the first one is before the first epoch
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files, "write_atomically", stop_after_the_third)
        stopped, _ = train("net.safetensors", *settings)
    assert "interrupted; the same command goes on" in stopped
    assert not Path("net.safetensors").exists()

    stopped, _ = train("net.safetensors", *settings, "--label-smoothing", "0.2")
    assert "recipe.label_smoothing: now 0.2, there 0.1" in stopped
    stopped, out = train("net.safetensors", *settings)
    assert stopped == 0
    assert "Going on after epoch 2" in out
    assert "epoch 2:" not in out
    assert same("net.safetensors", "whole.safetensors")
    assert record()["history"] == record("whole")["history"]
    assert not list(Path().glob("*.pt"))


def test_killed_at_any_time(train):
    assert train("whole.safetensors", *SETTINGS)[0] == 0
    command = [sys.executable, str(SCRIPT), "net.safetensors", *SETTINGS]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    while not Path("net.training.pt").exists() and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert train("net.safetensors", *SETTINGS)[0] == 0
    assert same("net.safetensors", "whole.safetensors")


def test_a_checkpoint_of_other_classes_gets_a_new_classifier(train):
    assert train("three.safetensors", *SETTINGS, "--epochs", "1")[0] == 0
    state = load_file("three.safetensors")
    state["fc.weight"], state["fc.bias"] = torch.zeros(5, 96), torch.zeros(5)
    save_file(state, "five.safetensors")
    start = ("--epochs", "1", "--learning-rate", "1e-12", "--weight-decay", "0")
    weights = ("backbone.weights=five.safetensors",)
    stopped, out = train("net.safetensors", *SETTINGS, *start, *weights)
    assert stopped == 0
    assert "The classifier of 'five.safetensors' is of other classes: it is made anew" in out
    trained = load_file("net.safetensors")
    assert trained["fc.weight"].shape == (3, 96)
    assert trained["fc.weight"].std() > 0
    torch.testing.assert_close(trained["layer4.0.conv1.weight"], state["layer4.0.conv1.weight"])


def test_the_learning_rate_rises_and_falls():
    rates = [names["learning_rate_at"](step, 20, 4, 2.0) for step in range(20)]
    assert rates[:5] == pytest.approx([0.4, 0.8, 1.2, 1.6, 2.0])
    assert rates[12] == pytest.approx(1.0)
    assert rates[19] == pytest.approx(1 + math.cos(math.pi * 15 / 16))


def test_views_are_parts_of_the_photo_squeezed_as_for_evaluation():
    preprocessing = Preprocessing(24, (0.0,) * 3, (1.0,) * 3, crop=0.5)
    rows, columns = np.mgrid[0:60, 0:80]
    image = np.stack([rows * 4, columns * 3, rows * 0], axis=2).astype(np.uint8)
    mirrored, areas = 0, []
    for seed in range(200):
        draws = torch.Generator().manual_seed(seed)
        view = names["random_view"](image, preprocessing, 0.4, draws).astype(int)
        assert view.shape == (24, 24, 3)
        height, width = np.ptp(view[..., 0]) / 4, np.ptp(view[..., 1]) / 3
        areas.append(height * width / (60 * 80))
        assert (np.diff(view[:, 0, 0]) >= 0).all()
        mirrored += view[0, 0, 1] > view[0, -1, 1]
    assert 70 < mirrored < 130
    assert 0.25 < min(areas) < 0.45
    assert 0.8 < max(areas) <= 1
    whole = names["random_view"](image, preprocessing, 1.0, torch.Generator().manual_seed(3))
    assert whole.shape == (24, 24, 3)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_precision_by_device(device, monkeypatch):
    recipe = names["Recipe"]()
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
    expected = {"cpu": "fp32", "cuda": "bf16"}[device]
    assert recipe.on(torch.device(device)).precision == expected
    half = names["Recipe"](precision="fp16")
    if device == "cuda":
        assert half.on(torch.device(device)) == half
    else:
        with pytest.raises(BenchError, match="expected fp32 or bf16 on cpu"):
            half.on(torch.device(device))


def test_bfloat16_learns_too(train):
    assert train("net.safetensors", *SETTINGS, "--precision", "bf16", "--epochs", "2")[0] == 0
    told = record()
    assert told["history"][1]["loss"] < told["history"][0]["loss"]
    assert told["made_of"]["recipe"]["precision"] == "bf16"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["net.pth"], "output: expected a name that ends in .safetensors: 'net.pth'"),
        (["birds.safetensors"], "output: 'birds.safetensors' is there, but not from here"),
        (["net.safetensors", "--optimizer", "adam"], "optimizer: unknown name 'adam'. Did you"),
        (["net.safetensors", "--epochs", "0"], "epochs: expected an integer >= 1, found 0"),
        (["net.safetensors", "--batch-size", "1"], "batch_size: expected an integer >= 2"),
        (["net.safetensors", "--label-smoothing", "1"], "label_smoothing: expected a number in [0"),
        (["net.safetensors", "--min-area", "0"], "min_area: expected a number in (0, 1]"),
        (["net.safetensors", "--precision", "fp16"], "precision: expected fp32 or bf16 on cpu"),
        (["net.safetensors", "--learning-rate", "1e30"], "learning_rate: at 1e+30 the loss of ep"),
        (["net.safetensors", "dataset.root=gone"], "'gone'"),
        (["net.safetensors", "dataset.split=all"], "evaluate: 12 images are trained on and tested"),
        (["net.safetensors", "backbone=sface"], "backbone: expected backbone=resnet101 with"),
        (["net.safetensors", "backbone.weights=gone.pth"], "weights: 'gone.pth' is missing"),
        (["net.safetensors", "backbone.num_classes=2"], "outside the model's classes 0..1"),
        (["birds/images.txt/net.safetensors"], "cannot write 'birds/images.txt/net.training.pt'"),
        (["net.safetensors", "dataset.split=tset"], "dataset.split: unknown name 'tset'"),
        (
            ["net.safetensors", "dataset=list", "dataset.list=birds/list.txt"],
            "evaluate: dataset 'list' has no splits: name the images that the accuracy is measured",
        ),
        (
            ["net.safetensors", "--evaluate", "dataset.max_images=0"],
            "dataset.max_images: expected an integer >= 1",
        ),
        (
            ["net.safetensors", "dataset.max_images=12", "--evaluate", "dataset.list=third.txt"],
            "evaluate: 'cub200' is tested on other classes than those trained on",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(arguments, message, train):
    Path("birds.safetensors").write_text("")
    Path("birds/list.txt").write_text("images/001.Bird/Bird_0001_0.jpg 0")
    Path("third.txt").write_text("2/Bird_0003_13.jpg 2")
    output, *rest = arguments
    settings = [] if "backbone=sface" in rest else SETTINGS
    stopped, _ = train(output, *settings, *rest)
    assert str(stopped).startswith("train_backbone: error: ")
    assert message in stopped
    assert "\n" not in stopped


def test_a_state_that_is_broken(train):
    Path("net.training.pt").write_bytes(b"half of it")
    stopped, _ = train("net.safetensors", *SETTINGS)
    assert "'net.training.pt' is broken (" in stopped
    assert stopped.endswith("remove it to begin anew")
