"""`bench.explain`: maps of shipped methods, objects and functions on any torch module."""

import numpy as np
import pytest
import torch
from torch import nn
from toy import SIZE, ConvModel, LinearModel

import bench
from bench.attribution.control import Random
from bench.attribution.method import Method
from bench.errors import BenchError


@pytest.fixture
def x():
    return torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(2))


def test_closed_form_of_a_linear_network(x):
    """Saliency is the largest weight a pixel, and input times gradient the terms of the sum."""
    network, targets = LinearModel(4, 3, SIZE, SIZE).eval(), torch.tensor([2, 0, 2])
    weight = network.weight[targets]
    found = bench.explain("saliency", network, x, targets)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, weight.abs().amax(1), rtol=1e-6)
    signed = bench.explain("gradient_input", network, x, targets)
    np.testing.assert_allclose(signed, (weight * x).mean(1), atol=1e-6)


def test_without_targets_the_predictions_are_explained(x):
    network = ConvModel().eval()
    predicted = network(x).argmax(1)
    found = bench.explain("saliency", network, x)
    np.testing.assert_array_equal(found, bench.explain("saliency", network, x, predicted))


def test_more_images_than_a_block(x):
    network, many = ConvModel().eval(), x.repeat(12, 1, 1, 1)
    targets = torch.arange(36) % 4
    found = bench.explain("grad_cam", network, many, targets, batch_size=5)
    assert found.shape == (36, SIZE, SIZE)
    alone = bench.explain("grad_cam", network, many[33:34], targets[33:34], batch_size=5)
    np.testing.assert_allclose(found[33:34], alone, atol=1e-6)


def test_settings_seed_and_layer_by_name(x):
    network = ConvModel().eval()
    few = bench.explain("rise", network, x, [0, 1, 2], num_masks=3)
    assert len(np.unique(few[0])) > 1
    assert not np.allclose(few, bench.explain("rise", network, x, [0, 1, 2], num_masks=5))
    assert not np.allclose(few, bench.explain("rise", network, x, [0, 1, 2], num_masks=3, seed=1))
    np.testing.assert_array_equal(few, bench.explain("rise", network, x, [0, 1, 2], num_masks=3))
    last = bench.explain("grad_cam", network, x, [0, 1, 2])
    first = bench.explain("grad_cam", network, x, [0, 1, 2], cam_layer="first")
    assert not np.allclose(last, first)
    np.testing.assert_array_equal(last, bench.explain("grad_cam", network, x, [0, 1, 2],
                                                      cam_layer="last"))  # fmt: skip


def test_objects_and_functions(x):
    network = ConvModel().eval()
    object_ = bench.explain(Random(), network, x, [0, 1, 2])
    np.testing.assert_array_equal(object_, bench.explain("random", network, x, [0, 1, 2]))
    found = bench.explain(lambda model, x, targets: x.double().sum(1), network, x, [0, 1, 2])
    assert found.dtype == np.float64
    np.testing.assert_array_equal(found, x.double().sum(1))


def test_photos_by_a_name_of_a_network():
    photos = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), np.uint8)
    backbone = bench.load_backbone("resnet18", weights="random", img_size=32)
    maps = bench.explain("grad_cam", backbone, photos, [1, 2])
    assert maps.shape == (2, 32, 32)


def test_what_a_function_raises_is_shown_with_its_traceback(x):
    def failing(model, x, targets):
        return {}["missing"]

    with pytest.raises(BenchError, match="image 0: method 'failing' raised KeyError") as caught:
        bench.explain(failing, ConvModel().eval(), x, [0, 1, 2])
    assert '{}["missing"]' in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"n_masks": 3}, "setting of rise: unknown name 'n_masks'. Did you mean 'num_masks'"),
        ({"score": "probabilty"}, "probability"),
        ({"targets": [0, 1]}, "targets: expected a class for each input"),
        ({"targets": [0, 1, 4]}, "label 4 of '2' is outside the model's classes 0..3"),
        ({"targets": [0.5, 1, 2]}, "targets: expected integers"),
        ({"method": "risse"}, "Did you mean 'rise'"),
        ({"method": Random(), "num_masks": 4}, "num_masks: settings go with the name of a method"),
        ({"method": "grad_cam", "cam_layer": None}, "names no CAM layer"),
        ({"method": "transformer_attribution"}, "transformer_attribution"),
        ({"seed": -1}, "seed: expected an integer"),
        ({"batch_size": 0}, "batch_size: expected an integer"),
        ({"model": nn.Identity}, "found the class Identity"),
        ({"preprocessing": {"size": 3}}, "preprocessing: the data are inputs already"),
    ],
)
def test_bad_input(x, given, message):
    call = {"method": "rise", "model": ConvModel().eval(), "x": x, "targets": [0, 1, 2]} | given
    with pytest.raises(BenchError, match=message):
        bench.explain(**call)


def test_a_name_that_is_a_class():
    with pytest.raises(BenchError, match=r"'toy.ConvModel' is a class: give an object of it"):
        bench.load_backbone("toy.ConvModel")


def test_settings_of_a_network_by_name():
    with pytest.raises(BenchError, match=r"backbone.weigths: unknown name .*Did you mean 'weights"):
        bench.load_backbone("resnet18", weigths="random")
    with pytest.raises(BenchError, match=r"preprocessing.sise: unknown name"):
        bench.load_backbone("resnet18", weights="random", preprocessing={"sise": 3})
    made = bench.load_backbone("resnet18", weights="random", preprocessing={"size": 40})
    assert made.preprocessing.shape == (40, 40)


class Look(Method):
    """What a method sees as photos: their red channel."""

    def __call__(self, scorer, batch):
        return torch.stack([torch.from_numpy(image[..., 0]).float() for image in batch.images])


def test_methods_that_look_at_photos_get_those_of_the_inputs():
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 3)).eval()
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    maps = bench.explain(Look(), model, x, [0, 2], mean=0, std=1)
    np.testing.assert_allclose(maps, 255 * x[:, 0], atol=0.51)
