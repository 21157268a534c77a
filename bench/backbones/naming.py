"""Whose names the tensors of a checkpoint have, where they are not those of the network."""

import re
from collections.abc import Mapping
from difflib import get_close_matches

import timm
import torch
import torchvision
from torch import Tensor, nn

_SIGNS = (
    ("open_clip", r"logit_scale$|visual\."),
    ("transformers", r"\w+\.embeddings\.|\w+\.embedder\.|\w+\.encoder\.(layer|layers|stages)\."),
    ("torchvision", r"features\.|conv_proj\.|encoder\.layers\.encoder_layer_|trunk_output\."),
    ("timm", r"blocks\.\d|stages\.\d|layers\.\d+\.blocks|conv_stem\.|patch_embed\.|stem\."),
)
"""By library, what one of its names begins with and those of the others do not."""

_OF_HEAD = 2
"""Tensors whose shapes may differ: weight and bias of a head with other classes."""

_TRIED = 12


def whose_names(state: Mapping[str, Tensor], name: str) -> str:
    """The mend for a state dict whose names are another library's.

    Args:
        state: The state dict.
        name: What the library of the network calls it.

    Returns:
        What to choose in place of the backbone; empty if the names tell nothing.

    Example:
        >>> state = {"vit.embeddings.cls_token": torch.zeros(1, 1, 8)}
        >>> whose_names(state, "vit_base_patch16_224").partition(":")[0]
        'its names are those of transformers'
    """
    found = next(
        (library for library, sign in _SIGNS if any(re.match(sign, key) for key in state)), None
    )
    if found == "torchvision":
        theirs = torchvision_name(state, name) or "NAME"
        return (
            "its names are those of torchvision: choose backbone=torchvision "
            f"backbone.name={theirs}"
        )
    if found == "timm":
        return "its names are those of timm: choose backbone=timm backbone.name=NAME"
    if found == "transformers":
        return (
            "its names are those of transformers: choose backbone=huggingface with the folder that "
            "it lies in, backbone.name=FOLDER"
        )
    if found == "open_clip":
        return "its names are those of open_clip: choose backbone=open_clip backbone.name=NAME"
    return ""


def settings_of(name: str) -> str | None:
    """The settings that choose a network by what a library or its class calls it; None: none does.

    Args:
        name: `vit_small_patch16_224`, `vit_b_16`, `google/vit-base-patch16-224`, `package.Class`.

    Returns:
        What stands behind `backbone=`, with `backbone.name=` or the like behind a blank.

    Example:
        >>> settings_of("vit_small_patch16_224"), settings_of("vit_b_16")
        ('timm backbone.name=vit_small_patch16_224', 'torchvision backbone.name=vit_b_16')
        >>> print(settings_of("no_such_network"))
        None
    """
    if name.partition(".")[0] in timm.list_models():
        return f"timm backbone.name={name}"
    if name in torchvision.models.list_models(module=torchvision.models):
        return f"torchvision backbone.name={name}"
    if "/" in name:
        return f"huggingface backbone.name={name}"
    if re.fullmatch(r"\w+(\.\w+)+", name):
        return f"module backbone.module._target_={name}"
    return None


def torchvision_name(state: Mapping[str, Tensor], name: str) -> str | None:
    """The classifier of torchvision that a state dict fits but for its head; None: none does.

    Those with the likest names are tried, and no RegNets: making one takes real memory.

    Args:
        state: Names to tensors.
        name: A similar name, of another library.

    Returns:
        As torchvision lists it.

    Example:
        >>> import torchvision
        >>> state = torchvision.models.get_model("squeezenet1_1", num_classes=5).state_dict()
        >>> torchvision_name(state, "squeezenet")
        'squeezenet1_1'
    """
    found = _shapes(state)
    for candidate in _likest(name):
        theirs = _shapes(_empty(candidate).state_dict())
        if theirs.keys() == found.keys():
            differing = sum(shape != found[key] for key, shape in theirs.items())
            if differing <= _OF_HEAD:
                return candidate
    return None


def _shapes(state: Mapping[str, Tensor]) -> dict[str, torch.Size]:
    """Shapes by name, but of BatchNorm's counters, which older files lack."""
    return {
        name: value.shape
        for name, value in state.items()
        if not name.endswith("num_batches_tracked")
    }


def _likest(name: str) -> list[str]:
    """Names of torchvision's classifiers that are like a name, the likest first."""
    names = torchvision.models.list_models(module=torchvision.models)
    names = [each for each in names if not each.startswith("regnet")]
    return get_close_matches(name, names, n=_TRIED, cutoff=0)


def _empty(name: str) -> nn.Module:
    """A classifier of torchvision without memory for its weights."""
    unset = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        return torchvision.models.get_model(name, weights=None, **unset)
