import json
import subprocess

import torch

from bench.provenance import provenance


def test_it_is_json_and_tells_versions_and_machine():
    told = json.loads(json.dumps(provenance(torch.device("cpu"))))
    assert torch.__version__.startswith(told["packages"]["torch"])
    assert told["packages"]["insdel-bench"]
    assert told["device"]
    assert told["tf32"].keys() == {"matmul", "cudnn"}
    assert all(isinstance(name, str) for name in told["numpy_cpu_features"])


def test_commit_and_uncommitted_changes(tmp_path, monkeypatch):
    package = tmp_path / "bench" / "provenance.py"
    package.parent.mkdir()
    monkeypatch.setattr("bench.provenance.__file__", str(package))
    assert provenance(torch.device("cpu"))["git"] is None
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "x"], check=True)
    told = provenance(torch.device("cpu"))["git"]
    assert len(told["commit"]) == 40
    assert told["dirty"] is False
    package.write_text("")
    assert provenance(torch.device("cpu"))["git"] == {**told, "dirty": True}
