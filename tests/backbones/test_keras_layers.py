"""Each layer by its closed form or against what torch has; real Keras: test_keras_golden.py."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from bench.backbones.keras_layers import Layer, build_layer, same_padding
from bench.errors import BenchError

DRAWS = np.random.default_rng(0)
MAP = torch.from_numpy(DRAWS.standard_normal((2, 4, 5, 6)).astype(np.float32))  # (B, C, H, W)
ROWS = torch.from_numpy(DRAWS.standard_normal((3, 4)).astype(np.float32))


def draw(*shape):
    return DRAWS.standard_normal(shape).astype(np.float32)


def run(kind, *inputs, arrays=None, **config):
    return build_layer(Layer("mine", kind, config, arrays or {}), inputs)(*inputs)


def naive_windows(x, kernel, stride, pad):
    """Windows (B, C, h, w, kernel, kernel) of an image padded with NaN as TensorFlow would."""
    out = [-(-size // stride) for size in x.shape[2:]]
    total = [max((n - 1) * stride + kernel - size, 0) for n, size in zip(out, x.shape[2:])]  # noqa: B905
    before = [t // 2 for t in total]
    wide = [t - b for t, b in zip(total, before)]  # noqa: B905
    x = functional.pad(x, (before[1], wide[1], before[0], wide[0]), value=pad)
    return x.unfold(2, kernel, stride).unfold(3, kernel, stride)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "dilation", "expected"),
    [
        (5, 3, 1, 1, (1, 1)),
        (6, 3, 2, 1, (0, 1)),
        (5, 3, 2, 1, (1, 1)),
        (5, 2, 1, 1, (0, 1)),
        (224, 7, 2, 1, (2, 3)),
        (6, 1, 2, 1, (0, 0)),
        (5, 3, 1, 2, (2, 2)),
        (4, 2, 3, 1, (0, 1)),
    ],
)
def test_same_padding(size, kernel, stride, dilation, expected):
    """Values as in TensorFlow's documentation of padding."""
    assert same_padding(size, kernel, stride, dilation) == expected


@pytest.mark.parametrize("kernel", [1, 2, 3, 5])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_convolution_with_padding_same(kernel, stride):
    weight, bias = draw(kernel, kernel, 4, 7), draw(7)
    found = run(
        "Conv2D", MAP, arrays={"kernel": weight, "bias": bias}, filters=7, activation="relu",
        kernel_size=[kernel] * 2, strides=[stride] * 2, padding="same",
    )  # fmt: skip
    windows = naive_windows(MAP, kernel, stride, 0)
    expected = torch.einsum("bchwij,ijcd->bdhw", windows, torch.from_numpy(weight))
    expected = (expected + torch.from_numpy(bias)[:, None, None]).relu()
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [2, 3, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_pooling_leaves_padding_out(kernel, stride):
    shared = {"pool_size": [kernel] * 2, "strides": [stride] * 2, "padding": "same"}
    windows = naive_windows(MAP - 10, kernel, stride, torch.nan)  # zeros would win
    expected = windows.nan_to_num(-torch.inf).amax(dim=(4, 5))
    assert torch.equal(run("MaxPooling2D", MAP - 10, **shared), expected)
    found = run("AveragePooling2D", MAP - 10, **shared)
    assert torch.allclose(found, windows.nanmean(dim=(4, 5)), atol=1e-5)


def test_pooling_steps_by_its_own_size_unless_told():
    found = run("MaxPooling2D", MAP, pool_size=[2, 3], strides=None, padding="valid")
    assert torch.equal(found, functional.max_pool2d(MAP, (2, 3)))
    found = run("AveragePooling2D", MAP, pool_size=[2, 2], strides=[1, 2], padding="valid")
    assert torch.allclose(found, functional.avg_pool2d(MAP, 2, (1, 2)))


def test_grouped_and_dilated_convolution():
    weight = draw(3, 3, 2, 6)
    shared = {"filters": 6, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid"}
    shared |= {"use_bias": False, "groups": 2}
    found = run("Conv2D", MAP, arrays={"kernel": weight}, dilation_rate=[2, 2], **shared)
    weight = torch.from_numpy(weight)
    halves = [
        functional.conv2d(MAP[:, 2 * g : 2 * g + 2], weight[..., 3 * g : 3 * g + 3]
                          .permute(3, 2, 0, 1), dilation=2)
        for g in (0, 1)
    ]  # fmt: skip
    assert torch.allclose(found, torch.cat(halves, dim=1), atol=1e-5)


@pytest.mark.parametrize("name", ["depthwise_kernel", "kernel"])
@pytest.mark.parametrize("multiplier", [1, 3])
def test_depthwise_convolution(name, multiplier):
    """Output channel c * multiplier + m is input channel c by kernel (c, m)."""
    weight = draw(3, 3, 4, multiplier)
    found = run(
        "DepthwiseConv2D", MAP, arrays={name: weight}, kernel_size=[3, 3], strides=[2, 2],
        padding="same", use_bias=False, depth_multiplier=multiplier,
    )  # fmt: skip
    windows = naive_windows(MAP, 3, 2, 0)
    expected = torch.einsum("bchwij,ijcm->bcmhw", windows, torch.from_numpy(weight)).flatten(1, 2)
    assert torch.allclose(found, expected, atol=1e-5)


def test_separable_convolution():
    arrays = {"depthwise_kernel": draw(3, 3, 4, 2), "pointwise_kernel": draw(1, 1, 8, 5)}
    shared = {"kernel_size": [3, 3], "strides": [1, 1], "padding": "same", "depth_multiplier": 2}
    found = run("SeparableConv2D", MAP, arrays=arrays | {"bias": draw(5) * 0}, filters=5, **shared)
    depth = run(
        "DepthwiseConv2D", MAP, arrays={"kernel": arrays["depthwise_kernel"]}, use_bias=False,
        **shared,
    )  # fmt: skip
    point = torch.from_numpy(arrays["pointwise_kernel"])[0, 0]
    assert torch.allclose(found, torch.einsum("bchw,cd->bdhw", depth, point), atol=1e-5)


def test_dense_maps_the_last_axis():
    weight, bias = draw(4, 3), draw(3)
    arrays = {"kernel": weight, "bias": bias}
    expected = ROWS.numpy() @ weight + bias
    assert run("Dense", ROWS, arrays=arrays, units=3).numpy() == pytest.approx(expected, abs=1e-5)
    found = run("Dense", MAP, arrays=arrays, units=3, activation="softmax")
    expected = (np.moveaxis(MAP.numpy(), 1, -1) @ weight + bias).astype(np.float64)
    expected = np.exp(expected) / np.exp(expected).sum(axis=-1, keepdims=True)
    assert np.moveaxis(found.numpy(), 1, -1) == pytest.approx(expected, abs=1e-5)


def test_flatten_and_reshape_are_in_kerass_order():
    nhwc = MAP.permute(0, 2, 3, 1)
    assert torch.equal(run("Flatten", MAP), nhwc.reshape(2, -1))
    assert torch.equal(run("Flatten", ROWS), ROWS)
    found = run("Reshape", MAP, target_shape=[10, 12])
    assert torch.equal(found, nhwc.reshape(2, 10, 12))
    found = run("Reshape", MAP, target_shape=[3, -1, 4])
    assert torch.equal(found, nhwc.reshape(2, 3, 10, 4).permute(0, 3, 1, 2))
    found = run("Reshape", ROWS, target_shape=[1, 1, 4])
    assert torch.equal(found, ROWS[:, :, None, None])


def test_padding_is_top_bottom_left_right():
    found = run("ZeroPadding2D", MAP, padding=[[1, 2], [3, 4]])
    assert torch.equal(found[:, :, 1:-2, 3:-4], MAP)
    assert found.sum() == pytest.approx(float(MAP.sum()), abs=1e-3)


@pytest.mark.parametrize("keepdims", [False, True])
def test_global_pooling(keepdims):
    mean = run("GlobalAveragePooling2D", MAP, keepdims=keepdims)
    assert mean.shape == ((2, 4, 1, 1) if keepdims else (2, 4))
    assert torch.allclose(mean.flatten(1), MAP.flatten(2).mean(dim=2))
    top = run("GlobalMaxPooling2D", MAP, keepdims=keepdims)
    assert torch.equal(top.flatten(1), MAP.flatten(2).amax(dim=2))


@pytest.mark.parametrize("x", [MAP, ROWS])
@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_batch_normalization_with_stored_statistics(x, scale, center):
    names = ("gamma", "beta", "moving_mean", "moving_variance")
    arrays = {name: draw(4) for name in names[not scale :]}
    if not center:
        del arrays["beta"]
    arrays["moving_variance"] = np.abs(arrays["moving_variance"])
    axis = [3] if x.dim() == 4 else [1]
    found = run(
        "BatchNormalization", x, arrays=arrays, axis=axis, epsilon=0.3, momentum=0.99,
        scale=scale, center=center,
    )  # fmt: skip
    gamma, beta, mean, variance = (
        torch.from_numpy(arrays.get(name, np.float32([name == "gamma"] * 4))) for name in names
    )
    shape = (1, 4, 1, 1)[: x.dim()]
    expected = (x - mean.view(shape)) / (variance.view(shape) + 0.3).sqrt()
    expected = expected * gamma.view(shape) + beta.view(shape)
    assert torch.allclose(found, expected, atol=1e-5)


def test_rescaling_and_normalization():
    offset = [1.0, 2, 3, 4]
    found = run("Rescaling", MAP, scale=0.5, offset=offset)
    assert torch.allclose(found, MAP / 2 + torch.tensor(offset).view(4, 1, 1))
    mean, variance = np.abs(draw(4)), np.float32([1, 4, 9, 0])
    expected = (MAP - torch.from_numpy(mean).view(4, 1, 1)) / torch.tensor([1, 2, 3, 1e-7]).view(
        4, 1, 1
    )
    given = run("Normalization", MAP, axis=[3], mean=mean.tolist(), variance=variance.tolist())
    assert torch.allclose(given, expected)
    learned = {"mean": mean, "variance": variance, "count": np.int64(7)}
    assert torch.equal(run("Normalization", MAP, axis=[-1], arrays=learned), given)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, lambda x: max(x, 0)),
        ({"max_value": 6.0, "negative_slope": 0.0, "threshold": 0.0}, lambda x: min(max(x, 0), 6)),
        ({"max_value": 1.5}, lambda x: min(max(x, 0), 1.5)),
        ({"negative_slope": 0.1}, lambda x: x if x > 0 else 0.1 * x),
        ({"threshold": 1.0}, lambda x: x if x > 1 else 0),
        (
            {"max_value": 6.0, "negative_slope": 0.5, "threshold": 1.0},
            lambda x: min(x, 6) if x > 1 else 0.5 * (x - 1),
        ),
    ],
)
def test_relu(config, expected):
    x = torch.linspace(-3, 9, 37)[None]
    found = run("ReLU", x, **config)[0]
    assert found.tolist() == pytest.approx([expected(v) for v in x[0].tolist()], abs=1e-6)


@pytest.mark.parametrize("key", ["alpha", "negative_slope"])
def test_leaky_relu(key):
    assert torch.allclose(
        run("LeakyReLU", ROWS, **{key: 0.2}), torch.where(ROWS > 0, ROWS, ROWS / 5)
    )


@pytest.mark.parametrize(
    ("x", "axes", "shape"),
    [
        (MAP, [1, 2], (1, 1, 4)),
        (MAP, None, (5, 6, 4)),
        (MAP, [2], (5, 1, 4)),
        (MAP[:, :, :4], [2, 3], (4, 1, 1)),
        (ROWS, None, (4,)),
    ],
)
def test_prelu(x, axes, shape):
    alpha = np.abs(draw(*shape))
    found = run("PReLU", x, arrays={"alpha": alpha}, shared_axes=axes)
    slopes = torch.from_numpy(alpha)
    slopes = slopes if x.dim() == 2 else slopes.permute(2, 0, 1)
    assert torch.allclose(found, torch.where(x > 0, x, slopes * x))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("linear", lambda x: x),
        ("relu", torch.relu),
        ("relu6", lambda x: x.clamp(0, 6)),
        ("swish", lambda x: x / (1 + (-x).exp())),
        ("silu", lambda x: x / (1 + (-x).exp())),
        ("sigmoid", lambda x: 1 / (1 + (-x).exp())),
        ("tanh", torch.tanh),
        ("elu", lambda x: torch.where(x > 0, x, x.exp() - 1)),
        ("selu", lambda x: 1.05070098 * torch.where(x > 0, x, 1.67326324 * (x.exp() - 1))),
        ("gelu", lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
        ("softplus", lambda x: (1 + x.exp()).log()),
        ("softsign", lambda x: x / (1 + x.abs())),
        ("softmax", lambda x: x.exp() / x.exp().sum(dim=1, keepdim=True)),
    ],
)
@pytest.mark.parametrize("x", [MAP, ROWS])
def test_activations(name, expected, x):
    assert torch.allclose(run("Activation", x, activation=name), expected(x), atol=1e-6)


def test_softmax_along_kerass_axis():
    assert torch.equal(run("Softmax", MAP, axis=-1), MAP.softmax(dim=1))
    assert torch.equal(run("Softmax", MAP, axis=1), MAP.softmax(dim=2))


def test_merging():
    other = MAP[:, :, :1, :1]
    assert torch.equal(run("Add", MAP, MAP, MAP), 3 * MAP)
    assert torch.equal(run("Multiply", MAP, other), MAP * other)
    assert run("Concatenate", MAP, MAP, axis=-1).shape == (2, 8, 5, 6)
    assert run("Concatenate", MAP, MAP, axis=1).shape == (2, 4, 10, 6)
    with pytest.raises(BenchError, match="expected inputs of one rank"):
        run("Add", MAP, ROWS)


@pytest.mark.parametrize("kind", ["NormDense", "keras_insightface>NormDense"])
def test_norm_dense_gives_cosines(kind):
    weight = draw(4, 6)
    options = {"loss_top_k": 1, "append_norm": False, "partial_fc_split": 0}
    found = run(kind, ROWS, arrays={"norm_dense_w": weight}, units=6, **options)
    expected = functional.cosine_similarity(ROWS[:, :, None], torch.from_numpy(weight)[None], dim=1)
    assert torch.allclose(found, expected, atol=1e-6)
    tiny = run(kind, ROWS * 1e-4, arrays={"norm_dense_w": weight}, units=6, **options)
    squares = (ROWS * 1e-4).square().sum(dim=1, keepdim=True)  # below the least, 1e-5
    assert torch.allclose(tiny, expected * (squares / 1e-5).sqrt(), atol=1e-6)


@pytest.mark.parametrize("kind", ["Dropout", "SpatialDropout2D", "GaussianNoise"])
def test_noise_is_for_training(kind):
    assert torch.equal(run(kind, MAP, rate=0.5, stddev=3.0, seed=None), MAP)


CONV = {"filters": 7, "kernel_size": [3, 3], "strides": [1, 1], "padding": "valid"}
KERNEL = {"kernel": draw(3, 3, 4, 7)}


@pytest.mark.parametrize(
    ("kind", "config", "arrays", "message"),
    [
        ("Wonder", {}, {}, r"layer 'mine' \(Wonder\): unknown layer; known: Activation, .*Conv2D"),
        ("Lambda", {}, {}, "holds Python code, which is never run"),
        ("Conv2D", CONV | {"data_format": "channels_first"}, KERNEL, "found 'channels_first': bui"),
        ("Conv2D", CONV | {"padding": "causal"}, KERNEL, "'same' or 'valid', found 'causal'"),
        ("Conv2D", CONV, {}, r"array 'kernel' of shape \(3, 3, 4, 7\), found none"),
        ("Conv2D", CONV, KERNEL, r"array 'bias' of shape \(7,\)"),
        ("Conv2D", CONV, {"kernel": draw(3, 3, 5, 7)}, r"\(3, 3, 4, 7\), found .*\(3, 3, 5, 7\)"),
        ("Conv2D", CONV, {"kernel": draw(3, 3, 4, 7).astype("f2")}, "found float16"),
        ("Conv2D", CONV | {"use_bias": False}, KERNEL | {"x": draw(1)}, "array 'x' is in the file"),
        ("Conv2D", CONV | {"activation": "wow", "use_bias": False}, KERNEL, "unknown name 'wow'"),
        ("Conv2D", CONV | {"kernel_size": 3.5}, KERNEL, "kernel_size: expected one or two whole"),
        ("Conv2D", {}, KERNEL, "setting 'kernel_size' is missing"),
        ("Dense", {"units": 7, "dtype": "float16"}, {}, "dtype: expected float32 or a mixed"),
        ("BatchNormalization", {"axis": [1]}, {}, r"axis: expected that of the channels"),
        ("BatchNormalization", {"renorm": True}, {n: draw(4) for n in
         ("gamma", "beta", "moving_mean", "moving_variance")}, "renorm=True is not supported"),
        ("Rescaling", {"scale": [1, 2]}, {}, "one number, or one a channel"),
        ("Flatten", {"data_format": "channels_first"}, {}, "channels_first"),
    ],
)  # fmt: skip
def test_what_is_refused(kind, config, arrays, message):
    with pytest.raises(BenchError, match=message) as error:
        run(kind, MAP, arrays=arrays, **config)
    assert str(error.value).startswith("layer 'mine' (")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "options", [{"loss_top_k": 3}, {"append_norm": True}, {"partial_fc_split": 4}]
)
def test_options_of_norm_dense_that_are_not_supported(options):
    with pytest.raises(BenchError, match="not supported"):
        run("NormDense", ROWS, arrays={"norm_dense_w": draw(4, 6)}, units=6, **options)


@pytest.mark.parametrize(
    "policy",
    ["float32", "mixed_float16", {"class_name": "Policy", "config": {"name": "mixed_float16"}}],
)
def test_mixed_precision_has_float32_weights(policy):
    assert torch.equal(run("Flatten", ROWS, dtype=policy), ROWS)


def test_settings_that_do_not_matter():
    found = run("Flatten", ROWS, trainable=False, name="mine", new_switch=False, other=None,
                kernel_initializer={"class_name": "Zeros"})  # fmt: skip
    assert torch.equal(found, ROWS)


def test_two_inputs_where_one_is_expected():
    with pytest.raises(BenchError, match="expected one input, found 2"):
        run("Flatten", ROWS, ROWS)
