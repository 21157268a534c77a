import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench.backbones.offline import require_cached, require_timm_cached
from bench.backbones.torchvision_network import torchvision_network
from bench.errors import BenchError


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torch, and a download that must not be begun."""
    monkeypatch.setenv("BENCH_OFFLINE", "1")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))

    def connects(*arguments, **settings):
        raise AssertionError("it connects")

    monkeypatch.setattr(torch.hub, "download_url_to_file", connects)
    return tmp_path


def test_weights_of_torchvision_are_not_loaded(cache):
    with pytest.raises(BenchError, match=r"squeezenet1_1-.+ BENCH_OFFLINE=1 forbids to load"):
        torchvision_network("squeezenet1_1", "IMAGENET1K_V1", {})


def test_what_is_in_the_cache_is_taken(cache):
    url = "https://example.org/net.pth"
    with pytest.raises(BenchError, match="BENCH_OFFLINE=1"):
        require_cached(url)
    (cache / "checkpoints").mkdir()
    (cache / "checkpoints/net.pth").touch()
    require_cached(url)


def test_networks_of_timm_that_are_not_on_the_hub(cache, monkeypatch):
    import timm

    declared = timm.get_pretrained_cfg("resnet18.a1_in1k")
    assert declared.hf_hub_id
    require_timm_cached("resnet18.a1_in1k")  # the hub's library looks itself
    declared.hf_hub_id, declared.url = None, "https://example.org/net.pth"
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda name: declared)
    with pytest.raises(BenchError, match="BENCH_OFFLINE=1"):
        require_timm_cached("resnet18")


def test_the_library_of_the_hub_is_told():
    code = "import bench; from huggingface_hub.constants import is_offline_mode as o; print(o())"
    environment = {"BENCH_OFFLINE": "1", "PATH": "", "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "True"
