"""Curves in the order of each channel, against the loop that MFABA's authors evaluate with."""

import numpy as np
import pytest
import torch

from bench.attribution.scorer import OutputScorer
from bench.errors import BenchError
from bench.metrics.baseline import ConstantBaseline, Inputs, ZeroBaseline
from bench.metrics.block import EndPoints, measure
from bench.metrics.channel_curve import ChannelDeletion, ChannelInsertion
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.metric import Maps
from bench.metrics.perturbation import order_pixels, perturb, perturb_by_step

HEIGHT, WIDTH = 7, 5  # 35 pixels; two rows a step do not divide them


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        self.weight = torch.nn.Parameter(torch.randn(4, 3 * HEIGHT * WIDTH, generator=draws))

    def forward(self, x):
        return torch.tanh(x.flatten(1)) @ self.weight.T / 4


def network():
    from bench.backbones.backbone import Backbone, Preprocessing

    return Backbone(
        module=Net().eval(),
        name="net",
        preprocessing=Preprocessing(size=(HEIGHT, WIDTH), mean=(0, 0, 0), std=(255, 255, 255)),
        output_kind="logits",
        num_classes=4,
    )


def slow_curve(module, image, saliency_map, target, each, *, starts_from_image):
    """One image at a time, one channel at a time, all lists for each channel: as theirs is."""
    black = torch.zeros_like(image)
    now, end = (image.clone(), black) if starts_from_image else (black.clone(), image)
    orders = [
        np.argsort(channel.flatten().numpy(), kind="stable")[::-1] for channel in saliency_map
    ]
    pixels = image.shape[1] * image.shape[2]
    steps = -(-pixels // each)
    scores = []
    for step in range(steps + 1):
        scores.append(module(now[None]).softmax(1)[0, target].item())
        lists = [order[step * each : (step + 1) * each].copy() for order in orders]
        for channel in range(3):
            for places in lists:
                now[channel].view(-1)[places] = end[channel].reshape(-1)[places]
    return scores


def block_of(scorer, x, metrics):
    end_points = EndPoints(scorer, metrics, "prediction")
    inputs = Inputs(x, [str(i) for i in range(len(x))], 0, scorer.backbone.to_input)
    return end_points(inputs, torch.zeros(len(x), dtype=torch.long))


@pytest.mark.parametrize("rows", [1, 2, 3])
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_curves_are_those_of_the_slow_loop(rows, batch_size):
    draws = torch.Generator().manual_seed(0)
    x = torch.rand(3, 3, HEIGHT, WIDTH, generator=draws)
    given = torch.randn(5, 3, HEIGHT, WIDTH, generator=draws)
    images = torch.tensor([0, 1, 2, 1, 0])
    metrics = [
        kind(ConstantBaseline((0, 0, 0)), rows_per_step=rows)
        for kind in (ChannelInsertion, ChannelDeletion)
    ]
    scorer = OutputScorer(network(), "probability", batch_size)
    block = block_of(scorer, x, metrics)
    maps = Maps(given.mean(dim=1), images, "numpy_1_23", channels=given)
    for metric in metrics:
        found = measure(metric, block, maps).columns[metric.curve]
        expected = [
            slow_curve(
                scorer.backbone.module,
                x[image],
                saliency_map,
                block.targets[image],
                rows * WIDTH,
                starts_from_image=metric.starts_from_image,
            )
            for image, saliency_map in zip(images.tolist(), given, strict=True)
        ]
        assert found.shape == (5, -(-HEIGHT // rows) + 1)
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("by_channel", "plain"), [(ChannelInsertion, Insertion), (ChannelDeletion, Deletion)]
)
def test_without_channels_it_is_the_plain_curve(by_channel, plain):
    draws = torch.Generator().manual_seed(1)
    x = torch.rand(2, 3, HEIGHT, WIDTH, generator=draws)
    given = torch.randint(0, 9, (2, HEIGHT, WIDTH), generator=draws).float()  # with ties
    scorer = OutputScorer(network(), "probability", 4)
    curves = []
    for kind in (by_channel, plain):
        metric = kind(ZeroBaseline(), rows_per_step=2)
        block = block_of(scorer, x, [metric])
        maps = Maps(given, torch.tensor([0, 1]), "numpy_1_23")
        curves.append(measure(metric, block, maps).columns[metric.curve])
    np.testing.assert_array_equal(*curves)


def test_first_ranks():
    """Each pixel's best place in any channel; parts of the maps have the same."""
    given = torch.tensor([[[[4.0, 3, 2, 1]], [[1.0, 2, 3, 4]]], [[[1.0, 2, 3, 4]]] * 2])
    maps = Maps(given.mean(dim=1), torch.tensor([0, 0]), "stable", channels=given)
    assert maps.first_ranks.tolist() == [[0, 1, 1, 0], [3, 2, 1, 0]]
    assert maps.part(torch.tensor([1])).first_ranks.tolist() == [[3, 2, 1, 0]]
    assert maps.values.tolist() == [[[2.5] * 4], [[1, 2, 3, 4]]]  # what all others read


def test_by_step_equals_by_count_where_each_step_takes_as_many():
    draws = torch.Generator().manual_seed(2)
    start, end = torch.rand(3, 2, 4, 5, generator=draws), torch.rand(1, 2, 1, 1, generator=draws)
    order = order_pixels(torch.rand(3, 4, 5, generator=draws))
    ranks = torch.empty(3, 20, dtype=torch.long).scatter_(
        1, order.long(), torch.arange(20).expand(3, -1)
    )
    by_count = [x.clone() for x in perturb(start, end, order, [7, 14, 20])]
    by_step = [x.clone() for x in perturb_by_step(start, end, ranks // 7 + 1, 3)]
    assert all(torch.equal(a, b) for a, b in zip(by_count, by_step, strict=True))


@pytest.mark.parametrize("settings", [{"steps": 10}, {"rows_per_step": 1, "max_fraction": 0.5}])
def test_needs_pieces_of_one_length(settings):
    with pytest.raises(BenchError, match="rows_per_step and max_fraction=1"):
        ChannelInsertion(ZeroBaseline(), **settings)
