"""Times the ordering of a block's maps by each tie rule.

python scripts/ordering.py   # 32 maps of 224 x 224: a block of paper/cub, one method
"""

import argparse
import statistics
import time

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from bench.metrics.perturbation import TIE_RULES, order_pixels, tied_fraction


def kinds(count: int, side: int) -> dict[str, Tensor]:
    """Maps (count, side, side) of each kind."""
    draws = torch.Generator().manual_seed(0)
    noise = torch.randn(count, side, side, generator=draws)
    cells = torch.rand(count, 1, 10, 10, generator=draws)
    coarse = torch.randn(count, 1, 7, 7, generator=draws)
    return {
        "distinct": torch.stack([row.argsort() for row in noise.flatten(1)]).view_as(noise).float(),
        "float32 noise": noise,
        "half zeros (Grad-CAM)": interpolate(coarse, (side, side), mode="bicubic")[:, 0].relu(),
        "24 regions (SMDL)": (interpolate(cells, (side, side))[:, 0] * 24).round(),
        "constant": torch.zeros(count, side, side),
    }


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--maps", type=int, default=32)
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(f"milliseconds for {arguments.maps} maps of {arguments.side} x {arguments.side}, median")
    print(f"{'maps':24}{'tied':>6}" + "".join(f"{rule:>16}" for rule in TIE_RULES))
    for name, maps in kinds(arguments.maps, arguments.side).items():
        times = []
        for rule in TIE_RULES:
            order = order_pixels(maps, rule)  # what is compiled once is not timed
            taken = []
            for _ in range(arguments.repeats):
                started = time.perf_counter()
                order_pixels(maps, rule)
                taken.append(time.perf_counter() - started)
            times.append(statistics.median(taken) * 1000)
        tied = tied_fraction(maps, order).mean().item()
        print(f"{name:24}{tied:6.0%}" + "".join(f"{taken:16.0f}" for taken in times), flush=True)


if __name__ == "__main__":
    main()
