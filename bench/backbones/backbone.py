"""The backbone contract: a frozen network, its preprocessing, and what its outputs are."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench.errors import BenchError, require_known
from bench.metrics.score import OUTPUT_KINDS

PRECISIONS = ("fp32", "tf32", "bf16")


@dataclass(frozen=True)
class Preprocessing:
    """RGB images to model inputs: resize straight to a square, then (pixel - mean) / std.

    The resize is `cv2.resize` with INTER_LINEAR on uint8: no crop, no antialias, the aspect ratio
    is not kept. The published numbers were made this way.

    Attributes:
        size: Side of the input in pixels.
        mean: Per channel, in units of 0..255.
        std: Per channel, in units of 0..255.
    """

    size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __call__(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Prepares a batch on the CPU.

        Args:
            images: RGB uint8 (H, W, 3), of any and differing sizes.

        Returns:
            (B, 3, size, size) float32 in channels-last memory order.
        """
        side = (self.size, self.size)
        resized = [cv2.resize(image, side, interpolation=cv2.INTER_LINEAR) for image in images]
        pixels = torch.from_numpy(np.stack(resized)).float()
        return self.to_input(pixels).permute(0, 3, 1, 2)

    def to_input(self, rgb: Tensor) -> Tensor:
        """Returns the input values (..., 3) of colours (..., 3) given as RGB in 0..255."""
        return (rgb - torch.tensor(self.mean)) / torch.tensor(self.std)

    def to_rgb(self, x: Tensor) -> Tensor:
        """Returns the RGB values in 0..255 of inputs (..., 3), the inverse of `to_input`."""
        return x * torch.tensor(self.std).to(x) + torch.tensor(self.mean).to(x)


class Backbone:
    """A network in eval mode with frozen parameters.

    Attributes:
        name: Name in tables.
        module: Inputs (B, 3, S, S) to outputs (B, K).
        preprocessing: Images to inputs.
        output_kind: What the outputs are: one of `bench.metrics.score.OUTPUT_KINDS`.
        num_classes: K.
        cam_layer: Name of the submodule whose output class activation maps use, or None.
        precision: `fp32`, `tf32` or `bf16`; see `set_speed`.
    """

    def __init__(
        self,
        name: str,
        module: nn.Module,
        preprocessing: Preprocessing,
        output_kind: str,
        num_classes: int,
        cam_layer: str | None = None,
    ) -> None:
        require_known("backbone.output_kind", output_kind, OUTPUT_KINDS)
        if cam_layer is not None:
            require_known("backbone.cam_layer", cam_layer, dict(module.named_modules()))
        module = module.eval().requires_grad_(False)
        self.name = name
        self.module = module.to(memory_format=torch.channels_last)
        self.preprocessing = preprocessing
        self.output_kind = output_kind
        self.num_classes = num_classes
        self.cam_layer = cam_layer
        self.precision = "fp32"
        self._compiled: nn.Module | None = None

    @property
    def is_compiled(self) -> bool:
        """Whether scores come from the compiled network."""
        return self._compiled is not None

    def to(self, device: torch.device) -> "Backbone":
        """Moves the network to a device and returns self."""
        self.module.to(device)
        return self

    def set_speed(self, precision: str, compile: bool) -> "Backbone":
        """Trades exactness for speed, and returns self.

        Args:
            precision: `fp32`; `tf32`, the same with TensorFloat-32 matrix products and
                convolutions on GPUs that have them; `bf16`, bfloat16 autocast. Sets torch's
                process-wide TF32 switches, whose own default is not exact.
            compile: Score with the network compiled by torch.compile. Gradients are always taken
                through the network as it is.

        Raises:
            BenchError: The precision is unknown.
        """
        require_known("precision", precision, PRECISIONS)
        torch.backends.cuda.matmul.allow_tf32 = precision == "tf32"
        torch.backends.cudnn.allow_tf32 = precision == "tf32"
        self.precision = precision
        self._compiled = torch.compile(self.module, dynamic=False) if compile else None
        return self

    def preprocess(self, images: Sequence[NDArray[np.uint8]]) -> Tensor:
        """Images to inputs (B, 3, S, S) float32, on the CPU; see `Preprocessing`."""
        return self.preprocessing(images)

    def to_input(self, rgb: Tensor) -> Tensor:
        """RGB in 0..255 (..., 3) to input values (..., 3)."""
        return self.preprocessing.to_input(rgb)

    def outputs(self, x: Tensor) -> Tensor:
        """Inputs (B, 3, S, S) to outputs (B, K) of kind `output_kind`; differentiable in x."""
        use_compiled = self._compiled is not None and torch.is_inference_mode_enabled()
        module = self._compiled if use_compiled else self.module
        if self.precision != "bf16":
            return module(x)
        with torch.autocast(x.device.type, torch.bfloat16):
            return module(x).float()

    def layer(self) -> nn.Module:
        """Returns the CAM layer.

        Raises:
            BenchError: The backbone names none.
        """
        if self.cam_layer is None:
            raise BenchError(
                f"backbone '{self.name}' names no CAM layer: set backbone.cam_layer to one of its "
                "submodules, or leave out the CAM methods"
            )
        return self.module.get_submodule(self.cam_layer)

    def identity(self) -> dict[str, object]:
        """What decides the outputs: name, hash over the weights, preprocessing, CAM layer."""
        return {
            "name": self.name,
            "weights_sha256": _state_hash(self.module),
            "preprocessing": asdict(self.preprocessing),
            "output_kind": self.output_kind,
            "cam_layer": self.cam_layer,
        }


def _state_hash(module: nn.Module) -> str:
    """Hash over names and values of parameters and buffers, whatever file they came from."""
    digest = hashlib.sha256()
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
