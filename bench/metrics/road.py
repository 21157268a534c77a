"""ROAD: does the score fall as the most important pixels are replaced by what surrounds them?"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from bench.batching import score_in_batches
from bench.errors import BenchError, require_number
from bench.metrics.baseline import Inputs
from bench.metrics.imputation import linear_imputation
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic
from bench.seeding import generator

ORDERS = ("morf", "lerf")
"""The most relevant pixels first, and the least relevant ones first."""


@dataclass(frozen=True)
class ROAD(Metric):
    """Scores where shares of the pixels are imputed, the most (MoRF) or the least (LeRF) relevant.

    Rong et al. 2022, arXiv 2202.00449: what is removed becomes noisy linear imputations
    (`bench.metrics.imputation`), which betray less of the shape of what was removed than a colour
    does. The main number is LeRF less MoRF, each a mean over the percentages; pytorch-grad-cam's
    `ROADCombined` is half of that. With `score=hit` they are the paper's accuracies.

    Both orders are those of the map by the protocol's tie rule. The authors' code takes the
    percentage of LeRF for what is left; here it is what is removed, as of MoRF. Noise is drawn for
    each image, so all methods and percentages meet the same. The imputation is made on the
    processor: at 224 x 224 one takes 10 to 300 ms.

    Attributes:
        percentages: Of the pixels that are removed, ascending, above 0 and below 100.
        noise: Deviation of the noise, in grey levels of 0..255 that go through the backbone's
            preprocessing; the authors' is 0.01 of the range.

    Raises:
        BenchError: A setting is out of range, or `percentages` do not ascend.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(9, 1, bias=False)).eval()
        >>> x = torch.eye(9)[4].view(1, 1, 3, 3)
        >>> net[1].weight.data = 2 * x.view(1, 9)  # the score is that of one pixel
        >>> protocol = Protocol.of("mine", "logit", "stable", ROAD(percentages=[12, 50], noise=0))
        >>> found = evaluate(net, (x, [1]), ["saliency"], protocol, progress=False).rows
        >>> [found[f"road_{order}_curve"][0].round(4).tolist() for order in ("morf", "lerf")]
        [[0.0, 0.0], [2.0, 2.0]]
    """

    citation: ClassVar[str] = "Rong et al. 2022, arXiv 2202.00449"
    seconds_per_map: ClassVar[float] = 1.0
    uses_order: ClassVar[bool] = True
    percentages: Sequence[float] = (10, 20, 30, 40, 50, 70, 90)
    noise: float = 2.55
    name: str = field(default="road", kw_only=True)

    def __post_init__(self) -> None:
        given = self.percentages
        if not isinstance(given, list | tuple) or not given:
            raise BenchError(f"percentages: expected a list of numbers, found {given!r}")
        for percentage in given:
            require_number("percentages", percentage, 0, 100)
        if max(given) >= 100 or list(given) != sorted(set(given)):
            raise BenchError(
                f"percentages: expected them to ascend and to be below 100, found {list(given)}"
            )
        object.__setattr__(self, "percentages", tuple(given))
        if self.noise != 0:
            require_number("noise", self.noise, 0, 255)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`: the difference is the main one."""
        morf, lerf = (f"{self.name}_{order}" for order in ORDERS)
        return (
            Statistic(self.name, "ROAD", True, quantity="ROAD, LeRF less MoRF"),
            Statistic(morf, "ROAD MoRF", False, short="MoRF", is_main=False),
            Statistic(lerf, "ROAD LeRF", True, short="LeRF", is_main=False),
        )

    def columns(self, size: tuple[int, int]) -> dict[str, int | None]:
        """See `Metric`: two curves, a point for each percentage."""
        return {self._curve(order): len(self.percentages) for order in ORDERS}

    def _curve(self, order: str) -> str:
        return f"{self.name}_{order}_curve"

    def values(self, statistic: Statistic, rows: pd.DataFrame, auc: str) -> NDArray[np.float64]:
        """See `Metric`: means (n,) over the percentages."""
        if not len(rows):
            return np.empty(0)
        morf, lerf = (
            np.stack(rows[self._curve(order)].tolist()).mean(axis=1, dtype=np.float64)
            for order in ORDERS
        )
        of_order = {f"{self.name}_morf": morf, f"{self.name}_lerf": lerf}
        return of_order.get(statistic.name, lerf - morf)

    def passes_per_map(self, size: tuple[int, int]) -> int:
        """See `Metric`."""
        return len(ORDERS) * len(self.percentages)

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """Scores both curves (N, percentages)."""
        x, points = block.inputs.x, len(self.percentages)
        height, width = x.shape[2:]
        counts = [int(height * width * share / 100) for share in self.percentages]
        found = maps.images.unique().tolist()
        noise = {image: self._noise(block.inputs, image) for image in found}

        def imputed(job: int) -> Tensor:
            number, order, point = np.unravel_index(job, (len(maps), len(ORDERS), points))
            pixels = maps.order[number].flip(0) if order else maps.order[number]
            missing = torch.zeros(height * width, dtype=torch.bool)
            missing[pixels[: counts[point]].long().cpu()] = True
            missing = missing.view(height, width)
            image = int(maps.images[number])
            filled = linear_imputation(x[image].double().cpu().numpy(), missing.numpy())
            return torch.where(missing, torch.from_numpy(filled) + noise[image], x[image].cpu())

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            # The last batch is filled up with its last job, which is imputed once.
            different, which = jobs.cpu().unique(return_inverse=True)
            inputs = torch.stack([imputed(job) for job in different.tolist()])[which].to(x)
            targets = block.targets[maps.images[jobs // (len(ORDERS) * points)]]
            return inputs.contiguous(memory_format=torch.channels_last), targets

        count = len(maps) * len(ORDERS) * points
        batch_size = block.scorer.batch_size_for(count)
        scores = score_in_batches(block.scorer, build, count, batch_size, x.device)
        curves = scores.view(len(maps), len(ORDERS), points).cpu().numpy()
        for number, order in enumerate(ORDERS):
            maps.check(curves[:, number], self._point(order))
        return {self._curve(order): curves[:, number] for number, order in enumerate(ORDERS)}

    def _point(self, order: str) -> Callable[[int], str]:
        """What the score at a point of a curve is called."""
        return lambda point: f"{self.name} {order} score at {self.percentages[point]:g} %"

    def _noise(self, inputs: Inputs, image: int) -> Tensor:
        """An image's noise (C, H, W) float64, in input values."""
        shape = inputs.x.shape[1:]
        draws = generator(inputs.seed, "ROAD", inputs.image_ids[image])
        normal = torch.randn(shape, generator=draws, dtype=torch.float64)
        grey = torch.tensor([[0.0] * 3, [self.noise] * 3])
        black, deviation = inputs.to_input(grey).double()
        if len(black) != shape[0]:
            raise BenchError(
                f"{self.name}: expected inputs of 3 channels, red, green and blue, or of one that "
                f"is grey, for noise in grey levels, found {shape[0]}"
            )
        return (deviation - black)[:, None, None] * normal

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        listed = ", ".join(f"{percentage:g}" for percentage in self.percentages)
        return [
            f"ROAD imputes {listed} % of the pixels from their neighbours, with noise: the least "
            "relevant (LeRF) and the most relevant ones (MoRF). It is the mean score of the first "
            "less that of the second."
        ]
