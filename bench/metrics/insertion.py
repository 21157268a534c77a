"""Insertion: does the score come back as the most important pixels are shown?"""

from dataclasses import dataclass, field
from typing import ClassVar

from bench.metrics.pixel_curve import AreaUnderCurve


@dataclass(frozen=True)
class Insertion(AreaUnderCurve):
    """The most important pixels first, from the baseline to the image; higher is better.

    Petsiuk et al. 2018, arXiv 1806.07421, section 4.3; Xplique's `Insertion`.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", Insertion(ZeroBaseline(), steps=4))
        >>> found = evaluate(net, images, ["saliency"], protocol, progress=False).rows
        >>> found["insertion_curve"][0].tolist(), found["insertion_auc"].item()
        ([0.0, 4.0, 7.0, 9.0, 10.0], 6.25)
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
