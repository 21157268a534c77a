import numpy as np
import pytest
from toy import backbone, make_batch

from bench.attribution.cam import GradCAMPlusPlus
from bench.attribution.scorer import Scorer


def test_grad_cam_pp_pixel_by_pixel():
    """Chattopadhay's weights with means for sums; zero gradients give zero weights."""
    scorer, batch = Scorer(backbone(), "logit", 4), make_batch()
    gradients, activations = scorer.layer_gradients(batch.x, batch.targets)
    weights = GradCAMPlusPlus()._weights(gradients, activations)
    assert (gradients == 0).any()
    for image in range(len(weights)):
        for channel in range(weights.shape[1]):
            g, a = gradients[image, channel].numpy(), activations[image, channel].numpy()
            own = [
                0 if v == 0 else v**2 / (2 * v**2 + v**3 * a.mean()) * max(v, 0) for v in g.ravel()
            ]
            assert weights[image, channel].item() == pytest.approx(np.mean(own), rel=1e-4, abs=1e-9)
