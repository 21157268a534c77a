"""In which batch sizes do a network's outputs have the bits that they have in a batch of 64?

    python scripts/batch_bits.py --threads 1

`bench.batching.fitted_batch_size` follows from what this printed on CPUs.
"""

import argparse
from collections.abc import Iterator

import timm
import torch
from torch import Tensor, nn

NETWORKS = (
    "resnet18", "efficientnet_lite0", "mobilenetv3_small_100", "convnext_atto",
    "vit_tiny_patch16_224",
)  # fmt: skip
SIZES = (*range(1, 17), *range(18, 65, 2))
FULL = 64


def networks(size: int) -> Iterator[tuple[str, nn.Module]]:
    """Networks of random weights for inputs (B, 3, size, size), with their names."""
    for name in NETWORKS:
        settings = {"img_size": size} if name.startswith("vit") else {}
        yield name, timm.create_model(name, **settings)
    yield (
        "perceptron",
        nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 200), nn.ReLU(), nn.Linear(200, 10)),
    )


@torch.inference_mode()
def same_bits(network: nn.Module, x: Tensor) -> list[int]:
    """The batch sizes in which the first inputs have the outputs that they have among all."""
    expected = network(x)
    return [
        size
        for size in SIZES
        if torch.equal(
            network(x[:size].clone(memory_format=torch.preserve_format)), expected[:size]
        )
    ]


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--size", type=int, default=96, help="side of the inputs, of 16 pixels")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    x = torch.randn(FULL, 3, given.size, given.size)
    for name, network in networks(given.size):
        for memory_format in (torch.channels_last, torch.contiguous_format):
            formatted = network.eval().to(memory_format=memory_format)
            sizes = same_bits(formatted, x.contiguous(memory_format=memory_format))
            print(f"{name}, {memory_format}: {' '.join(map(str, sizes))}", flush=True)


if __name__ == "__main__":
    main()
