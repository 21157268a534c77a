"""Networks of timm without a classifier: class prototypes of their features take its place."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack, cast

from torch import nn

from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.face import CosineHead
from bench.backbones.loading import load_file
from bench.backbones.prototypes import Prototypes, build_prototypes
from bench.backbones.torch_module import ModuleSettings, torch_module
from bench.datasets.dataset import Dataset
from bench.device import resolve_batch_size, resolve_device
from bench.errors import BenchError


@dataclass(frozen=True)
class Enrolment:
    """Images of every class, and how prototypes are made of them.

    Attributes:
        gallery: The images.
        cache: Folder of prototypes that were made before.
        device: `auto`, `cpu`, `cuda`, ...

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from torch import nn
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.folder import ClassFolders
        >>> for name, colour in (("owl", "red"), ("wren", "lime")):
        ...     Path("birds", name).mkdir(parents=True)
        ...     Image.new("RGB", (2, 2), colour).save(f"birds/{name}/1.png")
        >>> enrolment = Enrolment(ClassFolders("birds", "birds"), cache="cache", device="cpu")
        >>> prepared = Preprocessing(size=1, mean=(0.0,) * 3, std=(255.0,) * 3)
        >>> enrolment.prototypes(nn.Flatten(), prepared).vectors.tolist()
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    """

    gallery: Dataset
    cache: str = "results/prototypes"
    device: str = "auto"

    def prototypes(self, module: nn.Module, preprocessing: Preprocessing) -> Prototypes:
        """Class vectors of a network's features; see `build_prototypes`."""
        device = resolve_device(self.device)
        return build_prototypes(
            module.eval(),
            preprocessing,
            self.gallery,
            Path(self.cache).expanduser(),
            device=device,
            batch_size=resolve_batch_size("auto", device),
        )


def prototype_network(
    module: nn.Module,
    name: str,
    preprocessing: Mapping[str, Any],
    enrolment: Enrolment,
    *,
    weights: str | None = None,
    **settings: Unpack[ModuleSettings],
) -> Backbone:
    """A network of timm whose outputs are the cosines of its features with class prototypes.

    Args:
        module: Made by timm with `num_classes=0`: inputs (B, C, H, W) to features (B, D). Is
            changed.
        name: In tables.
        preprocessing: Settings of `Preprocessing`.
        enrolment: What the prototypes are made of.
        weights: Checkpoint file, with a classifier or without; None: it has its weights already.
        **settings: See `ModuleSettings`.

    Returns:
        Its outputs (B, K) are cosines, K the classes of the gallery.

    Raises:
        BenchError: It has several classifiers, the weights do not fit, or a class has no image.

    Example:
        >>> from pathlib import Path
        >>> import timm
        >>> from PIL import Image
        >>> from bench.datasets.folder import ClassFolders
        >>> for name, colour in (("finch", "red"), ("robin", "lime")):
        ...     Path("gallery", name).mkdir(parents=True)
        ...     Image.new("RGB", (32, 32), colour).save(f"gallery/{name}/1.png")
        >>> module = timm.create_model("test_resnet", num_classes=0)
        >>> prepared = {"size": 32, "mean": (127.5,) * 3, "std": (127.5,) * 3}
        >>> enrolment = Enrolment(ClassFolders("gallery", "gallery"), cache="cache", device="cpu")
        >>> network = prototype_network(module, "test_resnet", prepared, enrolment)
        >>> network.class_names, network.output_kind
        (['finch', 'robin'], 'cosines')
    """
    classifier = cast(Any, module).pretrained_cfg["classifier"]
    if not isinstance(classifier, str):
        raise BenchError(
            f"gallery: '{name}' has {len(classifier)} classifiers ({', '.join(classifier)}): "
            "expected a network of one"
        )
    sha256, key = settings.pop("sha256", None), settings.pop("key", None)
    if weights is None and (sha256 or key):
        setting = "key" if sha256 is None else "sha256"
        raise BenchError(f"{setting}: expected weights=FILE beside it, found none")
    digest = None
    if weights is not None:
        digest = load_file(module, Path(weights), name, sha256=sha256, key=key, without=classifier)
    module.requires_grad_(False)
    prototypes = enrolment.prototypes(module, Preprocessing(**preprocessing))
    parent, _, attribute = classifier.rpartition(".")
    setattr(module.get_submodule(parent), attribute, CosineHead(prototypes.vectors))
    backbone = torch_module(module.cpu(), name, preprocessing, "cosines", **settings)
    backbone.file_sha256 = digest
    backbone.enrolled = prototypes.images
    backbone.class_names = enrolment.gallery.class_names
    return backbone
