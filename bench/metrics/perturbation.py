"""The curve engine's functional core: rank a map once, perturb by rank, score, assemble."""

import numpy as np
import torch
from torch import Tensor

from bench.batching import Score, score_in_batches
from bench.errors import require_known

TIE_RULES = ("stable", "numpy_legacy")
"""`stable`: equal values in raster order. `numpy_legacy`: `np.argsort(m)[::-1]` of the running
numpy, an unstable sort whose order of ties depends on numpy's version and on the CPU; the
published numbers were made with it."""


_BITS = {2: torch.int16, 4: torch.int32, 8: torch.int64}


def rank_pixels(maps: Tensor, ties: str = "stable") -> Tensor:
    """Ranks pixels from the most important (0) to the least important (H*W - 1).

    Args:
        maps: (N, H, W) float, higher = more important; no NaN.
        ties: One of `TIE_RULES`.

    Returns:
        (N, H, W) int32 on the maps' device; each (H, W) is a permutation.

    Raises:
        BenchError: The tie rule is unknown.
    """
    require_known("ties", ties, TIE_RULES)
    flat = maps.flatten(1)
    if ties == "stable":
        order = flat.argsort(dim=1, descending=True, stable=True)
    else:
        reversed_order = np.argsort(flat.cpu().numpy(), axis=-1)[:, ::-1]
        order = torch.from_numpy(reversed_order.copy()).to(maps.device)
    ranks = torch.empty(flat.shape, dtype=torch.int32, device=maps.device)
    positions = torch.arange(flat.shape[1], dtype=torch.int32, device=maps.device)
    ranks.scatter_(1, order, positions.expand_as(ranks))
    return ranks.view(maps.shape)


def tied_fraction(maps: Tensor, ranks: Tensor) -> Tensor:
    """Fraction of a map's pixels whose value another pixel has too.

    Args:
        maps: (N, H, W) float.
        ranks: (N, H, W) int32 from `rank_pixels`, by any tie rule: equal values are neighbours.

    Returns:
        (N,) float32 in [0, 1]; 1 for a constant map.
    """
    flat = maps.flatten(1)
    values = torch.empty_like(flat).scatter_(1, ranks.flatten(1).long(), flat)
    same = values[:, 1:] == values[:, :-1]
    edge = same.new_zeros(len(values), 1)
    tied = torch.cat([edge, same], dim=1) | torch.cat([same, edge], dim=1)
    return tied.float().mean(dim=1)


def perturb(start: Tensor, end: Tensor, ranks: Tensor, counts: Tensor) -> Tensor:
    """Replaces each image's `counts` most important pixels; all channels of a pixel together.

    Chooses by the numbers' bits, start ^ ((start ^ end) & mask): exactly what `torch.where` gives,
    at less than half its time on a CPU.

    Args:
        start: (B, C, H, W), or anything that broadcasts to it.
        end: Likewise; what the pixels become.
        ranks: (B, H, W) int32 from `rank_pixels`.
        counts: (B,) int32 number of pixels to replace.

    Returns:
        (B, C, H, W): `end` where rank < count, else `start`.
    """
    bits = _BITS[start.dtype.itemsize]
    replaced = (ranks - counts[:, None, None]) >> 31  # the sign, as all bits: rank < count
    kept, difference = start.view(bits), start.view(bits) ^ end.view(bits)
    return (difference & replaced[:, None].to(bits)).bitwise_xor_(kept).view(start.dtype)


def curves(
    score: Score,
    start: Tensor,
    end: Tensor,
    targets: Tensor,
    ranks: Tensor,
    images: Tensor,
    counts: Tensor,
    start_scores: Tensor,
    end_scores: Tensor,
    batch_size: int,
) -> Tensor:
    """Scores of images whose pixels go from `start` to `end` in the order of their maps.

    Points at which no pixel or every pixel is replaced do not depend on the map: their scores are
    given, once an image, and shared by all maps. The others are forward passes in batches that
    run across images, maps and steps.

    Args:
        score: Inputs and targets to scores.
        start: (B, C, H, W) inputs, or a baseline that broadcasts to them ((1, C, 1, 1), say).
        end: Likewise.
        targets: (B,) int64.
        ranks: (N, H, W) int32, one for each map; an image can have several maps.
        images: (N,) int64, the image in 0..B-1 that each map belongs to.
        counts: (S+1,) int32 replaced pixels at each point, from 0 up to at most H*W.
        start_scores: (B,) scores of `start`.
        end_scores: (B,) scores of `end`.
        batch_size: Forward passes in one batch.

    Returns:
        (N, S+1) float32 on the device of `ranks`.
    """
    # Choosing is faster plane by plane than channel by channel, conversion at the end included.
    start, end = start.contiguous(), end.contiguous()
    device, pixels = ranks.device, ranks[0].numel()
    interior = ((counts > 0) & (counts < pixels)).nonzero()[:, 0]
    points = len(interior)

    def build(jobs: Tensor) -> tuple[Tensor, Tensor]:
        maps, steps = jobs // points, interior[jobs % points]
        rows = images[maps]
        inputs = perturb(_take(start, rows), _take(end, rows), ranks[maps], counts[steps])
        # Kernels depend on the memory format, so it must not depend on the number of images.
        return inputs.contiguous(memory_format=torch.channels_last), targets[rows]

    scores = torch.empty(len(ranks), len(counts), device=device)
    scores[:, counts == 0] = start_scores[images, None].float()
    scores[:, counts == pixels] = end_scores[images, None].float()
    if points:
        jobs = len(ranks) * points
        inner = score_in_batches(score, build, jobs, batch_size, device)
        scores[:, interior] = inner.view(len(ranks), points)
    return scores


def _take(images: Tensor, rows: Tensor) -> Tensor:
    """Picks rows, but leaves what all images share to broadcasting."""
    return images if len(images) == 1 else images[rows]
