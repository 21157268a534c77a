"""Maps of regions that were chosen one after another, as SMDL's scripts make them."""

import cv2
import numpy as np
from numpy.typing import NDArray


def region_map(
    ranks: NDArray[np.integer],
    count: int,
    smooth: int | None = None,
    shape: tuple[int, int] | None = None,
) -> NDArray[np.float32]:
    """Counts regions down, the first highest, and averages the channels.

    `convert_smdl_mask` in the evaluation scripts of arXiv 2402.09164.

    Args:
        ranks: (H, W, C) number of the region that a pixel's channel is in, from 0; `count`: in
            none. The scripts count a channel that is 0 in the image to none.
        count: How many regions there are; below 256 if maps are smoothed.
        smooth: If given, the map is resized to so many pixels a side and back, as uint8, bilinear:
            what the scripts do before some insertions (7) and deletions (28).
        shape: Height and width that the map is to have; if it has others, it is resized at last,
            as uint8, bilinear. Then, too, there are less than 256 regions.

    Returns:
        (H, W), or of `shape`: count - rank, so 0 where there is no region; the channels' mean.

    Example:
        >>> ranks = np.array([[[0], [1]], [[2], [3]]])  # the last pixel is in none of 3 regions
        >>> region_map(ranks, count=3).tolist()
        [[3.0, 2.0], [1.0, 0.0]]
    """
    counts: NDArray[np.integer] = count - ranks
    if smooth is not None:
        pixels = counts.astype(np.uint8)
        small = cv2.resize(pixels, (smooth, smooth), interpolation=cv2.INTER_LINEAR)
        size = (pixels.shape[1], pixels.shape[0])
        large = np.asarray(cv2.resize(small, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        counts = large.reshape(pixels.shape)  # OpenCV drops a channel that is alone
    if shape is not None and counts.shape[:2] != shape:
        pixels = counts.astype(np.uint8)
        enlarged = cv2.resize(pixels, shape[::-1], interpolation=cv2.INTER_LINEAR)
        counts = np.asarray(enlarged, np.uint8).reshape(*shape, -1)
    return counts.astype(np.float32).mean(axis=2)
