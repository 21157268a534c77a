"""Whatever a method leaves changed is put back; what can alter scores is told."""

import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize
from toy import SIZE, ConvModel, Preprocessing, backbone, make_batch

from bench.attribution.guard import Isolation, guarded
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, state_sha256


class Network(ConvModel):
    """With modules to swap, a tied weight, NaN, and tensors that are not registered."""

    def __init__(self):
        super().__init__()
        self.act = nn.ReLU(inplace=True)
        self.drop = nn.Dropout(0.3)
        self.tied = nn.Linear(8, 4)
        self.tied.weight = self.head.weight
        self.scale = torch.full((8, 1, 1), 1.5)
        self.shifts = [torch.zeros(()), torch.full((), 0.25)]
        self.register_buffer("unused", torch.full((2,), torch.nan), persistent=False)

    def forward(self, x):
        x = self.act(self.norm(self.first(x)))
        x = self.drop(functional.relu(self.last(x) * self.scale + self.shifts[1]))
        return self.tied(x.mean(dim=(2, 3)))


def make_scorer(module=None):
    preprocessing = Preprocessing(SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    network = Backbone(
        "net",
        module or Network(),
        preprocessing,
        "logits",
        4,
        cam_layer="last",
        feature_layer="last",
    )
    return Scorer(network, "probability", 4)


class Ones(nn.Module):
    def forward(self, weight):
        return torch.ones_like(weight)


def mutate(code):
    """A method that runs a statement on a network and some inputs."""

    def call(scorer, x):
        names = {"scorer": scorer, "net": scorer.backbone.module, "x": x, "keep": _KEPT}
        names |= {"torch": torch, "nn": nn, "np": np, "functional": functional, "Ones": Ones}
        exec(code, names | {"parametrize": parametrize, "random": random})

    return call


_KEPT = []  # contexts that are left open must outlive the call

HARMFUL = {
    "net.train()": "training mode of Network, first, norm and 5 more",
    "net.drop.train()": "training mode of drop",
    "net.norm.train(); net(x); net.norm.eval()": "buffer norm.running_mean, norm.running_var",
    "net.norm.running_var.data += 1": "buffer norm.running_var",
    "net.norm.running_mean.numpy()[1] = 7": "buffer norm.running_mean",
    "net.head.weight.data.mul_(2)": "parameter head.weight, tied.weight",
    "net.last.weight.numpy()[...] *= 2": "parameter last.weight",
    "net.last.weight.data = torch.zeros(8, 6, 3, 3)": "parameter last.weight",
    "net.last.weight = nn.Parameter(torch.zeros(8, 6, 3, 3))": "parameter last.weight",
    "net.last.bias = None": "parameter last.bias",
    "del net.last.bias": "parameter last.bias",
    "net.norm.running_var = torch.ones(6)": "buffer norm.running_var",
    "net.to(memory_format=torch.contiguous_format)": "parameter first.weight, last.weight",
    "net.double()": "parameter first.weight",
    "net.half().float()": "parameter first.weight",
    "net.scale.zero_()": "tensor Network.scale",
    "net.shifts[1] = torch.ones(())": "tensor Network.1",
    "net.shifts.append(3)": "attribute Network.shifts",
    "net.act = nn.Softplus(2.0)": "submodule Network.act",
    "net.add_module('extra', nn.ReLU())": "submodule Network.extra",
    "del net.drop": "submodule Network.drop",
    "net.drop.p = 0.9": "attribute drop.p",
    "net.first.stride = (1, 1)": "attribute first.stride",
    "net.act.forward = torch.sigmoid": "attribute act.forward",
    "net.act.__class__ = nn.Sigmoid": "class of act",
    "nn.ReLU.forward = lambda self, x: x.sigmoid()": "function ReLU.forward",
    "nn.Conv2d._conv_forward = lambda self, x, *_: x": "function Conv2d._conv_forward",
    "nn.Module.__call__ = lambda self, x: x": "function Module.__call__",
    "functional.relu = torch.sigmoid": "function torch.nn.functional.relu",
    "torch.relu = torch.sigmoid": "function torch.relu",
    "torch.Tensor.mean = torch.Tensor.sum": "function Tensor.mean",
    "parametrize.register_parametrization(net.head, 'weight', Ones())": "class of head",
    "scorer.score = 'logit'": "attribute scorer.score",
    "scorer.backbone.precision = 'bf16'": "attribute backbone.precision",
    "torch.set_grad_enabled(False)": "torch's grad mode",
    "keep.append(torch.no_grad()); keep[-1].__enter__()": "torch's grad mode",
    "keep.append(torch.inference_mode()); keep[-1].__enter__()": "torch's grad mode",
    "torch.set_default_dtype(torch.float64)": "torch's default dtype",
    "torch.set_default_device('meta')": "torch's default device",
    "torch.set_num_threads(torch.get_num_threads() + 1)": "torch's number of threads",
    "torch.set_float32_matmul_precision('medium')": "torch's float32 matmul precision",
    "torch.use_deterministic_algorithms(True, warn_only=True)": "torch's deterministic algorithms",
    "torch.set_flush_denormal(True)": "torch's flushing of denormal numbers",
    "torch.autograd.set_detect_anomaly(True)": "torch's anomaly detection",
    "torch.set_autocast_enabled('cpu', True)": "torch's autocast on cpu",
    "torch.set_autocast_dtype('cpu', torch.float16)": "torch's autocast on cpu",
    "torch.backends.mha.set_fastpath_enabled(False)": "torch's fast path of attention",
    "torch.backends.cuda.enable_math_sdp(False)": "torch's math attention",
    "torch.backends.cuda.matmul.allow_tf32 = True": "torch's float32 matmul precision",
    "torch.backends.cudnn.allow_tf32 ^= True": "torch's backends.cudnn.",
    "torch.backends.cudnn.benchmark = True": "torch's backends.cudnn.benchmark",
    "torch.backends.cudnn.deterministic = True": "torch's backends.cudnn.deterministic",
    "torch.backends.cudnn.enabled = False": "torch's backends.cudnn.enabled",
    "torch._C._set_mkldnn_enabled(False)": "torch's backends.mkldnn.enabled",
}

HARMLESS = [
    "net.last.register_forward_hook(lambda *call: call[2] * 2)",
    "net.last.register_forward_pre_hook(lambda *call, **_: None, with_kwargs=True)",
    "net.last.register_full_backward_hook(lambda *call: None)",
    "net.last.register_backward_hook(lambda *call: None)",
    "net.last.register_full_backward_pre_hook(lambda *call: None)",
    "net.last.register_state_dict_post_hook(lambda *call: None)",
    "nn.modules.module.register_module_forward_hook(lambda *call: call[2] * 2)",
    "nn.modules.module.register_module_full_backward_hook(lambda *call: None)",
    "net.requires_grad_(True)",
    "net.requires_grad_(True); net(x).sum().backward()",
    "w = net.head.weight.requires_grad_(); w.register_hook(lambda g: g * 2)",
    "w = net.head.weight.requires_grad_(); w.register_post_accumulate_grad_hook(lambda p: None)",
    "torch.rand(3); np.random.rand(3); random.random()",
    "torch.manual_seed(3); np.random.seed(3); random.seed(3)",
    "old = net.act; net.act = nn.Sigmoid(); net(x); net.act = old",
    "net.train(); net.eval()",
    "net.head.weight.data = net.head.weight.data.clone()",
    "state = {key: value.clone() for key, value in net.state_dict().items()};"
    "[value.add_(1) for value in net.parameters()]; net.load_state_dict(state)",
    "net.double().float()",
    "scorer.batch_size = 1",
    "__import__('os').chdir('/')",
    "torch.Tensor.a_method_of_a_package = lambda self: 3",
]


def everything(scorer):
    """All that must be as before, to be compared."""
    module, generators = scorer.backbone.module, torch.get_rng_state()
    backends = torch.backends
    parts = [module, *module.modules(), *module.parameters(), *module.buffers()]
    return {
        "objects": [(name, id(layer)) for name, layer in module.named_modules()],
        "tensors": [(id(tensor), tensor.data_ptr(), tensor.stride())
                    for tensor in parts[1:] if _is(tensor)],
        "attributes": [sorted(vars(layer)) for layer in module.modules()],
        "hooks": [len(value) for layer in module.modules() for key, value in vars(layer).items()
                  if "hook" in key and isinstance(value, dict)],
        "marks": [layer._is_full_backward_hook for layer in module.modules()],
        "global hooks": [(key, str(value)) for key, value in vars(nn.modules.module).items()
                         if key.startswith("_global_")],
        "modes": [layer.training for layer in module.modules()],
        "gradients": [(parameter.requires_grad, parameter.grad)
                      for parameter in module.parameters()],
        "tensor hooks": [parameter._backward_hooks for parameter in module.parameters()],
        "weights": state_sha256(module),
        "loose": (module.scale.tolist(), [float(shift) for shift in module.shifts]),
        "torch": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.rand(1).dtype,
                  torch.get_default_device(), torch.get_num_threads(), torch.is_anomaly_enabled(),
                  torch.get_float32_matmul_precision(), torch.is_autocast_enabled("cpu"),
                  torch.are_deterministic_algorithms_enabled(), torch.get_autocast_dtype("cpu"),
                  torch.tensor(1e-40).mul(1).item() == 0),
        "backends": (backends.cudnn.enabled, backends.cudnn.benchmark, backends.cudnn.allow_tf32,
                     backends.cudnn.deterministic, backends.cuda.matmul.allow_tf32,
                     backends.mkldnn.enabled, backends.mha.get_fastpath_enabled(),
                     backends.cuda.math_sdp_enabled(),
                     getattr(backends.cuda.matmul, "fp32_precision", None)),
        "generators": (generators.tolist(), str(np.random.get_state()), random.getstate()),  # noqa: NPY002
        "class": [type(layer) for layer in module.modules()],
        "functions": (nn.ReLU.forward, nn.Conv2d._conv_forward, functional.relu, torch.relu,
                      torch.Tensor.mean),
        "scorer": (scorer.score, scorer.backbone.precision),
        "folder": Path.cwd(),
    }  # fmt: skip


def _is(value):
    return isinstance(value, torch.Tensor)


def call(scorer, method, x, **settings):
    """What was told of the changes that a method left."""
    told = []
    with guarded(scorer, x, told.append, **settings):
        method(scorer, x)
    return told


@pytest.mark.parametrize("code", [*HARMFUL, *HARMLESS])
def test_all_that_is_left_is_put_back_and_what_can_alter_scores_is_told(code):
    scorer, x = make_scorer(), make_batch().x
    assert scorer.backbone.module.drop.training is False
    outputs = scorer.outputs_in_batches(x)
    torch.rand(1)
    with torch.random.fork_rng(devices=[]):
        before = everything(scorer)
    told = call(scorer, mutate(code), x)
    with torch.random.fork_rng(devices=[]):
        after = everything(scorer)
    assert before == after
    assert torch.equal(scorer.outputs_in_batches(x), outputs)
    if code in HARMFUL:
        (line,) = told
        assert HARMFUL[code] in line
    else:
        assert told == []


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_method_that_raises_midway_is_put_back_too(error):
    scorer, x = make_scorer(), make_batch().x
    module = scorer.backbone.module
    weights, outputs = state_sha256(module), scorer.outputs_in_batches(x)
    told = []
    with pytest.raises(error), guarded(scorer, x, told.append):
        module.train()
        module(x)
        module.act = nn.Softplus()
        torch.set_default_dtype(torch.float64)
        raise error
    assert torch.get_default_dtype() == torch.float32
    assert state_sha256(module) == weights
    assert torch.equal(scorer.outputs_in_batches(x), outputs)
    assert told == []


class Counts(Network):
    """In eval mode, too, a pass changes a buffer and an attribute, and its gradient another."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.passes += 1
        self.last_input = x.detach()
        outputs = super().forward(x)
        if outputs.requires_grad:
            outputs.register_hook(lambda gradient: setattr(self, "gradient", gradient))
        return outputs


def test_what_a_pass_changes_is_not_the_methods_doing():
    scorer, x = make_scorer(Counts()), make_batch().x
    targets, before = torch.zeros(len(x), dtype=torch.int64), scorer.backbone.module.passes.item()
    assert call(scorer, lambda scorer, x: scorer.input_gradients(x, targets), x) == []
    assert scorer.backbone.module.passes == before
    (line,) = call(scorer, mutate("net(x); net.head.bias.data += 1"), x)
    assert line == "parameter head.bias"


def test_what_torch_compile_replaces_is_no_change(monkeypatch):
    scorer, x, init = make_scorer(), make_batch().x, nn.Module.__init__

    def method(scorer, x):
        monkeypatch.setattr(
            nn.Module, "__init__", lambda *arguments, **named: init(*arguments, **named)
        )

    assert call(scorer, method, x) == []


def test_other_networks_are_guarded_too():
    scorer, x, other = make_scorer(), make_batch().x, backbone(seed=1).module
    weights = state_sha256(other)

    def method(scorer, x):
        other.norm.train()(torch.rand(2, 6, 3, 3))

    (line,) = call(scorer, method, x, networks=[other, scorer.backbone.module])
    assert line.startswith("buffer norm.running_mean, norm.running_var")
    assert state_sha256(other) == weights
    assert not other.norm.training


def test_the_outer_of_two_guards_tells_and_calls_inside_are_isolated():
    scorer, x = make_scorer(), make_batch().x
    module, inner, modes = scorer.backbone.module, [], []

    def method(scorer, x):
        isolated = Isolation(scorer)
        with guarded(scorer, x, inner.append):
            for _ in range(3):
                with isolated():
                    modes.append(module.training)
                    module.train()
                    module.last.register_forward_hook(lambda *call: None)
            module.norm(torch.rand(2, 6, 3, 3))

    hooks = []
    assert call(scorer, method, x, report_hooks=hooks.append) == [
        "training mode of Network, first, norm and 5 more"
    ]
    assert inner == hooks == []
    assert modes == [False] * 3
    assert not module.last._forward_hooks


def test_hooks_are_told_apart_from_changes():
    scorer, x, told = make_scorer(), make_batch().x, []
    method = mutate("net.last.register_forward_hook(lambda *call: None)")
    assert call(scorer, method, x, report_hooks=told.append) == []
    assert told == ["hooks of last"]
