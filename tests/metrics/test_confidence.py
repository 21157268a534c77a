import numpy as np
import pytest
import torch
from toy import SIZE, Faces, backbone

from bench import insertion_deletion
from bench.attribution.control import Random
from bench.attribution.scorer import Scorer
from bench.errors import BenchError
from bench.evaluation.loop import evaluate_runs
from bench.evaluation.method_run import MethodRun
from bench.metrics.confidence import SHARES, HighestConfidence
from bench.metrics.protocol import load_protocol

CPU = torch.device("cpu")


def test_points_are_the_record_s():
    assert HighestConfidence().counts(224, 224).tolist()[:4] == [0, 2007, 4014, 6021]
    assert HighestConfidence(steps=50).counts(23, 23).tolist() == [
        int(23 * 23 * i / 50) for i in range(51)
    ]


def test_the_highest_of_each_share_of_the_points():
    """Of 24 points the first 6, 12, 18 and 24 count; the black and the whole image do not."""
    curve = np.zeros((2, 26), np.float32)
    curve[0, [0, 6, 7, 18, 25]] = [0.9, 0.1, 0.2, 0.3, 0.8]
    curve[1, [1, 24]] = [0.05, 0.5]
    found = [HighestConfidence().highest(curve, share).tolist() for share in SHARES]
    expected = np.float32([[0.1, 0.05], [0.2, 0.05], [0.3, 0.05], [0.3, 0.5]])
    assert np.array_equal(found, expected)
    whole = HighestConfidence(steps=25, whole_image=True).highest(curve, 100)
    assert np.array_equal(whole, np.float32([0.8, 0.5]))


@pytest.mark.parametrize("name", ["smdl-cub-errors", "smdl-cub-errors-50"])
def test_curve_against_a_slow_loop_on_uint8_images(name):
    protocol, samples = load_protocol(name), Faces(3).samples[:4]
    network = backbone()
    scorer = Scorer(network, protocol.score, 4)
    (result,) = evaluate_runs(
        samples, scorer, [MethodRun("random", Random())], protocol, device=CPU
    )
    steps = protocol.curves["confidence"].steps
    for sample, saliency_map, row in zip(
        samples, result.maps.numpy(), result.rows.to_dict("records"), strict=True
    ):
        square = network.preprocessing.to_size(sample.read())
        order = np.argsort(-saliency_map.ravel())
        for point in range(steps + 1):
            shown = np.zeros(SIZE * SIZE, bool)
            shown[order[: int(SIZE * SIZE * point / steps)]] = True
            image = square * shown.reshape(SIZE, SIZE, 1)
            with torch.no_grad():
                probabilities = network.outputs(network.preprocess([image])).softmax(dim=1)
            expected = probabilities[0, sample.target].item()
            assert row["confidence_curve"][point] == pytest.approx(expected, abs=1e-6)


def test_of_maps_that_one_has():
    x = torch.rand(3, 3, 8, 9, generator=torch.Generator().manual_seed(0))
    maps = torch.rand(3, 8, 9, generator=torch.Generator().manual_seed(1))
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(216, 2)).eval()
    targets = torch.tensor([1, 0, 1])
    found = insertion_deletion(model, x, targets, maps, "smdl-cub-errors")
    assert found.confidence.shape == (3, 26)
    # Black is 0 here, and so is the insertion's baseline: 25 steps each.
    assert np.array_equal(found.confidence, found.insertion)
    assert insertion_deletion(model, x, targets, maps, "smdl-cub").confidence is None


def test_settings_out_of_range():
    with pytest.raises(BenchError, match=r"^steps: expected .* 5"):
        HighestConfidence(steps=4)
    with pytest.raises(BenchError, match=r"^steps: expected .* 4"):
        HighestConfidence(steps=3, whole_image=True)
    for metric in (HighestConfidence(steps=5), HighestConfidence(steps=4, whole_image=True)):
        curve = np.arange(metric.steps + 1, dtype=np.float32)[None]
        assert metric.highest(curve, 25).tolist() == [1]
