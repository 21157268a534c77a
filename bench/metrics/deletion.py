"""Deletion: does the score fall as the most important pixels are removed?"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from bench.metrics.metric import Block, Maps
from bench.metrics.pixel_curve import AreaUnderCurve


@dataclass(frozen=True)
class Deletion(AreaUnderCurve):
    """The most important pixels first, from the image to the baseline; lower is better.

    Petsiuk et al. 2018, arXiv 1806.07421, section 4.3; Xplique's `Deletion`. The score of the
    fully deleted image is stored, too: a curve with `max_fraction` below 1 does not reach it.

    Example:
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> Deletion(ZeroBaseline(), rows_per_step=2).counts(5, 3).tolist()
        [0, 6, 12, 15]
    """

    citation: ClassVar[str] = "Petsiuk et al. 2018, arXiv 1806.07421"
    higher_is_better: ClassVar[bool] = False
    starts_from_image: ClassVar[bool] = True
    pixels_are: ClassVar[str] = "deleted"
    short: ClassVar[str] = "del"
    name: str = field(default="deletion", kw_only=True)

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`."""
        return super().columns(size) | {self._baseline_score: None}

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `PixelCurve`."""
        _, scores = block.score_baseline(self.baseline)
        found = super().__call__(block, maps)
        return {**found, self._baseline_score: scores[maps.images].float()}

    @property
    def _baseline_score(self) -> str:
        is_the_only_one = self.name == type(self).name
        return "baseline_score" if is_the_only_one else f"{self.name}_baseline_score"

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"{self.title} starts from the whole image and removes its pixels in the order of the "
            f"map, the most important first, {self.steps_in_words()}; a removed pixel is "
            f"{self.baseline.in_words()}."
        ]
