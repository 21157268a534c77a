"""CLIP models of open_clip as zero-shot classifiers: class names make the head."""

import logging
import pickle
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.backbones.backbone import Backbone
from bench.backbones.declared import chosen, declared
from bench.backbones.extras import import_extra
from bench.backbones.loading import load_file
from bench.backbones.torch_module import ModuleSettings, checkpoint_file, seeded, torch_module
from bench.errors import BenchError, require_known

_CONFIG = "open_clip_config.json"


class ZeroShot(nn.Module):
    """Logits of classes: cosines of image and class vectors, times the model's scale.

    Radford et al. 2021, arXiv 2103.00020, section 3.1. The text encoder is not part of it.

    Args:
        visual: Inputs (B, 3, H, W) to embeddings (B, D), or a tuple that begins with these.
        classes: (K, D) class vectors of unit length.
        scale: What the cosines are multiplied with.
        bias: What is added then.

    Example:
        >>> from torch import nn
        >>> head = ZeroShot(nn.Flatten(), torch.eye(12)[:2], scale=100.0, bias=0.0)
        >>> x = torch.zeros(1, 3, 2, 2)
        >>> x[0, 0, 0] = torch.tensor([3.0, 4.0])
        >>> head(x).round(decimals=3).tolist()
        [[60.0, 80.0]]
    """

    classes: Tensor

    def __init__(self, visual: nn.Module, classes: Tensor, scale: float, bias: float) -> None:
        super().__init__()
        self.visual = visual
        self.register_buffer("classes", classes)
        self.scale, self.bias = scale, bias

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, 3, H, W) to (B, K)."""
        embeddings = self.visual(x)
        if isinstance(embeddings, tuple):  # CoCa gives tokens beside them
            embeddings = embeddings[0]
        return self.scale * functional.normalize(embeddings) @ self.classes.T + self.bias


def open_clip_network(
    name: str,
    weights: str,
    classes: str | Sequence[str],
    preprocessing: Mapping[str, Any],
    templates: Sequence[str] = ("a photo of a {}.",),
    *,
    output_kind: str = "logits",
    **settings: Unpack[ModuleSettings],
) -> Backbone:
    """Any model of open_clip with a head made of class names.

    The vector of a class is the normalised mean of the unit embeddings of its name in all
    templates.

    Args:
        name: As open_clip lists it, `ViT-B-32`, or a folder with open_clip_config.json.
        weights: A tag of open_clip (`laion2b_s34b_b79k`, downloaded once), `pretrained` (those in
            the folder), `random` (the same each time), or a checkpoint file.
        classes: Class names in the order of their labels, or a text file with one a line.
        preprocessing: Settings of `Preprocessing` in place of the model's; see `declared.chosen`.
        templates: Texts in which `{}` stands for the name.
        output_kind: What the outputs are.
        **settings: See `bench.backbones.torch_module.ModuleSettings`.

    Returns:
        Its outputs (B, K) are the classes' cosines times the model's scale.

    Raises:
        BenchError: The model, its weights, its tokenizer or the class names cannot be had, or it
            declares a preprocessing that cannot be repeated.

    Example:
        >>> import json
        >>> from pathlib import Path
        >>> vision = {"image_size": 32, "layers": 2, "width": 32, "patch_size": 8, "head_width": 16}
        >>> text = {"vocab_size": 49408, "width": 32, "heads": 2, "layers": 1}
        >>> tiny = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
        >>> config = {"model_cfg": tiny, "preprocess_cfg": {}}
        >>> Path("clip").mkdir()
        >>> _ = Path("clip/open_clip_config.json").write_text(json.dumps(config))
        >>> network = open_clip_network("clip", "random", ["wren", "owl"], preprocessing={})
        >>> network.num_classes, network.output_kind, network.preprocessing.shape
        (2, 'logits', (32, 32))
    """
    open_clip = import_extra("open_clip", "open_clip", "clip")
    names, texts = _class_names(classes), _templates(templates)
    folder = Path(name).expanduser()
    if (folder / _CONFIG).is_file():
        tags, model_name = ["pretrained"], f"local-dir:{folder}"
    else:
        require_known("name", name, open_clip.list_models())
        tags, model_name = open_clip.list_pretrained_tags_by_model(name), name
    file = checkpoint_file(weights, ("random", *tags))
    with seeded():
        model = _create(open_clip, model_name, weights if weights in tags else None)
    digest = None
    if file is not None:
        sha256, key = settings.pop("sha256", None), settings.pop("key", None)
        digest = load_file(model, Path(file), name, sha256=sha256, key=key)
    head = _class_vectors(model, _tokenizer(open_clip, model_name), names, texts)
    bias = getattr(model, "logit_bias", None)
    module = ZeroShot(
        model.visual,
        head,
        model.logit_scale.exp().item(),
        0.0 if bias is None else bias.item(),
    )
    backbone = torch_module(
        module,
        folder.resolve().name if model_name != name else name,
        chosen(_declared(open_clip, model), preprocessing),
        output_kind,
        **settings,
    )
    backbone.file_sha256 = digest
    return backbone


def _class_names(classes: str | Sequence[str]) -> list[str]:
    if isinstance(classes, str):
        path = Path(classes).expanduser()
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise BenchError(
                f"classes: expected class names or a text file with one a line, cannot read "
                f"'{classes}': {error}"
            ) from None
        classes = [line.strip() for line in lines if line.strip()]
    names = [str(name) for name in classes]
    if len(names) < 2:
        raise BenchError(f"classes: expected at least two class names, found {names}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BenchError(f"classes: expected different names, found '{twice[0]}' more than once")
    return names


def _templates(templates: Sequence[str]) -> list[str]:
    texts = [templates] if isinstance(templates, str) else list(templates)
    if not texts or not all(isinstance(text, str) and "{}" in text for text in texts):
        raise BenchError(
            f"templates: expected texts in which {{}} stands for the class, found {texts!r}"
        )
    return texts


def _create(open_clip: Any, name: str, tag: str | None) -> Any:
    """The whole model, in eval mode; nothing but what the tag names is downloaded."""
    try:
        with _without_progress():
            model = open_clip.create_model(
                name,
                pretrained=None if tag == "pretrained" else tag,
                load_weights=tag is not None,
                pretrained_image=False,
                pretrained_text=False,
                require_pretrained=tag is not None,
                weights_only=True,
            )
    # Of the hub, of files and of configurations: open_clip hands on what it comes across.
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise _unavailable(name, error) from None
    return model.eval()


def _tokenizer(open_clip: Any, name: str) -> Any:
    try:
        with _without_progress():
            return open_clip.get_tokenizer(name)
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise _unavailable(name, error) from None


@contextmanager
def _without_progress() -> Iterator[None]:
    """open_clip logs each of its steps at the root; its warnings are let through."""
    before = logging.root.manager.disable
    logging.disable(max(before, logging.INFO))
    try:
        yield
    finally:
        logging.disable(before)


def _unavailable(name: str, error: Exception) -> BenchError:
    reason = " ".join(str(error).split())[:200]
    return BenchError(
        f"name: open_clip cannot make '{name}' ({type(error).__name__}: {reason}); "
        "backbone.weights=FILE takes a checkpoint that you have"
    )


@torch.no_grad()
def _class_vectors(
    model: Any, tokenizer: Any, names: Sequence[str], templates: Sequence[str]
) -> Tensor:
    """Unit vectors (K, D) of classes."""
    vectors = []
    for name in names:
        tokens = tokenizer([template.replace("{}", name) for template in templates])
        embeddings = functional.normalize(model.encode_text(tokens).float())
        vectors.append(functional.normalize(embeddings.mean(0), dim=0))
    return torch.stack(vectors)


def _declared(open_clip: Any, model: nn.Module) -> dict[str, Any]:
    """The settings of `Preprocessing` that a model of open_clip declares."""
    config = open_clip.get_model_preprocess_cfg(model)
    size = config["size"]
    size = (size, size) if isinstance(size, int) else tuple(size)
    mode = config.get("resize_mode", "shortest")
    if mode not in ("shortest", "squash"):
        raise BenchError(
            f"preprocessing: open_clip declares resize_mode={mode}, which is not one of ours: "
            "choose a model with another"
        )
    return declared(
        size,
        config["mean"],
        config["std"],
        filter_="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        resized=min(size) if mode == "shortest" else None,
    )
