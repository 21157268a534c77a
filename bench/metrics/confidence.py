"""The highest score that an image reaches while its most important pixels are revealed."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from bench.errors import require_integer
from bench.metrics.baseline import Baseline, ConstantBaseline


@dataclass(frozen=True)
class Confidence:
    """A curve of its own: pixels are revealed on black, whatever the insertion's baseline is.

    "Average highest confidence" of arXiv 2402.09164's error understanding, in the form of the
    authors' script (baseline_attribution/debug_org_attribution_method_cub.py): of `steps` points,
    point i reveals int(pixels * i / steps) pixels. The script of the submission leaves out the
    whole image (steps 25, 24 points), the later one does not (steps 50).

    Attributes:
        steps: Equal intervals.
        whole_image: Whether the last point, the image itself, counts.
        baseline: What pixels are before they are revealed.
    """

    column: ClassVar[str] = "confidence_curve"
    citation: ClassVar[str] = "Chen et al. 2024, arXiv 2402.09164"
    shares: ClassVar[tuple[int, ...]] = (25, 50, 75, 100)
    """Percentages of the points of which the highest is taken."""
    steps: int = 25
    whole_image: bool = False
    baseline: Baseline = field(default_factory=lambda: ConstantBaseline((0, 0, 0)))

    def __post_init__(self) -> None:
        require_integer("confidence.steps", self.steps, 4)

    def counts(self, height: int, width: int) -> NDArray[np.int32]:
        """Revealed pixels at each point, (steps+1,) int32, from none to all."""
        return (height * width * np.arange(self.steps + 1) // self.steps).astype(np.int32)

    def highest(self, curves: NDArray[np.float32], share: int) -> NDArray[np.float64]:
        """The highest scores (n,) among the first `share` percent of the points that count.

        Args:
            curves: (n, steps+1), nothing revealed first; that point never counts.
            share: One of `shares`.
        """
        counting = curves[:, 1:] if self.whole_image else curves[:, 1:-1]
        return counting[:, : counting.shape[1] * share // 100].max(axis=1).astype(np.float64)
