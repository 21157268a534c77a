from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch
from toy import ConvModel, ViewModel, backbone

from bench.backbones.backbone import RESIZES, Backbone, Preprocessing
from bench.errors import BenchError

X = torch.rand(4, 3, 23, 23, generator=torch.Generator().manual_seed(0))
PREPROCESSING = Preprocessing(8, mean=(10.0, 20.0, 30.0), std=(2.0, 4.0, 5.0))


def test_preprocessing_is_cv2_resize_then_normalise():
    draws = np.random.default_rng(0)
    images = [draws.integers(0, 256, (*side, 3), dtype=np.uint8) for side in [(5, 9), (20, 8)]]
    x = PREPROCESSING(images)
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    for preprocessed, image in zip(x, images, strict=True):
        resized = cv2.resize(image, (8, 8)).astype(np.float32)
        expected = (resized - [10, 20, 30]) / [2, 4, 5]
        assert np.abs(preprocessed.permute(1, 2, 0).numpy() - expected).max() <= 1e-5


def test_colours_go_to_input_values_and_back():
    values = PREPROCESSING.to_input(torch.tensor([10.0, 28, 30]))
    assert values.tolist() == [0, 2, 0]
    assert PREPROCESSING.to_rgb(values).tolist() == [10, 28, 30]
    assert PREPROCESSING.to_rgb(torch.zeros(3)).tolist() == [10, 20, 30]


def test_bgr_swaps_channels_after_normalising():
    rgb, bgr = PREPROCESSING, replace(PREPROCESSING, channel_order="bgr")
    image = np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8)
    assert torch.equal(bgr([image]), rgb([image]).flip(1))
    values = bgr.to_input(torch.tensor([[10.0, 28, 35]] * 2))
    assert values[1].tolist() == [1, 2, 0]
    assert bgr.to_rgb(values)[1].tolist() == [10, 28, 35]


def test_crop_keeps_the_aspect_ratio_and_takes_the_centre():
    """A ramp along the longer side loses as much at both ends."""
    ramp = np.broadcast_to(np.arange(40, dtype=np.uint8)[None, :, None], (20, 40, 3))
    square = replace(PREPROCESSING, size=10, crop=0.5).to_size(ramp)  # shorter side: 20
    assert square.shape == (10, 10, 3)
    assert square[0, :, 0].tolist() == list(range(15, 25))


def test_inputs_that_are_no_squares():
    image = np.random.default_rng(0).integers(0, 256, (31, 23, 3), dtype=np.uint8)
    made = replace(PREPROCESSING, size=[12, 8])
    assert made.shape == made.size == (12, 8)
    resized = torch.from_numpy(cv2.resize(image, (8, 12))).float()
    assert torch.equal(made([image]), made.to_input(resized).permute(2, 0, 1)[None])
    assert replace(PREPROCESSING, size=(8, 8)) == PREPROCESSING  # one size, one hash


@pytest.mark.parametrize("shape", [(20, 40), (40, 20), (24, 16)])
def test_crop_to_what_is_no_square(shape):
    """Resized until it covers 24 x 16, of which the middle half is taken."""
    rows, columns = np.mgrid[: shape[0], : shape[1]].astype(np.uint8)
    cropped = replace(PREPROCESSING, size=(12, 8), crop=0.5).to_size(
        np.dstack([rows, columns, columns])
    )
    assert cropped.shape == (12, 8, 3)
    middles = cropped[..., :2].reshape(-1, 2).mean(axis=0)
    assert middles == pytest.approx([(side - 1) / 2 for side in shape], abs=0.6)
    height, width = (np.ptp(cropped[..., axis]) / (side - 1) for axis, side in enumerate(shape))
    scale = max(24 / shape[0], 16 / shape[1])
    assert height == pytest.approx(12 / (shape[0] * scale), abs=0.06)
    assert width == pytest.approx(8 / (shape[1] * scale), abs=0.06)


def test_grey_inputs():
    grey = Preprocessing((9, 7), mean=120, std=[60])
    level = np.random.default_rng(0).integers(0, 256, (9, 7, 1), dtype=np.uint8)
    x = grey([level.repeat(3, axis=2)])
    assert x.shape == (1, 1, 9, 7)
    expected = (torch.from_numpy(level).float() - 120) / 60
    assert torch.equal(x[0, 0], expected[..., 0])  # of grey pixels no bit is lost
    assert torch.equal(
        grey.to_rgb(x.permute(0, 2, 3, 1))[0].round(), torch.tensor(level.repeat(3, 2))
    )
    (value,) = grey.to_input(torch.tensor([10.0, 200, 60])).tolist()
    assert value == pytest.approx((0.299 * 10 + 0.587 * 200 + 0.114 * 60 - 120) / 60, abs=1e-6)


@pytest.mark.parametrize("resize", RESIZES)
@pytest.mark.parametrize("crop", [None, 0.875])
def test_every_resize_gives_squares(resize, crop):
    image = np.random.default_rng(0).integers(0, 256, (31, 23, 3), dtype=np.uint8)
    chosen = replace(PREPROCESSING, resize=resize, crop=crop)
    assert chosen([image, image[:9]]).shape == (2, 3, 8, 8)


def test_pillow_averages_what_opencv_skips():
    noise = np.random.default_rng(0).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    spread = {r: replace(PREPROCESSING, resize=r).to_size(noise).std() for r in RESIZES}
    for smooth in ("pil_bilinear", "pil_bicubic", "cv2_area"):
        assert 3 * spread[smooth] < min(spread["cv2_linear"], spread["cv2_cubic"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "size: expected an integer >= 1"),
        ({"mean": (1.0, 2.0)}, "mean: expected three numbers"),
        ({"mean": "abc"}, "mean: expected three numbers"),
        ({"mean": 1}, "std: expected as many numbers as mean has, 1, found 3"),
        ({"mean": 1, "std": 2, "channel_order": "bgr"}, "channel_order: expected rgb where mean"),
        ({"size": [1, 2, 3]}, r"size: expected a side, or height and width, found \[1, 2, 3\]"),
        ({"size": [8, 0]}, "size: expected an integer >= 1, found 0"),
        ({"std": (1.0, 0.0, 1.0)}, "std: expected no zero"),
        ({"channel_order": "brg"}, "channel_order.*Known: bgr, rgb"),
        ({"resize": "linear"}, "Did you mean 'cv2_linear'"),
        ({"crop": 1.5}, "crop: expected a number"),
    ],
)
def test_bad_preprocessing(changes, message):
    with pytest.raises(BenchError, match=message):
        replace(PREPROCESSING, **changes)


def test_features_are_a_layers_output_and_differentiable():
    model = backbone(feature_layer="last")
    x = X.clone().requires_grad_()
    features = model.features(x)
    assert features.shape == (4, 8 * 12 * 12)
    features.sum().backward()
    assert x.grad.abs().sum() > 0
    half = backbone(feature_layer="last").set_speed("bf16", compile=False).features(X)
    assert half.dtype == torch.float32
    assert 0 < (half - features).abs().max() <= 0.02 * features.abs().max()


def test_shape_of_a_layers_output():
    assert backbone().output_shape("last") == (8, 12, 12)
    assert backbone().output_shape("head") == (4,)


def test_no_feature_layer():
    with pytest.raises(BenchError, match=r"names no feature layer: set backbone\.feature_layer"):
        backbone().features(X)


def test_the_network_is_frozen_and_in_eval_mode():
    module = ConvModel().train()
    frozen = Backbone("toy", module, PREPROCESSING, "logits", 4)
    assert not any(part.training for part in frozen.module.modules())
    assert not any(parameter.requires_grad for parameter in frozen.module.parameters())


@pytest.mark.parametrize("entry", ["head.bias", "norm.running_var"])
def test_identity_follows_every_weight_and_statistic(entry):
    other = backbone()
    other.module.state_dict()[entry][0] += 1e-6
    assert backbone().identity() == backbone().identity()
    assert other.identity() != backbone().identity()


def test_identity_follows_the_rest():
    variants = [
        backbone(),
        backbone(size=24),
        backbone(output_kind="cosines"),
        backbone(cam_layer="first"),
        backbone(feature_layer="last"),
        Backbone("toy", ConvModel(), PREPROCESSING, "logits", 4, cam_layer="last"),
        Backbone("other", ConvModel(), PREPROCESSING, "logits", 4, cam_layer="last"),
    ]
    assert len({str(variant.identity()) for variant in variants}) == len(variants)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"output_kind": "logit"}, "Did you mean 'logits'"), ({"cam_layer": "lost"}, "'last'")],
)
def test_bad_settings(changes, message):
    with pytest.raises(BenchError, match=message):
        backbone(**changes)


def test_no_cam_layer():
    with pytest.raises(BenchError, match=r"names no CAM layer: set backbone\.cam_layer"):
        backbone(cam_layer=None).layer()


def test_bf16_is_near_and_is_not_the_same():
    exact, near = backbone(), backbone().set_speed("bf16", compile=False)
    assert near.outputs(X).dtype == torch.float32
    difference = (near.outputs(X) - exact.outputs(X)).abs().max()
    assert 0 < difference <= 0.02 * exact.outputs(X).abs().max()


def test_tf32_is_off_unless_asked_for():
    backbone().set_speed("tf32", compile=False)
    assert torch.backends.cudnn.allow_tf32 and torch.backends.cuda.matmul.allow_tf32
    backbone().set_speed("fp32", compile=False)
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32


def test_compiled_scores_and_plain_gradients(monkeypatch):
    """Only inference goes through the compiled network."""
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: lambda x: module(x) + 1)
    compiled, plain = backbone().set_speed("fp32", compile=True), backbone()
    assert compiled.is_compiled
    assert torch.equal(compiled.outputs(X), plain.outputs(X))
    with torch.inference_mode():
        assert torch.equal(compiled.outputs(X), plain.outputs(X) + 1)


def test_unknown_precision():
    with pytest.raises(BenchError, match="Did you mean 'fp32'"):
        backbone().set_speed("fp23", compile=False)


IMAGE = np.random.default_rng(0).integers(0, 256, (30, 26, 3), dtype=np.uint8)


def test_a_network_that_calls_view_gets_the_plain_format():
    frozen = Backbone(
        "view",
        ViewModel(size=8),
        PREPROCESSING,
        "logits",
        4,
        cam_layer="last",
        feature_layer="last",
    )
    assert frozen.memory_format == torch.contiguous_format
    assert "cannot take channels-last" in frozen.notes[0]
    x = frozen.preprocess([IMAGE])
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(frozen.outputs(x), frozen.module(x.contiguous()))
    assert frozen.features(x).shape == (1, 4 * 4 * 4)
    assert frozen.output_shape("last") == (4, 4, 4)
    other = Backbone("toy", ConvModel(), PREPROCESSING, "logits", 4)
    assert other.memory_format == torch.channels_last
    assert other.notes == []


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_inputs_are_cast_to_the_networks_dtype(dtype):
    frozen = Backbone(
        "toy",
        ConvModel().to(dtype),
        PREPROCESSING,
        "logits",
        4,
        cam_layer="last",
        feature_layer="last",
    )
    x = frozen.preprocess([IMAGE])
    assert x.dtype == torch.float32
    outputs = frozen.outputs(x)
    assert outputs.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)
    assert torch.equal(outputs, frozen.module(x.to(dtype)).to(outputs.dtype))
    assert frozen.features(x).dtype == torch.float32
    assert frozen.output_shape("last")[0] == 8


def test_one_output_is_a_binary_classifier():
    frozen = Backbone("toy", ConvModel(1), PREPROCESSING, "logits", 1)
    assert (frozen.num_classes, frozen.output_kind) == (2, "binary")
    x = frozen.preprocess([IMAGE])
    logit = frozen.module(x)
    assert torch.equal(frozen.outputs(x), torch.cat([-logit, logit], dim=1))
    assert "classes 0 and 1" in frozen.notes[0]
    # What was stored before class 0 had a score of its own must not be met again.
    module = torch.nn.Sequential(ConvModel(1), torch.nn.Sigmoid())
    found = Backbone("toy", module, PREPROCESSING, "probabilities", 2)
    assert found.outputs(x).sum().item() == pytest.approx(1)
    assert "classes_of_one_output" in found.identity()
    assert "classes_of_one_output" not in backbone().identity()


def test_outputs_that_do_not_fit():
    with pytest.raises(BenchError, match="expected 5 outputs, its num_classes, found 4"):
        Backbone("toy", ConvModel(4), PREPROCESSING, "logits", 5)
    with pytest.raises(BenchError, match="one output is a binary classifier"):
        Backbone("toy", ConvModel(1), PREPROCESSING, "cosines", 1)
    assert Backbone("toy", ConvModel(3), PREPROCESSING, "logits").num_classes == 3


PHOTOS = [(37, 53), (53, 37), (200, 31), (31, 200), (7, 5)]
GEOMETRIES = [
    {"size": 24}, {"size": (19, 33)}, {"size": 24, "crop": 0.875}, {"size": (19, 33), "crop": 0.7},
    {"size": (33, 19), "crop": 1.0}, {"size": 90, "crop": 0.875},
]  # fmt: skip


@pytest.mark.parametrize("resize", sorted(RESIZES))
@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_boxes_follow_the_pixels(geometry, photo, resize):
    """A bright band in a photo, of a box's rows or columns, lands where `to_input_boxes` says.

    Filters are centred, so that the pixels of the input are brighter than half on the one side of
    an edge and darker on the other. Bands have two edges, corners would mix four pixels.
    """
    height, width = photo
    unsure = 0.02 if resize.endswith("linear") else 0.4  # the others' edges are not as straight
    prepared = Preprocessing(mean=(0,), std=(255,), resize=resize, **geometry)
    left, top, right, bottom = width // 4, height // 3, width - width // 5, height - height // 6
    for axis, (box, centres) in enumerate(
        (
            ([0, top, width, bottom], prepared.shape[0]),
            ([left, 0, right, height], prepared.shape[1]),
        )
    ):
        image = np.zeros((height, width, 3), np.uint8)
        image[box[1] : box[3], box[0] : box[2]] = 255
        found = prepared.to_size(image)[..., 0] > 127
        edges = prepared.to_input_boxes(np.array([box], float), photo)[0, [1 - axis, 3 - axis]]
        pixels = np.arange(centres) + 0.5
        inside = (pixels > edges[0]) & (pixels < edges[1])
        sure = np.abs(pixels[:, None] - edges).min(axis=1) > unsure
        line = found if axis == 0 else found.T
        assert (line == inside[:, None])[sure].all()
        assert inside.any() and sure.mean() > 0.7


@pytest.mark.parametrize("photo", PHOTOS)
@pytest.mark.parametrize("geometry", GEOMETRIES, ids=str)
def test_masks_follow_the_pixels(geometry, photo):
    """Pixels of the input that have one colour of a photo have its side of the mask."""
    prepared = Preprocessing(mean=(0,), std=(255,), **geometry)
    rows, columns = np.indices(photo)
    mask = rows * photo[1] < columns * photo[0]  # on one side of a diagonal
    image = np.repeat(mask[..., None], 3, axis=2).astype(np.uint8) * 255
    resized, found = prepared.to_size(image)[..., 0], prepared.to_input_mask(mask)
    sure = (resized == 0) | (resized == 255)
    assert (found == (resized == 255))[sure].all()
    assert found.shape == prepared.shape and sure.mean() > 0.5


def test_a_box_is_mapped_by_the_rounded_size():
    # 100 x 151 is resized to 9 x 14 (13.59 rounded), of which columns 3 to 11 are taken.
    prepared = Preprocessing(size=8, mean=(0,), std=(255,), crop=0.875)
    assert prepared.to_input_boxes(np.array([[0, 0, 151, 100.0]]), (100, 151)).tolist() == [
        [-3, 0, 11, 9]
    ]
    assert prepared.to_input_boxes(np.empty((0, 4)), (100, 151)).shape == (0, 4)


def test_a_network_that_cannot_take_its_input():
    grey = Preprocessing(size=32, mean=127.5, std=127.5)
    with pytest.raises(
        BenchError, match=r"input \(1, 1, 32, 32\).* 3 channels.*; check back.*mean"
    ):
        Backbone("toy", ConvModel(3), grey, "logits")
