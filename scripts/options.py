"""What precision, compilation and memory format gain, and by how much they move the AUCs.

Evaluates the demo's network on its photos under each option, alternating in one process, and prints
a Markdown table: medians of the time for one forward pass, and the largest and mean difference of a
photo's AUC against fp32:

    python scripts/options.py --images 20 --repeats 5
"""

import argparse
import statistics
import time

import numpy as np
import torch

from bench.attribution.control import Edge, Random
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.backbones.efficientnet_lite import efficientnet_lite0
from bench.datasets.photos import Photos
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.evaluation.loop import evaluate_runs
from bench.evaluation.method_run import MethodRun
from bench.metrics.auc import auc
from bench.metrics.protocol import load_protocol

PROTOCOL = load_protocol("xplique-probability")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="auto")
    given = parser.parse_args()
    device = resolve_device(given.device)
    batch_size = resolve_batch_size("auto", device)
    keep_freed_memory()

    networks = _networks(device)
    samples = Photos(max_images=given.images).samples
    x = efficientnet_lite0().preprocess([sample.read() for sample in samples])
    x = x[torch.arange(batch_size) % len(x)].to(device)
    times: dict[str, list[float]] = {name: [] for name in networks}
    for network in networks.values():
        _seconds(network, x)  # compiles, chooses kernels
    for _ in range(given.repeats):
        for name, network in networks.items():
            times[name].append(_seconds(network, x) / batch_size * 1000)
    exact = _areas(networks["fp32"], samples, batch_size, device)

    print(f"torch {torch.__version__}, {device}, batch {batch_size}, {len(samples)} photos\n")
    print(
        "| option | ms a forward pass | min..max | speed against fp32 | AUC: mean, largest change |"
    )
    print("|---|---|---|---|---|")
    base = statistics.median(times["fp32"])
    for name, network in networks.items():
        timings = times[name]
        change = np.abs(_areas(network, samples, batch_size, device) - exact)
        print(
            f"| {name} | {statistics.median(timings):.2f} | {min(timings):.2f}..{max(timings):.2f} "
            f"| {base / statistics.median(timings):.2f} | {change.mean():.1e}, {change.max():.1e} |"
        )


def _networks(device: torch.device) -> dict[str, Backbone]:
    networks = {}
    for name, precision, compiled in [
        ("fp32", "fp32", False),
        ("fp32, compiled", "fp32", True),
        *([("tf32", "tf32", False)] if device.type == "cuda" else []),
        ("bf16", "bf16", False),
        ("bf16, compiled", "bf16", True),
    ]:
        networks[name] = efficientnet_lite0().to(device).set_speed(precision, compile=compiled)
    plain = efficientnet_lite0().to(device)
    plain.module.to(memory_format=torch.contiguous_format)
    outputs = plain.outputs
    plain.outputs = lambda x: outputs(x.contiguous())
    networks["fp32, not channels-last"] = plain
    return networks


@torch.inference_mode()
def _seconds(network: Backbone, x: torch.Tensor) -> float:
    torch.backends.cuda.matmul.allow_tf32 = network.precision == "tf32"
    torch.backends.cudnn.allow_tf32 = network.precision == "tf32"
    started = time.perf_counter()
    network.outputs(x)
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def _areas(network: Backbone, samples: list, batch_size: int, device: torch.device) -> np.ndarray:
    """Insertion and deletion AUC of each photo under maps that no option changes."""
    scorer = Scorer(network, PROTOCOL.score, batch_size)
    runs = [MethodRun("random", Random()), MethodRun("edge", Edge())]
    results = evaluate_runs(samples, scorer, runs, PROTOCOL, device=device)
    return np.concatenate(
        [
            auc(np.stack(result.rows[column].tolist()))
            for result in results
            for column in ("insertion_curve", "deletion_curve")
        ]
    )


if __name__ == "__main__":
    main()
