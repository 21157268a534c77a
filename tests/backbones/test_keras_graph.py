import gc
import weakref

import numpy as np
import pytest
import torch
from keras_files import functional, image, layer
from torch import nn

from bench.backbones.keras_graph import Arrays, KerasGraph, input_shape, read_plan
from bench.errors import BenchError

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) - 0.3


def graph(model, arrays=None):
    return KerasGraph(model["config"], Arrays(arrays or {}), [X])


def prelu(name, *inputs):
    return layer("PReLU", name, *inputs, shared_axes=[1, 2])


def slopes(value):
    return np.full((1, 1, 3), value, np.float32)


def bend(x, slope):
    return torch.where(x > 0, x, slope * x)


def doubled(first=1):
    """A model that halves the negative part and adds 1, called twice in a row by another one."""
    inner = functional(
        [image("inside"), prelu("bend", "inside"), layer("Rescaling", "up", "bend", offset=1.0)],
        "up",
        "inner",
    )
    inner["inbound_nodes"] = [[["image", 0, 0, {}]], [["inner", first, 0, {"training": False}]]]
    return functional([image(), inner], [["inner", first + 1, 0]])


def test_layers_in_a_row_and_their_names():
    model = functional([image(), prelu("a", "image"), layer("Flatten", "b", "a")], "b")
    module = graph(model, {"a": {"a/alpha:0": slopes(0.5)}})
    assert [name for name, _ in module.named_children()] == ["a", "b"]
    assert torch.equal(module(X), bend(X, 0.5).permute(0, 2, 3, 1).flatten(1))


def test_listing_order_does_not_matter():
    layers = [image(), layer("Add", "sum", "b", "image"), layer("ReLU", "b", "a"),
              layer("Rescaling", "a", "image", scale=2.0)]  # fmt: skip
    assert torch.equal(graph(functional(layers, "sum"))(X), (2 * X).relu() + X)


def test_a_shared_layer_has_its_weights_once():
    shared = prelu("shared", "image") | {
        "inbound_nodes": [[["image", 0, 0, {}]], [["shared", 0, 0, {}]]]
    }
    layers = [image(), shared, layer("Add", "sum", "shared", ("shared", 1))]
    module = graph(functional(layers, "sum"), {"shared": {"shared/alpha:0": slopes(0.5)}})
    assert sum(isinstance(layer, nn.PReLU) for layer in module.modules()) == 1
    assert torch.equal(module(X), bend(X, 0.5) + bend(X, 0.25))


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("path", ["bend/alpha:0", "inner/bend/alpha", "model/inner/bend/alpha"])
def test_a_nested_model_called_twice(first, path):
    """Keras 2 counts a nested model's calls from 1, Keras 3 from 0."""
    module = graph(doubled(first), {"inner": {path: slopes(0.5)}})
    once = bend(X, 0.5) + 1
    assert torch.equal(module(X), bend(once, 0.5) + 1)
    assert isinstance(module.get_submodule("inner.bend"), nn.PReLU)


def test_models_in_models_find_their_arrays():
    middle = functional([image("m"), *doubled()["config"]["layers"][1:], prelu("bent", "inner")],
                        "bent", "middle")  # fmt: skip
    inner = middle["config"]["layers"][1]
    inner["inbound_nodes"] = [[["m", 0, 0, {}]]]
    middle["inbound_nodes"] = [[["image", 0, 0, {}]]]
    weights = {"bend/alpha:0": slopes(0.5), "bent/alpha:0": slopes(0.25)}
    middle["config"]["layers"][2]["inbound_nodes"] = [[["inner", 1, 0, {}]]]
    arrays = Arrays({"middle": weights})
    outer = functional([image(), middle], [["middle", 1, 0]])
    module = KerasGraph(outer["config"], arrays, [X])
    assert torch.equal(module(X), bend(bend(X, 0.5) + 1, 0.25))
    assert arrays.left() == []


def test_sequential_models():
    rescale = layer("Rescaling", "up", scale=2.0, batch_input_shape=[None, 8, 8, 3])
    explicit = {"name": "s", "layers": [image(), rescale, layer("Flatten", "flat")]}
    implicit = {"name": "s", "layers": explicit["layers"][1:]}
    for config in (explicit, implicit, implicit["layers"]):
        assert list(input_shape(config)) == [8, 8, 3]
        module = KerasGraph(config, Arrays({}), [X])
        assert torch.equal(module(X), (2 * X).permute(0, 2, 3, 1).flatten(1))


def keras3(name, call=0):
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None, 8, 8, 3], "keras_history": [name, call, 0]},
    }


def test_the_words_of_keras_3():
    first = {"class_name": "InputLayer", "name": "image", "inbound_nodes": [],
             "config": {"name": "image", "batch_shape": [None, 8, 8, 3]}}  # fmt: skip
    up = layer("Rescaling", "up", scale=2.0)
    up["inbound_nodes"] = [{"args": [keras3("image")], "kwargs": {"training": False}}]
    add = layer("Add", "sum")
    add["inbound_nodes"] = [{"args": [[keras3("up"), keras3("image")]], "kwargs": {"mask": None}}]
    config = {"layers": [first, up, add], "input_layers": ["image", 0, 0]}
    module = KerasGraph(config | {"output_layers": ["sum", 0, 0]}, Arrays({}), [X])
    assert torch.equal(module(X), 3 * X)
    assert list(input_shape(config)) == [8, 8, 3]


def test_names_that_torch_does_not_allow():
    layers = [image(), layer("ReLU", "a.b", "image"), layer("ReLU", "half", "a.b"),
              layer("ReLU", "_plan", "half"), layer("Flatten", "a_b", "_plan")]  # fmt: skip
    module = graph(functional(layers, "a_b"))
    assert [name for name, _ in module.named_children()] == ["a_b", "half_", "_plan_", "a_b_"]
    assert torch.equal(module(X), X.relu().permute(0, 2, 3, 1).flatten(1))


def test_tensors_are_freed_as_soon_as_they_are_not_needed():
    layers = [image(), layer("ReLU", "first", "image"), layer("Rescaling", "second", "first"),
              layer("Rescaling", "third", "second"), layer("Flatten", "last", "third")]  # fmt: skip
    module = graph(functional(layers, "last"))
    seen = []
    module.first.register_forward_hook(lambda *call: seen.append(weakref.ref(call[2])))
    module.third.register_forward_hook(lambda *call: seen.append(seen[0]() is None))
    with torch.no_grad():
        module(X)
    gc.collect()
    assert seen[1:] == [True]


def test_nothing_is_written_over():
    x = X.clone()
    layers = [
        image(),
        layer("ReLU", "a", "image"),
        layer("Add", "b", "a", "image"),
        layer("Activation", "c", "b", activation="elu"),
    ]
    module = graph(functional(layers, "c"))
    assert torch.equal(module(x), nn.functional.elu(X.relu() + X))
    assert torch.equal(x, X)


def convolution(name, *inputs):
    settings = {"filters": 3, "kernel_size": 1, "strides": 1, "padding": "same", "use_bias": False}
    return layer("Conv2D", name, *inputs, **settings)


EYE = np.eye(3, dtype=np.float32)[None, None]


def test_the_last_convolution_is_xpliques():
    layers = [image(), convolution("a", "image"), convolution("b", "a"), layer("ReLU", "c", "b")]
    arrays = {"a": {"a/kernel:0": EYE}, "b": {"b/kernel:0": EYE}}
    assert graph(functional(layers, "c"), arrays).convolutions() == ["a", "b"]
    assert graph(functional([image(), layer("ReLU", "c", "image")], "c")).convolutions() == []


@pytest.mark.parametrize("before", [True, False])
def test_the_last_convolution_around_nested_models(before):
    """Xplique looks at the outermost layers only; if these have none, we look inside."""
    inner = functional([image("inside"), convolution("deep", "inside")], "deep", "inner")
    start = "stem" if before else "image"
    inner["inbound_nodes"] = [[[start, 0, 0, {}]]]
    layers = [image(), *([convolution("stem", "image")] if before else []), inner]
    arrays = {"stem": {"stem/kernel:0": EYE}, "inner": {"deep/kernel:0": EYE}}
    module = graph(functional(layers, [["inner", 1, 0]]), arrays)
    assert module.convolutions() == ["inner.deep", *(["stem"] if before else [])]


FLAT = [image(), layer("Flatten", "flat", "image")]
DENSE = {"dense": {"dense/kernel:0": np.zeros((192, 4), np.float32)}}


def dense(activation):
    return layer("Dense", "dense", "flat", units=4, use_bias=False, activation=activation)


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        ([dense("linear")], "logits"),
        ([dense("softmax")], "probabilities"),
        ([dense("sigmoid")], None),
        ([dense("linear"), layer("Softmax", "end", "dense")], "probabilities"),
        ([dense("linear"), layer("Activation", "end", "dense", activation="softmax")],
         "probabilities"),
        ([dense("linear"), layer("Activation", "end", "dense", activation="linear")], "logits"),
        ([dense("softmax"), layer("Dropout", "end", "dense")], "probabilities"),
        ([dense("linear"), layer("ReLU", "end", "dense")], None),
        ([], None),
    ],
)  # fmt: skip
def test_output_kind(layers, kind):
    layers = [*FLAT, *layers]
    arrays = DENSE if len(layers) > 2 else {}
    assert graph(functional(layers, layers[-1]["name"]), {k: dict(v) for k, v in arrays.items()}) \
        .output_kind() == kind  # fmt: skip


def test_output_kind_of_cosines_and_of_a_nested_head():
    end = layer("NormDense", "arcface", "flat", units=4)
    weights = {"w/norm_dense_w:0": np.ones((192, 4), np.float32)}
    inner = functional([*FLAT, end], "arcface", "head")
    assert graph(inner, {"arcface": weights}).output_kind() == "cosines"
    inner["inbound_nodes"] = [[["photo", 0, 0, {}]]]
    outer = functional([image("photo"), inner], [["head", 1, 0]])
    weights = {"arcface/norm_dense_w:0": np.ones((192, 4), np.float32)}
    assert graph(outer, {"head": weights}).output_kind() == "cosines"


def called(spec, *nodes):
    return spec | {"inbound_nodes": list(nodes)}


RELU = layer("ReLU", "a", "image")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (functional([image(), RELU], [["a", 0, 0], ["image", 0, 0]]),
         "expected a model with one output, found 2: a, image"),
        (functional([image(), image("second"), layer("Add", "a", "image", "second")], "a"),
         "expected a model with 1 input, found 2"),
        (functional([image(), layer("ReLU", "a", "lost")], "a"), "'lost': its output number 0"),
        (functional([image(), layer("ReLU", "a", "b"), layer("ReLU", "b", "a")], "b"), "circle"),
        (functional([image(), called(RELU, [["image", 0, 1, {}]])], "a"), "a second output"),
        (functional([image(), called(RELU, [["image", 0, 0, {"training": True}]])], "a"),
         "layer 'a': a call with training=True is not supported"),
        (functional([image(), called(RELU, {"args": [keras3("image"), 2.0], "kwargs": {}})], "a"),
         "expected a layer's output among the arguments, found 2.0"),
        (functional([image(), convolution("c", "flat"), layer("Flatten", "flat", "image")], "c"),
         r"layer 'c' \(Conv2D\)"),
        (functional([image(), layer("MaxPooling2D", "p", "image", pool_size=[9, 9])], "p"),
         r"layer 'p' \(MaxPooling2D\): cannot take an input of shape \(8, 8, 3\): "),
    ],
)  # fmt: skip
def test_what_is_refused(model, message):
    with pytest.raises(BenchError, match=message) as error:
        graph(model, {"c": {"c/kernel:0": np.ones((1, 1, 192, 3), np.float32)}})
    assert "\n" not in str(error.value)


def test_an_error_inside_a_nested_model_names_both():
    with pytest.raises(BenchError, match=r"model 'inner' inside: layer 'bend' \(PReLU\): expected"):
        graph(doubled())


def test_last_uses_cover_each_tensor_once():
    plan = read_plan(doubled()["config"])
    assert [call.output for call in plan.calls] == [("inner", 1), ("inner", 2)]
    assert plan.last_uses() == [[("image", 0)], [("inner", 1)]]


def test_it_compiles_and_is_differentiable():
    module = graph(doubled(), {"inner": {"bend/alpha:0": slopes(0.5)}})
    compiled = torch.compile(module, backend="eager", fullgraph=True)
    assert torch.equal(compiled(X), module(X))
    x = X.clone().requires_grad_()
    module(x).sum().backward()
    expected = torch.where(X > 0, 1, 0.5)
    assert torch.equal(x.grad, expected * torch.where(bend(X, 0.5) + 1 > 0, 1, 0.5))
