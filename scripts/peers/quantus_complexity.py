"""Golden values of Quantus's Sparseness, Complexity and EffectiveComplexity.

In the environment of scripts/peers/requirements.txt:

    .venv-peers/bin/python scripts/peers/quantus_complexity.py tests/golden/quantus_complexity.npz
"""

import sys
from importlib import metadata

import numpy as np
import quantus
import torch


def main() -> None:
    """Makes the file."""
    draws = np.random.default_rng(0)
    maps = draws.standard_normal((5, 23, 18)).astype(np.float32)
    maps[1] = np.round(maps[1])  # ties and zeros
    maps[2] = np.abs(maps[2]) ** 8  # few pixels matter
    maps[3] = 0
    maps[3, 4, 5] = -3  # one pixel
    maps[4] *= 1e-6  # small numbers
    arrays = {"maps": maps}
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(23 * 18, 2))
    for name in ("Sparseness", "Complexity", "EffectiveComplexity"):
        metric = getattr(quantus, name)(abs=True, normalise=True, disable_warnings=True)
        # Map by map: Quantus 0.6.0 divides several by the largest value of them all.
        arrays[name] = np.array(
            [
                metric(
                    model=model, x_batch=np.zeros((1, 1, 23, 18), np.float32),
                    y_batch=np.zeros(1, int), a_batch=one[None, None].copy(), device="cpu",
                )[0]
                for one in maps
            ],
            float,
        )  # fmt: skip
    arrays["versions"] = np.array([f"quantus {metadata.version('quantus')}"])
    np.savez_compressed(sys.argv[1], **arrays)


main()
