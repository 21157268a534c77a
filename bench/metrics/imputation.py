"""Noisy linear imputation: pixels that are missing become weighted means of their neighbours.

Rong et al. 2022, arXiv 2202.00449, section 4.2. A direct neighbour weighs 1/6, a diagonal one 1/12;
at the border the weights that are left are scaled up. Neighbours may be missing, too, so the
values solve a sparse system, one for all channels of an image.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import linalg

NEIGHBOURS = (((0, 1), 1 / 6), ((1, 0), 1 / 6), ((1, 1), 1 / 12), ((1, -1), 1 / 12))
"""Offsets (rows, columns) to half of the neighbours and their weights; the others mirror them."""


def linear_imputation(
    image: NDArray[np.float64], missing: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Fills in the missing pixels of an image, without noise.

    The system of all pixels is made once for a size, in an order that keeps its factors sparse
    (nested dissection: halves first, then the line between them). That of the missing pixels is a
    part of it, in the same order, and is solved directly.

    Args:
        image: (C, H, W).
        missing: (H, W); at least one pixel is not.

    Returns:
        (C, H, W): the image where it is not missing.

    Example:
        >>> image, missing = np.arange(9.0).reshape(1, 3, 3), np.zeros((3, 3), bool)
        >>> missing[1, 1] = True
        >>> round(float(linear_imputation(image + 10 * missing, missing)[0, 1, 1]), 9)
        4.0
    """
    channels, height, width = image.shape
    order, system = _system(height, width)
    filled = image.reshape(channels, -1)[:, order]
    gone = missing.ravel()[order]
    rows = system[gone]
    known = -(rows[:, ~gone] @ filled[:, ~gone].T)
    factors = linalg.splu(
        rows[:, gone].tocsc(),
        permc_spec="NATURAL",
        diag_pivot_thresh=0,  # symmetric and positive: no pivots are needed
        options={"SymmetricMode": True},
    )
    filled[:, gone] = factors.solve(known).T
    imputed = np.empty_like(filled)
    imputed[:, order] = filled
    return imputed.reshape(image.shape)


@lru_cache(maxsize=8)
def _system(height: int, width: int) -> tuple[NDArray[np.int64], sparse.csr_array]:
    """An order of all pixels (P,), and the system (P, P) in that order.

    Row by row: a pixel times its neighbours' weights, less its neighbours times theirs.
    """
    numbers = np.arange(height * width).reshape(height, width)
    weights = sparse.coo_array((height * width, height * width))
    for (down, right), weight in NEIGHBOURS:
        first = numbers[: height - down, max(0, -right) : width - max(0, right)].ravel()
        second = numbers[down:, max(0, right) : width + min(0, right)].ravel()
        pairs = (np.append(first, second), np.append(second, first))
        both = np.full(2 * len(first), weight)
        weights = weights + sparse.coo_array((both, pairs), shape=weights.shape)
    order = _nested_dissection(numbers)
    system = sparse.csr_array(sparse.diags_array(weights.sum(axis=1)) - weights)
    return order, system[order][:, order]


def _nested_dissection(numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Numbers (h, w) of pixels in an order: two halves, then the line that parts them."""
    if numbers.size <= 16:
        return numbers.ravel()
    across = numbers if numbers.shape[0] >= numbers.shape[1] else numbers.T
    middle = len(across) // 2
    halves = (_nested_dissection(half) for half in (across[:middle], across[middle + 1 :]))
    return np.concatenate([*halves, across[middle]])
