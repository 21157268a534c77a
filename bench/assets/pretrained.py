"""Weights that libraries load into their caches: timm, torchvision, transformers, CLIP."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from bench.backbones.backbone import Backbone
from bench.config.building import build_backbone
from bench.config.reading import assets_in
from bench.config.settings import MISSING, Component, RunSettings
from bench.errors import BenchError

_LIBRARIES = {
    "bench.backbones.timm_network.timm_network": "timm",
    "bench.backbones.torch_module.timm_model": "timm",
    "bench.backbones.torchvision_network.torchvision_network": "torchvision",
    "bench.backbones.huggingface_network.huggingface_network": "transformers",
    "bench.backbones.open_clip_network.open_clip_network": "open_clip",
}
"""What builds a network -> the library that loads its weights."""

_FILES = (".pth", ".pt", ".safetensors", ".h5", ".bin", ".ckpt", ".tar")
"""What names of checkpoints end in."""


@dataclass(frozen=True)
class Pretrained:
    """Weights of a library.

    Attributes:
        network: Whose they are, as it is configured.
        library: The library that loads them.
    """

    network: Component
    library: str

    @property
    def title(self) -> str:
        """What they are, in a line."""
        name, weights = self.network.settings.get("name"), self.network.settings["weights"]
        return f"{name}, weights '{weights}', loaded by {self.library} into its cache"

    @property
    def size(self) -> int | None:
        """Bytes, as far as the library says so before it loads them."""
        if self.library != "torchvision":
            return None
        import torchvision

        try:
            weights = torchvision.models.get_model_weights(str(self.network.settings["name"]))
            return round(weights[self.network.settings["weights"]].meta["_file_size"] * 2**20)
        except (KeyError, ValueError):  # building it says what is wrong
            return None

    def load(self, settings: RunSettings) -> Backbone:
        """Has the library load them, by building the network.

        Args:
            settings: Of a run that has the network.

        Raises:
            BenchError: They cannot be had.
        """
        return build_backbone(replace(settings, backbone=self.network), torch.device("cpu"))


def pretrained_of(settings: RunSettings) -> list[Pretrained]:
    """Weights of libraries that the networks of a run need, each once.

    Args:
        settings: Of the run.
    """
    networks = [settings.backbone, settings.explain.backbone]
    found = [_pretrained(each) for each in networks if each is not None]
    return list({each.title: each for each in found if each is not None}.values())


def _pretrained(network: Component) -> Pretrained | None:
    library, weights = _LIBRARIES.get(network.target), network.settings.get("weights")
    if library is None or not isinstance(weights, str) or weights in ("random", MISSING):
        return None
    is_file = weights.endswith(_FILES) or Path(weights).expanduser().exists()
    return None if is_file or assets_in(weights) else Pretrained(network, library)


def require_pretrained(settings: RunSettings) -> list[Pretrained]:
    """As `pretrained_of`, of a network that was asked for.

    Args:
        settings: Of a run that has it.

    Raises:
        BenchError: No library loads its weights, or which ones is not said.
    """
    found = pretrained_of(settings)
    if found:
        return found
    name, network = settings.backbone.settings.get("name"), settings.backbone
    if network.target in _LIBRARIES and network.settings.get("weights") == MISSING:
        choice = "pretrained" if _LIBRARIES[network.target] == "timm" else "IMAGENET1K_V1"
        raise BenchError(
            f"backbone.weights: expected those that are to be fetched, as backbone.weights={choice}"
        )
    raise BenchError(
        f"backbone '{name or network.target.rpartition('.')[2]}': no library loads its weights: "
        "there is nothing to fetch"
    )
