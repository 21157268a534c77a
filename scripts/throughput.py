"""How much of the time of curves and of attribution methods is spent in the network's passes.

Times our code and a plain loop of as many passes, with the same batch size and memory format,
taking turns in one process, and prints medians:

    python scripts/throughput.py curves --images 20 --maps 3 --repeats 5
    python scripts/throughput.py methods --images 2 --repeats 3 --output methods.md
"""

import argparse
import statistics
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch

from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.config.building import build_backbone, build_method
from bench.config.choices import known_names
from bench.config.composing import compose_run, name_other_methods
from bench.config.reading import read_settings
from bench.datasets.photos import Photos
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError
from bench.evaluation.explain import now
from bench.metrics.baseline import Inputs
from bench.metrics.perturbation import curves, order_pixels
from bench.metrics.protocol import load_protocol
from bench.seeding import generator
from bench.storage.provenance import provenance

FEWER = {
    "rise": ["num_masks=500"],
    "sobol": ["num_designs=8"],
    "occlusion": ["stride=10"],
    "lime": ["num_samples=500"],
    "kernel_shap": ["num_samples=500"],
}
"""Settings that keep a method at about 500 passes an image; the others keep their own."""
LEFT_OUT = {"stored", "captum", "pytorch_grad_cam", "function"}
"""Not ours to measure."""


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("curves", "methods"))
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--images", type=int, help="default: 20 for curves, 2 for methods")
    parser.add_argument("--maps", type=int, default=3, help="curves: maps an image")
    parser.add_argument("--protocol", default="xplique-probability")
    parser.add_argument("--only", nargs="*", help="methods: names of those to time")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--batch-size", default="auto")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--output", type=Path, help="methods: Markdown file to write")
    given = parser.parse_args()
    device = resolve_device(given.device)
    size = given.batch_size
    batch_size = resolve_batch_size(int(size) if size.isdecimal() else size, device)
    keep_freed_memory()
    backbone = build_backbone(read_settings(compose_run([f"backbone={given.backbone}"])), device)
    measure = measure_curves if given.what == "curves" else measure_methods
    measure(given, backbone, device, batch_size)


def measure_curves(
    given: argparse.Namespace, backbone: Backbone, device: torch.device, batch_size: int
) -> None:
    """Prints the share of the curve engine's time that is forward passes."""
    protocol = load_protocol(given.protocol)
    forwards = 0

    def count(passes: int) -> None:
        nonlocal forwards
        forwards += passes

    scorer = Scorer(backbone, protocol.score, batch_size, on_forward=count)
    batch = photos(backbone, given.images or 20, device)
    x = batch.x
    images = torch.arange(len(x), device=device).repeat(given.maps)
    maps = torch.rand(len(images), *x.shape[2:], generator=generator(0, "throughput")).to(device)
    deletion = protocol.curves["deletion"]
    zero = deletion.baseline(Inputs(x))
    counts = torch.from_numpy(deletion.counts(*x.shape[2:]))
    ends = torch.zeros(len(x), device=device)

    def engine() -> None:
        order = order_pixels(maps, protocol.ties)
        for start, end in ((zero, x), (x, zero)):
            curves(
                scorer,
                start,
                end,
                batch.targets,
                order,
                images=images,
                counts=counts,
                start_scores=ends,
                end_scores=ends,
                batch_size=batch_size,
            )

    engine()
    batches, forwards = forwards // batch_size, 0
    times: dict[str, list[float]] = {"engine": [], "plain": []}
    for _ in range(given.repeats):
        times["engine"].append(_seconds(engine, device))
        times["plain"].append(_seconds(lambda: plain(backbone, x, batch_size, batches), device))
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    passes = batches * batch_size
    print(f"{backbone.name}, {protocol.name}, {device}, batch {batch_size}, {passes} passes a run")
    for name, seconds in medians.items():
        spread = f"{min(times[name]):.2f}..{max(times[name]):.2f} s"
        print(f"  {name:6}  {1000 * seconds / passes:7.3f} ms an image  (runs: {spread})")
    print(
        f"  forward passes' share of the engine's time: {medians['plain'] / medians['engine']:.1%}"
    )


@dataclass
class Timed:
    """What one method took, an entry a repeat.

    Attributes:
        settings: Those that are not its own.
        forward: Forward passes of one call, fill included.
        backward: Backward passes of one call.
        seconds: The seconds of one call.
        forward_seconds: Seconds for one image in a plain loop of forward passes.
        both_seconds: Seconds for one image in a plain loop of forward and backward passes.
    """

    settings: list[str]
    forward: int = 0
    backward: int = 0
    seconds: list[float] = field(default_factory=list)
    forward_seconds: list[float] = field(default_factory=list)
    both_seconds: list[float] = field(default_factory=list)

    def share(self) -> float:
        """Median share of a call's time that its passes take in a plain loop."""
        rows = zip(self.seconds, self.forward_seconds, self.both_seconds, strict=True)
        return statistics.median(
            (self.forward * forward + self.backward * max(both - forward, 0)) / seconds
            for seconds, forward, both in rows
        )


def measure_methods(
    given: argparse.Namespace, backbone: Backbone, device: torch.device, batch_size: int
) -> None:
    """Prints, for each method, its passes, images a second, and the passes' share of its time."""
    few = photos(backbone, given.images or 2, device)
    block = photos(backbone, 2 * batch_size, device)  # for methods that make a pass or two
    lines = [
        f"- command: `python {' '.join(sys.argv)}`",
        *(f"- {key}: {provenance(device)[key]}" for key in ("device", "threads", "packages")),
        f"- {backbone.name}, {len(few.x)} images ({len(block.x)} where an image takes fewer than "
        f"10 passes), batches of {batch_size}; medians of {given.repeats} calls, each followed by "
        "plain loops of passes",
        "- passes are an image's, without the fill of last batches; the share counts the fill",
        "",
        "| method | settings | forward | backward | images a second | passes' share of the time |",
        "|---|---|--:|--:|--:|--:|",
    ]
    print("\n".join(lines), flush=True)
    for name in known_names("method"):
        if name in LEFT_OUT or (given.only and name not in given.only):
            continue
        settings = FEWER.get(name, [])
        try:
            method = make_method(name, settings)
            passes = method.passes(backbone)
            batch = few if sum(passes) >= 10 else block
            timed = time_method(
                method, settings, backbone, batch, batch_size, repeats=given.repeats
            )
        except BenchError as error:
            line = f"| {name} | not timed: {error} | | | | |"
        else:
            rate = len(batch.x) / statistics.median(timed.seconds)
            share = f"{timed.share():.1%}" if timed.forward else ""
            line = (
                f"| {name} | {', '.join(settings)} | {passes.forward} | {passes.backward} "
                f"| {rate:.3g} | {share} |"
            )
        print(line, flush=True)
        lines.append(line)
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")


def make_method(name: str, settings: list[str]) -> Method:
    """A shipped method with some settings changed."""
    config = compose_run(
        [f"method=[{name}]", *(f"method.{name}.{setting}" for setting in settings)]
    )
    name_other_methods(config)
    return build_method(read_settings(config).methods[name])


def time_method(
    method: Method,
    settings: list[str],
    backbone: Backbone,
    batch: Batch,
    batch_size: int,
    *,
    repeats: int,
) -> Timed:
    """Times a method and plain loops of passes, taking turns; one call before warms up."""
    timed, device = Timed(settings), batch.x.device
    passes = {"forward": 0, "backward": 0}

    def count(way: str) -> Callable[[int], None]:
        return lambda count: passes.update({way: passes[way] + count})

    scorer = Scorer(
        backbone,
        "probability",
        batch_size,
        on_forward=count("forward"),
        on_backward=count("backward"),
    )
    method(scorer, batch)
    timed.forward, timed.backward = passes["forward"], passes["backward"]
    batches = max(min(timed.forward // batch_size, 16), 4)
    for _ in range(repeats):
        timed.seconds.append(_seconds(lambda: method(scorer, batch), device))
        for measured, backward in ((timed.forward_seconds, False), (timed.both_seconds, True)):
            if backward and not timed.backward:
                measured.append(0)
                continue
            seconds = _seconds(
                lambda way=backward: plain(backbone, batch.x, batch_size, batches, way), device
            )
            measured.append(seconds / batches / batch_size)
    return timed


def plain(
    backbone: Backbone, x: torch.Tensor, size: int, batches: int, backward: bool = False
) -> None:
    """Nothing but passes of full batches."""
    batch = x[torch.arange(size, device=x.device) % len(x)].requires_grad_(backward)
    with torch.inference_mode(not backward):
        for _ in range(batches):
            outputs = backbone.outputs(batch)
            if backward:
                torch.autograd.grad(outputs.sum(), batch)


def photos(backbone: Backbone, count: int, device: torch.device) -> Batch:
    """The first packaged photos, again and again if need be, as the network wants them."""
    samples = (Photos().samples * count)[:count]
    images = [sample.read() for sample in samples]
    targets = torch.tensor([sample.target for sample in samples], device=device)
    x = backbone.preprocess(images).to(device)
    return Batch(x, targets, [sample.image_id for sample in samples], images)


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    started = now(device)
    run()
    return now(device) - started


if __name__ == "__main__":
    main()
