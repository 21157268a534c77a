import cv2
import numpy as np
import pytest
import torch
from toy import SIZE, backbone, make_batch

from bench.attribution.cam import GradCAMPlusPlus, ScoreCAM
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
