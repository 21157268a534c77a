"""Files, settings and the command line; what the networks compute: test_keras_golden.py."""

import json
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from keras_files import functional, image, layer, small_model, unpacked, write_h5

from bench.backbones.backbone import Preprocessing
from bench.backbones.keras_h5 import PREPROCESSINGS, keras_h5
from bench.backbones.keras_layers import LAYERS, MERGES
from bench.cli import main
from bench.errors import BenchError

X = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def small(tmp_path):
    """Path of a small model's file."""
    return write_h5(tmp_path / "small.h5", *small_model())


def load(path, preprocessing="tf", **settings):
    return keras_h5(str(path), preprocessing, **settings)


def test_a_small_file(small):
    backbone = load(small)
    assert backbone.name == "small"
    assert backbone.num_classes == 3
    assert backbone.output_kind == "probabilities"
    assert backbone.cam_layer == "conv"
    assert load(small, cam_layer=None).cam_layer is None
    assert backbone.preprocessing == Preprocessing(8, (127.5,) * 3, (127.5,) * 3)
    outputs = backbone.outputs(X)
    assert outputs.shape == (2, 3)
    assert outputs.sum(dim=1).tolist() == pytest.approx([1, 1])
    assert not outputs.requires_grad


def test_what_is_stated_wins(small):
    backbone = load(small, output_kind="logits", cam_layer=None, feature_layer="pool", name=7)
    assert backbone.name == "7"
    assert (backbone.output_kind, backbone.cam_layer) == ("logits", None)
    assert backbone.features(X).shape == (2, 4)


@pytest.mark.parametrize(
    ("preset", "expected"),
    [
        ("caffe", [30 - 103.939, 20 - 116.779, 10 - 123.68]),
        ("tf", [10 / 127.5 - 1, 20 / 127.5 - 1, 30 / 127.5 - 1]),
        ("torch", [(10 / 255 - 0.485) / 0.229, (20 / 255 - 0.456) / 0.224,
                   (30 / 255 - 0.406) / 0.225]),
        ("arcface", [(v - 127.5) * 0.0078125 for v in (10, 20, 30)]),
        ("none", [10, 20, 30]),
    ],
)  # fmt: skip
def test_presets(small, preset, expected):
    values = load(small, preset).to_input(torch.tensor([10.0, 20, 30]))
    assert values.tolist() == pytest.approx(expected, abs=1e-5)


def test_presets_and_layers_are_in_the_guide():
    text = (Path(__file__).parents[2] / "docs/how-to/keras-files.md").read_text(encoding="utf-8")
    for preset in PREPROCESSINGS:
        assert f"`{preset}`" in text
    for kind in (*LAYERS, *MERGES):
        assert f"`{kind.rpartition('>')[2]}`" in text


def test_a_preprocessing_of_ones_own(small):
    preprocessing = {
        "mean": [1, 2, 3],
        "std": [4, 5, 6],
        "channel_order": "bgr",
        "resize": "pil_bilinear",
    }
    expected = Preprocessing(8, (1, 2, 3), (4, 5, 6), "bgr", "pil_bilinear")
    assert load(small, preprocessing).preprocessing == expected


def test_the_input_size_may_be_open(tmp_path):
    path = write_h5(tmp_path / "open.h5", *small_model(size=None))
    assert load(path, input_size=10).preprocessing.size == 10
    with pytest.raises(BenchError, match=r"^input_size: the file takes images of any size"):
        load(path)


def test_identity_follows_what_is_no_weight(tmp_path):
    """An activation has no array, and still decides the outputs."""
    linear = load(write_h5(tmp_path / "small.h5", *small_model())).identity()
    relu = load(write_h5(tmp_path / "small.h5", *small_model(activation="relu"))).identity()
    assert linear != relu
    assert linear == load(write_h5(tmp_path / "small.h5", *small_model())).identity()


def grey_model(height=9, width=7):
    """A dense layer on the pixels of a grey image."""
    layers = [
        layer("InputLayer", "image", batch_input_shape=[None, height, width, 1]),
        layer("Flatten", "flatten", "image"),
        layer("Dense", "predictions", "flatten", units=3, activation="linear"),
    ]
    kernel = np.random.default_rng(0).standard_normal(((height or 9) * (width or 7), 3))
    arrays = {"predictions": {"predictions/kernel:0": kernel.astype(np.float32),
                              "predictions/bias:0": np.zeros(3, np.float32)}}  # fmt: skip
    return functional(layers, "predictions"), arrays


@pytest.mark.parametrize(
    ("shape", "input_size"), [((9, 7), None), ((None, None), [9, 7]), ((9, None), (9, 7))]
)
def test_grey_images_that_are_no_squares(tmp_path, shape, input_size):
    model, arrays = grey_model(*shape)
    path = write_h5(tmp_path / "grey.h5", model, arrays)
    backbone = load(path, "tf", input_size=input_size)
    image = np.random.default_rng(1).integers(0, 256, (9, 7, 1), dtype=np.uint8)
    x = backbone.preprocess([image.repeat(3, axis=2)] * 2)
    assert x.shape == (2, 1, 9, 7)
    expected = (image.ravel() / 127.5 - 1) @ arrays["predictions"]["predictions/kernel:0"]
    np.testing.assert_allclose(backbone.outputs(x)[1], expected, rtol=1e-4, atol=1e-5)


def test_preprocessings_of_three_channels_on_grey_images(tmp_path):
    path = write_h5(tmp_path / "grey.h5", *grey_model())
    given = {"mean": 120, "std": [60]}
    assert load(path, given).preprocessing.mean == (120.0,)
    for wrong, message in (
        ("caffe", r"'caffe' is one of three channels, the file's input has one: set"),
        ({"mean": [1, 2, 3], "std": [1, 1, 1]}, r"mean: expected one number, .* having 1, found"),
    ):
        with pytest.raises(BenchError, match=message):
            load(path, wrong)
    with pytest.raises(BenchError, match="input_size: the file fixes it to 9 x 7, found 9"):
        load(path, "tf", input_size=9)


def test_names_that_keras_has_split(tmp_path, small):
    """Attributes of HDF5 hold 64 kB: Keras writes a longer list in pieces."""
    with h5py.File(small, "a") as file:
        attributes = file["model_weights"].attrs
        names = attributes["layer_names"]
        del attributes["layer_names"]
        attributes["layer_names0"], attributes["layer_names1"] = names[:2], names[2:]
        attributes = file["model_weights/conv"].attrs
        names = attributes["weight_names"]
        del attributes["weight_names"]
        attributes["weight_names0"] = np.array([name.encode() for name in names])
    assert torch.equal(load(small).outputs(X), load(write_h5(tmp_path / "whole.h5", *small_model()))
                       .outputs(X))  # fmt: skip


def test_a_file_of_a_compiled_model_or_in_bytes(small):
    expected = load(small).outputs(X)
    with h5py.File(small, "a") as file:
        file.create_group("optimizer_weights")["step"] = 3
        file["model_weights"].create_group("top_level_model_weights").attrs["weight_names"] = []
        file.attrs["model_config"] = np.bytes_(file.attrs["model_config"])
    assert torch.equal(load(small).outputs(X), expected)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"input_size": 9}, r"^input_size: the file fixes it to 8, found 9"),
        ({"input_size": "8"}, r"^input_size: expected an integer >= 1, found '8'"),
        ({"preprocessing": "cafe"}, r"^preprocessing: .*Did you mean 'caffe'"),
        ({"preprocessing": {"mean": [0, 0, 0]}}, r"^preprocessing: 'std' is missing"),
        ({"preprocessing": {"meen": [0, 0, 0]}}, r"^preprocessing: .*Did you mean 'mean'"),
        ({"preprocessing": {"mean": [0, 0], "std": [1, 1, 1]}}, r"preprocessing\.mean: expected"),
        ({"output_kind": "logit"}, "Did you mean 'logits'"),
        ({"cam_layer": "pool"}, r"backbone\.cam_layer: no maps .* pool gives \(4,\) for one image"),
        ({"cam_layer": "convolution"}, r"backbone\.cam_layer: .*Known: conv"),
        ({"feature_layer": "dense"}, r"backbone\.feature_layer: .*Known: conv"),
    ],
)
def test_bad_settings(small, settings, message):
    with pytest.raises(BenchError, match=message):
        load(small, **settings)


def changed(where, **changes):
    """The small model with other settings of one layer, or of its first entry."""
    model, arrays = small_model()
    for node in model["config"]["layers"]:
        if node["name"] == where:
            node["config"].update(changes)
    return model, arrays


def without(group, name):
    model, arrays = small_model()
    del arrays[group][name]
    return model, arrays


def added(group, name):
    model, arrays = small_model()
    arrays.setdefault(group, {})[name] = np.zeros(2, np.float32)
    return model, arrays


def renamed(kind, name):
    model, arrays = small_model()
    for node in model["config"]["layers"]:
        if node["name"] == name:
            node["class_name"] = kind
    return model, arrays


def bare(model):
    return model, {}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (changed("conv", filters=5), r"layer 'conv' \(Conv2D\): array 'kernel': expected .*"
         r"\(3, 3, 3, 5\), found .*\(3, 3, 3, 4\)"),
        (changed("conv", data_format="channels_first"), "'channels_first': build the model"),
        (changed("conv", dtype="float16"), r"layer 'conv' \(Conv2D\): dtype"),
        (changed("conv", wonder=3), "wonder=3 is not supported"),
        (without("conv", "conv/bias:0"), r"layer 'conv' \(Conv2D\): expected an array 'bias'"),
        (without("predictions", "predictions/kernel:0"), "expected an array 'kernel' of shape"),
        (added("conv", "conv/extra:0"), "array 'extra' is in the file"),
        (added("pool", "pool/extra:0"), "array 'extra' is in the file"),
        (renamed("Wonder", "pool"), r"layer 'pool' \(Wonder\): unknown layer; known: .*Conv2D"),
        (renamed("mine>Dense", "predictions"), "unknown layer"),
        (renamed("Lambda", "pool"), "Python code, which is never run"),
        (bare(functional([image(), layer("ReLU", "a", "image")], "a")), "expected outputs of"),
        (changed("image", batch_input_shape=[None, 8, 8, 2]), r"\(height, width, 3 or 1\), found"),
        (changed("image", batch_input_shape=None), "no layer tells the shape of the input"),
        (bare({"class_name": "MyModel", "config": {"layers": []}}), "found MyModel, whose code"),
        (bare({"class_name": "Functional", "config": {"layers": []}}), "not one that Keras writes"),
    ],
)  # fmt: skip
def test_models_that_are_refused(tmp_path, contents, message):
    path = write_h5(tmp_path / "bad.h5", *contents)
    with pytest.raises(BenchError, match=message) as error:
        load(path)
    assert str(error.value).startswith(f"weights: '{path}': ")
    assert "\n" not in str(error.value)


def test_arrays_of_no_layer(tmp_path):
    path = write_h5(tmp_path / "bad.h5", *small_model())
    with h5py.File(path, "a") as file:
        group = file["model_weights"].create_group("top_level_model_weights")
        group["w"], group.attrs["weight_names"] = np.zeros(2), ["w"]
    with pytest.raises(BenchError, match="no layer asks for: top_level_model_weights: w"):
        load(path)


def test_outputs_that_nothing_tells(tmp_path):
    model, arrays = small_model()
    model["config"]["layers"][-1]["config"]["activation"] = "sigmoid"
    path = write_h5(tmp_path / "open.h5", model, arrays)
    with pytest.raises(BenchError, match=r"^output_kind: .*logits, probabilities, cosines"):
        load(path)
    assert load(path, output_kind="probabilities").output_kind == "probabilities"


def test_files_that_cannot_be_read(tmp_path, small):
    def refused(path, message):
        with pytest.raises(BenchError, match=message) as error:
            load(path)
        assert str(error.value).startswith("weights: ")
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)

    refused(tmp_path / "nowhere.h5", "is missing")
    refused(tmp_path, "cannot read")
    content = small.read_bytes()
    broken = tmp_path / "broken.h5"
    broken.write_bytes(np.random.default_rng(0).bytes(5000))
    refused(broken, "is not an HDF5 file")
    broken.write_bytes(b"")
    refused(broken, "is not an HDF5 file")
    for share in (0.2, 0.5, 0.9):
        broken.write_bytes(content[: int(share * len(content))])
        refused(broken, "is damaged or cut off")

    with h5py.File(broken, "w") as file:  # as save_weights writes it
        file.attrs["layer_names"] = ["conv"]
        file.create_group("conv").attrs["weight_names"] = []
    refused(broken, r"holds weights alone \(save_weights\).* with model\.save")

    def edited(edit):
        path = write_h5(broken, *small_model())
        with h5py.File(path, "a") as file:
            edit(file)
        return path

    refused(edited(lambda f: f.attrs.__setitem__("model_config", "{...")), "damaged")
    refused(edited(lambda f: f.__delitem__("model_weights")), "damaged.*model_weights")
    refused(edited(lambda f: f.__delitem__("model_weights/conv/conv/bias:0")), "damaged.*bias")
    refused(edited(lambda f: f["model_weights"].attrs.__delitem__("layer_names")), "layer_names")
    refused(edited(lambda f: f.attrs.__setitem__("model_config", json.dumps([1]))), "Keras writes")


def test_any_cut_is_one_line(tmp_path, small):
    """Wherever a fetch broke off."""
    content = small.read_bytes()
    path = tmp_path / "damaged.h5"
    for end in range(0, len(content), 499):
        path.write_bytes(content[:end])
        with pytest.raises(BenchError, match=r"not an HDF5 file|damaged") as error:
            load(path)
        assert "\n" not in str(error.value)


@pytest.fixture
def bench(image_folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*arguments):
        data = ["dataset=list", f"dataset.root={image_folder}",
                f"dataset.list={image_folder}/list.txt"]  # fmt: skip
        try:
            main(["run", *data, "backbone=keras_h5", "method=[random,grad_cam]", *arguments])
            code = 0
        except SystemExit as stop:
            code = stop.code
        return code, *capsys.readouterr()

    return run


def test_the_command_line(bench, request, tmp_path):
    npz = request.config.getoption("golden") / "backbones/resnet101.npz"
    path = unpacked(npz, tmp_path)
    code, out, _ = bench(f"backbone.weights={path}", "backbone.preprocessing=caffe", "gallery=1")
    assert code == 0
    assert "resnet101 on list" in out
    table = pd.read_csv("results/leaderboards/list_resnet101_xplique-probability.csv")
    assert set(table["method"]) == {"random", "grad_cam"}
    assert (table["n_missing"] == 0).all()

    preprocessing = "backbone.preprocessing={mean:[0,0,0],std:[255,255,255],channel_order:rgb}"
    named = ["backbone.name=mine", "backbone.cam_layer=conv2_block1_out", "name=mine"]
    assert bench(f"backbone.weights={path}", preprocessing, *named)[0] == 0
    assert len(pd.read_csv("results/leaderboards/mine.csv")) == 2


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["backbone.preprocessing=tf"], "add backbone.weights=VALUE"),
        (["backbone.weights={small}"], "add backbone.preprocessing=VALUE"),
        (["backbone.weights=no.h5", "backbone.preprocessing=tf"], "weights: 'no.h5' is missing"),
        (["backbone.weights={small}", "backbone.preprocessing=tff"],
         "backbone.preprocessing: unknown name 'tff'. Did you mean 'tf'?"),
        (["backbone.weights={small}", "backbone.preprocessing=tf", "backbone.input_size=3"],
         "backbone.input_size: the file fixes it to 8, found 3"),
    ],
)  # fmt: skip
def test_bad_command_lines(bench, small, arguments, expected):
    code, _, err = bench(*(argument.replace("{small}", str(small)) for argument in arguments))
    assert code == 1
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    assert expected in line
