"""Maps of the real Xplique's methods on a small Keras network, as golden arrays.

    python scripts/oracle/methods.py FOLDER

Writes methods.h5, the network as Keras saves it; methods.npz: inputs (N, H, W, 3), targets and one
map (N, H, W) a deterministic method, channels averaged as Xplique's metrics do; and
methods_drawn.npz: such maps of the methods that draw at random, with what they drew, and maps of
so many draws that they hardly matter (`many_...`).
"""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import scipy.linalg
import tensorflow as tf
from skimage.segmentation import quickshift
from xplique import attributions

SIZE, CLASSES = 28, 4
MANY = {"smooth_grad": 400, "rise": 8000, "lime": 2000, "kernel_shap": 6000}
Arrays = dict[str, np.ndarray]


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
                random.uniform(0.3, 1.2, weight.shape)
                if "gamma" in weight.name or "variance" in weight.name
                else gain * random.standard_normal(weight.shape)
                for weight in layer.weights
            ]
        )
    return model


def smooth_inputs(count: int) -> np.ndarray:
    """Smooth random images with values around -1..1."""
    coarse = np.random.RandomState(5).standard_normal((count, 7, 7, 3)).astype(np.float32)
    return tf.image.resize(coarse, (SIZE, SIZE), "bicubic").numpy()


def recorded(function: Callable[..., Any], results: list[Any]) -> Callable[..., Any]:
    """The same function; what it returns is kept."""

    def call(*arguments: Any) -> Any:
        results.append(function(*arguments))
        return results[-1]

    return call


def coarse_segments(image: tf.Tensor) -> tf.Tensor:
    """Fewer and larger segments than Xplique's own, about 30."""
    segments = quickshift(image.numpy().astype("double"), ratio=0.5, kernel_size=5, max_dist=30)
    return tf.cast(segments, tf.int32)


def noisy_maps(model: tf.keras.Model, x: np.ndarray, hot: np.ndarray) -> Arrays:
    """SmoothGrad and its kin under one and the same noise."""
    kinds = {
        "smooth_grad": attributions.SmoothGrad,
        "square_grad": attributions.SquareGrad,
        "var_grad": attributions.VarGrad,
    }
    draw, noise, arrays = attributions.SmoothGrad._get_noisy_mask, [], {}
    attributions.SmoothGrad._get_noisy_mask = staticmethod(recorded(draw, noise))
    for name, kind in kinds.items():
        tf.random.set_seed(0)
        arrays[name] = kind(model, nb_samples=10)(x, hot).numpy().mean(axis=-1)
    assert all(np.array_equal(noise[0], other) for other in noise)
    arrays["noise"] = noise[0].numpy()
    attributions.SmoothGrad._get_noisy_mask = staticmethod(draw)
    arrays["many_smooth_grad"] = (
        attributions.SmoothGrad(model, nb_samples=MANY["smooth_grad"])(x, hot).numpy().mean(axis=-1)
    )
    return arrays


def rise_maps(model: tf.keras.Model, x: np.ndarray, hot: np.ndarray) -> Arrays:
    """RISE, which crops all masks of a batch at one offset, in each batch of each image anew."""
    tf.random.set_seed(1)
    many = attributions.Rise(model, nb_samples=MANY["rise"])(x, hot)
    offsets, crop = [], tf.image.random_crop

    def recording_crop(masks: tf.Tensor, size: tuple[int, ...]) -> tf.Tensor:
        """TensorFlow's own crop, of the masks together with the coordinates of their pixels."""
        across, down = tf.meshgrid(*(tf.range(side, dtype=tf.float32) for side in masks.shape[1:3]))
        places = tf.repeat(tf.stack([down, across], axis=-1)[None], len(masks), axis=0)
        cropped = crop(tf.concat([masks, places], axis=-1), (*size[:-1], 3))
        offsets.append(cropped[0, 0, 0, 1:].numpy())
        return cropped[..., :1]

    tf.image.random_crop = recording_crop
    attributions.Rise._apply_masks = staticmethod(attributions.Rise._apply_masks.python_function)
    explainer = attributions.Rise(model, nb_samples=80, grid_size=5, batch_size=16)
    maps = explainer(x, hot)
    return {
        "rise": maps.numpy(),
        "rise_grids": explainer.binary_masks.numpy()[..., 0],
        "rise_offsets": np.array(offsets, dtype=int).reshape(len(x), -1, 2).repeat(16, axis=1),
        "many_rise": many.numpy(),
    }


def surrogate_maps(model: tf.keras.Model, x: np.ndarray, hot: np.ndarray) -> Arrays:
    """LIME and Kernel SHAP: more segments than samples, then fewer."""
    fine, wide = attributions.Lime._default_image_map_to_interpret_space, {"kernel_width": 12.0}
    explainers = {
        "lime": (attributions.Lime, 120, fine, {}),
        "kernel_shap": (attributions.KernelShap, 120, fine, {}),
        "coarse_lime": (attributions.Lime, 120, coarse_segments, wide),
        "coarse_kernel_shap": (attributions.KernelShap, 120, coarse_segments, {}),
        "many_lime": (attributions.Lime, MANY["lime"], coarse_segments, {}),
        "many_kernel_shap": (attributions.KernelShap, MANY["kernel_shap"], coarse_segments, {}),
    }
    arrays = {}
    # With fewer samples than segments, rounding alone decides at scikit-learn 1.2.2's own limit of
    # 2e-16 which directions count; this is the limit of its later releases.
    scipy.linalg.lstsq = partial(scipy.linalg.lstsq, cond=1e-6)
    for number, (name, (kind, samples, segment, settings)) in enumerate(explainers.items()):
        tf.random.set_seed(number)
        draws, segments = [], []
        explainer = kind(
            model,
            batch_size=64,
            nb_samples=samples,
            map_to_interpret_space=recorded(segment, segments),
            **settings,
        )
        explainer.pertub_func = recorded(explainer.pertub_func, draws)
        arrays[name] = explainer(x, hot).numpy()
        if not name.startswith("many"):
            arrays[f"{name}_segments"] = np.array(segments, dtype=np.int16)
            for image, masks in enumerate(draws):
                arrays[f"{name}_draws_{image}"] = masks.numpy().astype(bool)
    return arrays


def report(arrays: Arrays) -> None:
    """Prints what the maps are like."""
    for name, array in arrays.items():
        spread = array.max() * 1.0 - array.min()
        print(f"{name}: {array.dtype} {array.shape}, spread over {spread:.3g}")


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
    drawn = {}
    for maps_of in (noisy_maps, rise_maps, surrogate_maps):
        drawn |= maps_of(model, x, hot)
    report(arrays | drawn)
    model.save(folder / "methods.h5")
    np.savez_compressed(folder / "methods.npz", **arrays)
    np.savez_compressed(folder / "methods_drawn.npz", **drawn)


if __name__ == "__main__":
    main()
