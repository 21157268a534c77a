"""Face recognition networks: an embedding network and a head of class vectors."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict, Unpack

import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.backbones.backbone import Backbone, Preprocessing, convolutions
from bench.backbones.checkpoint import CONTAINERS, load_strictly, read_state, verify
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
    """

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
        embedding: Inputs (B, 3, S, S) to embeddings (B, D).
        head: Embeddings to outputs (B, K).
    """

    def __init__(self, embedding: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.embedding = embedding
        self.head = head

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, 3, S, S) to (B, K)."""
        return self.head(self.embedding(x))


class HeadSettings(TypedDict, total=False):
    """Where class vectors come from: arguments that all face backbones have.

    Attributes:
        head: Checkpoint with class vectors, or several whose classes follow each other.
        gallery: Or images of every class; see `bench.backbones.prototypes`.
        scale: What the cosines are multiplied with. 1: the outputs are cosines; else logits.
        cache: Folder of prototypes that were made before.
        device: `auto`, `cpu`, `cuda`, ...; for prototypes.
    """

    head: str | Sequence[str] | None
    gallery: Dataset | None
    scale: float
    cache: str
    device: str


def face_backbone(
    name: str,
    embedding: nn.Module,
    preprocessing: Preprocessing,
    features: int,
    weights: str,
    sha256: str | None,
    classifier: str,
    containers: Sequence[str] = CONTAINERS,
    **settings: Unpack[HeadSettings],
) -> Backbone:
    """An embedding network from a checkpoint, with the checkpoint's own classifier or another head.

    Args:
        name: In tables.
        embedding: Inputs (B, 3, S, S) to embeddings (B, features); gets the weights.
        preprocessing: Images to inputs.
        features: Length of the embeddings.
        weights: The checkpoint.
        sha256: Of the checkpoint, if it is to be verified.
        classifier: Name in the checkpoint of a linear layer that gives logits of embeddings. It
            serves if it is there and the settings name neither head nor gallery.
        containers: See `bench.backbones.checkpoint.read_state`.
        **settings: See `HeadSettings`.

    Raises:
        BenchError: The weights do not fit, or there are no class vectors.
    """
    path = Path(weights).expanduser()
    digest = verify(path, sha256)
    state = read_state(path, containers)
    last = convolutions(embedding)[-1]
    linear = {key: own for key, own in state.items() if key.startswith(f"{classifier}.")}
    if not linear or settings.get("head") or settings.get("gallery"):
        state = {key: own for key, own in state.items() if key not in linear}
        load_strictly(embedding, state, path)
        return cosine_backbone(
            name, embedding, preprocessing, features, last, file_sha256=digest, **settings
        )
    classes = len(linear.get(f"{classifier}.weight", ()))
    network = FaceNetwork(embedding, nn.Linear(features, classes))
    ours = {
        f"head{key.removeprefix(classifier)}" if key in linear else f"embedding.{key}": own
        for key, own in state.items()
    }
    load_strictly(network, ours, path)
    return Backbone(
        name=name,
        module=network,
        preprocessing=preprocessing,
        output_kind="logits",
        num_classes=classes,
        cam_layer=f"embedding.{last}",
        feature_layer="embedding",
        file_sha256=digest,
    )


def cosine_backbone(
    name: str,
    embedding: nn.Module,
    preprocessing: Preprocessing,
    features: int,
    cam_layer: str,
    head: str | Sequence[str] | None = None,
    gallery: Dataset | None = None,
    scale: float = 1.0,
    cache: str = "results/prototypes",
    device: str = "auto",
    file_sha256: str | None = None,
) -> Backbone:
    """An embedding network with class vectors from a checkpoint or from images.

    Args:
        name: In tables.
        embedding: Inputs (B, 3, S, S) to embeddings (B, features).
        preprocessing: Images to inputs.
        features: Length of the embeddings.
        cam_layer: A submodule of the embedding network.
        head: See `HeadSettings`; likewise the four that follow.
        gallery: See there.
        scale: See there.
        cache: See there.
        device: See there.
        file_sha256: Of the embedding network's checkpoint.

    Raises:
        BenchError: Not exactly one of `head` and `gallery` is given, or it cannot be used.
    """
    require_number("scale", scale, 0, 1e6)
    if (head is None) == (gallery is None):
        raise BenchError(
            f"backbone '{name}' needs class vectors from one place: expected a trained head "
            "(backbone.head=FILE) or images of every identity (dataset@backbone.gallery=folder "
            f"backbone.gallery.root=FOLDER), found {'neither' if head is None else 'both'}"
        )
    embedding = embedding.eval().requires_grad_(False)
    made = None
    if gallery is not None:
        where = resolve_device(device)
        size = resolve_batch_size("auto", where)
        made = build_prototypes(
            embedding, preprocessing, gallery, Path(cache).expanduser(), where, size
        )
    vectors = read_class_vectors(head, features) if made is None else made.vectors
    backbone = Backbone(
        name=name,
        module=FaceNetwork(embedding, CosineHead(vectors, scale)),
        preprocessing=preprocessing,
        output_kind="cosines" if scale == 1 else "logits",
        num_classes=len(vectors),
        cam_layer=f"embedding.{cam_layer}",
        feature_layer="embedding",
        file_sha256=file_sha256,
    )
    if made is not None:
        backbone.gallery, backbone.class_names = made.images, gallery.class_names
    return backbone


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
    """
    files = [files] if isinstance(files, str) else files
    parts = []
    for path in (Path(file).expanduser() for file in files):
        state = read_state(path, HEAD_CONTAINERS)
        matrices = [own for own in state.values() if own.ndim == 2 and own.shape[1] == features]
        if len(state) != 1 or len(matrices) != 1:
            found = "; ".join(f"{name} {tuple(own.shape)}" for name, own in state.items())
            raise BenchError(
                f"head: '{path}' holds no class vectors: expected one matrix (classes, "
                f"{features}), found {found[:200]}"
            )
        parts += matrices
    return torch.cat(parts).float()
