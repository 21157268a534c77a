"""Insertion: does the score come back as the most important pixels are shown?"""

from dataclasses import dataclass, field
from typing import ClassVar

from bench.metrics.pixel_curve import AreaUnderCurve


@dataclass(frozen=True)
class Insertion(AreaUnderCurve):
    """The most important pixels first, from the baseline to the image; higher is better.

    Petsiuk et al. 2018, arXiv 1806.07421, section 4.3; Xplique's `Insertion`.

    Example:
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> Insertion(ZeroBaseline(), steps=4).counts(4, 4).tolist()
        [0, 4, 8, 12, 16]
    """

    citation: ClassVar[str] = "Petsiuk et al. 2018, arXiv 1806.07421"
    higher_is_better: ClassVar[bool] = True
    pixels_are: ClassVar[str] = "inserted"
    short: ClassVar[str] = "ins"
    name: str = field(default="insertion", kw_only=True)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            f"{self.title} starts without pixels and reveals them in the order of the map, the "
            f"most important first, {self.steps_in_words()}; a pixel that is not revealed is "
            f"{self.baseline.in_words()}."
        ]
