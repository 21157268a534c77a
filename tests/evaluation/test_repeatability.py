"""Networks whose outputs for an image are not the same each time are told, or refused."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn
from toy import ConvModel, backbone, not_a_function

from bench.attribution.scorer import Scorer
from bench.evaluation.repeatability import repeatability, warning
from bench.storage.store import stored_runs

BOARD = Path("results/leaderboards/list_toy_xplique-probability.md")


def measured(network, images=5, batch_size=4):
    torch.manual_seed(0)  # of the noise, which may be small by chance
    x = torch.rand(images, 3, 23, 23)
    return repeatability(Scorer(network, "output", batch_size), x)


@pytest.mark.parametrize(("images", "batch_size"), [(5, 4), (3, 4), (1, 4), (5, 1)])
@pytest.mark.usefixtures("two_threads")
def test_a_function_gives_the_same_bits(images, batch_size):
    found = measured(backbone(), images, batch_size)
    assert found.repeated == 0
    assert found.alone < 1e-6
    assert found.differences == {}


@pytest.mark.parametrize(("images", "batch_size"), [(5, 4), (1, 4), (1, 1)])
@pytest.mark.parametrize("kind", ["dropout", "noise"])
def test_noise_and_dropout(kind, images, batch_size):
    found = measured(not_a_function(kind), images, batch_size)
    assert list(found.differences) == ["repeated"]
    assert found.differences["repeated"] > 1e-3
    assert "active dropout" in warning("toy", found.differences)


@pytest.mark.parametrize("images", [5, 1])
@pytest.mark.parametrize("kind", ["batch_norm", "batch_mean"])
def test_what_depends_on_the_batch(kind, images):
    found = measured(not_a_function(kind), images)
    assert found.repeated == 0
    assert list(found.differences) == ["alone"]
    assert "track_running_stats=False" in warning("toy", found.differences)


def test_nan_in_both_passes_is_no_difference():
    network = backbone()

    class Blank(nn.Module):
        def forward(self, x):
            return module(x).masked_fill((x == 0).flatten(1).all(dim=1)[:, None], torch.nan)

    module = ConvModel(4).eval()
    network.module = Blank()
    assert measured(network).differences == {}


def test_a_run_warns_and_keeps_it_and_strict_refuses(bench, toy_conf):
    (toy_conf / "backbone/toy.yaml").write_text("_target_: toy.not_a_function\nkind: dropout\n")
    code, out, err = bench("method=[random]", "strict=true")
    assert code == 1
    assert "gives other outputs when the same batch is passed again" in err
    assert err.strip().endswith("strict=true refuses it")
    assert not BOARD.exists()
    code, out, _ = bench("method=[random]")
    assert code == 0
    assert out.count("Warning: backbone 'toy' gives other outputs when") == 2  # above and below
    assert "- Warning: backbone 'toy' gives other outputs when the same batch" in BOARD.read_text()
    (run,) = stored_runs(Path("results"))
    manifest = json.loads((run.folder / "manifest.json").read_text())
    assert manifest["provenance"]["not_repeatable"]["toy"]["repeated"] > 1e-3
    code, out, _ = bench("method=[random]", "strict=true")
    assert code == 0  # nothing is left to compute
    assert out.count("Warning: backbone 'toy' gives other outputs when") == 1


def test_a_good_network_is_not_mentioned(bench):
    code, out, _ = bench("method=[random]", "strict=true")
    assert code == 0
    assert "Warning" not in out
    (run,) = stored_runs(Path("results"))
    assert "not_repeatable" not in run.manifest.provenance
    assert run.manifest.provenance["num_classes"] == 4
