"""What is left of a score where an image is multiplied by its map: drops and increases.

Both metrics of Grad-CAM++ (Chattopadhay et al. 2018, arXiv 1710.11063, section 4.1) show the
network what a map points at and nothing else. Scores should be probabilities: of a clean score of
0 or below no share can drop.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.batching import score_in_batches
from bench.metrics.metric import Block, Maps, Metric
from bench.metrics.statistic import Statistic

SHARED_PASSES = "masked images"
"""The passes through masked images, which metrics of this file share; see `Metric`."""


def weights(maps: Tensor) -> Tensor:
    """Scales each map to [0, 1]: what its image is multiplied by.

    From the smallest to the largest value, as pytorch-grad-cam, torch-cam and ADCC's authors do: so
    adding a constant to a map, which says the same, shows the same. Cutting off what is negative,
    as class activation maps do themselves, would hide most of a signed map.

    Args:
        maps: (N, H, W).

    Returns:
        (N, H, W) float64; of a constant map, which points at nothing, zeros.

    Example:
        >>> weights(torch.tensor([[[-2.0, 0.0], [1.0, 2.0]]])).tolist()
        [[[0.0, 0.5], [0.75, 1.0]]]
    """
    values = maps.double()
    least, most = values.aminmax(dim=-1)
    least, most = (bound[:, None, None] for bound in (least.amin(dim=1), most.amax(dim=1)))
    # Halves, as the difference of the largest numbers is no number.
    span = most / 2 - least / 2
    return torch.where(span > 0, (values / 2 - least / 2) / span, 0.0)


def masked_scores(block: Block, maps: Maps) -> Tensor:
    """Scores (N,) of images times the weights of their maps: one pass a map for all who ask.

    The product is taken in the network's input space, so a pixel of weight 0 gets the colour that
    preprocessing maps to zero.

    Args:
        block: The images.
        maps: N maps of them.

    Returns:
        (N,) float32.

    Example:
        >>> from bench.metrics.metric import Maps
        >>> from bench.attribution.scorer import OutputScorer
        >>> from bench.backbones.bare import BareModel
        >>> from bench.metrics.baseline import Inputs
        >>> from bench.metrics.block import EndPoints
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> scorer = OutputScorer(BareModel(net, "logits"), "logit", batch_size=16)
        >>> block = EndPoints(scorer, [])(Inputs(torch.ones(1, 1, 2, 2)), torch.tensor([1]))
        >>> maps = Maps(torch.tensor([[[0.0, 0.0], [1.0, 2.0]]]), torch.tensor([0]), "stable")
        >>> masked_scores(block, maps).tolist()  # 3 / 2 + 4
        [5.5]
    """

    def score() -> Tensor:
        x = block.inputs.x
        scaled = weights(maps.values)[:, None].to(x)

        def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
            images = maps.images[jobs]
            masked = (x[images] * scaled[jobs]).contiguous(memory_format=torch.channels_last)
            return masked, block.targets[images]

        batch_size = block.scorer.batch_size_for(len(maps))
        return score_in_batches(block.scorer, build, len(maps), batch_size, x.device)

    return maps.once(SHARED_PASSES, score)


def average_drop(clean: Tensor, masked: Tensor) -> Tensor:
    """Scores (N,) of images and of masked ones to lost shares (N,); NaN where `clean` is <= 0.

    Args:
        clean: (N,) scores of the images.
        masked: (N,) scores of the masked images.

    Returns:
        (N,) shares in 0..1 of `clean`.

    Example:
        >>> average_drop(torch.tensor([0.5, 0.5, 0.0]), torch.tensor([0.25, 0.75, 0.5])).tolist()
        [0.5, 0.0, nan]
    """
    return torch.where(clean > 0, (clean - masked).clamp(min=0) / clean, torch.nan)


@dataclass(frozen=True)
class _OfMaskedImage(Metric):
    """Compares the score of an image times its map with that of the image."""

    citation: ClassVar[str] = "Chattopadhay et al. 2018, arXiv 1710.11063"
    shared_passes: ClassVar[str] = SHARED_PASSES
    draws: ClassVar[bool] = False

    def passes_per_map(self, size: tuple[int, int]) -> int:
        """See `Metric`."""
        return 1

    def __call__(self, block: Block, maps: Maps) -> Mapping[str, Any]:
        """See `Metric`: values (N,)."""
        scores = masked_scores(block, maps)
        maps.check(scores[:, None].cpu().numpy(), lambda _: f"{self.name} score")
        return {self.name: self._compare(block.clean_scores[maps.images].float(), scores)}

    @abstractmethod
    def _compare(self, clean: Tensor, masked: Tensor) -> Tensor:
        """Scores (N,) of the images and of the masked ones to values (N,)."""


@dataclass(frozen=True)
class AverageDrop(_OfMaskedImage):
    """Share of the score that is lost where an image is multiplied by its map; lower is better.

    max(0, clean - masked) / clean, so 0 where the score rises. The paper gives it in percent. NaN
    where the clean score is not above 0.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[1.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", AverageDrop())
        >>> found = evaluate(net, images, ["saliency"], protocol, progress=False)
        >>> round(found.rows["average_drop"].item(), 4)  # from 10 to (2 * 1 + 3 * 2 + 4 * 3) / 3
        0.3333
    """

    name: str = field(default="average_drop", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        return (Statistic(self.name, "Average drop", False, short="drop"),)

    def _compare(self, clean: Tensor, masked: Tensor) -> Tensor:
        return average_drop(clean, masked)

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            "Average drop is the share of the score that is lost where an image is multiplied by "
            "its map, scaled from 0 to 1; 0 where the score rises."
        ]


@dataclass(frozen=True)
class IncreaseInConfidence(_OfMaskedImage):
    """Whether the score rises where an image is multiplied by its map: a share of the images.

    Example:
        >>> from bench import evaluate
        >>> from bench.metrics.protocol import Protocol
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 1, bias=False)).eval()
        >>> net[1].weight.data = torch.tensor([[-4.0, 2.0, 3.0, 4.0]])
        >>> images = torch.ones(1, 1, 2, 2), [1]
        >>> protocol = Protocol.of("mine", "logit", "stable", IncreaseInConfidence())
        >>> found = evaluate(net, images, ["gradient_input", "saliency"], protocol, progress=False)
        >>> dict(zip(found.rows["method"], found.rows["increase_in_confidence"].tolist()))
        {'gradient_input': 1.0, 'saliency': 0.0}
    """

    name: str = field(default="increase_in_confidence", kw_only=True)

    @property
    def statistics(self) -> tuple[Statistic, ...]:
        """See `Metric`."""
        title = "Increase in confidence"
        return (Statistic(self.name, title, True, short="incr.", quantity="images with a rise"),)

    def _compare(self, clean: Tensor, masked: Tensor) -> Tensor:
        return (masked > clean).float()

    def in_words(self, auc: str) -> list[str]:
        """See `Metric`."""
        return [
            "Increase in confidence is the share of images whose score rises where they are "
            "multiplied by their maps, scaled from 0 to 1."
        ]
