"""Maps of the real Xplique's deterministic methods on a small Keras network, as golden arrays.

    python scripts/oracle/methods.py FOLDER

Writes methods.h5, the network as Keras saves it, and methods.npz: inputs (N, H, W, 3), targets and
one map (N, H, W) a method, channels averaged as Xplique's metrics do.
"""

import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from xplique import attributions

SIZE, CLASSES = 28, 4


def build_network() -> tf.keras.Model:
    """Two convolutions with BatchNorm and ReLU, a pooled softmax head; 28 px."""
    tf.keras.utils.set_random_seed(7)
    layers = tf.keras.layers
    x = inputs = tf.keras.Input((SIZE, SIZE, 3))
    for number, (filters, stride) in enumerate([(6, 1), (8, 2)], start=1):
        x = layers.Conv2D(filters, 3, stride, padding="same", name=f"conv{number}")(x)
        x = layers.BatchNormalization(name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    model = tf.keras.Model(inputs, layers.Dense(CLASSES, "softmax", name="head")(x))
    random = np.random.RandomState(3)
    for layer in model.layers:
        gain = 0.8 if layer.name == "head" else 0.3  # so that scores react, but not saturate
        layer.set_weights(
            [
                random.uniform(0.3, 1.2, own.shape)
                if "gamma" in own.name or "variance" in own.name
                else gain * random.standard_normal(own.shape)
                for own in layer.weights
            ]
        )
    return model


def smooth_inputs(count: int) -> np.ndarray:
    """Smooth random images with values around -1..1."""
    coarse = np.random.RandomState(5).standard_normal((count, 7, 7, 3)).astype(np.float32)
    return tf.image.resize(coarse, (SIZE, SIZE), "bicubic").numpy()


def main() -> None:
    """Writes the files."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    model, x = build_network(), smooth_inputs(3)
    targets = model.predict(x, verbose=0).argmax(axis=1)
    targets[1] = (targets[1] + 1) % CLASSES
    hot = np.eye(CLASSES, dtype=np.float32)[targets]
    explainers = {
        "saliency": attributions.Saliency(model),
        "gradient_input": attributions.GradientInput(model),
        "guided_backprop": attributions.GuidedBackprop(model),
        "integrated_gradients": attributions.IntegratedGradients(model, steps=20),
        "grad_cam": attributions.GradCAM(model),
        "grad_cam_pp": attributions.GradCAMPP(model),
        "occlusion": attributions.Occlusion(model, patch_size=10, patch_stride=5),
        "sobol": attributions.SobolAttributionMethod(model, grid_size=4, nb_design=8),
        "hsic": attributions.HsicAttributionMethod(model, grid_size=4, nb_design=60),
    }
    arrays = {"x": x, "targets": targets}
    for name, explainer in explainers.items():
        maps = np.asarray(explainer(x, hot), dtype=np.float32)
        arrays[name] = maps.mean(axis=-1) if maps.ndim == 4 else maps
        print(f"{name}: {arrays[name].shape}, spread over {np.ptp(arrays[name]):.3g}")
    model.save(folder / "methods.h5")
    np.savez_compressed(folder / "methods.npz", **arrays)


if __name__ == "__main__":
    main()
