"""Networks of users, and what they are known by."""

import pytest
import torch
from torch import nn

import bench
from bench.backbones.backbone import Backbone, Preprocessing
from bench.errors import BenchError
from bench.notebook.data import as_data
from bench.notebook.network import NetworkSettings, as_network


def identity(model):
    with as_network(model, as_data((torch.rand(1, 3, 32, 32), [1])), NetworkSettings()) as network:
        return network.identity()


def test_a_loaded_backbone_is_known_by_its_code_once_it_is_changed():
    """Else it finds the rows of what `bench.load_backbone` gave: the weights are the same."""
    backbone = bench.load_backbone("resnet18", weights="random", img_size=32, num_classes=5)
    module, found = backbone.module, [identity(backbone)]
    assert "code" not in found[0]
    for change in (
        lambda: setattr(module, "act1", nn.GELU().eval()),
        lambda: setattr(module.bn1, "eps", 1.0),
        lambda: module.register_forward_hook(lambda *call: call[2] * 3),
    ):
        change()
        found.append(identity(backbone))
    assert len({each.get("code") for each in found}) == 4
    assert len({each["weights_sha256"] for each in found}) == 1
    assert "code" not in backbone.identity()
    module.bn1.train()
    with pytest.raises(BenchError, match=r"eval mode; call model.module.eval\(\)"):
        identity(backbone)


def test_a_backbone_of_the_users_is_known_by_its_code():
    def backbone(act):
        torch.manual_seed(0)
        module = nn.Sequential(nn.Flatten(), nn.Linear(3072, 5), act).eval()
        return Backbone("mine", module, Preprocessing(32, (0,) * 3, (255,) * 3), "logits")

    relu, again, gelu = (identity(backbone(act)) for act in (nn.ReLU(), nn.ReLU(), nn.GELU()))
    assert relu == again
    assert relu["code"] != gelu["code"]
    assert relu["weights_sha256"] == gelu["weights_sha256"]
