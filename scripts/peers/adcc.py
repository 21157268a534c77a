"""Golden values of ADCC, of the authors' code.

In the environment of scripts/peers/requirements.txt, with github.com/aimagelab/ADCC (at e52dadf)
beside:

    .venv-peers/bin/python scripts/peers/adcc.py ADCC tests/golden/adcc.npz
"""

import sys

import numpy as np
import torch
from linear import Linear

sys.path.insert(0, sys.argv[1])

from metrics import adcc

HEIGHT, WIDTH = 14, 11


def contributions(image: torch.Tensor, model: Linear, classidx: int) -> torch.Tensor:
    """A map (1, 1, H, W) from 0 to 1: how much each pixel adds to the logit or takes from it."""
    made = (image * model.weight[classidx]).sum(dim=1, keepdim=True).abs()
    return (made - made.min()) / (made.max() - made.min())


def main() -> None:
    """Makes the file."""
    draws = np.random.default_rng(0)
    weight = 0.2 * draws.standard_normal((4, 3, HEIGHT, WIDTH)).astype(np.float32)
    x = draws.standard_normal((5, 3, HEIGHT, WIDTH)).astype(np.float32)
    model = Linear(weight, softmax=False)
    classes = model(torch.from_numpy(x)).argmax(dim=1).tolist()
    found = []
    for number, classidx in enumerate(classes):
        image = torch.from_numpy(x[number : number + 1])
        one = contributions(image, model, classidx)
        total, drop, coherency, complexity, *_ = adcc.ADCC(
            image, one, image * one, model, contributions, debug=True
        )
        found.append([float(value) for value in (total, drop, coherency, complexity)])
    np.savez_compressed(sys.argv[2], weight=weight, x=x, classes=classes, found=np.array(found))


main()
