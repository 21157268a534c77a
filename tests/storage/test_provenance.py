import json
import subprocess
from pathlib import Path

import pytest
import torch

from bench.storage.provenance import _without_credentials, provenance


def test_it_is_json_and_tells_versions_and_machine():
    told = json.loads(json.dumps(provenance(torch.device("cpu"))))
    assert torch.__version__.startswith(told["packages"]["torch"])
    assert told["packages"]["insdel-bench"]
    assert len(told["packages"]) > 30  # all that are installed
    assert told["directory"] == str(Path.cwd())
    assert "cuda" in told
    assert told["cudnn"] is None
    assert told["device"]
    assert told["tf32"].keys() == {"matmul", "cudnn"}
    assert all(isinstance(name, str) for name in told["numpy_cpu_features"])


def test_commit_and_uncommitted_changes(tmp_path, monkeypatch):
    package = tmp_path / "bench" / "storage" / "provenance.py"
    package.parent.mkdir(parents=True)
    monkeypatch.setattr("bench.storage.provenance.__file__", str(package))
    assert provenance(torch.device("cpu"))["git"] is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    told = provenance(torch.device("cpu"))["git"]
    assert len(told["commit"]) == 40
    assert told["origin"] is None
    assert told["dirty"] is False
    package.write_text("")
    assert provenance(torch.device("cpu"))["git"] == {**told, "dirty": True}
    url = "https://me:secret@example.org/mine.git?token=secret"
    subprocess.run([*git, "remote", "add", "origin", url], check=True)
    assert provenance(torch.device("cpu"))["git"]["origin"] == "https://example.org/mine.git"


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("ssh://git@example.org:22/mine.git", "ssh://example.org:22/mine.git"),
        ("https://token@example.org/mine", "https://example.org/mine"),
        ("git@example.org:mine.git", "git@example.org:mine.git"),
        ("/srv/mine.git", "/srv/mine.git"),
        ("", None),
    ],
)
def test_no_credentials_in_an_origin(url, kept):
    assert _without_credentials(url) == kept


def test_the_driver_is_that_of_the_kernel_module(tmp_path, monkeypatch):
    monkeypatch.setattr("bench.storage.provenance._DRIVER", tmp_path / "version")
    assert provenance(torch.device("cpu"))["driver"] is None
    for text, version in (
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.54.03  Tue Jun 6", "535.54.03"),
        (
            "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release",
            "570.86.15",
        ),
    ):
        (tmp_path / "version").write_text(f"{text}\nGCC version: gcc 11.4.0\n")
        assert provenance(torch.device("cpu"))["driver"] == version
