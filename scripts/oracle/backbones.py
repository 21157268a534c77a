"""Networks as Keras saves them, with what Keras computes from them.

Runs in the environment of requirements.txt, not in the project's:

    .venv-oracle/bin/python scripts/oracle/backbones.py tests/golden/backbones --tiny

Writes a pair of files for each of `CASES`: `NAME.h5`, what `model.save` writes, and `NAME.npz` with
`x` (N, H, W, 3), `outputs` (N, classes), `targets` (N,), `gradients` of the targets' summed outputs
with respect to x, `layers` (JSON: names) and their outputs `layer_0`, `layer_1`, ..., these and the
gradients computed in float64 (see `exact`), `cam_layer`, Xplique's default for Grad-CAM ("" where
it finds none), `output_kind`, and `versions`. All is computed by the model that Keras loads from
the file. With `--tiny` the networks have few layers with few channels, else their full size; their
files are packed to `NAME.h5.xz`.

With Keras 3 (pip install keras tensorflow-cpu) it writes `NAME_keras3` instead: so the committed
ones were made, with Keras 3.15.
"""

import argparse
import json
import lzma
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"  # plain float32 arithmetic

import h5py
import keras
import keras.applications
import numpy as np
import tensorflow as tf

layers = keras.layers
KERAS = int(keras.__version__.partition(".")[0])
TINY_SIZE = 32
Inputs = Any  # a symbolic tensor of Keras


@keras.utils.register_keras_serializable(package="keras_insightface")
class NormDense(layers.Layer):
    """Cosines with class vectors, the last layer of Keras_insightface's training models."""

    def __init__(self, units: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.units = units

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Makes the weight, (features, units)."""
        self.w = self.add_weight(name="norm_dense_w", shape=(input_shape[-1], self.units))
        super().build(input_shape)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (B, features) to (B, units)."""
        rows = tf.nn.l2_normalize(inputs, axis=1, epsilon=1e-5)
        return rows @ tf.nn.l2_normalize(tf.convert_to_tensor(self.w), axis=0, epsilon=1e-5)

    def get_config(self) -> dict[str, Any]:
        """What a file says of the layer, with the options of the original."""
        defaults = {"loss_top_k": 1, "append_norm": False, "partial_fc_split": 0}
        return super().get_config() | {"units": self.units, "kernel_regularizer": None} | defaults

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "NormDense":
        """Leaves out the options that are not rebuilt here."""
        known = {"name", "trainable", "dtype", "units"}
        return cls(**{key: value for key, value in config.items() if key in known})


# Bodies: whether it is tiny -> a model without a head


def shrink(model: keras.Model, factor: int) -> keras.Model:
    """The same network with a fraction of the channels."""
    config = model.get_config()
    for layer in config["layers"]:
        layer.pop("build_config", None)  # Keras 3's note of the old shapes
        settings = layer["config"]
        if settings.get("filters"):
            settings["filters"] = max(settings["filters"] // factor, 1)
        if "target_shape" in settings:  # of squeeze and excitation
            *sides, channels = settings["target_shape"]
            settings["target_shape"] = (*sides, max(channels // factor, 1))
    return keras.Model.from_config(config)


def resnet101(tiny: bool) -> keras.Model:
    """ResNet101; tiny: two of the stages."""
    if not tiny:
        return keras.applications.ResNet101(False, None, input_shape=(224, 224, 3))
    from keras.applications import resnet

    def stacks(x: Inputs) -> Inputs:
        # Keras 3 has other keywords, so that the strides go by position.
        x = stack(x, 32, 2, 1, name="conv2")
        return stack(x, 64, 2, 2, name="conv5")

    stack = resnet.stack1 if hasattr(resnet, "stack1") else resnet.stack_residual_blocks_v1
    shape = (TINY_SIZE, TINY_SIZE, 3)
    settings = {"include_top": False, "weights": None, "input_shape": shape}
    return shrink(resnet.ResNet(stacks, False, True, **settings), 8)


def vgg19(tiny: bool) -> keras.Model:
    """VGG19."""
    size = TINY_SIZE if tiny else 224
    model = keras.applications.VGG19(False, None, input_shape=(size, size, 3))
    return shrink(model, 32) if tiny else model


def mobilenetv2(tiny: bool) -> keras.Model:
    """MobileNetV2; tiny: its first blocks and its last convolution."""
    size, alpha = (TINY_SIZE, 0.35) if tiny else (224, 1.0)
    model = keras.applications.MobileNetV2((size, size, 3), alpha, False, None)
    if not tiny:
        return model
    x = model.get_layer("block_5_add").output
    for name in ("Conv_1", "Conv_1_bn", "out_relu"):
        layer = model.get_layer(name)
        x = type(layer).from_config(layer.get_config())(x)
    return shrink(keras.Model(model.input, x), 4)


def efficientnetv2m(tiny: bool) -> keras.Model:
    """EfficientNetV2-M with its rescaling; tiny: the B0's first blocks with its normalisation."""
    if not tiny:
        return keras.applications.EfficientNetV2M(False, None, input_shape=(384, 384, 3))
    shape = (TINY_SIZE, TINY_SIZE, 3)
    model = keras.applications.EfficientNetV2B0(False, None, input_shape=shape)
    x = model.get_layer("block4b_add").output
    for name in ("top_conv", "top_bn", "top_activation"):
        layer = model.get_layer(name)
        x = type(layer).from_config(layer.get_config())(x)
    return shrink(keras.Model(model.input, x), 8)


def ir100(tiny: bool, activation: str, padding: str) -> keras.Model:
    """The IR-100 of Keras_insightface.

    Args:
        tiny: Two stages of two blocks.
        activation: `relu` or `prelu`.
        padding: `same`, or `zeros` for explicit padding; the package has had both.
    """
    depths, widths = ((2, 2), (4, 8)) if tiny else ((3, 13, 30, 3), (64, 128, 256, 512))
    size = TINY_SIZE if tiny else 112

    def conv(x: Inputs, filters: int, kernel: int, stride: int, name: str) -> Inputs:
        same = kernel > 1 and padding == "same"
        if kernel > 1 and not same:
            x = layers.ZeroPadding2D(1, name=name + "_pad")(x)
        how = {"padding": "same" if same else "valid", "use_bias": False, "name": name + "_conv"}
        return layers.Conv2D(filters, kernel, stride, **how)(x)

    def norm(x: Inputs, name: str) -> Inputs:
        return layers.BatchNormalization(epsilon=1e-5, momentum=0.9, name=name + "_bn")(x)

    def act(x: Inputs, name: str) -> Inputs:
        if activation == "prelu":
            return layers.PReLU(shared_axes=[1, 2], name=name + "_prelu")(x)
        return layers.Activation(activation, name=f"{name}_{activation}")(x)

    inputs = layers.Input((size, size, 3))
    x = act(norm(conv(inputs, widths[0], 3, 1, "0"), "0"), "0")
    for stack, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for block in range(1, depth + 1):
            name, stride = f"stack{stack}_block{block}_", 2 if block == 1 else 1
            shortcut = x
            if block == 1:
                shortcut = norm(conv(x, width, 1, 2, name + "shortcut"), name + "shortcut")
            x = conv(norm(x, name + "1"), width, 3, 1, name + "1")
            x = act(norm(x, name + "2"), name + "2")
            x = norm(conv(x, width, 3, stride, name + "2"), name + "3")
            x = layers.Add(name=name + "add")([shortcut, x])
    return keras.Model(inputs, x)


# Heads: (body, whether it is tiny) -> the whole model


def _classes(tiny: bool) -> int:
    return 5 if tiny else 200


def _dense_layers(x: Inputs, pool: str, widths: tuple[int, ...], last: Inputs) -> Inputs:
    x = (layers.GlobalAveragePooling2D(name="avg_pool") if pool == "gap" else layers.Flatten())(x)
    for n, width in enumerate(widths):
        x = layers.Dense(width, "relu", name=f"dense_{n}" if n else "dense")(x)
        x = layers.Dropout(0.2)(x)
    return last(x)


def classifier(
    body: keras.Model, tiny: bool, pool: str, depth: int, activation: str = "softmax"
) -> keras.Model:
    """A flat model: the body's layers, pooling, Dense layers.

    Args:
        body: Ends in a map.
        tiny: Few channels.
        pool: `gap` or `flatten`.
        depth: Dense layers with ReLU before the last one.
        activation: The activation of the last one.
    """
    widths = ((6, 7) if tiny else (512, 128))[:depth]
    last = layers.Dense(_classes(tiny), activation, name="predictions")
    return keras.Model(body.input, _dense_layers(body.output, pool, widths, last))


def nested(body: keras.Model, tiny: bool) -> keras.Model:
    """Transfer learning as in Keras's guide: the body is one layer, called in inference mode."""
    inputs = layers.Input(body.input_shape[1:])
    x = body(inputs, training=False)
    last = layers.Dense(_classes(tiny), "softmax", name="predictions")
    return keras.Model(inputs, _dense_layers(x, "gap", (7,), last))


def sequential(body: keras.Model, tiny: bool) -> keras.Model:
    """The body and further layers, one after the other; PReLU after a Dense layer."""
    head = [layers.Flatten(), layers.Dense(6, name="dense"), layers.PReLU()]
    last = layers.Softmax()
    return keras.Sequential([body, *head, layers.Dense(_classes(tiny), name="predictions"), last])


def face(body: keras.Model, tiny: bool, head: str) -> keras.Model:
    """Keras_insightface's embedding and cosines.

    Args:
        body: Ends in a map.
        tiny: Few channels.
        head: `E` or `GDC`.
    """
    width, classes = (6, 5) if tiny else (512, 1000)
    x = body.output
    if head == "E":
        x = layers.Dropout(0.4)(layers.BatchNormalization(epsilon=1e-5, name="E_batchnorm")(x))
        x = layers.Dense(width, use_bias=False, name="E_dense")(layers.Flatten(name="E_flatten")(x))
    else:
        x = layers.DepthwiseConv2D(x.shape[1], use_bias=False, name="GDC_dw")(x)
        x = layers.BatchNormalization(epsilon=1e-5, name="GDC_batchnorm")(x)
        x = layers.Conv2D(width, 1, use_bias=False, name="GDC_conv")(x)
        x = layers.Flatten(name="GDC_flatten")(x)
    x = layers.BatchNormalization(epsilon=1e-5, scale=head == "GDC", name="pre_embedding")(x)
    x = layers.Activation("linear", dtype="float32", name="embedding")(x)
    return keras.Model(body.input, NormDense(classes, name="arcface")(x))


@dataclass(frozen=True)
class Case:
    """A network and what is kept of it.

    Attributes:
        body: Whether it is tiny -> the network without its head.
        head: Body and whether it is tiny -> the whole network.
        layers: Names of those whose outputs are kept.
        output_kind: What the outputs are.
    """

    body: Callable[[bool], keras.Model]
    head: Callable[[keras.Model, bool], keras.Model]
    layers: tuple[str, ...]
    output_kind: str = "probabilities"


CASES = {
    "resnet101": Case(
        body=resnet101,
        head=partial(classifier, pool="gap", depth=1),
        layers=("conv5_block1_out", "dense"),
    ),
    "resnet101_flatten": Case(
        body=resnet101,
        head=partial(classifier, pool="flatten", depth=2),
        layers=("dense", "dense_1"),
    ),
    "vgg19": Case(
        body=vgg19,
        head=partial(classifier, pool="flatten", depth=1, activation="linear"),
        layers=("block5_conv4", "dense"),
        output_kind="logits",
    ),
    "vgg19_sequential": Case(body=vgg19, head=sequential, layers=("dense", "predictions")),
    "mobilenetv2": Case(
        body=mobilenetv2,
        head=partial(classifier, pool="gap", depth=0),
        layers=("block_5_project_BN", "out_relu"),
    ),
    "mobilenetv2_nested": Case(body=mobilenetv2, head=nested, layers=("avg_pool", "dense")),
    "efficientnetv2m": Case(
        body=efficientnetv2m,
        head=partial(classifier, pool="gap", depth=0),
        layers=("block4a_se_excite", "top_conv"),
    ),
    "ir100_e_prelu": Case(
        body=partial(ir100, activation="prelu", padding="zeros"),
        head=partial(face, head="E"),
        layers=("stack2_block2_add", "E_dense", "embedding"),
        output_kind="cosines",
    ),
    "ir100_gdc_relu": Case(
        body=partial(ir100, activation="relu", padding="same"),
        head=partial(face, head="GDC"),
        layers=("stack2_block2_add", "embedding"),
        output_kind="cosines",
    ),
}


# Weights and results


def draw_inputs(shape: tuple[int, ...], count: int, random: np.random.RandomState) -> np.ndarray:
    """Draws coarse patterns with noise, whole numbers in 0..255 as pixels are.

    Images differ in colour and contrast, else all would look alike to a deep random network.

    Args:
        shape: Height, width and channels.
        count: Images.
        random: Source of randomness.

    Returns:
        (count, *shape) float32.
    """
    height, width, channels = shape
    cell = np.ones((-(-height // 4), -(-width // 4), 1))
    patterns = random.uniform(-1, 1, (count, 4, 4, channels))
    patterns = np.stack([np.kron(each, cell)[:height, :width] for each in patterns])
    patterns += random.uniform(-0.4, 0.4, patterns.shape)
    colour = random.uniform(60, 195, (count, 1, 1, channels))
    contrast = np.linspace(20, 120, count)[:, None, None, None]
    return np.round(np.clip(colour + contrast * patterns, 0, 255)).astype(np.float32)


def coarse(values: np.ndarray) -> np.ndarray:
    """Keeps eight bits of each mantissa: the committed files are smaller, and nothing is lost."""
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.round(mantissa * 256) / 256, exponent).astype(np.float32)


def _leaves(model: keras.Model) -> list[keras.layers.Layer]:
    """All layers of a model and of the models in it, but not these models."""
    every = model._flatten_layers(include_self=False)
    return [layer for layer in every if not isinstance(layer, keras.Model)]


def randomise(
    model: keras.Model,
    settled: keras.Model | None = None,
    x: np.ndarray | None = None,
    seed: int = 0,
) -> None:
    """Draws all weights; BatchNorm's statistics lie near those of images, but are not them.

    Without that, the activations of a hundred random layers vanish or explode.

    Args:
        model: Gets new weights.
        settled: A part of it that keeps its own.
        x: The images' inputs (N, H, W, 3); drawn if None.
        seed: Another one gives other weights.
    """
    random = np.random.RandomState((model.count_params() + seed) % 2**31)
    kept = _leaves(settled) if settled else []
    fresh = [layer for layer in _leaves(model) if layer not in kept]
    norms = [layer for layer in _leaves(model) if isinstance(layer, layers.BatchNormalization)]
    for layer in fresh:
        values = [_draw(layer, weight, random) for weight in layer.get_weights()]
        layer.set_weights([coarse(value) for value in values])
    momenta = [norm.momentum for norm in norms]
    drops = [layer for layer in _leaves(model) if isinstance(layer, layers.Dropout)]
    rates = [layer.rate for layer in drops]
    for layer in drops:
        layer.rate = 0.0
    for norm in norms:  # 0: moving statistics become those of this batch; 1: they stay
        norm.momentum = float(norm in kept)
    if x is None:
        shape = model.input_shape[1:]
        count = 8 if shape[0] == TINY_SIZE else 3
        x = scaled(model, draw_inputs(shape, count, random))
    model(x, training=True)
    for layer, rate in zip(drops, rates, strict=True):
        layer.rate = rate
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        if norm in kept:
            continue
        *affine, mean, variance = norm.get_weights()
        mean = mean + 0.1 * np.sqrt(variance) * random.standard_normal(len(mean))
        variance = (variance + 0.05 * variance.mean()) * random.uniform(0.8, 1.25, len(mean))
        norm.set_weights([*affine, coarse(mean), coarse(variance)])


def _draw(
    layer: keras.layers.Layer, weight: np.ndarray, random: np.random.RandomState
) -> np.ndarray:
    """Draws one of a layer's weights."""
    if isinstance(layer, layers.BatchNormalization):  # gamma near 1, the rest near 0
        # Less at a residual branch's end, as in trained networks: else a hundred random layers
        # amplify float32's rounding by more than a hundred.
        ends_branch = layer.name.lower().endswith(("_3_bn", "project_bn"))
        scale = 0.2 if ends_branch else 1
        return scale * (weight + 0.2 * random.standard_normal(weight.shape))
    if isinstance(layer, layers.PReLU):
        return random.uniform(0.05, 0.4, weight.shape)
    if weight.ndim == 1:  # biases
        return 0.1 * random.standard_normal(weight.shape)
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    inputs = np.prod(weight.shape[: 2 if depthwise else -1])
    return np.sqrt(2 / inputs) * random.standard_normal(weight.shape)


def scaled(model: keras.Model, x: np.ndarray) -> np.ndarray:
    """Pixels to inputs: (pixel - 127.5) / 127.5, unless the model rescales them itself."""
    rescales = any(isinstance(layer, layers.Rescaling) for layer in _leaves(model))
    return x if rescales else (x - np.float32(127.5)) / np.float32(127.5)


def results(model: keras.Model, kept: tuple[str, ...], count: int = 2) -> dict[str, Any]:
    """What a model computes.

    Args:
        model: As loaded from its file.
        kept: Names of layers whose outputs are wanted.
        count: Images.

    Returns:
        Name to array.
    """
    random = np.random.RandomState(7)
    x = scaled(model, draw_inputs(model.input_shape[1:], count, random))
    targets = np.arange(1, count + 1)
    arrays = {"x": x, "targets": targets, "outputs": model.predict(x, verbose=0)}
    gradients, inner = exact(model, kept, x, targets)
    arrays |= {f"layer_{n}": value for n, value in enumerate(inner)}
    return arrays | {"gradients": gradients, "layers": json.dumps(kept)}


def exact(
    model: keras.Model, kept: tuple[str, ...], x: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Computes in float64 what rounding would blur.

    In float32 some of millions of ReLU inputs are zero but for rounding. Whether such a unit is on
    is chance, and moves a pixel's gradient by a hundredth of the largest one in a deep network,
    between any two ways to compute it.

    Args:
        model: In float32.
        kept: Names of layers whose outputs are wanted.
        x: (N, H, W, 3).
        targets: (N,).

    Returns:
        Gradients (N, H, W, 3) of the targets' summed outputs with respect to x, and the layers'
        outputs; all in float32.
    """
    keras.backend.set_floatx("float64")
    double = keras.models.model_from_json(model.to_json().replace('"float32"', '"float64"'))
    double.set_weights(model.get_weights())
    layer_outputs = [double.get_layer(name).output for name in kept]
    probe = keras.Model(double.inputs, [double.outputs[0], *layer_outputs])
    inputs = tf.constant(x, tf.float64)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs, *inner = probe(inputs, training=False)
        score = tf.reduce_sum(tf.gather(outputs, targets, batch_dims=1))
    keras.backend.set_floatx("float32")
    gradients = tape.gradient(score, inputs).numpy().astype(np.float32)
    return gradients, [value.numpy().astype(np.float32) for value in inner]


def cam_layer(model: keras.Model) -> str:
    """The layer that Xplique chooses for Grad-CAM; "" where it finds none, or under Keras 3."""
    if KERAS > 2:
        return ""
    from xplique.attributions import GradCAM

    try:
        return GradCAM(model).conv_layer.name
    except StopIteration:
        return ""


def write(name: str, folder: Path, tiny: bool) -> None:
    """Writes the files of a case.

    Args:
        name: One of `CASES`.
        folder: Where to.
        tiny: Its size.

    Raises:
        RuntimeError: The network is degenerate: outputs equal or gradients zero.
    """
    started = time.perf_counter()
    case = CASES[name]
    body = case.body(tiny)
    model = case.head(body, tiny)
    randomise(body)
    randomise(model, settled=body)
    stem = name if KERAS == 2 else f"{name}_keras{KERAS}"
    file = folder / f"{stem}.h5"
    model.save(file)
    model = keras.models.load_model(file, compile=False)
    arrays = results(model, case.layers)
    outputs, gradients = arrays["outputs"], arrays["gradients"]
    if np.ptp(outputs, axis=0).max() < 0.01 * np.abs(outputs).max() or not gradients.any():
        raise RuntimeError(f"{name}: degenerate: {outputs}, {gradients}")
    arrays |= {"cam_layer": cam_layer(model), "output_kind": case.output_kind}
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__, "h5py": h5py.__version__}
    arrays["versions"] = json.dumps(versions)
    np.savez_compressed(folder / f"{stem}.npz", **arrays)
    if tiny:
        content = lzma.compress(file.read_bytes(), preset=9 | lzma.PRESET_EXTREME)
        file.with_name(f"{stem}.h5.xz").write_bytes(content)
        file.unlink()
    kilobytes = sum(path.stat().st_size for path in folder.glob(f"{stem}.*")) / 1000
    print(
        f"{folder / stem}: {kilobytes:.0f} kB, {time.perf_counter() - started:.0f} s, outputs "
        f"spread over {np.ptp(arrays['outputs']):.3g}, Grad-CAM at '{arrays['cam_layer']}'"
    )


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(CASES)}; default: all")
    parser.add_argument("--tiny", action="store_true", help="few layers with few channels")
    given = parser.parse_args()
    given.out_dir.mkdir(parents=True, exist_ok=True)
    for name in given.cases or CASES:
        keras.backend.clear_session()
        write(name, given.out_dir, given.tiny)


if __name__ == "__main__":
    main()
