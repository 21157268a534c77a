"""Methods of other packages: called as they want, and our own methods next to them."""

import random
import sys
from pathlib import Path

import adapted
import cv2
import numpy as np
import pytest
import timm
import torch
from captum import attr
from toy import IDS, SIZE, backbone, make_batch, swin, transformer

from bench.attribution import adapters
from bench.attribution.adapters import Captum, Function, GradCamPackage
from bench.attribution.cam import (
    AblationCAM,
    GradCAM,
    GradCAMPlusPlus,
    LayerCAM,
    XGradCAM,
    _first_component,
)
from bench.attribution.gradient import (
    ChannelIntegratedGradients,
    GradientInput,
    IntegratedGradients,
    Saliency,
    SignedGradient,
)
from bench.attribution.masking import Occlusion
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, Preprocessing
from bench.errors import BenchError
from bench.score import SCORES, class_scores, target_scores

GOLDEN = Path(__file__).parents[1] / "golden"


def timm_backbone():
    """A classifier of timm with random weights, whose ReLUs work in place."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = timm.create_model("resnet18", num_classes=4, zero_init_last=False)
    preprocessing = Preprocessing(64, mean=(120.0,) * 3, std=(60.0,) * 3)
    return Backbone("resnet18", module, preprocessing, "logits", 4, cam_layer="layer3.0.conv1")


def timm_batch():
    x = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    return Batch(x, torch.tensor([1, 3, 0]), IDS[:3], [np.zeros((4, 4, 3), np.uint8)] * 3)


NETWORKS = {"toy": (backbone, make_batch), "timm": (timm_backbone, timm_batch)}


@pytest.fixture(params=NETWORKS)
def network(request):
    """A network's scorer and inputs."""
    build, inputs = NETWORKS[request.param]
    return Scorer(build(), "probability", 4), inputs()


def assert_close(found, expected, tolerance=1e-4):
    assert found.shape == expected.shape
    assert expected.abs().max() > 0
    assert (found - expected).abs().max() <= tolerance * expected.abs().max()


@pytest.mark.parametrize("batched", [False, True])
@pytest.mark.parametrize(
    ("ours", "captum", "factor"),
    [
        (Saliency(), {"attribution": "captum.attr.Saliency", "channels": "abs_max"}, 1),
        (GradientInput(), {"attribution": "captum.attr.InputXGradient"}, 1),
        (  # our mean divides by the 11 - 1 intervals, Captum's by the 11 points
            IntegratedGradients(11),
            {
                "attribution": "captum.attr.IntegratedGradients",
                "attribute": {"n_steps": 11, "method": "riemann_trapezoid"},
            },
            11 / 10,
        ),
        (
            GradCAM(),
            {
                "attribution": "captum.attr.LayerGradCam",
                "attribute": {"relu_attributions": True},
                "upsampling": "bicubic",
            },
            1,
        ),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, dict) else "",
)
def test_our_methods_equal_captums(network, ours, captum, factor, batched):
    scorer, batch = network
    assert_close(factor * Captum(**captum, batched=batched)(scorer, batch), ours(scorer, batch))


def test_maps_with_channels_equal_captums(network):
    """What MFABA's table calls SM and IG, channel by channel."""
    scorer, batch = network
    inputs = {"inputs": batch.x.clone(), "additional_forward_args": (batch.targets,)}
    found = attr.Saliency(scorer).attribute(**inputs, abs=False)
    assert_close(SignedGradient()(scorer, batch), found)
    integrated = attr.IntegratedGradients(scorer).attribute(
        **inputs, n_steps=50, method="riemann_trapezoid"
    )
    assert_close(49 / 50 * ChannelIntegratedGradients(50)(scorer, batch), integrated.float())


def test_our_occlusion_equals_captums_where_patches_tile_the_image():
    """Captum takes the mean over the patches that cover a pixel, we take Xplique's sum."""
    size, batch = 24, make_batch()
    batch = Batch(batch.x[:, :, :1, :1].expand(-1, 3, size, size) + torch.rand(size, size),
                  batch.targets, batch.image_ids, batch.images)  # fmt: skip
    scorer = Scorer(backbone(size=size), "probability", 4)
    attribute = {"sliding_window_shapes": [3, 8, 8], "strides": [3, 8, 8], "baselines": 0}
    captum = Captum("captum.attr.Occlusion", attribute=attribute)
    assert_close(captum(scorer, batch), Occlusion(patch_size=8, stride=8)(scorer, batch), 1e-3)


def golden_network():
    """The package's golden arrays, and the network and inputs that they were made of."""
    golden = np.load(GOLDEN / "grad_cam.npz")
    network = backbone()
    state = {k.removeprefix("weight "): v for k, v in golden.items() if k.startswith("weight ")}
    network.module.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    x, targets = torch.from_numpy(golden["x"]), torch.from_numpy(golden["targets"])
    return golden, Scorer(network, "logit", 4), x, targets


def assert_equal_to_the_package(small, expected):
    """Before enlarging, which that package does after scaling, by another kernel."""
    size = tuple(expected.shape[:0:-1])
    for saliency, wanted in zip(small.numpy(), expected, strict=True):
        found = adapted.scaled(cv2.resize(adapted.scaled(saliency), size))
        assert np.abs(found - wanted).max() <= 1e-3


CAMS = {
    "GradCAM": GradCAM(),
    "GradCAMPlusPlus": GradCAMPlusPlus(),
    "LayerCAM": LayerCAM(),
    "XGradCAM": XGradCAM(),
}


@pytest.mark.parametrize("name", CAMS)
def test_gradient_cams_equal_the_package_grad_cams(name):
    golden, scorer, x, targets = golden_network()
    gradients, activations = scorer.layer_gradients(x, targets)
    # Equation 19 of Grad-CAM++ has the sum over pixels where Xplique, and so we, have the mean.
    factor = gradients[0, 0].numel() if name == "GradCAMPlusPlus" else 1
    weights = CAMS[name]._weights(gradients * factor, activations)
    maps = (weights * activations).sum(dim=1).relu()
    assert_equal_to_the_package(maps, golden[f"maps {name}"])


def test_ablation_cam_equals_the_package_grad_cams():
    golden, scorer, x, targets = golden_network()
    batch = Batch(x, targets, IDS, [np.zeros((4, 4, 3), np.uint8)] * len(x))
    maps, activations = AblationCAM()._maps(scorer, batch), scorer.layer_activations(x)
    assert maps.shape == (len(x), *activations.shape[2:])
    assert_equal_to_the_package(maps, golden["maps AblationCAM"])


def test_components_equal_the_package_grad_cams_but_for_their_sign():
    golden, scorer, x, _ = golden_network()
    activations = scorer.layer_activations(x)
    for channels, expected in zip(activations, golden["components"], strict=True):
        found = _first_component(channels).numpy()
        sign = np.sign((found * expected).sum())
        assert np.abs(sign * found - expected).max() <= 1e-4 * np.abs(expected).max()
        strength = channels.norm(dim=0).numpy()
        assert np.corrcoef(found.ravel(), strength.ravel())[0, 1] > 0


@pytest.mark.parametrize(("kind", "make"), [("swin", swin), ("vit", transformer)])
def test_grad_cam_of_transformers_equals_the_package_grad_cams(kind, make):
    """It was given the layer and its `reshape_transform`; here both are found."""
    golden = np.load(GOLDEN / "grad_cam.npz")
    network = make() if kind == "swin" else make(img_size=(32, 24))
    start = f"{kind} weight "
    state = {k.removeprefix(start): v for k, v in golden.items() if k.startswith(start)}
    network.module.load_state_dict({k: torch.from_numpy(v) for k, v in state.items()})
    x, targets = torch.from_numpy(golden["transformers x"]), torch.tensor([0, 3, 1])
    gradients, activations = Scorer(network, "logit", 2).layer_gradients(x, targets)
    weights = gradients.mean(dim=(2, 3), keepdim=True)
    maps = (weights * activations).sum(dim=1).relu()
    assert_equal_to_the_package(maps, golden[f"{kind} maps"])


def test_layers_whose_channels_come_last():
    """grad-cam gets its `reshape_transform`, unless there is one; Captum is refused."""
    network = swin()
    assert GradCamPackage("adapted.GradCam")._reshape(backbone()) == {}
    (reshape,) = GradCamPackage("adapted.GradCam")._reshape(network).values()
    assert reshape(torch.zeros(2, 4, 3, 24)).shape == (2, 24, 4, 3)
    stated = GradCamPackage("adapted.GradCam", {"reshape_transform": None})
    assert stated._reshape(network) == {}
    with pytest.raises(BenchError, match=r"^layer: .*'norm', which gives bhwc: use a method of"):
        Captum("captum.attr.LayerGradCam").check(network)
    Captum("captum.attr.Saliency").check(network)


@pytest.mark.parametrize("score", SCORES)
def test_the_module_gives_the_scores_of_all_classes(score):
    for kind in SCORES[score]:
        outputs = torch.rand(3, 5, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
        every = class_scores(outputs, score, kind)
        for label in range(5):
            selected = target_scores(outputs, torch.full((3,), label), score, kind)
            torch.testing.assert_close(every[:, label], selected)
    scorer, batch = Scorer(backbone(), "probability", 4), make_batch()
    maps = Function("adapted.scores", channels="sum")(scorer, batch)
    torch.testing.assert_close(maps, torch.ones_like(maps))  # probabilities


def test_a_class_without_probability_spoils_no_gradient():
    outputs = torch.tensor([[0.25, 0.75, 0.0]], requires_grad=True)
    class_scores(outputs, "log_probability", "probabilities")[0, 0].backward()
    assert outputs.grad.tolist() == [[4, 0, 0]]


@pytest.mark.parametrize(
    ("attribution", "attribute"),
    [
        ("DeepLift", {}),
        ("GuidedBackprop", {}),
        ("GuidedGradCam", {}),
        ("LayerConductance", {"n_steps": 5}),
        ("LayerActivation", {}),
        ("GradientShap", {"baselines": torch.zeros(2, 3, SIZE, SIZE)}),
    ],
)
def test_captums_that_want_something_else(attribution, attribute):
    """A module, a layer, no target, draws: each image's map is the same in any company."""
    scorer = Scorer(backbone(), "probability", 4)
    method = Captum(f"captum.attr.{attribution}", attribute=attribute)
    every = method(scorer, make_batch())
    assert every.shape == (5, SIZE, SIZE)
    assert every.abs().max() > 0
    assert torch.equal(method(scorer, make_batch([IDS[3], IDS[1]])), every[[3, 1]])


def test_passes_are_counted_where_others_make_them():
    forward, backward = [], []
    scorer = Scorer(
        backbone(), "probability", 4, on_forward=forward.append, on_backward=backward.append
    )
    Captum("captum.attr.IntegratedGradients", attribute={"n_steps": 7})(scorer, make_batch())
    assert (sum(forward), sum(backward)) == (35, 35)
    GradCamPackage("adapted.GradCam")(scorer, make_batch())
    assert (sum(forward), sum(backward)) == (40, 40)
    Function("adapted.scores")(scorer, make_batch())
    assert (sum(forward), sum(backward)) == (45, 40)
    Function("adapted.scores", batched=True)(scorer, make_batch())  # two batches of four
    assert (sum(forward), sum(backward)) == (53, 40)


def test_passes_are_those_that_the_user_tells():
    assert Function("adapted.scores").passes(backbone()) is None
    told = Function("adapted.scores", forward_passes=3, backward_passes=2)
    assert told.passes(backbone()) == (3, 2)
    assert Function("adapted.scores").forward_passes is None


@pytest.mark.parametrize("batched", [False, True])
def test_classes_of_the_package_grad_cam(network, batched):
    """In place ReLUs, frozen weights: its arguments go where they belong."""
    scorer, batch = Scorer(network[0].backbone, "logit", 4), network[1]
    method = GradCamPackage("adapted.GradCam", batched=batched)
    maps = method(scorer, batch)
    gradients, activations = scorer.layer_gradients(batch.x, batch.targets)
    weights = GradCAM()._weights(gradients, activations)
    small = (weights * activations).sum(dim=1).relu().numpy()
    side = batch.x.shape[2]
    for saliency, cam in zip(maps.numpy(), small, strict=True):
        expected = adapted.scaled(cv2.resize(adapted.scaled(cam), (side, side)))
        assert np.abs(saliency - expected).max() <= 1e-4
    negative = GradCamPackage("adapted.GradCam", call={"negative": True}, batched=batched)
    assert torch.equal(negative(scorer, batch), -maps)
    squared = GradCamPackage("adapted.GradCam", arguments={"power": 2}, batched=batched)
    assert not torch.equal(squared(scorer, batch), maps)


def test_another_layer_by_its_name():
    scorer, batch = Scorer(backbone(cam_layer=None), "probability", 4), make_batch()
    for method in (
        Captum("captum.attr.LayerGradCam", layer="first"),
        GradCamPackage("adapted.GradCam", layer="first"),
    ):
        assert method(scorer, batch).abs().max() > 0
    with pytest.raises(BenchError, match="names no CAM layer"):
        GradCamPackage("adapted.GradCam")(scorer, batch)
    with pytest.raises(BenchError, match=r"layer: unknown name 'frist'\. Did you mean 'first'"):
        Captum("captum.attr.LayerGradCam", layer="frist")(scorer, batch)


@pytest.mark.parametrize("batched", [False, True])
def test_a_function(batched):
    scorer, batch = Scorer(backbone(), "probability", 4), make_batch()
    expected = scorer.input_gradients(batch.x, batch.targets)
    method = Function("adapted.gradient", {"power": 3}, batched=batched)
    assert_close(method(scorer, batch), (expected**3).mean(dim=1))
    for channels, reduced in (
        ("sum", expected.sum(dim=1)),
        ("abs_mean", expected.abs().mean(dim=1)),
        ("abs_max", expected.abs().amax(dim=1)),
    ):
        method = Function("adapted.gradient", channels=channels, batched=batched)
        assert_close(method(scorer, batch), reduced)


def test_float64_maps_stay_float64():
    scorer, batch = Scorer(backbone(), "probability", 4), make_batch()
    method = Function("adapted.fine")
    maps = method(scorer, batch)
    assert maps.dtype == torch.float64
    assert maps.flatten(1)[0].unique().numel() == SIZE * SIZE


def test_what_others_leave_on_the_network_is_taken_off():
    scorer, batch = Scorer(backbone(), "probability", 4), make_batch()
    x, module = batch.x.clone(), scorer.backbone.module
    Function("adapted.gradient")(scorer, batch)
    GradCamPackage("adapted.GradCam")(scorer, batch)
    with pytest.raises(ValueError, match="no maps today"):
        Function("adapted.fails")(scorer, batch)
    assert torch.equal(batch.x, x)
    assert not any(layer._forward_hooks or layer.training for layer in module.modules())
    assert not any(
        parameter.requires_grad or parameter.grad is not None for parameter in module.parameters()
    )


def global_states():
    numpy_state = np.random.get_state()[1]  # noqa: NPY002
    return torch.get_rng_state().tolist(), numpy_state.tolist(), random.getstate()


def test_draws_are_keyed_by_seed_function_and_image():
    scorer, method = Scorer(backbone(), "probability", 4), Function("adapted.draws")
    before = global_states()
    maps = method(scorer, make_batch())
    assert global_states() == before
    torch.rand(3), random.random()
    assert torch.equal(method(scorer, make_batch([IDS[4], IDS[2]])), maps[[4, 2]])
    assert not torch.equal(maps[0], maps[1])
    assert not torch.equal(method(scorer, make_batch(seed=1)), maps)


def test_identity_is_that_of_the_code(monkeypatch, tmp_path):
    found = Captum("captum.attr.Saliency").identity([])
    assert list(found["packages"]) == ["captum"]
    monkeypatch.setattr(adapters.metadata, "version", lambda name: "0.0.1")
    assert Captum("captum.attr.Saliency").identity([])["packages"] == {"captum": "0.0.1"}
    monkeypatch.syspath_prepend(tmp_path)
    hashes = []
    for body in ("return x", "return -x"):
        (tmp_path / "mine.py").write_text(f"def maps(model, x, targets):\n    {body}\n")
        sys.modules.pop("mine", None)
        found = Function("mine.maps").identity([])
        assert found["packages"] == {}
        hashes.append(found["source_sha256"])
    sys.modules.pop("mine")
    assert hashes[0] != hashes[1]
    assert Function("torch.relu").identity([])["source_sha256"] is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Captum("captum.attr.Saliencee"), "attribution: .*Did you mean 'captum.attr.Sal"),
        (lambda: Captum("captum.attr.NoiseTunnel"), r"attribution: .*method=\[function\]"),
        (lambda: Captum("captum.attr.visualization"), "to be a class"),
        (lambda: Captum("torch.nn.ReLU"), "attribution: expected a class of Captum"),
        (lambda: Captum("nowhere.Maps"), "attribution: cannot import 'nowhere.Maps'"),
        (lambda: GradCamPackage("adapted.draws"), "cam: expected 'adapted.draws' to be a class"),
        (lambda: Function("draws"), "function: expected a dotted path"),
        (lambda: Function("adapted.drawz"), "function: .*Did you mean 'adapted.draws'"),
        (lambda: Function("adapted.OPEN"), "function: expected 'adapted.OPEN' to be a function"),
        (lambda: Function("adapted.draws", channels="man"), "channels: .*Did you mean 'mean'"),
        (lambda: Function("adapted.draws", upsampling="cubic"), "upsampling: unknown"),
        (lambda: Function("adapted.draws", batched=3), "batched: expected true or false"),
        (lambda: Function("adapted.draws", forward_passes=-1), "forward_passes: expected"),
        (lambda: Function("adapted.draws", backward_passes=1.5), "backward_passes: expected"),
    ],
)
def test_settings_that_lead_nowhere(build, message):
    with pytest.raises(BenchError, match=message):
        build()


def test_a_missing_package_is_told_with_its_extra(monkeypatch):
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with pytest.raises(BenchError, match=r"attribution: .*pip install 'insdel-bench\[captum\]'"):
        Captum("captum.attr.Saliency")
    with pytest.raises(BenchError, match=r"cam: .*pip install 'insdel-bench\[grad-cam\]'"):
        GradCamPackage("pytorch_grad_cam.EigenCAM")


def test_maps_of_the_wrong_shape():
    scorer = Scorer(backbone(), "probability", 4)
    with pytest.raises(BenchError, match=r"'adapted.flat': expected maps .* found \(1,\)"):
        Function("adapted.flat")(scorer, make_batch())
