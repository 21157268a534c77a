import numpy as np
import pytest
import torch
from toy import SIZE, backbone, linear_scorer, make_batch

from bench.attribution.masking import Occlusion
from bench.attribution.scorer import Scorer
from bench.errors import BenchError


@pytest.mark.parametrize("batch_size", [1, 4, 64])
@pytest.mark.parametrize(
    ("patch", "stride", "value"), [(10, 5, 0.0), (7, 3, 0.5), (3, 4, -1.0), (23, 1, 0.0)]
)
def test_occlusion_equals_a_slow_loop(patch, stride, value, batch_size):
    """Anchors as in Xplique: range(0, ceil((side - patch + 1) / stride)) times the stride."""
    scorer, batch = Scorer(backbone(), "logit", batch_size), make_batch()
    anchors = [n * stride for n in range(int(np.ceil((SIZE - patch + 1) / stride)))]
    expected = np.zeros((len(batch.x), SIZE, SIZE))
    with torch.no_grad():
        clean = scorer(batch.x, batch.targets)
        for top in anchors:
            for left in anchors:
                inside = slice(top, top + patch), slice(left, left + patch)
                occluded = batch.x.clone()
                occluded[:, :, *inside] = value
                drops = clean - scorer(occluded, batch.targets)
                expected[:, *inside] += drops.numpy()[:, None, None]
    found = Occlusion(patch, stride, value)(scorer, batch).numpy()
    assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_occlusion_of_a_linear_model_by_single_pixels():
    scorer, module = linear_scorer()
    batch = make_batch()
    expected = (batch.x * module.weight[batch.targets]).sum(dim=1)
    found = Occlusion(1, 1)(scorer, batch)
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_bad_settings():
    for arguments in ({"patch_size": 0}, {"stride": 0}, {"value": "x"}):
        with pytest.raises(BenchError, match=next(iter(arguments))):
            Occlusion(**arguments)
    with pytest.raises(BenchError, match="patch_size: expected at most 23"):
        Occlusion(24)(Scorer(backbone(), "logit", 4), make_batch())
