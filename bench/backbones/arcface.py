"""iResNet-100, the network of insightface's ArcFace models, with insightface's parameter names."""

from typing import Unpack

import torch
from torch import Tensor, nn

from bench.backbones.backbone import Backbone, Preprocessing
from bench.backbones.checkpoint import CONTAINERS
from bench.backbones.face import EmbeddingNetwork, HeadSettings, face_backbone

EMBEDDING = 512
"""Features of a face."""
SIZE = 112
"""Side of the input in pixels."""
_EPSILON = 1e-5


def arcface_r100(
    weights: str,
    sha256: str | None = None,
    key: str | None = None,
    **settings: Unpack[HeadSettings],
) -> Backbone:
    """ArcFace's iResNet-100: 112 px, RGB, (x - 127.5) / 128, embeddings of 512.

    Args:
        weights: insightface's `backbone.pth`, or a checkpoint that holds it under
            `state_dict_backbone`; or an uncertainty network of arXiv 2402.09164
            (`edl-101-*.pth`), whose linear head gives logits.
        sha256: The sha256 of that file, if it is to be verified.
        key: Which entry of that file (see `bench.backbones.checkpoint.read_state`).
        **settings: See `bench.backbones.face.HeadSettings`.

    Returns:
        Inputs (B, 3, 112, 112) to cosines or logits (B, K), float32.

    Raises:
        BenchError: The weights do not fit, or there are no class vectors.

    Example:
        >>> arcface_r100("backbone.pth", head="head.pth")  # insightface's, where you have them
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: weights: 'backbone.pth' is missing
    """
    preprocessing = Preprocessing(SIZE, mean=(127.5,) * 3, std=(128.0,) * 3)
    return face_backbone(
        EmbeddingNetwork("arcface_r100", IResNet(), preprocessing, EMBEDDING),
        weights=weights,
        sha256=sha256,
        key=key,
        classifier="fc2",
        containers=("state_dict_backbone", *CONTAINERS),
        **settings,
    )


def edl_r100(weights: str, sha256: str | None = None) -> Backbone:
    """Uncertainty network of arXiv 2402.09164 for faces: iResNet-100 with a linear head.

    Its outputs are the logits of an evidential network (Sensoy et al. 2018, arXiv 1806.01768). The
    authors' preprocessing: Pillow's bilinear filter, RGB, (x / 255 - 0.5) / 0.5.

    Args:
        weights: `edl-101-10177.pth` (CelebA) or `edl-101-8631.pth` (VGGFace2).
        sha256: The sha256 of that file, if it is to be verified.

    Returns:
        Inputs (B, 3, 112, 112) to logits (B, K), float32.

    Raises:
        BenchError: The weights do not fit, or hold no linear head.

    Example:
        >>> edl_r100("edl-101-10177.pth")  # the authors' file, where you have it
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: weights: 'edl-101-10177.pth' is missing
    """
    preprocessing = Preprocessing(SIZE, (127.5,) * 3, (127.5,) * 3, resize="pil_bilinear")
    return face_backbone(
        EmbeddingNetwork("edl_r100", IResNet(), preprocessing, EMBEDDING),
        weights=weights,
        sha256=sha256,
        classifier="fc2",
    )


class IResNet(nn.Module):
    """Improved residual network (Duta et al. 2020, arXiv 2004.04989) as insightface builds it.

    Parameter names are those of `iresnet.py` in insightface's arcface_torch, so that its
    `backbone.pth` loads strictly.

    Args:
        blocks: Residual blocks in each of the four stages; (3, 13, 30, 3) is iResNet-100.
        width: Channels of the first stage; they double from stage to stage.
        size: Side of the input, a multiple of 16.

    Example:
        >>> small = IResNet(blocks=(1, 1), width=4, size=16).eval()
        >>> small(torch.zeros(2, 3, 16, 16)).shape
        torch.Size([2, 512])
        >>> [name for name, _ in small.layer2.named_children()]
        ['0']
    """

    def __init__(
        self, blocks: tuple[int, ...] = (3, 13, 30, 3), width: int = 64, size: int = SIZE
    ) -> None:
        super().__init__()
        self.conv1 = _conv3x3(3, width)
        self.bn1 = _norm(width)
        self.prelu = nn.PReLU(width)
        channels = width
        for stage, count in enumerate(blocks):
            planes = width << stage
            layers = [_Block(channels, planes, stride=2)]
            layers += [_Block(planes, planes, stride=1) for _ in range(count - 1)]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
            channels = planes
        self.bn2 = _norm(channels)
        self.fc = nn.Linear(channels * (size // 2 ** len(blocks)) ** 2, EMBEDDING)
        self.features = nn.BatchNorm1d(EMBEDDING, eps=_EPSILON)
        self._stages = len(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (B, 3, size, size) to embeddings (B, 512)."""
        x = self.prelu(self.bn1(self.conv1(x)))
        for stage in range(1, self._stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.features(self.fc(torch.flatten(self.bn2(x), 1)))


class _Block(nn.Module):
    """BatchNorm, convolution, BatchNorm, PReLU, convolution with the stride, BatchNorm."""

    def __init__(self, channels: int, planes: int, stride: int) -> None:
        super().__init__()
        self.bn1 = _norm(channels)
        self.conv1 = _conv3x3(channels, planes)
        self.bn2 = _norm(planes)
        self.prelu = nn.PReLU(planes)
        self.conv2 = _conv3x3(planes, planes, stride)
        self.bn3 = _norm(planes)
        self.downsample = None
        if stride != 1:
            shortcut = nn.Conv2d(channels, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, _norm(planes))

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        return self.bn3(self.conv2(x)) + shortcut


def _conv3x3(channels: int, planes: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels, planes, 3, stride, padding=1, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=_EPSILON)
