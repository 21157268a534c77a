"""Image classifiers of Hugging Face transformers, with the preprocessing of their processor."""

import pickle
from collections.abc import Mapping
from itertools import product
from pathlib import Path
from typing import Any, Unpack

import numpy as np
from huggingface_hub import snapshot_download
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.declared import SQUASH, are_complete, chosen, declared
from bench.backbones.extras import import_extra
from bench.backbones.loading import load_file
from bench.backbones.torch_module import ModuleSettings, checkpoint_file, seeded, torch_module
from bench.errors import BenchError

_DESCRIPTIONS = ["config.json", "preprocessor_config.json", "processor_config.json"]
_SAFE_WEIGHTS = ["*.safetensors", "*.safetensors.index.json"]
_PICKLED_WEIGHTS = ["pytorch_model*.bin", "pytorch_model.bin.index.json"]
_LARGEST_DIFFERENCE = 3.5
"""Levels of 255 that inputs may differ on average from the processor's own. Of its rounding (of
the long side, of the crop) come 0 to 0.5 with inputs of 224 pixels and up to 3 with 28; of another
size or crop, as LeViT's and PoolFormer's processors take, 4 and more."""


class LogitsOnly(nn.Module):
    """A classifier of transformers whose output is the tensor of logits alone.

    Args:
        model: Called with pixel values, gives something with `logits`.

    Example:
        >>> from types import SimpleNamespace
        >>> from torch import nn
        >>> class Classifier(nn.Module):
        ...     def forward(self, pixel_values):
        ...         return SimpleNamespace(logits=pixel_values.mean(dim=(2, 3)), loss=None)
        >>> LogitsOnly(Classifier())(torch.ones(2, 3, 8, 8)).shape
        torch.Size([2, 3])
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, K)."""
        logits: Tensor = self.model(pixel_values=x).logits
        return logits


def huggingface_network(
    name: str,
    preprocessing: Mapping[str, Any],
    weights: str = "pretrained",
    *,
    revision: str | None = None,
    output_kind: str = "logits",
    **settings: Unpack[ModuleSettings],
) -> Backbone:
    """Any network that `AutoModelForImageClassification` makes; code of a repository never runs.

    Args:
        name: A folder with config.json, or an id of the hub, `google/vit-base-patch16-224`.
        preprocessing: Settings of `Preprocessing` in place of those that preprocessor_config.json
            declares; see `declared.chosen`.
        weights: `pretrained` (those of the folder or hub), `random` (the same each time), or a
            checkpoint file.
        revision: Branch, tag or commit on the hub; None: its main branch.
        output_kind: What the outputs are.
        **settings: See `bench.backbones.torch_module.ModuleSettings`.

    Returns:
        Its outputs (B, K) are those of `logits`.

    Raises:
        BenchError: The network or its weights cannot be had, it has no head, or it declares a
            preprocessing that cannot be repeated.

    Example:
        >>> from transformers import ViTConfig
        >>> sizes = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
        >>> sizes |= {"intermediate_size": 8, "image_size": 16, "patch_size": 4}
        >>> ViTConfig(**sizes, num_labels=5).save_pretrained("tiny-vit")
        >>> prepared = {"size": 16, "mean": (127.5,) * 3, "std": (127.5,) * 3}
        >>> prepared |= {"resize": "pil_bilinear", "crop": "squash"}
        >>> network = huggingface_network("tiny-vit", prepared, weights="random")
        >>> network.name, network.num_classes, network.output_kind
        ('tiny-vit', 5, 'logits')
    """
    transformers = import_extra("transformers", "huggingface", "hf")
    file = checkpoint_file(weights, ("pretrained", "random"))
    folder = _folder(name, revision, with_weights=weights == "pretrained")
    transformers.utils.logging.disable_progress_bar()
    digest = None
    with seeded():
        if weights == "pretrained":
            model = _pretrained(transformers, folder)
        else:
            model = _from_config(transformers, folder)
    if file is not None:
        sha256, key = settings.pop("sha256", None), settings.pop("key", None)
        digest = load_file(model, Path(file), name, sha256=sha256, key=key)
    backbone = torch_module(
        LogitsOnly(model),
        name if folder != Path(name).expanduser() else folder.resolve().name,
        _preprocessing(transformers, folder, preprocessing),
        output_kind,
        **settings,
    )
    backbone.file_sha256 = digest
    return backbone


def _folder(name: str, revision: str | None, *, with_weights: bool) -> Path:
    """The folder of a network, downloaded once if it is an id of the hub."""
    folder = Path(name).expanduser()
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise BenchError(f"name: expected config.json in the folder '{name}', found none")
        return folder
    if name.count("/") != 1 or name.startswith((".", "~", "/")):
        raise BenchError(
            f"name: '{name}' is no folder, and no id of the hub (OWNER/NAME): expected one of these"
        )
    try:
        found = Path(_snapshot(name, revision, _DESCRIPTIONS + _SAFE_WEIGHTS * with_weights))
        if with_weights and not any(found.glob("*.safetensors")):
            _snapshot(name, revision, _PICKLED_WEIGHTS)
    # The hub's errors are of many kinds, and those of the connection of its HTTP client's.
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise BenchError(
            f"name: '{name}' is no folder here and cannot be had from the hub "
            f"({type(error).__name__}: {reason}): download it elsewhere, and choose "
            "backbone.name=FOLDER"
        ) from None
    return found


def _snapshot(name: str, revision: str | None, patterns: list[str]) -> str:
    return str(snapshot_download(name, revision=revision, allow_patterns=patterns))


def _pretrained(transformers: Any, folder: Path) -> nn.Module:
    try:
        model, found = transformers.AutoModelForImageClassification.from_pretrained(
            str(folder),
            local_files_only=True,
            output_loading_info=True,
            trust_remote_code=False,
            weights_only=True,
        )
    except (OSError, ValueError, RuntimeError, KeyError, pickle.UnpicklingError) as error:
        raise _unusable(folder, error) from None
    missing = sorted(found["missing_keys"])
    if missing:  # transformers fills them with random numbers
        raise BenchError(
            f"weights: '{folder}' has no head, or not all of a network: {len(missing)} missing "
            f"({', '.join(missing[:10])}); expected those of an image classifier"
        )
    network: nn.Module = model
    return network


def _from_config(transformers: Any, folder: Path) -> nn.Module:
    try:
        config = transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
        network: nn.Module = transformers.AutoModelForImageClassification.from_config(
            config, trust_remote_code=False
        )
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise _unusable(folder, error) from None
    return network


def _unusable(folder: Path, error: Exception) -> BenchError:
    reason = " ".join(str(error).split())[:300]
    return BenchError(
        f"name: transformers cannot make an image classifier of '{folder}' without running what "
        f"came with it: {reason}"
    )


def _preprocessing(transformers: Any, folder: Path, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a user gives, and what the image processor declares of the rest."""
    if are_complete(given):
        return chosen({}, given)
    try:
        processor = transformers.AutoImageProcessor.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except (OSError, ValueError, KeyError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BenchError(
            f"preprocessing: '{folder}' declares none ({reason}): set backbone.preprocessing.size, "
            "mean, std, resize and crop"
        ) from None
    settings = declared_by(processor.to_dict())
    _require_the_same(processor, Preprocessing(**settings))
    return chosen(settings, given)


def declared_by(processor: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of `Preprocessing` that an image processor's settings mean.

    Args:
        processor: As preprocessor_config.json has them, with all defaults.

    Returns:
        `size`, `mean`, `std` (in units of 0..255), `resize`, `crop` and `channel_order`.

    Raises:
        BenchError: They say something that no `Preprocessing` does.

    Example:
        >>> processor = {"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}
        >>> processor |= {"do_center_crop": True, "do_rescale": True, "resample": 3}
        >>> found = declared_by(processor)
        >>> found["size"], found["crop"], found["resize"], found["std"]
        (224, 0.875, 'pil_bicubic', (255.0, 255.0, 255.0))
    """
    size, resized = _size(processor)
    scale = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale") else 1
    is_normalised = processor.get("do_normalize")
    mean = processor["image_mean"] if is_normalised else [0.0] * 3
    std = processor["image_std"] if is_normalised else [1.0] * 3
    filter_ = Image.Resampling(processor.get("resample") or Image.Resampling.BILINEAR)
    settings = declared(
        size,
        [value / scale / 255 for value in mean],
        [value / scale / 255 for value in std],
        filter_=filter_.name.lower(),
        resized=resized,
    )
    flipped = processor.get("do_flip_channel_order", False)
    return settings | {"channel_order": "bgr" if flipped else "rgb"}


def _size(processor: Mapping[str, Any]) -> tuple[tuple[int, int], int | None]:
    """Height and width of the input, and the shorter side before it is cropped, if it is."""
    size, crop = processor.get("size") or {}, processor.get("crop_size") or {}
    cropped = processor.get("do_center_crop") and {"height", "width"} <= {*crop}
    shortest, share = size.get("shortest_edge"), processor.get("crop_pct")
    if shortest and cropped:
        return (crop["height"], crop["width"]), int(shortest / share) if share else shortest
    if shortest and share:  # ConvNeXt's: from 384 pixels on nothing is cropped
        return (shortest, shortest), None if shortest >= 384 else int(shortest / share)
    if {"height", "width"} <= {*size} and not cropped:
        return (size["height"], size["width"]), None
    raise BenchError(
        f"preprocessing: {processor.get('image_processor_type')} declares size={size}, "
        f"crop_size={crop}, which is not one of ours: set backbone.preprocessing.size, mean, std, "
        f"resize and crop (crop={SQUASH}: straight to that size)"
    )


def _require_the_same(processor: Any, preprocessing: Preprocessing) -> None:
    """Refuses settings whose inputs are not those that the processor itself makes."""
    if preprocessing.channels == 1:
        return  # processors take grey images there, ours makes them
    for shape in ((301, 301), (352, 262)):
        image = _smooth(*shape)
        theirs = processor(images=Image.fromarray(image), return_tensors="pt")["pixel_values"][0]
        ours = preprocessing([image])[0]
        if theirs.shape == ours.shape:
            levels = ours.new_tensor(preprocessing.std)[:, None, None]
            if _difference(ours * levels, theirs * levels) <= _LARGEST_DIFFERENCE:
                continue
        raise BenchError(
            f"preprocessing: what {type(processor).__name__} makes of an image cannot be repeated "
            "by ours: set backbone.preprocessing.size, mean, std, resize and crop to what is "
            "nearest"
        )


def _difference(ours: Tensor, theirs: Tensor) -> float:
    """Mean absolute difference of (C, H, W), shifted by a pixel where that makes it smaller.

    Where a crop leaves an odd number of pixels, libraries differ in the side that gets one more.
    """
    height, width = ours.shape[1:]
    inner = theirs[:, 1:-1, 1:-1]
    shifted = (
        ours[:, 1 + y : height - 1 + y, 1 + x : width - 1 + x]
        for y, x in product((-1, 0, 1), repeat=2)
    )
    return min((each - inner).abs().mean().item() for each in shifted)


def _smooth(height: int, width: int) -> NDArray[np.uint8]:
    """An image (height, width, 3) without edges, the same each time."""
    y, x = np.mgrid[:height, :width]
    waves = [np.sin(y / 57 + phase) + np.cos(x / 69 - phase) for phase in range(3)]
    return np.asarray(63 * (np.stack(waves, -1) + 2), np.uint8)
