import pytest
import timm
import torch
import torchvision
from toy import ConvModel, same_state

from bench.backbones.loading import load_file, load_strictly
from bench.errors import BenchError, BenchWarning


def test_strict_loading(tmp_path, state):
    module = ConvModel(seed=4)
    load_strictly(module, state, tmp_path)
    assert same_state(module.state_dict(), state)
    del state["norm.num_batches_tracked"]
    load_strictly(module, state, tmp_path)


def test_what_does_not_fit_is_named_with_both_shapes(tmp_path, state):
    del state["first.bias"]
    state["extra"] = torch.zeros(1)
    state["head.weight"] = torch.zeros(9, 8)
    with pytest.raises(BenchError) as error:
        load_strictly(ConvModel(), state, tmp_path / "other.pth")
    message = str(error.value)
    assert "other.pth" in message
    assert "1 missing (first.bias)" in message
    assert "1 unexpected (extra)" in message
    assert "1 of another shape (head.weight: expected (4, 8), found (9, 8))" in message


@pytest.mark.parametrize("prefix", ["", "backbone."])
@pytest.mark.filterwarnings("ignore:.*taken off")
def test_a_layer_is_left_out_and_no_inner_one_of_that_name(tmp_path, prefix):
    def network(head):
        inner = torch.nn.ModuleDict({"head": torch.nn.Linear(3, 3), "norm": torch.nn.LayerNorm(3)})
        return torch.nn.ModuleDict({"inner": inner, "head": head})

    whole, headless = network(torch.nn.Linear(3, 5)), network(torch.nn.Identity())
    state = {f"{prefix}{name}": value for name, value in whole.state_dict().items()}
    torch.save(state, tmp_path / "whole.pth")
    load_file(headless, tmp_path / "whole.pth", without="head")
    assert same_state(headless["inner"].state_dict(), whole["inner"].state_dict())
    with pytest.raises(BenchError, match=r"2 unexpected \(.*head\.weight"):
        load_file(headless, tmp_path / "whole.pth")


def test_only_the_first_ten_are_named(tmp_path):
    state = {f"extra{number:02}": torch.zeros(1) for number in range(12)}
    with pytest.raises(BenchError, match=r"12 unexpected \(extra00;.*extra09, \.\.\.\)"):
        load_strictly(torch.nn.Identity(), state, tmp_path)


@pytest.mark.parametrize("prefix", ["model.", "backbone.", "net._orig_mod.", "model.module."])
def test_what_stands_in_front_of_all_names_is_taken_off_and_told(tmp_path, state, prefix):
    module = ConvModel(seed=4)
    with pytest.warns(BenchWarning, match=f": {prefix} taken off the names") as told:
        load_strictly(module, {prefix + name: value for name, value in state.items()}, tmp_path)
    assert len(told) == 1
    assert same_state(module.state_dict(), state)


def test_mmpretrain_has_two_prefixes(tmp_path):
    theirs = torchvision.models.resnet18(num_classes=7).state_dict()
    renamed = {
        f"{'head' if name.startswith('fc.') else 'backbone'}.{name}": value
        for name, value in theirs.items()
    }
    module = timm.create_model("resnet18", num_classes=7)
    with pytest.warns(BenchWarning, match=r"backbone\. and head\. taken off"):
        load_strictly(module, renamed, tmp_path)
    assert same_state(module.state_dict(), theirs)


def test_swas_counter_plays_no_part(tmp_path, recwarn):
    averaged = torch.optim.swa_utils.AveragedModel(ConvModel(seed=3)).state_dict()
    module = ConvModel(seed=4)
    with pytest.warns(BenchWarning, match=r"module\. taken off"):
        load_strictly(module, averaged, tmp_path)
    assert same_state(module.state_dict(), ConvModel(seed=3).state_dict())


def test_a_prefix_stays_where_not_everything_fits_without_it(tmp_path, state):
    """And the message is of the names without it: what else is wrong can be seen."""
    longer = {f"model.{name}": value for name, value in state.items()}
    longer["loss.weight"] = torch.zeros(1)
    with pytest.raises(BenchError, match=r"after model\. is taken off.*: 1 unexpected \(loss\.w"):
        load_strictly(ConvModel(), longer, tmp_path)


def test_the_network_twice(tmp_path, state):
    twice = {f"{net}.{name}": value for net in ("query", "key") for name, value in state.items()}
    with pytest.raises(BenchError, match=r"2 times, under query\. and key\.: .*backbone\.key=key$"):
        load_strictly(ConvModel(), twice, tmp_path)


@pytest.mark.parametrize("prefix", ["", "backbone."])
def test_a_missing_head_is_named(tmp_path, state, prefix):
    body = {prefix + name: value for name, value in state.items() if not name.startswith("head.")}
    with pytest.raises(BenchError, match=r"has no head.*: head\.weight, head\.bias missing\. With"):
        load_strictly(ConvModel(), body, tmp_path)
    body["projection.weight"] = torch.zeros(1)
    with pytest.raises(BenchError, match=r"has no head.*1 others, as projection\.weight\. Without"):
        load_strictly(ConvModel(), body, tmp_path)


def test_a_head_of_another_size_names_the_setting(tmp_path):
    with pytest.raises(BenchError, match=r"num_classes: this head has 9 classes$"):
        load_strictly(ConvModel(), ConvModel(9).state_dict(), tmp_path)


def test_torchvisions_names_are_told(tmp_path):
    theirs = torchvision.models.mobilenet_v2(num_classes=7).state_dict()
    module = timm.create_model("mobilenetv2_100", num_classes=7)
    with pytest.raises(BenchError, match=r"backbone=torchvision backbone\.name=mobilenet_v2$"):
        load_strictly(module, theirs, tmp_path, "mobilenetv2_100")
