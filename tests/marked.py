"""Blocks of images in which something is marked, for metrics that read annotations."""

import numpy as np
import torch

from bench.backbones.backbone import Preprocessing
from bench.datasets.annotation import Annotation
from bench.metrics.baseline import Inputs
from bench.metrics.metric import Block, Maps
from bench.metrics.region import Region


def region(size, boxes=(), mask=None):
    """A region of an input whose pixels are those of the photo; it may lack both."""
    if mask is None and not len(boxes):
        return Region(None, size, Preprocessing(size, (0,), (255,)))
    found = None if mask is None else (lambda _: np.asarray(mask, bool))
    annotation = Annotation(np.array(boxes, float).reshape(-1, 4), found)
    return Region(annotation, size, Preprocessing(size, (0,), (255,)))


def block_of(*regions, x=None):
    """Images with these regions; nothing else of the block may be asked for but its inputs."""
    height, width = regions[0].preprocessing.shape
    x = torch.zeros(len(regions), 1, height, width) if x is None else x
    ids = [f"{i}" for i in range(len(regions))]
    none = torch.zeros(len(regions), dtype=torch.int64)
    return Block(
        Inputs(x, ids), none, none[:, None].float(), none, none, none.float(), None, None,
        regions=regions,
    )  # fmt: skip


def maps_of(*values, images=None, ties="stable"):
    """Maps (N, H, W), one an image unless it is said which images they are of."""
    values = torch.stack([torch.as_tensor(np.array(value)) for value in values])
    images = range(len(values)) if images is None else images
    return Maps(values, torch.tensor(list(images)), ties)
