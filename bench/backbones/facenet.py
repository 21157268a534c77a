"""facenet-pytorch's InceptionResnetV1."""

from typing import Unpack

from facenet_pytorch import InceptionResnetV1
from torch import nn

from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.face import EmbeddingNetwork, HeadSettings, face_backbone

EMBEDDING = 512
"""Features of a face."""
SIZE = 160
"""Side of the input in pixels."""


def facenet(
    weights: str,
    sha256: str | None = None,
    key: str | None = None,
    **settings: Unpack[HeadSettings],
) -> Backbone:
    """InceptionResnetV1: 160 px, RGB, (x - 127.5) / 128, embeddings of 512.

    Args:
        weights: A checkpoint of facenet-pytorch (`20180402-114759-vggface2.pt`), whose
            classifier (8631 classes of VGGFace2) gives logits.
        sha256: The sha256 of that file, if it is to be verified.
        key: Which entry of that file (see `bench.backbones.checkpoint.read_state`).
        **settings: See `bench.backbones.face.HeadSettings`.

    Returns:
        Inputs (B, 3, 160, 160) to logits or cosines (B, K), float32.

    Raises:
        BenchError: The weights do not fit, or there are no class vectors.

    Example:
        >>> facenet("20180402-114759-vggface2.pt")  # facenet-pytorch's file, where you have it
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: weights: '20180402-114759-vggface2.pt' is missing
    """
    embedding = InceptionResnetV1(classify=True, num_classes=1)
    embedding.logits = nn.Identity()  # embeddings as they are: without it they come normalised
    preprocessing = Preprocessing(SIZE, mean=(127.5,) * 3, std=(128.0,) * 3)
    return face_backbone(
        EmbeddingNetwork("facenet", embedding, preprocessing, EMBEDDING),
        weights=weights,
        sha256=sha256,
        key=key,
        classifier="logits",
        **settings,
    )
