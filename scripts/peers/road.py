"""Golden values of ROAD's imputation and scores, of grad-cam and Quantus.

grad-cam's `NoisyLinearImputer` is the code of ROAD's authors (github.com/tleemann/road_evaluation).
In the environment of scripts/peers/requirements.txt:

    .venv-peers/bin/python scripts/peers/road.py tests/golden/road.npz
"""

import sys
from functools import partial
from importlib import metadata

import numpy as np
import torch
from linear import Linear
from pytorch_grad_cam.metrics.road import (
    NoisyLinearImputer,
    ROADCombined,
    ROADLeastRelevantFirst,
    ROADMostRelevantFirst,
)
from quantus.functions.perturb_func import noisy_linear_imputation

HEIGHT, WIDTH = 20, 15
PERCENTAGES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


def main() -> None:
    """Makes the file."""
    draws = np.random.default_rng(0)
    weight = 0.1 * draws.standard_normal((4, 3, HEIGHT, WIDTH)).astype(np.float32)
    x = draws.standard_normal((3, 3, HEIGHT, WIDTH)).astype(np.float32)
    maps = draws.random((3, HEIGHT, WIDTH)).astype(np.float32)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    maps[1] += 20 - np.hypot(rows - 9, columns - 6)  # a disc: pixels far from any that is known
    missing = np.stack([maps[number] > np.quantile(maps[number], share)
                        for number, share in enumerate((0.7, 0.2, 0.05))])  # fmt: skip
    noise = draws.standard_normal((3, HEIGHT, WIDTH)).astype(np.float32)
    torch.randn_like = lambda given: torch.from_numpy(field(given))

    def field(given: torch.Tensor) -> np.ndarray:
        """What is drawn for (C, n) missing pixels: this noise at those of the image in hand."""
        return noise[:, at] if given.shape == noise[:, at].shape else np.zeros(given.shape, "f")

    imputed, of_quantus = [], []
    for image, gone in zip(x, missing, strict=True):
        at = gone
        imputed.append(NoisyLinearImputer(noise=0.01)(
            torch.from_numpy(image), torch.from_numpy((~gone).astype(np.float32))
        ).numpy())  # fmt: skip
        of_quantus.append(noisy_linear_imputation(image, np.flatnonzero(gone), noise=0))
    at = np.zeros((HEIGHT, WIDTH), bool)  # from here on without noise
    model, classes = Linear(weight), (0, 1, 2)
    targets = [partial(lambda number, output: output[number], number) for number in classes]
    asked = torch.from_numpy(x), maps, targets, model
    # What is above a percentile goes, so the percentages that go count from the other end.
    morf, lerf = (
        np.stack([kind(100 - p)(*asked, return_diff=False) for p in PERCENTAGES], axis=1)
        for kind in (ROADMostRelevantFirst, ROADLeastRelevantFirst)
    )
    versions = [f"{name} {metadata.version(name)}" for name in ("grad-cam", "quantus")]
    np.savez_compressed(
        sys.argv[1], weight=weight, x=x, maps=maps, missing=missing, noise=noise,
        imputed=np.stack(imputed), quantus=np.stack(of_quantus), percentages=np.array(PERCENTAGES),
        morf=morf, lerf=lerf, combined=ROADCombined(list(PERCENTAGES))(*asked),
        versions=np.array(versions),
    )  # fmt: skip


main()
