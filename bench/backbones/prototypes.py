"""Class vectors of an embedding network from images: one prototype for each identity."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor, nn
from torch.nn import functional

from bench.backbones.backbone import Preprocessing, state_sha256
from bench.batching import fixed_batches
from bench.datasets.dataset import Dataset
from bench.errors import BenchError
from bench.files import write_atomically


@dataclass(frozen=True)
class Prototypes:
    """Class vectors and the images that they were made from.

    Attributes:
        vectors: (K, D) float32, unit length: row k is the normalised mean of the unit embeddings
            of the images with target k.
        images: `bench.datasets.reading.pixels_sha256` of each image.

    Example:
        >>> made = Prototypes(torch.eye(3), images=frozenset())
        >>> embedding = torch.tensor([0.6, 0.8, 0.0])
        >>> int((made.vectors @ embedding).argmax())  # the class whose images it is most like
        1
    """

    vectors: Tensor
    images: frozenset[str]


def build_prototypes(
    embedding: nn.Module,
    preprocessing: Preprocessing,
    enrolment: Dataset,
    cache: Path,
    *,
    device: torch.device,
    batch_size: int,
) -> Prototypes:
    """Makes class vectors from enrolled images, or reads them where they were made before.

    Args:
        embedding: Inputs (B, C, H, W) to embeddings (B, D); in eval mode. Is on `device` after.
        preprocessing: Images to inputs.
        enrolment: Labelled images of every class 0..K-1.
        cache: Folder of what was made before; the key is made of weights, preprocessing, pixels
            and targets.
        device: Where the embeddings are computed.
        batch_size: Forward passes in one batch.

    Returns:
        Class vectors (K, D), and the hashes of the images.

    Raises:
        BenchError: A class has no image, or an image cannot be read.

    Example:
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from torch import nn
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.folder import ClassFolders
        >>> for name, colour in (("owl", "red"), ("wren", "lime")):
        ...     Path("birds", name).mkdir(parents=True)
        ...     Image.new("RGB", (2, 2), colour).save(f"birds/{name}/1.png")
        >>> colours = Preprocessing(size=1, mean=(0.0,) * 3, std=(255.0,) * 3)
        >>> birds, settings = ClassFolders("birds", "birds"), {"device": "cpu", "batch_size": 2}
        >>> made = build_prototypes(nn.Flatten(), colours, birds, Path("cache"), **settings)
        >>> made.vectors.tolist(), len(made.images)
        ([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]], 2)
    """
    targets = torch.tensor([sample.target for sample in enrolment.samples])
    missing = sorted(set(range(int(targets.max()) + 1)) - set(targets.tolist()))
    if missing:
        raise BenchError(
            f"gallery: '{enrolment.name}' has no image of {len(missing)} of "
            f"{int(targets.max()) + 1} classes ({', '.join(map(str, missing[:10]))}): expected at "
            "least one of each"
        )
    hashes = list(enrolment.pixel_hashes().values())
    made_of = {
        "weights": state_sha256(embedding),
        "preprocessing": asdict(preprocessing),
        "images": list(zip(hashes, targets.tolist(), strict=True)),
    }
    key = hashlib.sha256(json.dumps(made_of).encode()).hexdigest()
    file = cache / f"{key[:16]}.safetensors"
    if file.exists():
        vectors = load_file(file)["vectors"]
    else:
        # Moved here: tensors made in inference mode could not take part in gradients later.
        embedding = embedding.to(device).to(memory_format=torch.channels_last)
        embeddings = _embed(embedding, preprocessing, enrolment, device, batch_size)
        sums = torch.zeros(int(targets.max()) + 1, embeddings.shape[1])
        vectors = functional.normalize(sums.index_add_(0, targets, embeddings))
        write_atomically(file, save({"vectors": vectors}))
    return Prototypes(vectors, frozenset(hashes))


@torch.inference_mode()
def _embed(
    embedding: nn.Module,
    preprocessing: Preprocessing,
    enrolment: Dataset,
    device: torch.device,
    batch_size: int,
) -> Tensor:
    """Unit embeddings (N, D) of all images, on the CPU."""
    found = []
    for index, items in fixed_batches(len(enrolment), batch_size):
        x = preprocessing([enrolment.samples[i].read() for i in index.tolist()]).to(device)
        unit = functional.normalize(embedding(x))
        found.append(unit[: items.stop - items.start].cpu())
    return torch.cat(found).clone()
