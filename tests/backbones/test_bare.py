import pytest
import torch
from toy import ViewModel

from bench.backbones.bare import BareModel
from bench.errors import BenchError

X = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
LINEAR = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5)).eval()


class Changed(torch.nn.Module):
    """A network whose outputs are changed."""

    def __init__(self, change):
        super().__init__()
        self.network = LINEAR
        self.change = change

    def forward(self, x):
        return self.change(self.network(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda o: (o, o), "found a tuple of 2: wrap the network"),
        (lambda o: {"logits": o, "aux": o}, "found a dict with logits, aux: wrap the network"),
        (lambda o: None, "found a NoneType"),
        (lambda o: o[:, 0], r"found \(4,\): if that is one logit"),
        (lambda o: o[:, :, None, None], r"found \(4, 5, 1, 1\): return outputs\.flatten\(1\)"),
        (lambda o: o[:, :, None, None].expand(-1, -1, 2, 3), "one number a class"),
        (lambda o: o[:2], r"\(4, classes\) for 4 images, found \(2, 5\)"),
        (lambda o: o[:, :0], r"found \(4, 0\)"),
        (lambda o: o.argmax(1, keepdim=True), "found torch.int64: return scores of the classes"),
        (lambda o: o.to(torch.complex64), "found torch.complex64"),
        (lambda o: o @ o, "fails on inputs .* with RuntimeError"),
    ],
)
def test_other_outputs(change, message):
    with pytest.raises(BenchError, match=message):
        BareModel(Changed(change).eval(), "logits").outputs(X)


def test_view_of_a_convolution_gets_the_plain_format():
    model = ViewModel(size=8).eval()
    bare = BareModel(model, "logits")
    with pytest.warns(UserWarning, match="cannot take channels-last"):
        first = bare.outputs(X.contiguous(memory_format=torch.channels_last))
    assert torch.equal(first, model(X))
    # Told once, and kept to.
    assert torch.equal(bare.outputs(X.contiguous(memory_format=torch.channels_last)), first)


def test_other_networks_get_channels_last():
    seen = []
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten()).eval()
    model.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    bare = BareModel(model, "logits")
    bare.outputs(X)
    bare.outputs(X)
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)
    assert len(seen) == 2


def test_a_network_that_fails_in_place_is_tried_again_with_the_input_as_it_was():
    class InPlace(ViewModel):
        def forward(self, x):
            return super().forward(x.add_(1))

    model = InPlace(size=8).eval()
    with pytest.warns(UserWarning, match="channels-last"):
        found = BareModel(model, "logits").outputs(X)
    assert torch.equal(found, model(X.clone()))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_are_cast_and_outputs_are_float32_at_least(dtype):
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 5)).eval().to(dtype)
    found = BareModel(model, "logits").outputs(X)
    assert found.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(found, model(X.to(dtype)).to(found.dtype))


def test_one_output_is_two_classes():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 1)).eval()
    bare = BareModel(model, "logits")
    found, logits = bare.outputs(X), model(X)
    assert bare.output_kind == "binary"
    assert torch.equal(found, torch.cat([-logits, logits], dim=1))
    with pytest.raises(BenchError, match="found cosines: give it"):
        BareModel(model, "cosines").outputs(X)


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_frozen_torchscript_and_exported_networks():
    frozen = torch.jit.freeze(torch.jit.script(LINEAR))
    assert torch.equal(BareModel(frozen, "logits").outputs(X), LINEAR(X))
    batch = torch.export.Dim("batch")
    exported = torch.export.export(LINEAR, (X,), dynamic_shapes=({0: batch},)).module()
    assert torch.equal(BareModel(exported, "logits").outputs(X[:3]), LINEAR(X[:3]))
    fixed = torch.export.export(LINEAR, (X,)).module()
    assert torch.equal(BareModel(fixed, "logits").outputs(X), LINEAR(X))
    with pytest.raises(BenchError, match=r"say batch_size= that, or export it with a dynamic one"):
        BareModel(fixed, "logits").outputs(X[:3])


@pytest.mark.filterwarnings("ignore:`torch.jit")
def test_training_mode_is_seen():
    training = torch.nn.Sequential(LINEAR, torch.nn.Dropout())
    for model in (training, torch.jit.script(training), torch.nn.DataParallel(training)):
        with pytest.raises(BenchError, match=r"call model\.eval"):
            BareModel(model, "logits")
    LINEAR.eval()
    with pytest.raises(BenchError, match="found a function: define a"):
        BareModel(lambda x: x, "logits")
    with pytest.raises(BenchError, match="output_kind: unknown name 'logit'"):
        BareModel(LINEAR, "logit")
