"""Face recognition networks: an embedding network and a head of class vectors."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.backbones.backbone import Backbone, Preprocessing, convolutions
from bench.backbones.checkpoint import CONTAINERS, read_state, verify
from bench.backbones.loading import load_strictly
from bench.backbones.prototypes import build_prototypes
from bench.datasets.dataset import Dataset
from bench.device import resolve_batch_size, resolve_device
from bench.errors import BenchError, require_number

HEAD_CONTAINERS = ("state_dict_softmax_fc", *CONTAINERS)
"""arcface_torch keeps its class vectors under the first of these."""


class CosineHead(nn.Module):
    """Cosines of embeddings with class vectors, times a scale.

    Deng et al. 2019, ArcFace, arXiv 1801.07698, equation 3 without the margin, which is for
    training only.

    Args:
        vectors: (K, D) class vectors, of any length.
        scale: What the cosines are multiplied with; 1 leaves them.

    Example:
        >>> head = CosineHead(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
        >>> head(torch.tensor([[5.0, 0.0], [3.0, 4.0]]))
        tensor([[1.0000, 0.0000],
                [0.6000, 0.8000]])
    """

    vectors: Tensor

    def __init__(self, vectors: Tensor, scale: float = 1.0) -> None:
        super().__init__()
        self.register_buffer("vectors", functional.normalize(vectors.float()))
        self.scale = scale

    def forward(self, embeddings: Tensor) -> Tensor:
        """Maps (B, D) to (B, K)."""
        cosines = functional.linear(functional.normalize(embeddings), self.vectors)
        return cosines if self.scale == 1 else self.scale * cosines


class FaceNetwork(nn.Module):
    """An embedding network with a head.

    Args:
        embedding: Inputs (B, C, H, W) to embeddings (B, D).
        head: Embeddings to outputs (B, K).

    Example:
        >>> from torch import nn
        >>> network = FaceNetwork(nn.Flatten(), CosineHead(torch.eye(12)[:4]))
        >>> network(torch.ones(2, 3, 2, 2)).shape
        torch.Size([2, 4])
    """

    def __init__(self, embedding: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, C, H, W) to (B, K)."""
        return self.head(self.embedding(x))


@dataclass(frozen=True)
class EmbeddingNetwork:
    """A network without its head.

    Attributes:
        name: In tables.
        module: Inputs (B, C, H, W) to embeddings (B, features).
        preprocessing: Images to inputs.
        features: Length of the embeddings.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Preprocessing
        >>> module = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten()).eval()
        >>> prepared = Preprocessing(size=4, mean=(127.5,) * 3, std=(128.0,) * 3)
        >>> network = EmbeddingNetwork("toy", module, prepared, features=8)
        >>> faces = network.with_head(CosineHead(torch.rand(6, 8)), 6, "cosines", file_sha256=None)
        >>> faces.num_classes, faces.cam_layer, faces.features(torch.zeros(2, 3, 4, 4)).shape
        (6, 'embedding.0', torch.Size([2, 8]))
    """

    name: str
    module: nn.Module
    preprocessing: Preprocessing
    features: int

    def with_head(
        self, head: nn.Module, num_classes: int, output_kind: str, file_sha256: str | None
    ) -> Backbone:
        """The backbone that it is together with a head.

        Args:
            head: Embeddings (B, features) to outputs (B, num_classes).
            num_classes: Outputs of the head.
            output_kind: What they are.
            file_sha256: The sha256 of the checkpoint that the embedding network comes from.
        """
        return Backbone(
            name=self.name,
            module=FaceNetwork(self.module, head),
            preprocessing=self.preprocessing,
            output_kind=output_kind,
            num_classes=num_classes,
            cam_layer=f"embedding.{convolutions(self.module)[-1]}",
            feature_layer="embedding",
            file_sha256=file_sha256,
        )


class HeadSettings(TypedDict, total=False):
    """Where class vectors come from: arguments that all face backbones have.

    Attributes:
        head: Checkpoint with class vectors, or several whose classes follow each other.
        gallery: Or images of every class; see `bench.backbones.prototypes`.
        scale: What the cosines are multiplied with. 1: the outputs are cosines; else logits.
        cache: Folder of prototypes that were made before.
        device: `auto`, `cpu`, `cuda`, ...; for prototypes.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Preprocessing
        >>> module = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten())
        >>> prepared = Preprocessing(size=4, mean=(127.5,) * 3, std=(128.0,) * 3)
        >>> torch.save({"weight": torch.rand(6, 8)}, "scaled.pth")
        >>> settings: HeadSettings = {"head": "scaled.pth", "scale": 64.0}
        >>> cosine_backbone(EmbeddingNetwork("toy", module, prepared, 8), **settings).output_kind
        'logits'
    """

    head: str | Sequence[str] | None
    gallery: Dataset | None
    scale: float
    cache: str
    device: str


def face_backbone(
    network: EmbeddingNetwork,
    *,
    weights: str,
    sha256: str | None,
    key: str | None = None,
    classifier: str,
    containers: Sequence[str] = CONTAINERS,
    **settings: Unpack[HeadSettings],
) -> Backbone:
    """An embedding network from a checkpoint, with the checkpoint's classifier or another head.

    Args:
        network: Gets the weights.
        weights: The checkpoint.
        sha256: The sha256 of the checkpoint, if it is to be verified.
        key: Which entry of the checkpoint (see `bench.backbones.checkpoint.read_state`).
        classifier: Name in the checkpoint of a linear layer that gives logits of embeddings. It
            serves if it is there and the settings name neither head nor gallery.
        containers: See `bench.backbones.checkpoint.read_state`.
        **settings: See `HeadSettings`.

    Returns:
        Its outputs are logits where the checkpoint's classifier serves; else see `cosine_backbone`.

    Raises:
        BenchError: The weights do not fit, or there are no class vectors.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Preprocessing
        >>> module = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten())
        >>> classifier = {"fc.weight": torch.rand(6, 8), "fc.bias": torch.rand(6)}
        >>> torch.save(module.state_dict() | classifier, "faces.pth")
        >>> prepared = Preprocessing(size=4, mean=(127.5,) * 3, std=(128.0,) * 3)
        >>> network = EmbeddingNetwork("toy", module, prepared, features=8)
        >>> faces = face_backbone(network, weights="faces.pth", sha256=None, classifier="fc")
        >>> faces.num_classes, faces.output_kind
        (6, 'logits')
    """
    path = Path(weights).expanduser()
    digest = verify(path, sha256)
    state = read_state(path, containers, key)
    linear = {key: value for key, value in state.items() if key.startswith(f"{classifier}.")}
    others = {key: value for key, value in state.items() if key not in linear}
    if not linear or settings.get("head") or settings.get("gallery"):
        load_strictly(network.module, others, path)
        return cosine_backbone(network, file_sha256=digest, **settings)
    classes = len(linear.get(f"{classifier}.weight", ()))
    head = nn.Linear(network.features, classes)
    renamed = {f"embedding.{key}": value for key, value in others.items()}
    renamed |= {f"head{key.removeprefix(classifier)}": value for key, value in linear.items()}
    load_strictly(FaceNetwork(network.module, head), renamed, path)
    return network.with_head(head, classes, "logits", digest)


def cosine_backbone(
    network: EmbeddingNetwork,
    *,
    head: str | Sequence[str] | None = None,
    gallery: Dataset | None = None,
    scale: float = 1.0,
    cache: str = "results/prototypes",
    device: str = "auto",
    file_sha256: str | None = None,
) -> Backbone:
    """An embedding network with class vectors from a checkpoint or from images.

    Args:
        network: The embedding network with its weights.
        head: See `HeadSettings`.
        gallery: See `HeadSettings`.
        scale: See `HeadSettings`.
        cache: See `HeadSettings`.
        device: See `HeadSettings`.
        file_sha256: The sha256 of the embedding network's checkpoint.

    Returns:
        Its outputs (B, K) are cosines, or with another scale than 1 logits.

    Raises:
        BenchError: Not exactly one of `head` and `gallery` is given, or it cannot be used.

    Example:
        >>> from torch import nn
        >>> from bench.backbones.backbone import Preprocessing
        >>> module = nn.Sequential(nn.Conv2d(3, 8, 4), nn.Flatten())
        >>> prepared = Preprocessing(size=4, mean=(127.5,) * 3, std=(128.0,) * 3)
        >>> torch.save({"weight": torch.rand(6, 8)}, "head.pth")
        >>> faces = cosine_backbone(EmbeddingNetwork("toy", module, prepared, 8), head="head.pth")
        >>> faces.num_classes, faces.output_kind
        (6, 'cosines')
    """
    require_number("scale", scale, 0, 1e6)
    network.module.eval().requires_grad_(False)
    enrolled, class_names = frozenset[str](), None
    if head is not None and gallery is None:
        vectors = read_class_vectors(head, network.features)
    elif gallery is not None and head is None:
        where = resolve_device(device)
        prototypes = build_prototypes(
            network.module,
            network.preprocessing,
            gallery,
            Path(cache).expanduser(),
            device=where,
            batch_size=resolve_batch_size("auto", where),
        )
        vectors, enrolled = prototypes.vectors, prototypes.images
        class_names = gallery.class_names
    else:
        raise _not_one_source(network.name, "neither" if head is None else "both")
    kind = "cosines" if scale == 1 else "logits"
    backbone = network.with_head(CosineHead(vectors, scale), len(vectors), kind, file_sha256)
    backbone.enrolled, backbone.class_names = enrolled, class_names
    return backbone


def _not_one_source(name: str, found: str) -> BenchError:
    return BenchError(
        f"backbone '{name}' needs class vectors from one place: expected a trained head "
        "(backbone.head=FILE) or images of every identity (dataset@backbone.gallery=folder "
        f"backbone.gallery.root=FOLDER), found {found}"
    )


def read_class_vectors(files: str | Sequence[str], features: int) -> Tensor:
    """Reads a trained head: matrices of class vectors.

    Args:
        files: Checkpoints that hold one tensor (classes, features) each, by any name, bare or as
            arcface_torch writes it (`state_dict_softmax_fc`; one file for each GPU).
        features: Length of the embeddings.

    Returns:
        (K, features) float32, the files' classes in order.

    Raises:
        BenchError: A file cannot be read, or holds something else.

    Example:
        >>> torch.save({"weight": torch.zeros(6, 8)}, "first.pth")
        >>> torch.save({"weight": torch.ones(4, 8)}, "second.pth")
        >>> vectors = read_class_vectors(["first.pth", "second.pth"], features=8)
        >>> vectors.shape, vectors[:, 0].tolist()
        (torch.Size([10, 8]), [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0])
    """
    files = [files] if isinstance(files, str) else files
    parts = []
    for path in (Path(file).expanduser() for file in files):
        state = read_state(path, HEAD_CONTAINERS)
        matrices = [m for m in state.values() if m.ndim == 2 and m.shape[1] == features]
        if len(state) != 1 or len(matrices) != 1:
            found = "; ".join(f"{name} {tuple(array.shape)}" for name, array in state.items())
            raise BenchError(
                f"head: '{path}' holds no class vectors: expected one matrix (classes, "
                f"{features}), found {found[:200]}"
            )
        parts += matrices
    return torch.cat(parts).float()
