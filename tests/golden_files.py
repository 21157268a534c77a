"""What golden files of the reference hold, rebuilt in torch."""

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch.nn import functional

from bench.metrics.baseline import Baseline, Inputs


@dataclass(frozen=True)
class Value(Baseline):
    """A number in the model's input space, as Xplique's `baseline_mode=0.3`."""

    depends_on_image: ClassVar[bool] = False
    value: float

    def __call__(self, inputs: Inputs) -> torch.Tensor:
        return inputs.x.new_full((1, 3, 1, 1), self.value)

    def in_words(self):
        return str(self.value)


def model_of(golden):
    """The Keras network of a golden file in torch."""
    tensors = {name: torch.from_numpy(golden[name]) for name in golden if "_" in name
               and name.split("_")[-1] in ("kernel", "bias", "weight")}  # fmt: skip

    def outputs(x):
        for layer, stride in (("conv1", 1), ("conv2", 2)):
            kernel = tensors[f"{layer}_kernel"].permute(3, 2, 0, 1)
            x = functional.conv2d(x, kernel, tensors[f"{layer}_bias"], stride=stride).relu()
        x = x.mean(dim=(2, 3))
        if "cosine_weight" in tensors:
            x = x @ tensors["dense_kernel"]
            return functional.normalize(x) @ functional.normalize(tensors["cosine_weight"], dim=0)
        return x @ tensors["dense_kernel"] + tensors["dense_bias"]

    return outputs


def digest(image):
    """Of one input (3, H, W), in the channels-last layout of the reference."""
    content = np.ascontiguousarray(image.permute(1, 2, 0).numpy()).tobytes()
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
