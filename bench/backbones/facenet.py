"""facenet-pytorch's InceptionResnetV1."""

from collections.abc import Sequence
from pathlib import Path

from facenet_pytorch import InceptionResnetV1
from torch import nn

from bench.backbones.backbone import Backbone, Preprocessing, last_convolution
from bench.backbones.checkpoint import load_strictly, read_state, verify
from bench.backbones.face import FaceNetwork, cosine_backbone
from bench.datasets.dataset import Dataset

EMBEDDING = 512
SIZE = 160


def facenet(
    weights: str,
    sha256: str | None = None,
    head: str | Sequence[str] | None = None,
    gallery: Dataset | None = None,
    scale: float = 1.0,
    cache: str = "results/prototypes",
    device: str = "auto",
) -> Backbone:
    """InceptionResnetV1: 160 px, RGB, (x - 127.5) / 128, embeddings of 512.

    Args:
        weights: A checkpoint of facenet-pytorch (`20180402-114759-vggface2.pt`). Its classifier
            (8631 classes of VGGFace2) gives logits where neither `head` nor `gallery` is given.
        sha256: Of that file, if it is to be verified.
        head: See `bench.backbones.face.cosine_backbone`; likewise the arguments that follow.
        gallery: Images of every class.
        scale: Of the cosines.
        cache: Folder of prototypes.
        device: For prototypes.

    Raises:
        BenchError: The weights do not fit, or there are no class vectors.
    """
    path = Path(weights).expanduser()
    digest = verify(path, sha256)
    state = read_state(path)
    embedding = InceptionResnetV1(classify=True, num_classes=1)
    embedding.logits = nn.Identity()  # embeddings as they are: without it they come normalised
    last = last_convolution(embedding)
    preprocessing = Preprocessing(SIZE, mean=(127.5,) * 3, std=(128.0,) * 3)
    classifier = {name: own for name, own in state.items() if name.startswith("logits.")}
    if classifier and head is None and gallery is None:
        classes = len(classifier.get("logits.weight", ()))
        network = FaceNetwork(embedding, nn.Linear(EMBEDDING, classes))
        own = {
            name.replace("logits.", "head.") if name in classifier else f"embedding.{name}": value
            for name, value in state.items()
        }
        load_strictly(network, own, path)
        return Backbone(
            name="facenet",
            module=network,
            preprocessing=preprocessing,
            output_kind="logits",
            num_classes=classes,
            cam_layer=f"embedding.{last}",
            feature_layer="embedding",
            file_sha256=digest,
        )
    load_strictly(embedding, {k: own for k, own in state.items() if k not in classifier}, path)
    return cosine_backbone(
        name="facenet",
        embedding=embedding,
        preprocessing=preprocessing,
        features=EMBEDDING,
        head=head,
        gallery=gallery,
        scale=scale,
        cache=cache,
        device=device,
        cam_layer=last,
        file_sha256=digest,
    )
