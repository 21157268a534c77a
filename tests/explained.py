"""Maps of methods that can be asked again, for metrics that do."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from torch import nn
from toy import backbone, method_runs

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, Preprocessing
from bench.evaluation.again import AskAgain, Asked
from bench.evaluation.explain import Explainer
from bench.metrics.baseline import Inputs
from bench.metrics.metric import Maps

GOLDEN = np.load(Path(__file__).parent / "golden/quantus_again.npz")
"""See scripts/peers/quantus_again.py."""


class InputGradient(Method):
    """Input times gradient, summed over the channels; signed."""

    def __call__(self, scorer, batch):
        return (scorer.input_gradients(batch.x, batch.targets) * batch.x).sum(dim=1)


def explained(network, methods, x, targets, seed=0):
    """A block of inputs (B, C, H, W), and the maps that each of the methods made of all of them."""
    ids = [f"image {number}" for number in range(len(x))]
    batch = Batch(x, targets, ids, [np.zeros((2, 2, 3), np.uint8)] * len(x), seed)
    explainer = Explainer(Scorer(network, "logit", 2), {})
    runs = method_runs(methods)
    values = torch.cat([explainer(run, batch).maps for run in runs])
    again = AskAgain(explainer, batch, [Asked(run, range(len(x))) for run in runs])
    block = SimpleNamespace(inputs=Inputs(x, ids, seed))
    return block, Maps(values, torch.arange(len(x)).repeat(len(runs)), "stable", again)


class Peer(nn.Module):
    """The network of scripts/peers/quantus_again.py."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1)
        self.last = nn.Conv2d(3, 4, 3, padding=1)
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(torch.tanh(self.last(torch.tanh(self.first(x)))).mean(dim=(2, 3)))


def golden_state(prefix):
    return {
        name.removeprefix(prefix): torch.tensor(GOLDEN[name])
        for name in GOLDEN
        if name.startswith(prefix)
    }


def peer():
    """The block and maps of the golden file, and the module."""
    module = Peer().eval()
    module.load_state_dict(golden_state("trained/"))
    made = Preprocessing((11, 13), mean=(0.0,) * 3, std=(1.0,) * 3)
    network = Backbone.__new__(Backbone)
    network.__dict__ |= backbone().__dict__ | {"module": module, "preprocessing": made}
    network.num_classes = 5
    x, targets = torch.tensor(GOLDEN["x"]), torch.tensor(GOLDEN["y"])
    return *explained(network, {"peer": InputGradient()}, x, targets), module
