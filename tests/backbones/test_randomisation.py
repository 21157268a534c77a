"""Parameters are drawn anew from the top, and put back to the bit."""

import pytest
import torch
from torch import nn
from toy import SIZE, ConvModel, backbone, same_state, transformer

from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.randomisation import (
    count_layers,
    in_stages,
    layers_from_the_top,
    put_back_after,
    randomise,
)
from bench.errors import BenchError


class Backwards(nn.Module):
    """Registers its layers in another order than it calls them, and one that it never calls."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(6, 4)
        self.scale = nn.Parameter(torch.linspace(1, 2, 6))
        self.inner = nn.ModuleDict({"used": nn.Linear(6, 6), "last": nn.Conv2d(3, 6, 3)})
        self.norm = nn.LayerNorm(6)

    def forward(self, x):
        x = self.inner["last"](x).mean(dim=(2, 3)) * self.scale
        x = nn.functional.linear(self.norm(x), self.inner["used"].weight)
        return self.head(x)


def network(module):
    preprocessing = Preprocessing(SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Backbone("layers", module.eval(), preprocessing, "logits", 4)


def test_the_order_is_that_of_the_forward_pass():
    found = layers_from_the_top(network(Backwards()), torch.zeros(2, 3, SIZE, SIZE))
    assert found == ["head", "norm", "inner.last", "inner.used", ""]
    assert count_layers(network(Backwards())) == 5


def test_position_embeddings_are_at_the_bottom():
    found = layers_from_the_top(transformer(), torch.zeros(1, 3, SIZE, SIZE))
    assert found[:2] == ["head", "norm"]
    assert found[-2:] == ["patch_embed.proj", ""]  # `pos_embed` and `cls_token` are the last one's


@pytest.mark.parametrize(
    ("stages", "sizes"), [(6, [3, 2, 2, 2, 2, 2]), (20, [1] * 13), (None, [1] * 13), (1, [13])]
)
def test_stages(stages, sizes):
    layers = [f"layer {number}" for number in range(13)]
    found = in_stages(layers, stages)
    assert [len(group) for group in found] == sizes
    assert [layer for group in found for layer in group] == layers
    assert in_stages([], stages) == []


def test_layers_are_drawn_as_new_ones():
    module = ConvModel()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    randomise(module, ["norm", "last"], seed=0)
    found = module.state_dict()
    assert {key for key in before if not torch.equal(found[key], before[key])} == {
        "norm.running_mean", "norm.running_var", "last.weight", "last.bias",
    }  # fmt: skip
    assert found["norm.running_var"].tolist() == [1] * 6
    assert found["last.weight"].abs().max() <= 1 / (6 * 9) ** 0.5  # the bound of torch's draws


@pytest.mark.parametrize("change", ["half", "channels_last", "company"])
def test_draws_depend_on_seed_and_name_alone(change):
    plain, other = ConvModel(), ConvModel(seed=1)
    if change == "half":
        other = other.half()
    elif change == "channels_last":
        other = other.to(memory_format=torch.channels_last)
    else:
        randomise(other, ["first", "head"], seed=3)
        torch.rand(5)
    for module in (plain, other):
        randomise(module, ["last"], seed=3)
    assert torch.equal(other.last.weight.float(), plain.last.weight.to(other.last.weight).float())
    again = ConvModel()
    randomise(again, ["last"], seed=4)
    assert not torch.equal(again.last.weight, plain.last.weight)
    randomise(again, ["first", "last"], seed=3)
    assert not torch.equal(again.last.weight[:, :3], again.first.weight[:, :3])


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    randomise(ConvModel(), ["first", "norm", "last", "head"], seed=0)
    assert torch.equal(torch.get_rng_state(), before)


class Scale(nn.Module):
    """Parameters that nothing resets, or not all of them."""

    def __init__(self, reset=None):
        super().__init__()
        self.gamma = nn.Parameter(5 + 2 * torch.randn(4000, generator=torch.manual_seed(0)))
        self.ones = nn.Parameter(torch.ones(7))
        self.single = nn.Parameter(torch.tensor(3.0))
        self.count = nn.Parameter(torch.arange(3), requires_grad=False)
        self.bias = nn.Parameter(torch.randn(9))
        if reset is not None:
            self.reset_parameters = reset


def test_what_nothing_resets_keeps_its_mean_and_deviation():
    module = Scale()
    before = module.gamma.detach().clone()
    randomise(module, [""], seed=0)
    assert not torch.equal(module.gamma, before)
    assert abs(torch.corrcoef(torch.stack([module.gamma.detach(), before]))[0, 1]) < 0.1
    assert module.gamma.mean().item() == pytest.approx(5, abs=0.2)
    assert module.gamma.std().item() == pytest.approx(2, abs=0.2)
    assert (module.single.item(), module.ones.tolist()) == (3, [1] * 7)
    assert module.count.tolist() == [0, 1, 2]


def test_a_reset_that_leaves_some_parameters_as_they_are():
    module = Scale()
    module.reset_parameters = lambda: nn.init.zeros_(module.bias)
    before = module.gamma.detach().clone()
    randomise(module, [""], seed=0)
    assert module.bias.tolist() == [0] * 9
    assert not torch.equal(module.gamma, before)


def test_a_reset_that_reaches_into_layers_inside():
    """Their turn comes by itself."""
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    module.shift = nn.Parameter(torch.randn(5))
    module.reset_parameters = lambda: [layer.reset_parameters() for layer in (module[0], module[1])]
    before = {key: value.clone() for key, value in module.state_dict().items()}
    randomise(module, [""], seed=0)
    found = module.state_dict()
    changed = {key for key in before if not torch.equal(found[key], before[key])}
    assert changed == {"shift"}


def test_a_reset_that_fails():
    module = nn.ModuleDict({"odd": Scale(reset=lambda: 1 // 0)})
    before = {key: value.clone() for key, value in module.state_dict().items()}
    with pytest.raises(BenchError, match=r"^layer 'odd' \(Scale\): .* raised ZeroDivisionError: "):
        randomise(module, ["odd"], seed=0)
    assert same_state(module.state_dict(), before)


@pytest.mark.parametrize("end", [None, RuntimeError, KeyboardInterrupt])
def test_everything_is_put_back(end):
    module = backbone().module
    before = {key: value.clone() for key, value in module.state_dict().items()}
    places = [tensor.data_ptr() for tensor in module.state_dict().values()]
    try:
        with put_back_after(module) as put_back:
            randomise(module, ["norm", "last"], seed=0)
            put_back()
            assert same_state(module.state_dict(), before)
            randomise(module, ["norm", "first", "head"], seed=0)
            assert not same_state(module.state_dict(), before)
            if end is not None:
                raise end
    except (RuntimeError, KeyboardInterrupt) as error:
        assert type(error) is end
    assert same_state(module.state_dict(), before)
    assert [tensor.data_ptr() for tensor in module.state_dict().values()] == places
