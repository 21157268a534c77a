"""Random generators that depend on names, never on order, batch, shard or device."""

import hashlib

import torch


def generator(seed: int, *names: str) -> torch.Generator:
    """Returns a CPU generator keyed by a seed and names.

    Draws that do not depend on the image are keyed by (seed, method), the others by
    (seed, method, image_id). The generator lives on the CPU so that all devices draw the same.

    Args:
        seed: The run's seed.
        *names: What the draw belongs to.

    Example:
        >>> first, again, other = (
        ...     torch.rand(3, generator=generator(0, "Random", image_id)) for image_id in "aab"
        ... )
        >>> torch.equal(first, again), torch.equal(first, other)
        (True, False)
    """
    digest = hashlib.sha256("\x1f".join([str(seed), *names]).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
