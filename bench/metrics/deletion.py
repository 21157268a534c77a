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
        >>> from bench import evaluate
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", Deletion(ZeroBaseline(), steps=4))
        >>> found = evaluate(net, images, ["saliency"], protocol, progress=False).rows
        >>> found["deletion_curve"][0].tolist(), found["deletion_auc"].item()
        ([10.0, 6.0, 3.0, 1.0, 0.0], 3.75)
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
