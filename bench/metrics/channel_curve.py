"""Insertion and deletion of maps whose channels are ranked by themselves."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from bench.errors import BenchError
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.metric import Block, Maps
from bench.metrics.perturbation import step_curves
from bench.metrics.pixel_curve import PixelCurve


@dataclass(frozen=True)
class _ByChannel(PixelCurve):
    """A pixel changes, in all channels, as soon as any channel's order reaches it.

    With k pixels a step, pixel p changes at step `min over c of rank_c(p) // k + 1`, so that up to
    C k pixels change at a step, and how many depends on the map. Of maps without channels it is
    the plain curve. Zhu et al. 2024, arXiv 2312.13630: the loop over channels in the evaluation of
    github.com/LMBTough/MFABA.
    """

    citation: ClassVar[str] = "Zhu et al. 2024, arXiv 2312.13630"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rows_per_step is None or self.max_fraction != 1:
            raise BenchError(
                "expected rows_per_step and max_fraction=1, found "
                f"rows_per_step={self.rows_per_step} and max_fraction={self.max_fraction}: the "
                "orders of channels are cut into pieces of one length"
            )

    def _score(self, block: Block, maps: Maps, **ends: Any) -> Tensor:
        height, width = block.inputs.x.shape[2:]
        assert self.rows_per_step is not None
        return step_curves(
            block.scorer,
            targets=block.targets,
            steps=maps.first_ranks // (self.rows_per_step * width) + 1,
            images=maps.images,
            num_steps=len(self.counts(height, width)) - 1,
            **ends,
        )

    def steps_in_words(self) -> str:
        """See `PixelCurve`."""
        words = super().steps_in_words()
        return f"{words} of each channel's order, in all channels together"


@dataclass(frozen=True)
class ChannelInsertion(_ByChannel, Insertion):
    """Insertion in the order of each channel of the map; see `_ByChannel`. Higher is better.

    Example:
        >>> from bench.metrics.baseline import ConstantBaseline
        >>> black = ConstantBaseline(rgb=(0, 0, 0))
        >>> ChannelInsertion(black, rows_per_step=1).counts(4, 3).tolist()
        [0, 3, 6, 9, 12]
    """

    citation: ClassVar[str] = _ByChannel.citation
    name: str = field(default="channel_insertion", kw_only=True)


@dataclass(frozen=True)
class ChannelDeletion(_ByChannel, Deletion):
    """Deletion in the order of each channel of the map; see `_ByChannel`. Lower is better.

    Example:
        >>> from bench.metrics.baseline import ZeroBaseline
        >>> ChannelDeletion(ZeroBaseline(), rows_per_step=2).counts(4, 3).tolist()
        [0, 6, 12]
    """

    citation: ClassVar[str] = _ByChannel.citation
    name: str = field(default="channel_deletion", kw_only=True)
