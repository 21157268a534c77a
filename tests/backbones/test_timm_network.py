import numpy as np
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform, resolve_model_data_config
from toy import Faces

from bench.backbones import timm_network as tested
from bench.backbones.timm_network import timm_network
from bench.errors import BenchError

CROPS = ["mobilenetv3_small_050", "vit_tiny_patch16_224", "convnext_atto", "mixer_s32_224"]


def smooth(height, width):
    """An image whose neighbouring pixels differ by little, so that a shift by one shows as such."""
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("name", CROPS)
def test_the_input_is_what_timms_own_transform_makes(name):
    ours = timm_network(name, "random", {}, num_classes=3)
    transform = create_transform(**resolve_model_data_config(ours.module))
    for height, width in ((300, 300), (320, 256), (64, 64)):
        image = smooth(height, width)
        expected = transform(Image.fromarray(image))
        found = ours.preprocess([image])[0]
        assert found.shape == expected.shape
        assert (found - expected).abs().max() < 1e-5


def test_what_is_given_goes_before_what_timm_declares():
    given = {"size": 64, "mean": [1, 2, 3], "crop": "squash", "resize": "cv2_area", "std": None}
    preprocessing = timm_network("resnet10t", "random", given).preprocessing
    assert (preprocessing.size, preprocessing.mean, preprocessing.resize, preprocessing.crop) == (
        64,
        (1, 2, 3),
        "cv2_area",
        None,
    )
    assert preprocessing.std == pytest.approx((58.395, 57.12, 57.375))


@pytest.mark.parametrize("size", [48, [64, 32]])
@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "resnet10t"])
def test_other_sizes_grey_inputs_and_classes(name, size):
    """A ViT is made for the size; a ResNet takes any."""
    ours = timm_network(name, "random", {}, img_size=size, in_chans=1, num_classes=7)
    images = [smooth(50, 40), smooth(33, 90)]
    x = ours.preprocess(images)
    assert x.shape == (2, 1, *([size] * 2 if isinstance(size, int) else size))
    assert ours.outputs(x).shape == (2, 7)


def test_a_vit_is_made_for_the_size_of_its_preprocessing():
    ours = timm_network("vit_tiny_patch16_224", "random", {"size": 32}, num_classes=3)
    assert ours.outputs(ours.preprocess([smooth(40, 50)])).shape == (1, 3)


def test_a_checkpoint_and_its_key(tmp_path):
    reference = timm.create_model("resnet10t", num_classes=7).eval()
    state = {f"model.{name}": value for name, value in reference.state_dict().items()}
    torch.save({"state_dict": state, "state_dict_ema": {}}, tmp_path / "weights.ckpt")
    file = str(tmp_path / "weights.ckpt")
    with pytest.warns(match=r"model\. taken off"):
        ours = timm_network("resnet10t", file, {}, img_size=64, num_classes=7, key="state_dict")
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        assert torch.allclose(ours.outputs(x), reference(x), atol=1e-5)
    assert (ours.name, ours.citation[:8]) == ("resnet10t", "Wightman")


def test_random_weights_are_the_same_each_time():
    first, second = (timm_network("resnet10t", "random", {}, img_size=32) for _ in range(2))
    assert first.identity() == second.identity()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet1001"}, "name: unknown name 'resnet1001'. Did you mean 'resnet"),
        ({"name": "resnet18.a1"}, "Known: resnet18.a1_in1k"),
        ({"in_chans": 2}, "in_chans: expected 3, or 1"),
        ({"num_classes": 0}, "num_classes: expected an integer >= 1"),
        ({"weights": "pretraind"}, "'pretraind' is missing: expected pretrained, random or"),
        ({"sha256": "0"}, "sha256: expected weights=FILE"),
        ({"key": "ema"}, "key: expected weights=FILE"),
        ({"img_size": "64"}, "img_size: expected an integer >= 1, found '64'"),
        ({"img_size": 0}, "img_size: expected an integer >= 1, found 0"),
        ({"img_size": [64]}, "img_size: expected a side, or height and width"),
        ({"img_size": 64, "preprocessing": {"size": [64, 96]}}, "img_size: expected that of"),
        ({"preprocessing": {"size": 0}}, "preprocessing.size: expected an integer >= 1"),
        ({"name": "vit_tiny_patch16_224", "img_size": 8}, "timm cannot make|fails on an input"),
        ({"preprocessing": {"crop": "squish"}}, "crop"),
    ],
)
def test_bad_settings(arguments, message):
    given = {"name": "resnet10t", "weights": "random", "preprocessing": {}} | arguments
    with pytest.raises(BenchError, match=message) as error:
        timm_network(**given)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("mode", "crop"), [("border", 1.0), ("squash", 0.9)])
def test_a_crop_that_cannot_be_repeated_is_refused(monkeypatch, mode, crop):
    def other(module):
        return resolve_model_data_config(module) | {"crop_mode": mode, "crop_pct": crop}

    monkeypatch.setattr(tested, "resolve_model_data_config", other)
    with pytest.raises(BenchError, match=f"crop_mode={mode} .*crop=squash .* or a share"):
        timm_network("resnet10t", "random", {})
    assert timm_network("resnet10t", "random", {"crop": "squash"}).preprocessing.crop is None


@pytest.mark.parametrize(
    ("name", "sized"), [("resnet10t", {}), ("vit_tiny_patch16_224", {"img_size": 32})]
)
@pytest.mark.parametrize("has_head", [True, False])
def test_images_of_each_class_stand_for_the_head(tmp_path, name, sized, has_head):
    """Outputs are cosines with each class's mean unit feature; a head in the file is left out."""
    torch.manual_seed(0)
    reference = timm.create_model(name, num_classes=7 if has_head else 0, **sized)
    for parameter in reference.parameters():  # timm's draws hardly tell one image from another
        parameter.data += 0.1 * torch.randn_like(parameter)
    state = {f"backbone.{key}": value for key, value in reference.state_dict().items()}
    torch.save({"teacher": state}, tmp_path / "dino.pth")
    gallery = Faces(3)
    with pytest.warns(match=r"backbone\. taken off"):
        ours = timm_network(
            name, str(tmp_path / "dino.pth"), {}, img_size=32, gallery=gallery,
            cache=str(tmp_path), device="cpu", key="teacher",
        )  # fmt: skip
    assert (ours.output_kind, ours.num_classes, len(ours.enrolled)) == ("cosines", 3, 6)
    assert ours.file_sha256 is not None
    reference.reset_classifier(0)
    x = ours.preprocess([sample.read() for sample in gallery.samples])
    with torch.inference_mode():
        unit = torch.nn.functional.normalize(reference.eval()(x))
    vectors = torch.nn.functional.normalize(unit[:3] + unit[3:])  # samples are 0 1 2 0 1 2
    assert (ours.outputs(x) - unit @ vectors.T).abs().max() < 1e-5
    assert ours.cam_layer
    assert ours.outputs(x[:1].requires_grad_()).requires_grad


def test_a_gallery_counts_the_classes_of_one_classifier(tmp_path):
    with pytest.raises(BenchError, match="num_classes: expected none beside a gallery"):
        timm_network("resnet10t", "random", {}, num_classes=3, gallery=Faces(3))
    with pytest.raises(BenchError, match=r"has 2 classifiers \(head, head_dist\)"):
        timm_network("deit_tiny_distilled_patch16_224", "random", {}, gallery=Faces(3))
    with pytest.raises(BenchError, match=r"^key: expected weights=FILE"):
        timm_network("resnet10t", "random", {}, gallery=Faces(3), key="teacher")
