"""Share of curve evaluation that is spent in the model's forward passes.

Times the curve engine and a plain loop of forward passes over the same number of images, with the
same batch size and memory format, alternating in one process, and prints the medians:

    python scripts/throughput.py --images 20 --maps 3 --repeats 5
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch

from bench.attribution.scorer import Scorer
from bench.backbones.efficientnet_lite import efficientnet_lite0
from bench.datasets.photos import Photos
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.metrics.baseline import Inputs
from bench.metrics.perturbation import curves, order_pixels
from bench.metrics.protocol import load_protocol
from bench.seeding import generator


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--maps", type=int, default=3, help="maps an image")
    parser.add_argument("--protocol", default="xplique-probability")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    device = resolve_device(given.device)
    size = given.batch_size
    batch_size = resolve_batch_size(int(size) if size.isdecimal() else size, device)
    keep_freed_memory()

    backbone = efficientnet_lite0().to(device)
    protocol = load_protocol(given.protocol)
    forwards = 0

    def count(passes: int) -> None:
        nonlocal forwards
        forwards += passes

    scorer = Scorer(backbone, protocol.score, batch_size, on_forward=count)
    samples = Photos(max_images=given.images).samples
    x = backbone.preprocess([sample.read() for sample in samples]).to(device)
    targets = torch.tensor([sample.target for sample in samples], device=device)
    images = torch.arange(len(x), device=device).repeat(given.maps)
    maps = torch.rand(len(images), *x.shape[2:], generator=generator(0, "throughput")).to(device)
    zero = protocol.deletion.baseline(Inputs(x))
    counts = torch.from_numpy(protocol.deletion.counts(*x.shape[2:]))
    ends = torch.zeros(len(x), device=device)

    def engine() -> None:
        order = order_pixels(maps, protocol.ties)
        for start, end in ((zero, x), (x, zero)):
            curves(scorer, start, end, targets, order, images, counts, ends, ends, batch_size)

    engine()
    batches, forwards = forwards // batch_size, 0
    batch = x[torch.arange(batch_size, device=device) % len(x)]

    @torch.inference_mode()
    def plain() -> None:
        for _ in range(batches):
            backbone.outputs(batch)

    plain()
    times: dict[str, list[float]] = {"engine": [], "plain": []}
    for _ in range(given.repeats):
        times["engine"].append(_seconds(engine, device))
        times["plain"].append(_seconds(plain, device))
    medians = {name: statistics.median(own) for name, own in times.items()}
    passes = batches * batch_size
    print(f"{backbone.name}, {protocol.name}, {device}, batch {batch_size}, {passes} passes a run")
    for name, seconds in medians.items():
        spread = f"{min(times[name]):.2f}..{max(times[name]):.2f} s"
        print(f"  {name:6}  {1000 * seconds / passes:7.3f} ms an image  (runs: {spread})")
    print(
        f"  forward passes' share of the engine's time: {medians['plain'] / medians['engine']:.1%}"
    )


def _seconds(run: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
