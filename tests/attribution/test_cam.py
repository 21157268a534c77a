import cv2
import numpy as np
import pytest
import torch
from toy import SIZE, backbone, make_batch, swin, transformer

from bench.attribution.cam import (
    AblationCAM,
    EigenCAM,
    GradCAM,
    GradCAMPlusPlus,
    LayerCAM,
    ScoreCAM,
    XGradCAM,
    _first_component,
)
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.errors import BenchError


def test_grad_cam_pp_pixel_by_pixel():
    """Chattopadhay's weights with means for sums; zero gradients give zero weights."""
    scorer, batch = Scorer(backbone(), "logit", 4), make_batch()
    gradients, activations = scorer.layer_gradients(batch.x, batch.targets)
    weights = GradCAMPlusPlus()._weights(gradients, activations)
    assert (gradients == 0).any()
    for image in range(len(weights)):
        for channel in range(weights.shape[1]):
            g, a = gradients[image, channel].numpy(), activations[image, channel].numpy()
            alphas = [
                0 if v == 0 else v**2 / (2 * v**2 + v**3 * a.mean()) * max(v, 0) for v in g.ravel()
            ]
            assert weights[image, channel].item() == pytest.approx(
                np.mean(alphas), rel=1e-4, abs=1e-9
            )


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize("weight_of", ["target", "prediction"])
@pytest.mark.parametrize("scaling", ["minmax", "range"])
def test_score_cam_channel_by_channel(weight_of, scaling, batch_size):
    scorer, batch = Scorer(backbone(), "probability", batch_size), make_batch()
    module = scorer.backbone.module
    module.last.weight.data[3] = 0  # a channel that is the same everywhere
    module.last.bias.data += 1
    with torch.no_grad():
        activations = module.last(torch.relu(module.norm(module.first(batch.x)))).numpy()
    found = ScoreCAM(weight_of, scaling)(scorer, batch).numpy()
    for image, channels in enumerate(activations):
        target = batch.targets[image : image + 1]
        if weight_of == "prediction":
            target = module(batch.x[image : image + 1]).argmax(dim=1)
        total = np.zeros(channels.shape[1:], dtype=np.float32)
        for channel in channels:
            mask = cv2.resize(channel, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
            if np.ptp(mask) == 0:
                continue
            mask = (mask - (mask.min() if scaling == "minmax" else 0)) / np.ptp(mask)
            masked = batch.x[image : image + 1] * torch.from_numpy(mask)
            with torch.no_grad():
                total += scorer(masked, target).item() * channel
        expected = cv2.resize(total.clip(0), (SIZE, SIZE), interpolation=cv2.INTER_LINEAR)
        assert expected.max() > 0
        assert np.abs(found[image] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_score_cam_takes_the_layers_output_before_it_is_changed_in_place():
    scorer, batch = Scorer(backbone(), "probability", 4), make_batch()
    module = scorer.backbone.module
    with torch.no_grad():
        expected = module.last(torch.relu(module.norm(module.first(batch.x))))
    found = scorer.layer_activations(batch.x)
    assert (expected < 0).any()
    assert (found - expected).abs().max() <= 1e-6


@pytest.mark.parametrize("arguments", [{"weight_of": "label"}, {"scaling": "max"}])
def test_score_cam_settings(arguments):
    with pytest.raises(BenchError, match=next(iter(arguments))):
        ScoreCAM(**arguments)


def grad_cam_by_hand(network, layer, places, x, target):
    """One image's map in its layer's grid, a channel and a place at a time.

    Args:
        places: For each row and column, the index of its features in the layer's output.
    """
    kept = []
    module = network.module.get_submodule(layer)
    handle = module.register_forward_hook(lambda *call: kept.append(call[2].requires_grad_()))
    outputs = network.module(x[None])
    handle.remove()
    (gradient,) = torch.autograd.grad(outputs[0, target], kept[0])
    height, width = len(places), len(places[0])
    total = np.zeros((height, width))
    for channel in range(kept[0].shape[-1]):
        weight = np.mean([gradient[(0, *place, channel)].item() for row in places for place in row])
        for row in range(height):
            for column in range(width):
                place = (0, *places[row][column], channel)
                total[row, column] += weight * kept[0][place].item()
    return total.clip(0)


@pytest.mark.parametrize("kind", ["swin", "vit"])
def test_grad_cam_of_transformers_place_by_place(kind):
    """Inputs are 32 x 24: a grid read by columns, or a class token for a place, would show."""
    if kind == "swin":
        network, layer = swin(), "norm"
        places = [[(row, column) for column in range(3)] for row in range(4)]
    else:
        network, layer = transformer(img_size=(32, 24)), "blocks.2.norm1"
        places = [[(1 + row * 6 + column,) for column in range(6)] for row in range(8)]
    assert network.cam_layer == layer
    x = torch.randn(3, 3, 32, 24, generator=torch.Generator().manual_seed(1))
    targets = [2, 0, 3]
    images = [np.zeros((4, 4, 3), np.uint8)] * 3
    batch = Batch(x, torch.tensor(targets), ["a", "b", "c"], images)
    found = GradCAM()(Scorer(network, "logit", 2), batch).numpy()
    assert found.shape == (3, 32, 24)
    for image, target, map_ in zip(x, targets, found, strict=True):
        small = grad_cam_by_hand(network, layer, places, image, target).astype(np.float32)
        expected = cv2.resize(small, (24, 32), interpolation=cv2.INTER_CUBIC)
        assert expected.max() > 0
        assert np.abs(map_ - expected).max() <= 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize("make", [backbone, transformer])
def test_ablation_cam_channel_by_channel(make):
    """What the score loses without a channel; a class token keeps its own."""
    network = make()
    scorer, batch = Scorer(network, "probability", 4), make_batch()
    activations = scorer.layer_activations(batch.x)
    weights = torch.zeros(activations.shape[:2])
    state = {}

    def drop(module, inputs, output):
        output = output.clone()
        if make is transformer:
            output[:, 1:, state["channel"]] = 0
        else:
            output[:, state["channel"]] = 0
        return output

    with torch.no_grad():
        whole = scorer(batch.x, batch.targets)
        for state["channel"] in range(activations.shape[1]):
            handle = network.layer().register_forward_hook(drop)
            weights[:, state["channel"]] = whole - scorer(batch.x, batch.targets)
            handle.remove()
    expected = (weights[:, :, None, None] * activations).sum(dim=1).relu()
    found = AblationCAM()._maps(scorer, batch)
    assert expected.max() > 0
    assert (found - expected).abs().max() <= 1e-4 * expected.max()
    assert AblationCAM().passes(network) == (activations.shape[1] + 2, 0)


@pytest.mark.parametrize("method", [GradCAMPlusPlus(), ScoreCAM(), LayerCAM(), XGradCAM(),
                                    EigenCAM(), AblationCAM()])  # fmt: skip
@pytest.mark.parametrize("make", [swin, transformer])
def test_cams_of_transformers_have_the_inputs_size(method, make):
    network = swin() if make is swin else transformer(img_size=(32, 24))
    x = torch.randn(3, 3, 32, 24, generator=torch.Generator().manual_seed(1))
    images = [np.zeros((4, 4, 3), np.uint8)] * 3
    batch = Batch(x, torch.tensor([2, 0, 3]), ["a", "b", "c"], images)
    counted = []
    scorer = Scorer(network, "probability", 1, on_forward=counted.append)
    maps = method(scorer, batch)
    assert maps.shape == (3, 32, 24)
    assert maps.isfinite().all()
    assert sum(counted) == 3 * method.passes(network).forward


def test_a_layer_that_looks_at_one_place_alone_shows_it():
    """Eigen-CAM and LayerCAM of activations that differ from zero at one place only."""
    activations = torch.zeros(4, 3, 5)
    activations[:, 2, 1] = torch.tensor([1.0, -2.0, 0.5, 3.0])
    assert _first_component(activations).argmax() == 2 * 5 + 1
    gradients = torch.full((1, 4, 3, 5), -1.0)
    gradients[0, :, 2, 1] = 1
    weights = LayerCAM()._weights(gradients, activations[None])
    assert (weights * activations).sum(dim=1).flatten().tolist() == [0.0] * 11 + [2.5] + [0.0] * 3
