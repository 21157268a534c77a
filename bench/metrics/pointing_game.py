"""The pointing game: does a map's highest point lie on the object?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import require_integer
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic


@dataclass(frozen=True)
class PointingGame(Metric):
    """Whether the highest point of a map lies on the object, or near it: 1 or 0.

    Zhang et al. 2016, arXiv 1608.00507; of several highest points the first one in raster order
    counts, as in TorchRay. The object is its mask, or where there is none, its boxes. TorchRay's
    table has the mean of the classes' means; here it is that of the images, as in the paper.

    Attributes:
        tolerance: How near, in pixels of the input: less than so many from a pixel of the object. 0
            asks for a pixel of the object itself (TorchRay's test never hits then).

    Raises:
        BenchError: A setting is out of range.

    Example:
        >>> pixels = np.zeros((20, 20), bool)
        >>> pixels[5:10, 5:10] = True  # the object
        >>> [PointingGame(tolerance).hits(pixels, (12, 9)) for tolerance in (0, 3, 4)]
        [False, False, True]
    """

    citation: ClassVar[str] = "Zhang et al. 2016, arXiv 1608.00507"
    question: ClassVar[str] = "localised"
    uses_scores: ClassVar[bool] = False
    needs: ClassVar[str] = "region"
    draws: ClassVar[bool] = False
    tolerance: int = 15
    name: str = field(default="pointing_game", kw_only=True)

    def __post_init__(self) -> None:
        require_integer("tolerance", self.tolerance, 0)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (
            Statistic(self.name, "Pointing game", True, short="pointing", quantity="share of hits"),
        )

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`: hits (N,) float64."""
        _, _, width = maps.values.shape
        places = maps.values.flatten(1).argmax(dim=1).tolist()  # of equal values the first
        hits = []
        for place, image in zip(places, maps.images.tolist(), strict=True):
            pixels = block.regions[image].pixels
            assert pixels is not None
            hits.append(self.hits(pixels, divmod(place, width)))
        return {self.name: np.array(hits, np.float64)}

    def point(self, saliency_map: NDArray[np.floating]) -> tuple[int, int]:
        """See `Metric`: the highest one."""
        row, column = divmod(int(saliency_map.argmax()), saliency_map.shape[1])
        return row, column

    def hits(self, pixels: NDArray[np.bool_], point: tuple[int, int]) -> bool:
        """Whether a point lies on an object, or near it.

        Args:
            pixels: (H, W) bool, the object's.
            point: Row and column.
        """
        if self.tolerance == 0:
            return bool(pixels[point])
        row, column = point
        rows, columns = pixels.nonzero()
        return bool(((rows - row) ** 2 + (columns - column) ** 2 < self.tolerance**2).any())

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        near = f", or less than {self.tolerance} pixels from it" if self.tolerance else ""
        return [
            f"The pointing game is won where the highest point of a map lies on the object{near}."
        ]
