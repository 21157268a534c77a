import json
import os
import shutil

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from PIL import Image

transformers = pytest.importorskip("transformers")

from bench.backbones import huggingface_network as tested  # noqa: E402
from bench.backbones.huggingface_network import declared_by, huggingface_network  # noqa: E402
from bench.config.choices import SHIPPED  # noqa: E402
from bench.errors import BenchError  # noqa: E402

VIT = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48,
    "image_size": 32, "patch_size": 8, "num_labels": 5,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path):
    """A ViT as transformers saves it."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = transformers.ViTForImageClassification(transformers.ViTConfig(**VIT))
    model.save_pretrained(tmp_path / "vit")
    size = {"height": 32, "width": 32}
    transformers.ViTImageProcessor(size=size).save_pretrained(tmp_path / "vit")
    return tmp_path / "vit"


def changed(folder, file, **settings):
    content = json.loads((folder / file).read_text()) | settings
    (folder / file).write_text(json.dumps(content))


def image(height=50, width=70):
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def test_outputs_and_inputs_are_those_of_transformers(folder):
    ours = huggingface_network(str(folder), {})
    assert (ours.name, ours.num_classes, ours.output_kind) == ("vit", 5, "logits")
    processor = transformers.AutoImageProcessor.from_pretrained(str(folder))
    model = transformers.ViTForImageClassification.from_pretrained(str(folder)).eval()
    x = ours.preprocess([image()])
    theirs = processor(images=Image.fromarray(image()), return_tensors="pt")["pixel_values"]
    assert (x - theirs).abs().max() < 2 / 127.5  # two levels
    with torch.inference_mode():
        assert torch.allclose(ours.outputs(x), model(x).logits, atol=1e-5)
    assert ours.cam_layer is not None


def test_random_weights_and_a_checkpoint(folder, tmp_path):
    first, second = (huggingface_network(str(folder), {}, "random") for _ in range(2))
    pretrained = huggingface_network(str(folder), {})
    assert first.identity() == second.identity() != pretrained.identity()
    model = transformers.ViTForImageClassification.from_pretrained(str(folder))
    torch.save({"model": model.state_dict()}, tmp_path / "weights.pth")
    loaded = huggingface_network(str(folder), {}, str(tmp_path / "weights.pth"))
    assert loaded.identity() == pretrained.identity()
    assert loaded.file_sha256
    with pytest.raises(BenchError, match="expected sha256 0"):
        huggingface_network(str(folder), {}, str(tmp_path / "weights.pth"), sha256="0" * 64)


PROCESSORS = {
    "ViTImageProcessor": {"size": {"height": 32, "width": 24}, "resample": 3},
    "CLIPImageProcessor": {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}},
    "ConvNextImageProcessor": {"size": {"shortest_edge": 28}, "crop_pct": 0.875},
    "BitImageProcessor": {
        "size": {"shortest_edge": 40}, "crop_size": 32, "do_normalize": False, "resample": 2,
    },
    "PoolFormerImageProcessor": {
        "size": {"shortest_edge": 36}, "crop_size": 36, "crop_pct": 0.9, "resample": 3,
    },
    "MobileViTImageProcessor": {"size": {"shortest_edge": 40}, "crop_size": 32, "resample": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", PROCESSORS)
@pytest.mark.parametrize("shape", [(60, 60), (32, 64)])
def test_processors_are_read(folder, name, shape):
    processor = getattr(transformers, name)(**PROCESSORS[name])
    processor.save_pretrained(folder)
    settings = declared_by(processor.to_dict())
    preprocessing = tested.Preprocessing(**settings)
    theirs = processor(images=Image.fromarray(image(*shape)), return_tensors="pt")["pixel_values"]
    ours = preprocessing([image(*shape)])
    assert ours.shape == theirs.shape
    std = torch.tensor(preprocessing.std)[:, None, None]
    assert ((ours - theirs) * std).abs().mean() < 1
    tested._require_the_same(processor, preprocessing)


def test_the_shipped_settings_leave_the_processors_order_of_channels(folder):
    transformers.MobileViTImageProcessor(**PROCESSORS["MobileViTImageProcessor"]).save_pretrained(
        folder
    )
    given = OmegaConf.load(SHIPPED / "backbone/huggingface.yaml").preprocessing
    ours = huggingface_network(str(folder), dict(given))
    assert ours.preprocessing.channel_order == "bgr"


def test_a_processor_that_cannot_be_repeated_is_refused(folder):
    """LeViT's resizes to 256 / 224 of what it says."""
    transformers.LevitImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(
        folder
    )
    with pytest.raises(BenchError, match=r"what LevitImageProcessor.* makes .*cannot be repeated"):
        huggingface_network(str(folder), {})
    given = {"size": 32, "mean": [1, 2, 3], "std": [1, 2, 3], "resize": "pil_bicubic"}
    found = huggingface_network(str(folder), given | {"crop": "squash"}).preprocessing
    assert (found.size, found.mean, found.crop) == (32, (1, 2, 3), None)
    transformers.ViTImageProcessor(size={"shortest_edge": 32}).save_pretrained(folder)
    with pytest.raises(BenchError, match=r"declares size=.*shortest_edge.*set backbone\.preproc"):
        huggingface_network(str(folder), {})
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BenchError, match=r"declares none .*set backbone\.preprocessing\.size"):
        huggingface_network(str(folder), {})


def test_a_headless_checkpoint_is_refused(folder):
    """transformers would fill the head with random numbers and warn."""
    transformers.ViTModel(transformers.ViTConfig(**VIT)).save_pretrained(folder)
    with pytest.raises(BenchError, match=r"has no head.*classifier\.bias, classifier\.weight"):
        huggingface_network(str(folder), {})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def test_nothing_that_came_with_a_network_is_run(folder, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    foreign = {"AutoConfig": "code.Config", "AutoModelForImageClassification": "code.Model"}
    (folder / "code.py").write_text("import os\nos.mkdir('evil')\n")
    changed(folder, "config.json", model_type="ours", auto_map=foreign)
    with pytest.raises(BenchError, match="without running what came with it") as error:
        huggingface_network(str(folder), {})
    assert "\n" not in str(error.value)
    changed(folder, "config.json", model_type="vit", auto_map=foreign)
    (folder / "model.safetensors").unlink()
    torch.save({"classifier.weight": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(BenchError, match="without running"):
        huggingface_network(str(folder), {})
    assert not (tmp_path / "evil").exists()


def test_folders_and_the_hub(folder, monkeypatch, tmp_path):
    asked = []

    def snapshot(name, revision, patterns):
        asked.append((name, revision))
        return str(folder)

    monkeypatch.setattr(tested, "_snapshot", snapshot)
    assert huggingface_network("owner/vit", {}, revision="v1").name == "owner/vit"
    assert asked == [("owner/vit", "v1")]

    def offline(*_):
        raise OSError("no network\nat all")

    monkeypatch.setattr(tested, "_snapshot", offline)
    with pytest.raises(BenchError, match=r"owner/vit.* no network at all\).*backbone\.name=FOLDER"):
        huggingface_network("owner/vit", {})
    for name in ("./nowhere", "nowhere", "/a/b"):
        with pytest.raises(BenchError, match="is no folder, and no id of the hub"):
            huggingface_network(name, {})
    shutil.rmtree(folder)
    folder.mkdir()
    with pytest.raises(BenchError, match=r"expected config\.json"):
        huggingface_network(str(folder), {})
