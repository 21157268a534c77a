"""Peak memory of curve evaluation, as images, maps and steps grow.

Each case runs in a process of its own; prints a Markdown table of the peak above what the loaded
network takes. The batch bounds it; inputs, maps and orders are all that grows with images and maps.

    python scripts/memory.py
"""

import argparse
import multiprocessing
import resource

import torch

from bench import insertion_deletion
from bench.backbones.efficientnet_lite import efficientnet_lite0
from bench.device import resolve_device
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.protocol import Protocol

CASES = [  # images, steps, batch size
    (8, 10, 16),
    (32, 10, 16),
    (8, 40, 16),
    (8, 160, 16),
    (8, 10, 32),
    (8, 10, 64),
]


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="auto")
    device = resolve_device(parser.parse_args().device)
    print("| images | steps | forward passes | batch | peak, MB | x, maps and orders alone, MB |")
    print("|---|---|---|---|---|---|")
    for images, steps, batch_size in CASES:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            peak = pool.apply(_peak, (str(device), images, steps, batch_size))
        inputs = images * 224 * 224 * (3 + 1 + 1) * 4 / 1e6
        passes = 2 * images * (steps - 1)
        print(f"| {images} | {steps} | {passes} | {batch_size} | {peak:.0f} | {inputs:.0f} |")


def _peak(device: str, images: int, steps: int, batch_size: int) -> float:
    """Peak in MB above what stands after one forward pass of a single image."""
    module = efficientnet_lite0().to(torch.device(device)).module
    metrics = (kind(ZeroBaseline(), steps=steps) for kind in (Insertion, Deletion))
    protocol = Protocol.of("memory", "probability", "stable", *metrics)
    x = torch.rand(images, 3, 224, 224, device=device)
    maps = torch.rand(images, 224, 224, device=device)
    targets = torch.zeros(images, dtype=torch.int64, device=device)
    insertion_deletion(module, x[:1], targets[:1], maps[:1], protocol, batch_size=1)
    if x.is_cuda:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        insertion_deletion(module, x, targets, maps, protocol, batch_size=batch_size)
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    insertion_deletion(module, x, targets, maps, protocol, batch_size=batch_size)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1e3


if __name__ == "__main__":
    main()
