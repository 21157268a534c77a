"""The curve engine's functional core: order pixels once, replace them in order, score, assemble."""

from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from bench.attribution.maps import exact_floats
from bench.batching import Score, fixed_batches
from bench.errors import require_known
from bench.ties import argsort_ranks

TIE_RULES = ("stable", "numpy_1_23", "running_numpy")
"""How equal values are ordered. `stable`: in raster order. `numpy_1_23`: as `np.argsort(m)[::-1]`
of numpy 1.23.5 does it, on every machine (`bench.ties`); the published numbers were made
with it. `running_numpy`: as the installed numpy does it, so it depends on its version and on the
CPU."""


def order_pixels(maps: Tensor, ties: str = "stable") -> Tensor:
    """Sorts each map's pixels, the most important first.

    Args:
        maps: (N, H, W), higher = more important; no NaN. float64 and integers are not rounded.
        ties: One of `TIE_RULES`.

    Returns:
        (N, H*W) int32 raster indices on the maps' device; each row is a permutation.

    Raises:
        BenchError: The tie rule is unknown, or see `exact_floats`.

    Example:
        >>> maps = torch.tensor([[[1.0, 4.0], [3.0, 3.0]]])
        >>> order_pixels(maps).tolist(), order_pixels(maps, "numpy_1_23").tolist()
        ([[1, 2, 3, 0]], [[1, 3, 2, 0]])
    """
    require_known("ties", ties, TIE_RULES)
    flat = exact_floats(maps).flatten(1)
    if ties == "running_numpy":
        reversed_order = np.argsort(flat.cpu().numpy(), axis=-1)[:, ::-1]
        return torch.from_numpy(reversed_order.astype(np.int32)).to(maps.device)
    order = _stable_order(flat)
    return _with_ties_of_numpy_1_23(flat, order) if ties == "numpy_1_23" else order


def _stable_order(flat: Tensor) -> Tensor:
    """Descending order (N, P) int32 of rows (N, P), equal values as they stand."""
    if flat.device.type == "cpu":
        # Rows of integers are radix sorted, in a quarter of the time that floats take.
        return torch.stack([keys.argsort(stable=True).int() for keys in _descending(flat)])
    return flat.argsort(dim=1, descending=True, stable=True).int()


def _with_ties_of_numpy_1_23(flat: Tensor, order: Tensor) -> Tensor:
    """An order of rows (N, P), those with ties put in numpy 1.23's; the others have but one."""
    values = flat.gather(1, order.long())
    falls = values[:, 1:] != values[:, :-1]
    tied = ~falls.all(dim=1)
    if not tied.any():
        return order
    steps = torch.nn.functional.pad(falls[tied].long().cumsum(dim=1), (1, 0))
    ranks = torch.empty_like(steps).scatter_(1, order[tied].long(), steps[:, -1:] - steps)
    ascending = argsort_ranks(ranks.cpu()).int().to(order.device)
    return order.index_put((tied,), ascending.flip(1))


def _descending(values: Tensor) -> Tensor:
    """Integers whose ascending order is the descending one of floats, ties included."""
    integers = torch.int32 if values.dtype == torch.float32 else torch.int64
    bits = (values + 0.0).view(integers)  # -0.0 becomes 0.0, which it equals
    magnitude = torch.iinfo(integers).max  # all bits but the sign
    return ~(bits ^ ((bits < 0) * magnitude))  # negative floats grow with their magnitude


def tied_fraction(maps: Tensor, order: Tensor) -> Tensor:
    """Fraction of a map's pixels whose value another pixel has too.

    Args:
        maps: (N, H, W) float.
        order: (N, H*W) int32 from `order_pixels`, by any tie rule: equal values are neighbours.

    Returns:
        (N,) float32 in [0, 1]; 1 for a constant map.

    Example:
        >>> maps = torch.tensor([[[1.0, 4.0], [3.0, 3.0]]])
        >>> tied_fraction(maps, order_pixels(maps)).tolist()
        [0.5]
    """
    values = maps.flatten(1).gather(1, order.long())
    same = values[:, 1:] == values[:, :-1]
    edge = same.new_zeros(len(values), 1)
    tied = torch.cat([edge, same], dim=1) | torch.cat([same, edge], dim=1)
    return tied.float().mean(dim=1)


def perturb(start: Tensor, end: Tensor, order: Tensor, counts: Iterable[int]) -> Iterator[Tensor]:
    """Replaces more and more pixels, all channels of a pixel together.

    Only what changes from one point to the next is written.

    Args:
        start: (N, C, H, W), or anything that broadcasts to it.
        end: What the pixels become: an input that broadcasts, too. One of the two has H and W.
        order: (N, H*W) int32 from `order_pixels`.
        counts: Numbers of replaced pixels, ascending.

    Yields:
        (N, C, H, W) channels-last for each count: `end` at each image's first `count` pixels of
        the order, else `start`. It is one tensor, changed in place when the next is asked for.

    Example:
        >>> zeros, ones = torch.zeros(1, 1, 2, 2), torch.ones(1, 1, 1, 1)
        >>> order = torch.tensor([[3, 0, 1, 2]], dtype=torch.int32)
        >>> [x.flatten().tolist() for x in perturb(zeros, ones, order, counts=[0, 1, 2])]
        [[0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]]
    """
    first = torch.arange(len(order), device=order.device)[:, None] * order.shape[1]
    order = order + first  # int64: rows of all images' pixels
    ends = [0, *counts]
    changes = (order[:, done:count].flatten() for done, count in pairwise(ends))
    return _replaced(start, end, len(order), changes)


def perturb_by_step(start: Tensor, end: Tensor, steps: Tensor, num_steps: int) -> Iterator[Tensor]:
    """Replaces more and more pixels, each at its step; see `perturb`.

    Args:
        start: See `perturb`.
        end: See `perturb`.
        steps: (N, H*W) int64, from 1 on: when each pixel is replaced.
        num_steps: How many steps are made.

    Yields:
        (N, C, H, W) channels-last after each step.

    Example:
        >>> image, black = torch.ones(1, 1, 1, 3), torch.zeros(1, 1, 1, 1)
        >>> steps = torch.tensor([[2, 1, 2]])
        >>> [x.flatten().tolist() for x in perturb_by_step(image, black, steps, num_steps=2)]
        [[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """
    flat = steps.flatten()
    pixels = flat.argsort(stable=True)
    counts = torch.bincount(flat, minlength=num_steps + 1)[1 : num_steps + 1].tolist()
    return _replaced(start, end, len(steps), iter(pixels[: sum(counts)].split(counts)))


def _replaced(
    start: Tensor, end: Tensor, count: int, changes: Iterator[Tensor]
) -> Iterator[Tensor]:
    """Goes from `start` to `end` by rows of all images' pixels, some at each point."""
    channels, height, width = torch.broadcast_shapes(start.shape[1:], end.shape[1:])
    shape = count, channels, height, width
    now = start.expand(shape).permute(0, 2, 3, 1).clone(memory_format=torch.contiguous_format)
    pixels, one_color = now.view(-1, channels), end.numel() == channels
    final = end.view(1, -1) if one_color else _pixels(end.expand(shape))
    for changed in changes:
        values = final.expand(len(changed), -1) if one_color else final.index_select(0, changed)
        pixels.index_copy_(0, changed, values)
        yield now.permute(0, 3, 1, 2)


def _pixels(images: Tensor) -> Tensor:
    """(N, C, H, W) to (N*H*W, C)."""
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


@torch.inference_mode()
def curves(
    score: Score,
    start: Tensor,
    end: Tensor,
    targets: Tensor,
    order: Tensor,
    *,
    images: Tensor,
    counts: Tensor,
    start_scores: Tensor,
    end_scores: Tensor,
    batch_size: int,
) -> Tensor:
    """Scores of images whose pixels go from `start` to `end` in the order of their maps.

    Points at which no pixel or every pixel is replaced do not depend on the map: their scores are
    given, once an image, and shared by all maps. The others are forward passes in full batches:
    of as many maps as a batch holds at each point in turn, or, where fewer are left, of their
    points one after another.

    Args:
        score: Inputs and targets to scores.
        start: (B, C, H, W) inputs, or a baseline that broadcasts to them ((1, C, 1, 1), say).
        end: What the pixels become: (B, C, H, W) inputs, or a baseline that broadcasts to them.
        targets: (B,) int64.
        order: (N, H*W) int32, one row for each map; an image can have several maps.
        images: (N,) int64, the image in 0..B-1 that each map belongs to.
        counts: (S+1,) int32 on the CPU, replaced pixels at each point, from 0 up to at most H*W.
        start_scores: (B,) scores of `start`.
        end_scores: (B,) scores of `end`.
        batch_size: Forward passes in one batch.

    Returns:
        (N, S+1) float32 on the device of `order`.

    Example:
        >>> x, weights = torch.ones(1, 1, 2, 2), torch.tensor([[1.0, 2.0], [3.0, 4.0]])
        >>> insertion = curves(
        ...     lambda x, targets: (x * weights).sum(dim=(1, 2, 3)),
        ...     start=torch.zeros(1, 1, 1, 1),
        ...     end=x,
        ...     targets=torch.tensor([0]),
        ...     order=order_pixels(weights[None]),
        ...     images=torch.tensor([0]),
        ...     counts=torch.arange(5),
        ...     start_scores=torch.tensor([0.0]),
        ...     end_scores=torch.tensor([10.0]),
        ...     batch_size=2,
        ... )
        >>> insertion.tolist()
        [[0.0, 4.0, 7.0, 9.0, 10.0]]
    """
    pixels = order.shape[1]
    scores = torch.empty(len(order), len(counts), dtype=torch.float32, device=order.device)
    scores[:, counts == 0] = start_scores[images, None].float()
    scores[:, counts == pixels] = end_scores[images, None].float()
    interior = (counts > 0) & (counts < pixels)
    between = counts[interior].tolist()

    def points(group: slice) -> Iterator[Tensor]:
        rows = images[group]
        return perturb(_take(start, rows), _take(end, rows), order[group], between)

    scores[:, interior] = _score_groups(score, points, targets[images], len(between), batch_size)
    return scores


@torch.inference_mode()
def step_curves(
    score: Score,
    start: Tensor,
    end: Tensor,
    targets: Tensor,
    steps: Tensor,
    *,
    images: Tensor,
    num_steps: int,
    start_scores: Tensor,
    end_scores: Tensor,
    batch_size: int,
) -> Tensor:
    """As `curves`, of pixels that go each at its step: maps may differ in how many go.

    Args:
        score: See `curves`.
        start: See `curves`.
        end: See `curves`.
        targets: See `curves`.
        steps: (N, H*W) int64 in 1..`num_steps`.
        images: See `curves`.
        num_steps: The last step, after which every pixel is replaced.
        start_scores: See `curves`.
        end_scores: See `curves`.
        batch_size: See `curves`.

    Returns:
        (N, num_steps + 1) float32 on the device of `steps`.

    Example:
        >>> x = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
        >>> deletion = step_curves(
        ...     lambda x, targets: x.sum(dim=(1, 2, 3)),
        ...     start=x,
        ...     end=torch.zeros(1, 1, 1, 1),
        ...     targets=torch.tensor([0]),
        ...     steps=torch.tensor([[2, 1, 2, 1]]),  # the second column first
        ...     images=torch.tensor([0]),
        ...     num_steps=2,
        ...     start_scores=torch.tensor([10.0]),
        ...     end_scores=torch.tensor([0.0]),
        ...     batch_size=4,
        ... )
        >>> deletion.tolist()
        [[10.0, 4.0, 0.0]]
    """
    scores = torch.empty(len(steps), num_steps + 1, dtype=torch.float32, device=steps.device)
    scores[:, 0], scores[:, -1] = start_scores[images].float(), end_scores[images].float()

    def points(group: slice) -> Iterator[Tensor]:
        rows = images[group]
        ends = _take(start, rows), _take(end, rows)
        return perturb_by_step(*ends, steps[group], num_steps - 1)

    scores[:, 1:-1] = _score_groups(score, points, targets[images], num_steps - 1, batch_size)
    return scores


def _score_groups(
    score: Score,
    points: Callable[[slice], Iterable[Tensor]],
    targets: Tensor,
    num_points: int,
    batch_size: int,
) -> Tensor:
    """Scores (N, num_points) of N maps' points, as many maps at a time as a batch holds."""
    found = [
        _score_points(score, points(group), targets[group], num_points, batch_size)
        for first in range(0, len(targets) if num_points else 0, batch_size)
        for group in [slice(first, first + batch_size)]
    ]
    return torch.cat(found) if found else targets.new_zeros(len(targets), 0, dtype=torch.float32)


def _score_points(
    score: Score, points: Iterable[Tensor], targets: Tensor, num_points: int, batch_size: int
) -> Tensor:
    """Scores (n, num_points) of points (n, C, H, W), one after another, with targets (n,)."""
    count = len(targets)
    jobs = fixed_batches(count * num_points, batch_size, targets.device)
    found = [
        score(batch, targets[job % count])[: items.stop - items.start].float()
        for (job, items), batch in zip(jobs, _in_batches(points, batch_size), strict=True)
    ]
    return torch.cat(found).view(num_points, count).T


def _in_batches(points: Iterable[Tensor], batch_size: int) -> Iterator[Tensor]:
    """Copies a stream of images into full batches, filling up the last with its last image.

    The same tensor each time: it is written anew, so what a network does to its input is harmless.
    """
    batch, filled = torch.empty(0), 0
    for images in points:
        if not len(batch):
            # Kernels depend on the memory format, so it must not depend on the number of images.
            batch = torch.empty(
                (batch_size, *images.shape[1:]),
                dtype=images.dtype,
                device=images.device,
                memory_format=torch.channels_last,
            )
        while len(images):
            taken = images[: batch_size - filled]
            batch[filled : filled + len(taken)] = taken
            filled = (filled + len(taken)) % batch_size
            images = images[len(taken) :]
            if not filled:
                yield batch
    if filled:
        batch[filled:] = batch[filled - 1]
        yield batch


def _take(images: Tensor, rows: Tensor) -> Tensor:
    """Picks rows, but leaves what all images share to broadcasting."""
    return images if len(images) == 1 else images[rows]
