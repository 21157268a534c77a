import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional
from toy import Faces

from bench.backbones.arcface import IResNet, arcface_r100, edl_r100
from bench.errors import BenchError


def insightface_shapes():
    """Parameters and statistics of arcface_torch's iresnet100, as its state dict names them."""
    shapes = {"conv1.weight": (64, 3, 3, 3), "prelu.weight": (64,)}

    def norm(name, channels):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    norm("bn1", 64)
    channels = 64
    for layer, (planes, blocks) in enumerate([(64, 3), (128, 13), (256, 30), (512, 3)], start=1):
        for block in range(blocks):
            name = f"layer{layer}.{block}"
            norm(f"{name}.bn1", channels)
            shapes[f"{name}.conv1.weight"] = (planes, channels, 3, 3)
            norm(f"{name}.bn2", planes)
            shapes[f"{name}.prelu.weight"] = (planes,)
            shapes[f"{name}.conv2.weight"] = (planes, planes, 3, 3)
            norm(f"{name}.bn3", planes)
            if block == 0:
                shapes[f"{name}.downsample.0.weight"] = (planes, channels, 1, 1)
                norm(f"{name}.downsample.1", planes)
            channels = planes
    norm("bn2", 512)
    shapes |= {"fc.weight": (512, 25088), "fc.bias": (512,)}
    norm("features", 512)
    return shapes


@pytest.fixture(scope="module")
def state():
    draws = torch.Generator().manual_seed(0)
    made = {}
    for name, shape in insightface_shapes().items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(7)
        elif "running_var" in name or (len(shape) == 1 and name.endswith("weight")):
            made[name] = 0.5 + torch.rand(shape, generator=draws)
        else:
            fan_in = torch.Size(shape[1:]).numel() if len(shape) > 1 else 100
            made[name] = torch.randn(shape, generator=draws) / fan_in**0.5
    return made


@pytest.fixture(scope="module")
def saved(state, tmp_path_factory):
    """Its file, as arcface_torch writes it: a quarter of a gigabyte."""
    path = tmp_path_factory.mktemp("arcface") / "backbone.pth"
    torch.save(state, path)
    return str(path)


@pytest.fixture(scope="module")
def embeddings(state):
    """Those of `X`, by the slow network."""
    with torch.inference_mode():
        return slow_forward(state, X, (3, 13, 30, 3))


def slow_forward(state, x, blocks):
    """The network in functional form."""

    def norm(x, name):
        return functional.batch_norm(
            x, state[f"{name}.running_mean"], state[f"{name}.running_var"],
            state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-5,
        )  # fmt: skip

    x = functional.conv2d(x, state["conv1.weight"], padding=1)
    x = functional.prelu(norm(x, "bn1"), state["prelu.weight"])
    for layer, count in enumerate(blocks, start=1):
        for block in range(count):
            name, stride = f"layer{layer}.{block}", 2 if block == 0 else 1
            y = functional.conv2d(norm(x, f"{name}.bn1"), state[f"{name}.conv1.weight"], padding=1)
            y = functional.prelu(norm(y, f"{name}.bn2"), state[f"{name}.prelu.weight"])
            y = functional.conv2d(y, state[f"{name}.conv2.weight"], padding=1, stride=stride)
            if block == 0:
                x = functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=2)
                x = norm(x, f"{name}.downsample.1")
            x = x + norm(y, f"{name}.bn3")
    x = functional.linear(norm(x, "bn2").flatten(1), state["fc.weight"], state["fc.bias"])
    return norm(x, "features")


X = torch.rand(2, 3, 112, 112, generator=torch.Generator().manual_seed(2)) * 2 - 1


def test_backbone_pth_loads_and_gives_cosines(tmp_path, saved, embeddings):
    classes = torch.randn(7, 512, generator=torch.Generator().manual_seed(1))
    torch.save({"state_dict_softmax_fc": {"weight": classes}}, tmp_path / "head.pt")
    network = arcface_r100(saved, head=str(tmp_path / "head.pt"))
    with torch.inference_mode():
        features, outputs = network.features(X), network.outputs(X)
    assert (features - embeddings).abs().max() <= 1e-5 * embeddings.abs().max()
    cosines = functional.normalize(embeddings) @ functional.normalize(classes).T
    assert (outputs - cosines).abs().max() <= 1e-5
    assert (network.output_kind, network.num_classes) == ("cosines", 7)
    assert network.layer().weight.shape == (512, 512, 3, 3)
    assert network.to_input(torch.tensor([0.0, 127.5, 255])).tolist() == [
        -127.5 / 128,
        0,
        127.5 / 128,
    ]


def test_edl_networks_have_a_linear_head(tmp_path, state, embeddings):
    """`edl-101-*.pth` of arXiv 2402.09164, saved from DataParallel."""
    draws = torch.Generator().manual_seed(3)
    weight, bias = torch.randn(9, 512, generator=draws) / 20, torch.randn(9, generator=draws)
    linear = {"fc2.weight": weight, "fc2.bias": bias}
    wrapped = {f"module.{name}": value for name, value in (state | linear).items()}
    torch.save(wrapped, tmp_path / "edl.pth")
    network = arcface_r100(str(tmp_path / "edl.pth"))
    with torch.inference_mode():
        expected = embeddings @ linear["fc2.weight"].T + linear["fc2.bias"]
        scale = (embeddings.abs() @ weight.T.abs()).max()  # what rounding is relative to
        assert (network.outputs(X) - expected).abs().max() <= 1e-5 * scale
    assert (network.output_kind, network.num_classes) == ("logits", 9)
    edl = edl_r100(str(tmp_path / "edl.pth"))  # the same network, prepared as its authors do
    assert edl.identity()["weights_sha256"] == network.identity()["weights_sha256"]
    image = np.random.default_rng(0).integers(0, 256, (130, 120, 3), dtype=np.uint8)
    resized = np.asarray(Image.fromarray(image).resize((112, 112), Image.Resampling.BILINEAR))
    expected = (resized / 255 - 0.5) / 0.5
    assert np.abs(edl.preprocess([image])[0].permute(1, 2, 0).numpy() - expected).max() <= 1e-6


def test_prototypes_serve_where_there_is_no_head(tmp_path, state):
    torch.save({"state_dict_backbone": state, "epoch": 1}, tmp_path / "checkpoint.pt")
    network = arcface_r100(str(tmp_path / "checkpoint.pt"), gallery=Faces(2), cache=str(tmp_path))
    assert (network.output_kind, network.num_classes, len(network.enrolled)) == ("cosines", 2, 4)


def test_another_network_is_refused_by_name(tmp_path, state):
    small = {name: tensor for name, tensor in state.items() if not name.startswith("layer3.29")}
    torch.save(small, tmp_path / "backbone.pth")
    with pytest.raises(BenchError, match=r"missing \(layer3\.29\.bn1\.weight"):
        arcface_r100(str(tmp_path / "backbone.pth"), gallery=Faces(2))


def test_smaller_ones_by_the_same_code():
    network = IResNet(blocks=(1, 2), width=8, size=20)
    assert network.eval()(torch.zeros(1, 3, 20, 20)).shape == (1, 512)


def test_a_gallery_takes_the_place_of_the_networks_own_head(tmp_path, state):
    linear = {"fc2.weight": torch.zeros(9, 512), "fc2.bias": torch.zeros(9)}
    torch.save(state | linear, tmp_path / "edl.pth")
    network = arcface_r100(str(tmp_path / "edl.pth"), gallery=Faces(2), cache=str(tmp_path))
    assert (network.output_kind, network.num_classes) == ("cosines", 2)
