"""Small seeded Keras networks whose weights are plain arrays, so that PyTorch can have them too.

conv 3x3 (6, valid, relu) - conv 3x3 (8, stride 2, valid, relu) - global average - head. Heads:
`softmax` and `linear` are a dense layer with bias, `cosine` is a dense embedding without bias and
the cosines of it with five class vectors.
"""

import numpy as np
import tensorflow as tf

HEADS = ("softmax", "linear", "cosine")
CLASSES = 5
EMBEDDING = 7
SEEDS = {"softmax": 113, "linear": 12, "cosine": 13}
GAINS = {"softmax": 6.0, "linear": 4.0, "cosine": 1.5}
"""What the head's kernel is multiplied with, so that scores clearly react to the input."""


class Cosines(tf.keras.layers.Layer):
    """Cosines of each input row with each column of the layer's weight."""

    def build(self, input_shape: tf.TensorShape) -> None:
        """Makes the weight, (features, CLASSES)."""
        self.classes = self.add_weight(name="classes", shape=(input_shape[-1], CLASSES))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Maps (B, features) to (B, CLASSES)."""
        rows = tf.math.l2_normalize(inputs, axis=-1)
        return rows @ tf.math.l2_normalize(self.classes, axis=0)


def draw_weights(head: str) -> dict[str, np.ndarray]:
    """Draws a network's weights in the order in which Keras lists them.

    Args:
        head: One of `HEADS`.

    Returns:
        Name to float32 array. Kernels are (height, width, in, out) or (in, out).
    """
    random = np.random.RandomState(SEEDS[head])

    def kernel(*shape: int, gain: float = 1.5) -> np.ndarray:
        scale = gain / np.sqrt(np.prod(shape[:-1]))
        return (scale * random.standard_normal(shape)).astype(np.float32)

    def bias(size: int) -> np.ndarray:
        signs = random.choice([-1.0, 1.0], size)
        return (signs * random.uniform(0.05, 0.3, size)).astype(np.float32)

    weights = {"conv1_kernel": kernel(3, 3, 3, 6), "conv1_bias": bias(6)}
    weights |= {"conv2_kernel": kernel(3, 3, 6, 8), "conv2_bias": bias(8)}
    if head == "cosine":
        weights["dense_kernel"] = kernel(8, EMBEDDING, gain=GAINS[head])
        weights["cosine_weight"] = kernel(EMBEDDING, CLASSES)
    else:
        weights["dense_kernel"] = kernel(8, CLASSES, gain=GAINS[head])
        weights["dense_bias"] = bias(CLASSES)
    return weights


def build_network(head: str, shape: tuple[int, int, int]) -> tf.keras.Model:
    """Builds a network with the weights of `draw_weights`.

    Args:
        head: One of `HEADS`.
        shape: Height, width and channels of the input.

    Returns:
        The model, (B, *shape) to (B, CLASSES).
    """
    layers = tf.keras.layers
    inputs = tf.keras.Input(shape)
    x = layers.Conv2D(6, 3, activation="relu")(inputs)
    x = layers.Conv2D(8, 3, strides=2, activation="relu")(x)
    x = layers.GlobalAveragePooling2D()(x)
    if head == "cosine":
        outputs = Cosines()(layers.Dense(EMBEDDING, use_bias=False)(x))
    else:
        outputs = layers.Dense(CLASSES, activation=head)(x)
    model = tf.keras.Model(inputs, outputs)
    model.set_weights(list(draw_weights(head).values()))
    return model
