"""Stand-ins for what the published tables are made of: networks, images and lists.

    .venv-oracle/bin/python scripts/rehearsal/assets.py FOLDER [--full]

Runs in the environment of scripts/oracle/requirements.txt. FOLDER gets

    CUB_200_2011/        the layout of the official download
    celeba/, vggface2/   aligned crops at LABEL/FILE
    lists/               the authors' datasets/: lines `LABEL/FILE LABEL`, no line end at the end
    weights/keras_model/ the authors' files: their names, their architectures, saved by Keras

Weights are drawn, but the last layer is fitted so that a network knows the few listed images
(`fit_head`), as the real ones know theirs: else scores would hardly move and a wrong colour or
label would not be seen. On the lists of mistakes it puts another class first.

In the reduced form networks have few layers with few channels and 32 px inputs.
"""

import argparse
import os
import sys
import warnings
from functools import partial
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import cv2
import keras
import numpy as np
import tensorflow as tf
from plan import EXPERIMENTS, NETWORKS, TINY_CLASSES, Network, number_of_images
from reference import preprocess, read_image

sys.path.insert(0, str(Path(__file__).parents[1] / "oracle"))
import backbones

layers = keras.layers
BODIES = {
    "ir100": partial(backbones.ir100, activation="prelu", padding="zeros"),
    "resnet101": backbones.resnet101,
    "vgg19": backbones.vgg19,
    "mobilenetv2": backbones.mobilenetv2,
    "efficientnetv2m": backbones.efficientnetv2m,
}
CALIBRATION = 8
"""Images that BatchNorm's statistics and a head are made of, at least."""


class Listed:
    """An image in the place where a list says.

    Attributes:
        path: The file.
        line: The line of the list.
        label: The class.
        is_mistaken: Whether networks shall put another class first.
    """

    def __init__(self, root: Path, name: str, label: int, file: Path, is_mistaken: bool) -> None:
        self.path = root / file
        self.line = f"{label}/{name} {label}"
        self.label = label
        self.is_mistaken = is_mistaken


def draw_image(random: np.random.RandomState, height: int, width: int) -> np.ndarray:
    """Draws a colourful image: patches of several sizes with noise, (height, width, 3) uint8."""
    image = np.zeros((height, width, 3))
    for cells, strength in ((2, 60), (5, 50), (12, 30)):
        coarse = random.uniform(-1, 1, (cells, cells, 3)).astype(np.float32)
        image += strength * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    image += random.uniform(60, 195, 3) + random.uniform(-12, 12, image.shape)
    return np.clip(np.round(image), 0, 255).astype(np.uint8)


def write_image(path: Path, image: np.ndarray) -> None:
    """Writes an image, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), image, [cv2.IMWRITE_JPEG_QUALITY, 95]):
        raise OSError(f"cannot write '{path}'")


def write_lines(path: Path, lines: list[str]) -> None:
    """Writes lines, the last one without an end, as the authors' lists are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines), encoding="utf-8")


def write_faces(root: Path, name: str, count: int, classes: int) -> list[Listed]:
    """Writes a face set: one aligned 112 x 112 crop of each of some identities."""
    random = np.random.RandomState(len(name))
    listed = []
    for number, label in enumerate(spread(count, classes)):
        stem = f"{1 + 37 * number:06d}" if name == "celeba" else f"{11 * number + 5:04d}_01"
        file = Path(str(label)) / f"{stem}.jpg"
        write_image(root / file, draw_image(random, 112, 112))
        listed.append(Listed(root, file.name, label, file, is_mistaken=False))
    return listed


def write_birds(root: Path, correct: int, mistaken: int, classes: int) -> list[Listed]:
    """Writes a folder CUB_200_2011 with some test and, for each class, one train image."""
    random = np.random.RandomState(3)
    folders = [f"{label + 1:03d}.Bird_{label + 1}" for label in range(classes)]
    small = [np.full((8, 8, 3), 100, np.uint8)] * classes
    images = [(label, small[label], 1) for label in range(classes)]
    for label in spread(correct, classes) + [label - 1 for label in spread(mistaken, classes)]:
        height, width = random.randint(260, 400, 2)
        images.append((label, draw_image(random, height, width), 0))
    files = []
    for number, (label, image, _) in enumerate(images):
        files.append(Path(folders[label]) / f"Bird_{label + 1}_{number:04d}_{7 * number}.jpg")
        write_image(root / "images" / files[-1], image)
    numbered = [(f"{1 + n}", *each) for n, each in enumerate(zip(files, images, strict=True))]
    write_lines(root / "images.txt", [f"{n} {file}" for n, file, _ in numbered])
    write_lines(root / "image_class_labels.txt", [f"{n} {each[0] + 1}" for n, _, each in numbered])
    write_lines(root / "train_test_split.txt", [f"{n} {each[2]}" for n, _, each in numbered])
    write_lines(root / "bounding_boxes.txt", [f"{n} 1.0 1.0 8.0 8.0" for n, _, _ in numbered])
    write_lines(root / "classes.txt", [f"{n} {name}" for n, name in enumerate(folders, 1)])
    tested = [*zip(files, (label for label, _, _ in images), strict=True)][classes:]
    return [
        Listed(root / "images", file.name, label, file, is_mistaken=number >= correct)
        for number, (file, label) in enumerate(tested)
    ]


def spread(count: int, classes: int) -> list[int]:
    """Different labels from 1 to the last one."""
    return [int(label) for label in np.linspace(1, classes - 1, count)]


def build(network: Network, full: bool) -> tuple[keras.Model, keras.Model]:
    """Builds a network of the published architecture; heads as far as the record knows them.

    Returns:
        The body and the whole model.
    """
    body = BODIES[network.body](not full)
    classes = network.classes if full else TINY_CLASSES
    x, width = body.output, 512 if full else 24
    if network.is_face:
        x = layers.BatchNormalization(epsilon=1e-5, name="E_batchnorm")(x)
        x = layers.Flatten(name="E_flatten")(layers.Dropout(0.4)(x))
        x = layers.Dense(width, use_bias=False, name="E_dense")(x)
        x = layers.BatchNormalization(epsilon=1e-5, scale=False, name="pre_embedding")(x)
        x = layers.Activation("linear", dtype="float32", name="embedding")(x)
        return body, keras.Model(body.input, backbones.NormDense(classes, name="arcface")(x))
    pool = layers.GlobalAveragePooling2D() if network.pool == "gap" else layers.Flatten()
    x = layers.Dense(width, "relu", name="dense")(pool(x))
    return body, keras.Model(body.input, layers.Dense(classes, "softmax", name="predictions")(x))


def fit_head(model: keras.Model, listed: list[Listed], x: np.ndarray) -> None:
    """Makes a network know its images.

    Cosines: the class vector of a label is near its image's embedding. Probabilities: linear
    regression (ridge, through the input of zeros) of logits on features; a known image's own class
    gets 0.9, a mistaken image's own one 0.3 and the next class 0.6, about.

    Args:
        model: Its last layer gets new weights.
        listed: n images.
        x: Their inputs (n, H, W, 3).
    """
    head = model.layers[-1]
    features = keras.Model(model.input, head.input)
    known, empty = features.predict(x, verbose=0), features.predict(0 * x[:1], verbose=0)
    random, labels = np.random.RandomState(5), [each.label for each in listed]
    if isinstance(head, backbones.NormDense):
        (vectors,) = head.get_weights()
        near = known / np.linalg.norm(known, axis=1, keepdims=True)
        noise = random.standard_normal(near.shape) * 0.8 / np.sqrt(near.shape[1])
        vectors[:, labels] = (near + noise).T * np.linalg.norm(vectors, axis=0).mean()
        head.set_weights([vectors])
        return
    classes = head.units
    wanted = np.zeros((len(x), classes))
    gain = np.log(classes - 1) + 2
    for row, each in zip(wanted, listed, strict=True):
        row[each.label] = gain - (0.7 if each.is_mistaken else 0)
        if each.is_mistaken:
            row[(each.label + 1) % classes] = gain
    known = known - empty
    gram = known @ known.T
    ridge = 1e-3 * np.trace(gram) / len(gram) * np.eye(len(gram))
    kernel = known.T @ np.linalg.solve(gram + ridge, wanted)
    head.set_weights([kernel, -(empty @ kernel)[0]])


def write_network(folder: Path, network: Network, listed: list[Listed], full: bool) -> None:
    """Writes a network that knows the listed images; prints how well.

    Raises:
        RuntimeError: It does not.
    """
    keras.backend.clear_session()
    body, model = build(network, full)
    size = model.input_shape[1]
    random = np.random.RandomState(9)
    images = [read_image(each.path, size) for each in listed]
    images += [draw_image(random, size, size) for _ in range(CALIBRATION - len(listed))]
    x = preprocess(np.stack(images), network.preprocessing)
    calibration = np.concatenate([x, 0 * x[:1]])  # insertion begins there
    backbones.randomise(body, x=calibration, seed=network.seed)
    backbones.randomise(model, settled=body, x=calibration, seed=network.seed)
    x = x[: len(listed)]
    fit_head(model, listed, x)
    file = folder / "keras_model" / network.file
    file.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the format is legacy: it is the authors'
        model.save(file)
    outputs, labels = model.predict(x, verbose=0), np.array([each.label for each in listed])
    label_scores = outputs[np.arange(len(x)), labels]
    blank = model.predict(0 * x[:1], verbose=0)[0, labels]
    mistaken = outputs.argmax(axis=1) != labels
    megabytes = file.stat().st_size / 1e6
    scores = f"labels' scores {label_scores.round(2)}, of empty images {blank.round(2)}"
    print(f"{network.file}: {megabytes:.1f} MB, {scores}", flush=True)
    if mistaken.tolist() != [each.is_mistaken for each in listed]:
        raise RuntimeError(f"{network.file}: does not know its images: {mistaken}")


def main() -> None:
    """Writes everything."""
    tf.get_logger().setLevel("ERROR")  # it takes predicting in a loop for a mistake
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--full", action="store_true", help="full architectures")
    given = parser.parse_args()
    folder, full = given.folder, given.full
    counts = {each.name: number_of_images(each, full) for each in EXPERIMENTS}
    classes = {
        name: network.classes if full else TINY_CLASSES for name, network in NETWORKS.items()
    }
    images = {
        name: write_faces(folder / name, name, counts[f"paper/{name}"], classes[name])
        for name in ("celeba", "vggface2")
    }
    mistaken = max(counts[each.name] for each in EXPERIMENTS if each.shows_on_black)
    root = folder / "CUB_200_2011"
    images["cub"] = write_birds(root, counts["paper/cub"], mistaken, classes["resnet101"])
    for each in EXPERIMENTS:
        lines = [one.line for one in images[each.data] if one.is_mistaken == each.shows_on_black]
        write_lines(folder / "lists" / each.list, lines[: counts[each.name]])
    for name, network in NETWORKS.items():
        write_network(folder / "weights", network, images.get(name, images["cub"]), full)


if __name__ == "__main__":
    main()
