import json
import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image

open_clip = pytest.importorskip("open_clip")

from bench.backbones.layout import Layout  # noqa: E402
from bench.backbones.open_clip_network import open_clip_network  # noqa: E402
from bench.errors import BenchError  # noqa: E402

CONFIG = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {
            "image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16,
        },
        "text_cfg": {
            "context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 1,
        },
    },
    "preprocess_cfg": {"mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.25]},
}  # fmt: skip
NAMES = ["cat", "dog", "red house"]


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = open_clip.create_model(f"local-dir:{folder}", load_weights=False)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    return folder


def image(height=50, width=70):
    small = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("templates", [["a photo of a {}."], ["a {}", "no {}", "{} {}"]])
def test_logits_are_those_of_open_clips_own_recipe(folder, templates):
    ours = open_clip_network(str(folder), "pretrained", NAMES, {}, templates)
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    x = torch.stack([transform(Image.fromarray(image(*shape))) for shape in ((32, 64), (64, 64))])
    found = ours.preprocess([image(32, 64), image(64, 64)])
    assert (x - found).abs().max() < 1e-5
    with torch.no_grad():
        rows = []
        for name in NAMES:
            tokens = tokenizer([text.format(name, name) for text in templates])
            mean = model.encode_text(tokens, normalize=True).mean(0)
            rows.append(mean / mean.norm())
        features = model.encode_image(x, normalize=True)
        expected = model.logit_scale.exp() * features @ torch.stack(rows).T
        assert torch.allclose(ours.outputs(x), expected, atol=1e-4)
    assert (ours.name, ours.num_classes, ours.output_kind) == ("clip", 3, "logits")
    assert not any("transformer.resblocks.0" in n and "text" in n for n, _ in
                   ours.module.named_parameters())  # fmt: skip


def test_class_activation_maps_have_a_layer_and_nothing_but_warnings_is_logged(folder, caplog):
    caplog.set_level(logging.INFO)
    ours = open_clip_network(str(folder), "pretrained", NAMES, {})
    assert not [record for record in caplog.records if record.levelno < logging.WARNING]
    assert ours.cam_layer == "visual.transformer.resblocks.1.ln_1"
    assert ours.layout() == Layout("tokens", 1, (4, 4))
    logging.info("logs as before")
    assert caplog.messages[-1] == "logs as before"


def test_names_decide_the_identity_and_may_lie_in_a_file(folder, tmp_path):
    (tmp_path / "names.txt").write_text("cat\ndog\n\nred house\n")
    first = open_clip_network(str(folder), "pretrained", NAMES, {})
    second = open_clip_network(str(folder), "pretrained", str(tmp_path / "names.txt"), {})
    other = open_clip_network(str(folder), "pretrained", [*NAMES[::-1]], {})
    assert first.identity() == second.identity() != other.identity()


def test_random_weights_and_a_checkpoint(folder, tmp_path):
    first, second = (open_clip_network(str(folder), "random", NAMES, {}) for _ in range(2))
    assert first.identity() == second.identity()
    state = torch.load(folder / "open_clip_pytorch_model.bin", weights_only=True)
    torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "w.pt")
    loaded = open_clip_network(str(folder), str(tmp_path / "w.pt"), NAMES, {})
    pretrained = open_clip_network(str(folder), "pretrained", NAMES, {})
    assert loaded.identity() == pretrained.identity() != first.identity()
    assert loaded.file_sha256


def test_a_folder_without_weights_is_no_random_network(folder):
    (folder / "open_clip_pytorch_model.bin").unlink()
    with pytest.raises(BenchError, match="open_clip cannot make"):
        open_clip_network(str(folder), "pretrained", NAMES, {})


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


@pytest.mark.parametrize("weights", ["pretrained", "file"])
def test_nothing_in_a_file_is_run(folder, tmp_path, monkeypatch, weights):
    monkeypatch.chdir(tmp_path)
    file = folder / "open_clip_pytorch_model.bin"
    torch.save({"logit_scale": Evil()}, file)
    with pytest.raises(BenchError, match=r"open_clip cannot make|refused") as error:
        open_clip_network(str(folder), str(file) if weights == "file" else weights, NAMES, {})
    assert "\n" not in str(error.value)
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"name": "ViT-B-33"}, "Did you mean 'ViT-B-32'"),
        ({"name": "RN50", "weights": "laion"}, "is missing: expected random, openai, yfcc15m"),
        ({"classes": ["cat"]}, "at least two class names"),
        ({"classes": ["cat", "dog", "cat"]}, "different names, found 'cat' more than once"),
        ({"classes": "nowhere.txt"}, "cannot read 'nowhere.txt'"),
        ({"templates": ["a photo"]}, r"texts in which \{\} stands"),
        ({"templates": []}, r"texts in which \{\} stands"),
        ({"key": "ema"}, "key: expected weights=FILE"),
    ],
)
def test_bad_settings(folder, changes, message):
    given = {"name": str(folder), "weights": "random", "classes": NAMES, "preprocessing": {}}
    with pytest.raises(BenchError, match=message):
        open_clip_network(**given | changes)


def test_a_resize_that_cannot_be_repeated_is_refused(folder):
    changed = CONFIG | {"preprocess_cfg": {"resize_mode": "longest"}}
    (folder / "open_clip_config.json").write_text(json.dumps(changed))
    with pytest.raises(BenchError, match="resize_mode=longest"):
        open_clip_network(str(folder), "random", NAMES, {})
