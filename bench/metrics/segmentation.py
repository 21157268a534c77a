"""Maps as segmentations: pixels of an object's mask against the pixels of a map."""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.errors import require_integer
from bench.metrics.box_accuracy import scaled
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic

Floats = NDArray[np.float64]
"""An array of float64."""


@dataclass(frozen=True)
class _OfMasks(Metric):
    """Holds each map against the mask of its image."""

    question: ClassVar[str] = "localised"
    uses_scores: ClassVar[bool] = False
    needs: ClassVar[str] = "mask"
    draws: ClassVar[bool] = False

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`."""
        found = []
        values = maps.values.double().cpu().numpy()
        for value, image in zip(values, maps.images.tolist(), strict=True):
            mask = block.regions[image].mask
            assert mask is not None
            found.append(self._of_map(value, mask))
        return {name: np.array([each[name] for each in found]) for name in found[0]}

    @abstractmethod
    def _of_map(self, values: Floats, mask: NDArray[np.bool_]) -> Mapping[str, Any]:
        """Columns of one map (H, W), given the mask (H, W)."""


@dataclass(frozen=True)
class Segmentation(_OfMasks):
    """Pixel accuracy, IoU, average precision and area under the ROC curve of a map.

    As Chefer et al. 2021, arXiv 2012.09838, section 4.2, and their code: a pixel is taken for the
    object where the map exceeds its mean. Pixel accuracy and IoU are of the pixels of all
    images together; IoU is the mean of that of the object and that of the background. Average
    precision and ROC AUC go through all thresholds and are means over images; equal values are one
    threshold.

    Example:
        >>> from types import SimpleNamespace
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.annotation import Annotation
        >>> from bench.metrics.metric import Maps
        >>> from bench.metrics.region import Region
        >>> left = Annotation(mask=lambda size: np.array([[True, False], [True, False]]))
        >>> region = Region(left, (2, 2), Preprocessing(2, mean=0, std=255))
        >>> block = SimpleNamespace(regions=[region])  # what it reads of a block
        >>> maps = Maps(torch.tensor([[[3.0, 0.0], [0.0, 1.0]]]), torch.tensor([0]), "stable")
        >>> found = Segmentation()(block, maps)
        >>> [float(found[f"segmentation_{name}"][0]) for name in ("accuracy", "ap", "roc")]
        [0.75, 0.75, 0.625]
    """

    citation: ClassVar[str] = "Chefer et al. 2021, arXiv 2012.09838"
    name: str = field(default="segmentation", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        name = self.name
        return (
            Statistic(f"{name}_iou", "Mask IoU", True, quantity="mean IoU", is_pooled=True),
            Statistic(f"{name}_accuracy", "Pixel accuracy", True, short="pix acc"),
            Statistic(f"{name}_ap", "Average precision", True, short="AP"),
            Statistic(f"{name}_roc", "ROC AUC", True, quantity="area under the ROC curve"),
        )

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`: shares of the pixels in common and in either, and what statistics show."""
        shares = [f"{self.name}_{part}" for part in ("both", "either")]
        shown = [f"{self.name}_{part}" for part in ("accuracy", "ap", "roc")]
        return dict.fromkeys([*shares, *shown])

    def _of_map(self, values: Floats, mask: NDArray[np.bool_]) -> Mapping[str, Any]:
        bright = values > values.mean()
        precision, roc = ranking(values, mask)
        found = {
            "both": (bright & mask).mean(),
            "either": (bright | mask).mean(),
            "accuracy": (bright == mask).mean(),
            "ap": precision,
            "roc": roc,
        }
        return {f"{self.name}_{part}": value for part, value in found.items()}

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> Floats:
        """See `Metric`: the IoU of an image is that of the image's pixels."""
        if statistic.name != f"{self.name}_iou":
            return super().values(statistic, rows, auc)
        both, either, right = self._shares(rows)
        return _mean_iou(both, either, right, 1)

    def summary(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> float:
        """See `Metric`."""
        if statistic.name != f"{self.name}_iou":
            return super().summary(statistic, rows, auc)
        having = rows[rows[f"{self.name}_both"].notna()]
        if not len(having):
            return np.nan
        return float(self.pooled(statistic, having, auc, np.ones((1, len(having))))[0])

    def pooled(self, statistic: Statistic, rows: pd.DataFrame, auc: str, counts: Floats) -> Floats:
        """See `Metric`."""
        both, either, right = (counts @ each for each in self._shares(rows))
        return _mean_iou(both, either, right, counts.sum(axis=1))

    def _shares(self, rows: pd.DataFrame) -> list[Floats]:
        """Shares of pixels (n,): of map and mask, of either, and where both agree."""
        parts = ("both", "either", "accuracy")
        return [rows[f"{self.name}_{part}"].to_numpy(np.float64) for part in parts]

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            "Mask IoU and pixel accuracy take pixels above a map's mean for the object; average "
            "precision and ROC AUC go through all thresholds."
        ]


def _mean_iou(both: Floats, either: Floats, right: Floats, whole: Floats | float) -> Floats:
    """The mean IoU of object and background.

    Args:
        both: Pixels of both map and mask.
        either: Pixels of map or mask.
        right: Pixels where they agree.
        whole: All pixels.
    """
    # Where map and mask together leave no background, there is none to miss.
    rest = whole - both
    of_background = np.divide(right - both, rest, out=np.ones_like(both), where=rest > 0)
    return (both / either + of_background) / 2


def ranking(values: Floats, mask: NDArray[np.bool_]) -> tuple[float, float]:
    """Average precision and area under the ROC curve of values that are to be high in a mask.

    Average precision is the sum over thresholds of precision times the gain in recall; equal values
    are one threshold. The ROC area is NaN if the mask has all pixels.

    Args:
        values: (H, W).
        mask: (H, W), at least one pixel.

    Example:
        >>> ranking(np.array([[0.9, 0.2, 0.5]]), np.array([[True, False, False]]))
        (1.0, 1.0)
    """
    order = np.argsort(-values, axis=None, kind="stable")
    ordered, inside = values.ravel()[order], mask.ravel()[order]
    last_of_equals = np.append(ordered[1:] != ordered[:-1], True)
    true = inside.cumsum()[last_of_equals]
    taken = np.flatnonzero(last_of_equals) + 1
    false = taken - true
    gains = np.diff(true, prepend=0) / true[-1]
    precision = float((gains * true / taken).sum())
    if not false[-1]:
        return precision, np.nan
    steps = np.diff(false, prepend=0) / false[-1]
    recall = true / true[-1]
    return precision, float((steps * (recall - gains / 2)).sum())


@dataclass(frozen=True)
class PxAP(_OfMasks):
    """Pixel average precision: the area under precision and recall of all images' pixels together.

    Choe et al. 2020, arXiv 2001.07437, section 4.3, in the form of their code: maps are scaled to
    0..1, their pixels are counted between thresholds 0, 1/n, 2/n, ... inside and outside the masks,
    and precision times the gain in recall is summed over thresholds.

    Attributes:
        thresholds: n.

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> from types import SimpleNamespace
        >>> from bench.backbones.backbone import Preprocessing
        >>> from bench.datasets.annotation import Annotation
        >>> from bench.metrics.metric import Maps
        >>> from bench.metrics.region import Region
        >>> left = Annotation(mask=lambda size: np.array([[True, False], [True, False]]))
        >>> region = Region(left, (2, 2), Preprocessing(2, mean=0, std=255))
        >>> block = SimpleNamespace(regions=[region])  # what it reads of a block
        >>> maps = Maps(torch.tensor([[[1.0, 0.6], [0.3, 0.0]]]), torch.tensor([0]), "stable")
        >>> {name: column.tolist() for name, column in PxAP(thresholds=2)(block, maps).items()}
        {'pxap_inside': [[1.0, 0.0, 1.0]], 'pxap_outside': [[1.0, 1.0, 0.0]]}
    """

    citation: ClassVar[str] = "Choe et al. 2020, arXiv 2001.07437"
    thresholds: int = 100
    name: str = field(default="pxap", kw_only=True)

    def __post_init__(self) -> None:
        require_integer("thresholds", self.thresholds, 1, 1000)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        quantity = "pixel average precision"
        return (Statistic(self.name, "PxAP", True, quantity=quantity, is_pooled=True),)

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`: pixels above each threshold and below the next one; the last is 1."""
        return dict.fromkeys((f"{self.name}_inside", f"{self.name}_outside"), self.thresholds + 1)

    def _of_map(self, values: Floats, mask: NDArray[np.bool_]) -> Mapping[str, Any]:
        edges = np.append(np.arange(self.thresholds) / self.thresholds, [1, 2])
        grey = scaled(values)
        parts = {"inside": grey[mask], "outside": grey[~mask]}
        return {
            f"{self.name}_{part}": np.histogram(pixels, bins=edges)[0].astype(np.float64)
            for part, pixels in parts.items()
        }

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> Floats:
        """See `Metric`: the value of an image is that of the image's pixels."""
        return self._precision(*self._histograms(rows)) if len(rows) else np.empty(0)

    def summary(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> float:
        """See `Metric`."""
        having = rows[[bool(np.isfinite(each).all()) for each in rows[f"{self.name}_inside"]]]
        if not len(having):
            return np.nan
        return float(self.pooled(statistic, having, auc, np.ones((1, len(having))))[0])

    def pooled(self, statistic: Statistic, rows: pd.DataFrame, auc: str, counts: Floats) -> Floats:
        """See `Metric`."""
        return self._precision(*(counts @ each for each in self._histograms(rows)))

    def _histograms(self, rows: pd.DataFrame) -> list[Floats]:
        """Pixels inside and outside the masks, (n, thresholds + 1) each."""
        parts = ("inside", "outside")
        return [np.stack(rows[f"{self.name}_{part}"].tolist()) for part in parts]

    @staticmethod
    def _precision(inside: Floats, outside: Floats) -> Floats:
        """Average precision (n,) of counts (n, bins) of pixels, the darkest first."""
        true, false = (counts[:, ::-1].cumsum(axis=1) for counts in (inside, outside))
        gains = np.diff(true, axis=1, prepend=0) / true[:, -1:]
        taken = true + false
        each = np.divide(gains * true, taken, out=np.zeros_like(gains), where=taken != 0)
        return np.asarray(each.sum(axis=1))

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            "PxAP is the average precision of the pixels of all maps together, each scaled to 0..1."
        ]
