"""Small stand-ins for the real thing, also reachable from configuration as `toy.<name>`."""

import os
import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from timm.models.swin_transformer import SwinTransformer
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from bench.attribution.control import Random
from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, Preprocessing
from bench.datasets.dataset import Dataset, Sample
from bench.errors import require_integer
from bench.evaluation.method_run import MethodRun
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic
from bench.seeding import generator

SIZE = 23  # 23 * 23 = 529 pixels: neither 10 nor 25 steps divide it


def method_runs(methods, *, network=None, done=None, maps=None):
    """Methods by name as runs: their passes on a network, what is done and where maps are kept."""
    return [
        MethodRun(
            name,
            method,
            None if network is None else method.passes(network),
            (maps or {}).get(name),
            (done or {}).get(name, frozenset()),
        )
        for name, method in methods.items()
    ]


def same_state(found, expected):
    """Whether two state dicts have the same names and values."""
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


class LinearModel(nn.Module):
    """Outputs are sums of weight * input: every curve has a closed form."""

    def __init__(self, classes: int, channels: int, height: int, width: int, seed: int = 0) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(seed)
        weight = torch.randn(classes, channels, height, width, generator=draws)
        self.weight = nn.Parameter(weight, requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("bchw,kchw->bk", x, self.weight)


class ConvModel(nn.Module):
    """Two convolutions with BatchNorm, in-place ReLU, pooling and a linear head.

    With one channel it gives for grey images what it gives with three.
    """

    def __init__(self, classes: int = 4, seed: int = 0, channels: int = 3) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.first = nn.Conv2d(3, 6, 3, stride=2, padding=1)
            self.norm = nn.BatchNorm2d(6)
            self.last = nn.Conv2d(6, 8, 3, padding=1)
            self.head = nn.Linear(8, classes)
            self.norm.running_mean.normal_()
            self.norm.running_var.uniform_(0.5, 2)
            if channels == 1:
                grey = nn.Conv2d(1, 6, 3, stride=2, padding=1)
                grey.weight = nn.Parameter(self.first.weight.sum(dim=1, keepdim=True))
                grey.bias = self.first.bias
                self.first = grey

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.norm(self.first(x)))
        x = torch.relu_(self.last(x))
        return self.head(x.mean(dim=(2, 3)))


class ViewModel(nn.Module):
    """Calls `view` on a convolution's output, which no channels-last tensor allows."""

    def __init__(self, classes: int = 4, size: int = SIZE) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.last = nn.Conv2d(3, 4, 3, stride=2, padding=1)
            self.head = nn.Linear(4 * ((size + 1) // 2) ** 2, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.last(x))
        return self.head(x.view(-1, self.head.in_features))


def backbone(
    classes: int = 4,
    size: int = SIZE,
    output_kind: str = "logits",
    cam_layer: str | None = "last",
    feature_layer: str | None = None,
    *,
    seed: int = 0,
    name: str = "toy",
) -> Backbone:
    preprocessing = Preprocessing(size, mean=(120.0, 110.0, 100.0), std=(60.0, 61.0, 62.0))
    module = ConvModel(classes, seed)
    return Backbone(
        name,
        module,
        preprocessing,
        output_kind,
        classes,
        cam_layer=cam_layer,
        feature_layer=feature_layer,
    )


def linear_backbone(seed: int = 0) -> Backbone:
    """Four classes, of which each is the prediction of some noise image."""
    preprocessing = Preprocessing(SIZE, mean=(127.0,) * 3, std=(60.0,) * 3)
    module = LinearModel(4, 3, SIZE, SIZE, seed)
    return Backbone("linear", module, preprocessing, "logits", 4)


def transformer(classes: int = 4, img_size: Any = SIZE, **settings: Any) -> Backbone:
    """A ViT of timm with a class token and patches of 4 x 4, or with other settings of it."""
    settings = {"patch_size": 4, "embed_dim": 24, "depth": 3, "num_heads": 3} | settings
    return _timm(VisionTransformer, img_size, num_classes=classes, **settings)


def swin(classes: int = 4) -> Backbone:
    """A Swin of timm for inputs of 32 x 24: 8 x 6 windows' places, then 4 x 3."""
    settings = {"patch_size": 4, "window_size": 2, "embed_dim": 12, "depths": (2, 1)}
    return _timm(SwinTransformer, (32, 24), num_classes=classes, num_heads=(1, 2), **settings)


def _timm(kind: Callable[..., nn.Module], img_size: Any, **settings: Any) -> Backbone:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = kind(img_size=img_size, **settings)
        for parameter in module.parameters():  # timm's draws hardly tell one place from another
            parameter.data += 0.1 * torch.randn_like(parameter)
    mean, std = (120.0, 110.0, 100.0), (60.0, 61.0, 62.0)
    made = Backbone("transformer", module, Preprocessing(img_size, mean, std), "logits")
    made.settle_cam_layer("auto", [])
    return made


class NotAFunction(nn.Module):
    """Outputs of an image that depend on the pass, or on the other images of its batch."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.module = ConvModel(4)
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        match self.kind:
            case "dropout":
                x = nn.functional.dropout(x, 0.2, training=True)
            case "noise":
                x = x + 0.1 * torch.randn_like(x)
            case "batch_norm":
                x = self.norm(x)
            case "batch_mean":
                x = x - x.mean(dim=0)
        return self.module(x)


def not_a_function(kind: str) -> Backbone:
    """A backbone that is none: `dropout`, `noise`, `batch_norm` or `batch_mean`."""
    preprocessing = Preprocessing(SIZE, mean=(120.0,) * 3, std=(60.0,) * 3)
    return Backbone("toy", NotAFunction(kind), preprocessing, "logits", 4)


class Standardised(nn.Module):
    """Divides each image by its own deviation, as tutorials do: NaN for a blank one."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        deviation = x.std(dim=(1, 2, 3), keepdim=True)
        return self.module((x - x.mean(dim=(1, 2, 3), keepdim=True)) / deviation)


def standardised(classes: int = 4) -> Backbone:
    """A backbone that gives NaN for blank images."""
    preprocessing = Preprocessing(SIZE, mean=(120.0,) * 3, std=(60.0,) * 3)
    module = Standardised(ConvModel(classes))
    return Backbone("toy", module, preprocessing, "logits", classes)


IDS = [f"image {number}" for number in range(5)]


def make_batch(ids: list[str] = IDS, seed: int = 0) -> Batch:
    """Noise inputs and images, keyed by id, and their targets."""
    rows = [IDS.index(name) for name in ids]
    x = torch.rand(len(IDS), 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))[rows]
    x = x.contiguous(memory_format=torch.channels_last)
    images = np.random.default_rng(1).integers(0, 256, (len(IDS), 30, 26, 3), dtype=np.uint8)[rows]
    return Batch(x, torch.tensor(rows) % 4, ids, list(images), seed)


def linear_scorer() -> tuple[Scorer, LinearModel]:
    """Logits of a linear model of four classes."""
    module = LinearModel(classes=4, channels=3, height=SIZE, width=SIZE)
    preprocessing = Preprocessing(SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
    return Scorer(Backbone("linear", module, preprocessing, "logits", 4), "logit", 4), module


class Constant(Method):
    """The same value everywhere: all pixels tie."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        return torch.ones(len(batch.x), *batch.x.shape[2:])


class OfClass(Method):
    """The number of the class everywhere."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        return batch.targets[:, None, None].float().expand(-1, *batch.x.shape[2:])


class Slow(Method):
    """Noise that takes its time."""

    def __init__(self, seconds: float = 0.15) -> None:
        self.seconds = seconds

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        time.sleep(self.seconds * len(batch.x))
        return Random()(scorer, batch)


class Raises(Method):
    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        return batch.x / (1 // 0)


class Killed(Method):
    """Its process ends as if the kernel had run out of memory."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Exits(Method):
    """As a script that ends by itself."""

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        raise SystemExit(0)


class WrongShape(Method):
    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        return torch.ones(len(batch.x), 3, *batch.x.shape[2:])


class NotFinite(Method):
    """NaN for one image only."""

    def __init__(self, image_id: str) -> None:
        self.image_id = image_id

    def __call__(self, scorer: Scorer, batch: Batch) -> Tensor:
        maps = torch.rand(len(batch.x), *batch.x.shape[2:])
        for row, image_id in enumerate(batch.image_ids):
            if image_id == self.image_id:
                maps[row, 2, 3] = torch.nan
        return maps


class Faces(Dataset):
    """Noise images, two of each class, that exist only when they are read."""

    def __init__(self, classes: int, seed: int = 0) -> None:
        labels = [*range(classes), *range(classes)]
        super().__init__(
            "faces",
            [_Face(f"{label}/{n}", Path(str(seed)), label) for n, label in enumerate(labels)],
        )


class _Face(Sample):
    def read(self) -> np.ndarray:
        draws = generator(int(self.path.name), self.image_id)
        return torch.randint(0, 256, (20, 17, 3), generator=draws, dtype=torch.uint8).numpy()


class DrawnData(Dataset):
    """A data set of a user's own, that draws its images."""

    def __init__(self, count: int = 3) -> None:
        folder = Path(tempfile.mkdtemp())
        samples = []
        for number in range(count):
            path = folder / f"{number}.png"
            cv2.imwrite(str(path), np.full((9, 8, 3), 40 * number, np.uint8))
            samples.append(Sample(path.name, path, number))
        super().__init__("drawn", samples, notes=["Drawn just now"])


@dataclass(frozen=True)
class CenterMetric(Metric):
    """Share of a map's absolute values in its middle; what a user's folder could hold."""

    name: str = field(default="center", kw_only=True)
    power: int = 1
    uses_scores = False

    def __post_init__(self) -> None:
        require_integer("power", self.power, 1, 9)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        return (Statistic(self.name, "Share in the middle", higher_is_better=True),)

    def __call__(self, block: Block, maps: Maps) -> dict[str, Tensor]:
        values = maps.values.abs() ** self.power
        quarter = values.shape[1] // 4
        middle = values[:, quarter:-quarter, quarter:-quarter]
        return {self.name: middle.sum(dim=(1, 2)) / values.sum(dim=(1, 2)).clamp(min=1e-12)}


class RaisingMetric(Metric):
    """Divides by zero."""

    statistics = (Statistic("raising", "Raising", higher_is_better=None),)

    def __call__(self, block: Block, maps: Maps) -> dict[str, float]:
        return {"raising": 1 / 0}


class OtherColumns(CenterMetric):
    """Gives what it does not declare."""

    def __call__(self, block: Block, maps: Maps) -> dict[str, Tensor]:
        return {"other": torch.zeros(len(maps))}


class NoNumbers(CenterMetric):
    """Gives words."""

    def __call__(self, block: Block, maps: Maps) -> dict[str, np.ndarray]:
        return {self.name: np.array(["much"] * len(maps))}


class FixedColumn(CenterMetric):
    """A column whose name another metric may have."""

    statistics = (Statistic("seed", "Seed", higher_is_better=None),)


class NoStatistics(CenterMetric):
    """Shows nothing."""

    statistics = ()


class NotAField(Metric):
    """Would have a setting if it were a dataclass."""

    power: int = 1
    statistics = (Statistic("power", "Power", higher_is_better=None),)

    def __call__(self, block: Block, maps: Maps) -> dict[str, Tensor]:
        return {"power": torch.ones(len(maps))}


def other_backbone():
    """Other weights, and other units of the input."""
    preprocessing = Preprocessing(SIZE, mean=(0.0,) * 3, std=(255.0,) * 3)
    return Backbone("other", ConvModel(4, seed=1), preprocessing, "logits", 4)
