"""Speed of the curve engine next to other packages that compute insertion and deletion curves.

Each is asked for the same curves of the same images, maps and model, with the same batch size, in
one process. Only those whose curves and areas equal ours are timed, taking turns. Runs in the
environment of scripts/peers/requirements.txt; a peer that is not installed is skipped:

    .venv-peers/bin/python scripts/compare_peers.py --model both --output peers.md

What is timed is all that a user pays from maps to areas. Not timed, in favour of the peers: making
their arrays, one-hot targets and model wrappers.
"""

import argparse
import contextlib
import os
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bench import insertion_deletion
from bench.backbones.efficientnet_lite import efficientnet_lite0
from bench.datasets.photos import Photos
from bench.device import keep_freed_memory, resolve_device
from bench.metrics.auc import auc
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.deletion import Deletion
from bench.metrics.insertion import Insertion
from bench.metrics.perturbation import order_pixels
from bench.metrics.protocol import Protocol
from bench.storage.provenance import provenance

SIZE = 224
MODELS = {"both": ["free", "lite0"]}
PACKAGES = (
    "insdel-bench torch numpy xplique tensorflow-cpu captum grad-cam quantus torchcam timm".split()
)
TOLERANCE = 1e-3
"""Largest difference between equal curves or areas, as a share of the range of our curve."""

NOTES = "\n".join(
    [
        "- times are medians (min..max) of repeats in which the engines take turns; overhead "
        "is what a pass costs beyond the plain loop's of the same repeat",
        "- a pass is one image through the model, fill included; points are those of the "
        "whole curves, which some engines need fewer passes for than others",
        "- ratios are medians over the repeats, to `bench, stable` or, for Quantus, to `bench, "
        "deletion only`; `differs by` is the largest difference from our curves and areas as a "
        "share of our curve's range",
    ]
)
"""What the table's columns are."""

Curves = dict[str, Any]
"""Means over the images: `insertion` and `deletion` (S+1,), NaN where a peer has no point, and
`insertion_auc` and `deletion_auc`. A peer gives those it has."""

Run = Callable[[], Curves]


@dataclass(frozen=True)
class Task:
    """What every engine is asked for.

    Attributes:
        model: Inputs (B, 3, SIZE, SIZE) to logits (B, K).
        x: (N, 3, SIZE, SIZE) float32, channels-last.
        targets: (N,) int64.
        maps: (N, SIZE, SIZE) float32 whole numbers, each once in a map.
        steps: Intervals of a curve; they divide the number of pixels.
        batch_size: Forward passes in a batch; it divides N, so that all engines' batches are full.
    """

    model: nn.Module
    x: Tensor
    targets: Tensor
    maps: Tensor
    steps: int
    batch_size: int

    def only(self, image: int) -> "Task":
        """The same for one image."""
        chosen = slice(image, image + 1)
        return replace(self, x=self.x[chosen], targets=self.targets[chosen], maps=self.maps[chosen])

    def pixels(self) -> NDArray[np.float32]:
        """The images (N, SIZE, SIZE, 3), as numpy and TensorFlow want them."""
        return np.ascontiguousarray(self.x.permute(0, 2, 3, 1).cpu().numpy())


@dataclass
class Engine:
    """One row of the table.

    Attributes:
        name: In the table.
        prepare: What is not timed; gives what is.
        against: The row it is compared with.
        passes: Forward passes that one run makes.
        points: Curve points that one run gives.
        difference: From our curves, as a share of their range.
        seconds: One entry a repeat.
    """

    name: str
    prepare: Callable[[Task], Run]
    against: str = "bench, stable"
    passes: int = 0
    points: int = 0
    difference: float = 0.0
    seconds: list[float] = field(default_factory=list)


def bench_both(task: Task, ties: str) -> Run:
    """Our engine through its public function."""
    protocol = Protocol.of(
        "compare",
        "probability",
        ties,
        Insertion(ZeroBaseline(), steps=task.steps),
        Deletion(ZeroBaseline(), steps=task.steps),
    )

    def run() -> Curves:
        ours = insertion_deletion(
            task.model, task.x, task.targets, task.maps, protocol, batch_size=task.batch_size
        )
        return {
            "insertion": ours.insertion.mean(axis=0),
            "deletion": ours.deletion.mean(axis=0),
            "insertion_auc": ours.insertion_auc.mean(),
            "deletion_auc": ours.deletion_auc.mean(),
        }

    return run


def bench_deletion(task: Task) -> Run:
    """Half of our engine's work, for peers without insertion.

    The insertion has a single step: both its points are end points, which deletion needs anyway.
    """
    protocol = Protocol.of(
        "compare",
        "probability",
        "stable",
        Insertion(ZeroBaseline(), steps=1),
        Deletion(ZeroBaseline(), steps=task.steps),
    )

    def run() -> Curves:
        ours = insertion_deletion(
            task.model, task.x, task.targets, task.maps, protocol, batch_size=task.batch_size
        )
        return {"deletion": ours.deletion.mean(axis=0), "deletion_auc": ours.deletion_auc.mean()}

    return run


def xplique(task: Task, wrapped: bool) -> Run:
    """Xplique's Insertion and Deletion.

    Args:
        task: What is asked for.
        wrapped: Through Xplique's TorchWrapper, which records a graph for gradients on each call;
            else through an operator that does not and that hands over the arrays uncopied.
    """
    import tensorflow as tf
    from xplique import metrics
    from xplique.wrappers import TorchWrapper

    device = task.x.device
    probabilities = nn.Sequential(task.model, nn.Softmax(dim=-1)).eval()
    wrapper = TorchWrapper(probabilities, device, is_channel_first=True)

    def operator(model: nn.Module, inputs: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        with torch.inference_mode():
            batch = torch.from_numpy(inputs.numpy()).permute(0, 3, 1, 2).to(device)
            scores = model(batch) * torch.from_numpy(targets.numpy()).to(device)
            return tf.constant(scores.sum(dim=1).cpu().numpy())

    with torch.inference_mode():
        classes = task.model(task.x[:1]).shape[1]
    hot = np.eye(classes, dtype=np.float32)[task.targets.cpu().numpy()]
    pixels, maps = task.pixels(), task.maps.cpu().numpy()
    settings = {"batch_size": task.batch_size, "steps": task.steps}
    if not wrapped:
        settings["operator"] = operator
    model = wrapper if wrapped else probabilities

    def run() -> Curves:
        curves: Curves = {}
        for name, metric in (("insertion", metrics.Insertion), ("deletion", metrics.Deletion)):
            points = metric(model, pixels, hot, **settings).detailed_evaluate(maps)
            curves[name] = np.array(list(points.values()))
            curves[f"{name}_auc"] = auc(curves[name])
        return curves

    return run


def quantus(task: Task) -> Run:
    """Quantus' PixelFlipping, which has no point for the clean image.

    It flips single values. Ours are whole pixels, so its map puts a pixel's three channels next to
    each other and a step is three values for each of our pixels. Its check that a step divides the
    number of pixels (not of values) forbids this and is left out.
    """
    from quantus import PixelFlipping

    class WholePixels(PixelFlipping):
        def custom_preprocess(self, x_batch: NDArray[np.float32], **kwargs: Any) -> None:
            """Checks nothing."""

    pixels = np.ascontiguousarray(task.x.cpu().numpy())
    maps = 3 * task.maps.cpu().numpy()[:, None] + np.arange(3, dtype=np.float32)[:, None, None]
    targets = task.targets.cpu().numpy()
    metric = WholePixels(
        features_in_step=3 * SIZE * SIZE // task.steps,
        normalise=False,
        perturb_baseline=0.0,
        disable_warnings=True,
    )

    def run() -> Curves:
        curves = metric(
            model=task.model,
            x_batch=pixels,
            y_batch=targets,
            a_batch=maps,
            channel_first=True,
            softmax=True,
            device=str(task.x.device),
            batch_size=task.batch_size,
        )
        return {"deletion": np.concatenate([[np.nan], np.mean(curves, axis=0)])}

    return run


@dataclass(frozen=True)
class _Maps:
    """What torch-cam's metric asks of an extractor, around maps that are there already."""

    model: nn.Module
    maps: Tensor

    def __call__(self, *args: Any, **kwargs: Any) -> list[Tensor]:
        return [self.maps]

    def fuse_cams(self, cams: list[Tensor]) -> Tensor:
        return cams[0]

    def _hooks_off(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def torch_cam(task: Task) -> Run:
    """torch-cam's DeletionInsertionMetric, which keeps areas only.

    It flattens the images of each batch, which would copy channels-last ones.
    """
    from torchcam.metrics import DeletionInsertionMetric

    metric = DeletionInsertionMetric(
        _Maps(task.model, task.maps),
        partial(torch.softmax, dim=-1),
        steps=task.steps,
        batch_size=task.batch_size,
    )
    x, targets = task.x.contiguous(), task.targets.tolist()

    def run() -> Curves:
        metric.reset()
        with torch.no_grad():
            metric.update(x, targets)
        return metric.summary()

    return run


def plain_loop(task: Task) -> Run:
    """A straightforward loop over steps, as in RISE: numpy changes the whole set, then batches."""
    pixels, maps = task.pixels(), task.maps.cpu().numpy()
    images, device = np.arange(len(pixels))[:, None], task.x.device
    each = SIZE * SIZE // task.steps

    @torch.inference_mode()
    def scores(current: NDArray[np.float32]) -> float:
        values = []
        for start in range(0, len(current), task.batch_size):
            batch = torch.from_numpy(current[start : start + task.batch_size]).to(device)
            outputs = task.model(batch.permute(0, 3, 1, 2)).softmax(dim=1)
            targets = task.targets[start : start + task.batch_size, None]
            values.append(outputs.gather(1, targets)[:, 0].cpu().numpy())
        return np.concatenate(values).mean()

    def curve(start: NDArray[np.float32], end: NDArray[np.float32]) -> NDArray[np.float32]:
        order = np.argsort(maps.reshape(len(maps), -1), axis=1)[:, ::-1]
        current = start.copy()
        values = current.reshape(len(maps), -1, 3)
        final = end.reshape(len(maps), -1, 3)
        points = [scores(current)]
        for step in range(task.steps):
            changed = order[:, step * each : (step + 1) * each]
            values[images, changed] = final[images, changed]
            points.append(scores(current))
        return np.array(points)

    def run() -> Curves:
        zero = np.zeros_like(pixels)
        curves = {"insertion": curve(zero, pixels), "deletion": curve(pixels, zero)}
        return curves | {f"{name}_auc": auc(points) for name, points in curves.items()}

    return run


def floor(task: Task) -> Run:
    """Nothing but as many forward passes as two whole curves have points."""
    batch = task.x[: task.batch_size]

    @torch.inference_mode()
    def run() -> Curves:
        for _ in range(2 * (task.steps + 1) * len(task.x) // task.batch_size):
            task.model(batch)
        return {}

    return run


def engines() -> list[Engine]:
    """All rows of the table; the first is what the others must equal, the last the floor."""
    return [
        Engine("bench, stable", partial(bench_both, ties="stable")),
        Engine("bench, numpy_1_23", partial(bench_both, ties="numpy_1_23")),
        Engine("bench, deletion only", bench_deletion),
        Engine("Xplique, TorchWrapper", partial(xplique, wrapped=True)),
        Engine("Xplique, operator without autograd", partial(xplique, wrapped=False)),
        Engine("Quantus PixelFlipping, deletion only", quantus, against="bench, deletion only"),
        Engine("torch-cam DeletionInsertionMetric", torch_cam),
        Engine("plain numpy loop, as in RISE", plain_loop),
        Engine("forward passes only", floor),
    ]


def make_model(name: str, device: torch.device) -> nn.Module:
    """Builds a model in eval mode, frozen and channels-last."""
    torch.manual_seed(0)
    if name == "lite0":
        model = efficientnet_lite0().module
    elif name == "free":
        model = nn.Sequential(nn.AvgPool2d(SIZE // 7), nn.Flatten(), nn.Linear(3 * 49, 1000))
    else:
        model = timm.create_model(name, pretrained=False)
    model = model.eval().requires_grad_(False)
    return model.to(device, memory_format=torch.channels_last)


def make_task(model: nn.Module, images: int, steps: int, batch_size: int, device: str) -> Task:
    """Photos, predicted classes, and smooth maps without ties."""
    samples = Photos(max_images=min(images, 20)).samples
    x = efficientnet_lite0().preprocess([sample.read() for sample in samples]).to(device)
    x = x[torch.arange(images, device=device) % len(x)]
    x = x.contiguous(memory_format=torch.channels_last)
    coarse = torch.randn(images, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    smooth = nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic")[:, 0]
    maps = order_pixels(-smooth).argsort(dim=1).view(smooth.shape).float().to(device)
    with torch.inference_mode():
        targets = torch.cat([model(part).argmax(dim=1) for part in x.split(batch_size)])
    return Task(model, x, targets.clone(), maps, steps, batch_size)


@contextlib.contextmanager
def counted(model: nn.Module) -> Iterator[list[int]]:
    """Sizes of the batches that go through the model meanwhile."""
    sizes: list[int] = []
    handle = model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    try:
        yield sizes
    finally:
        handle.remove()


def difference(found: Curves, ours: Curves) -> float:
    """Largest difference from our curves and areas, as a share of the range of our curve."""
    largest = 0.0
    for name, values in found.items():
        range_ = np.ptp(ours[name.removesuffix("_auc")])
        apart = np.abs(np.asarray(values, dtype=np.float64) - ours[name]) / range_
        largest = max(largest, float(np.nanmax(apart)))
    return largest


def check(engine: Engine, task: Task, ours: list[Curves]) -> Run:
    """Compares an engine with ours on each image alone and on all, and counts its passes.

    Args:
        engine: Gets its passes, points and difference.
        task: What is asked for.
        ours: Our curves of each image, and of all as the last.

    Returns:
        What is to be timed.

    Raises:
        ValueError: Its curves are not ours.
    """
    for image in range(len(task.x)):
        alone = engine.prepare(task.only(image))()
        engine.difference = max(engine.difference, difference(alone, ours[image]))
    run = engine.prepare(task)
    with counted(task.model) as sizes:
        curves = run()
    engine.difference = max(engine.difference, difference(curves, ours[-1]))
    if engine.difference > TOLERANCE:
        raise ValueError(f"its curves differ from ours by {engine.difference:.2%} of their range")
    engine.passes = sum(sizes)
    directions = len({name.removesuffix("_auc") for name in curves})
    engine.points = (directions or 2) * (task.steps + 1) * len(task.x)
    return run


def compare(task: Task, repeats: int, only: str) -> tuple[list[Engine], list[str]]:
    """Checks and times engines, taking turns.

    Args:
        task: What they are asked for.
        repeats: How often each is timed.
        only: Part of the names of peers to take; ours and the floor are always there.

    Returns:
        Engines with their times, and why others have none.
    """
    every = engines()
    rows = [row for row in every if only in row.name or row is every[-1] or "bench" in row.name]
    tasks = [*(task.only(image) for image in range(len(task.x))), task]
    ours = [rows[0].prepare(each)() for each in tasks]
    runs: list[tuple[Engine, Run]] = []
    left_out = []
    for engine in rows:
        try:
            runs.append((engine, check(engine, task, ours)))
        except ImportError as error:
            left_out.append(f"{engine.name}: skipped, not installed ({error})")
        except Exception as error:  # a peer's own failure is a result, too
            if engine.name.startswith("bench"):
                raise
            left_out.append(f"{engine.name}: not timed: {type(error).__name__}: {error}")
    for engine, run in runs:
        print(f"  equal within {engine.difference:.1e}: {engine.name}", flush=True)
        run()
    for _ in range(repeats):
        for engine, run in runs:
            engine.seconds.append(_seconds(run, task.x.device))
    return [engine for engine, _ in runs], left_out


def _seconds(run: Run, device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


def table(rows: list[Engine]) -> str:
    """The results as a Markdown table."""
    by_name = {engine.name: engine for engine in rows}
    bare = _each(rows[-1])
    lines = [
        "| engine | passes | ms a pass | overhead, ms a pass | overhead : ours | forward share "
        "| ms a curve point | time : ours | differs by |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for engine in rows:
        each, ours = _each(engine), by_name[engine.against]
        over = _overheads(engine, bare)
        over_ours = statistics.median(_overheads(ours, bare))
        told = over_ours > 0.1 * statistics.median(bare)  # else it is noise, and so is a ratio
        point = statistics.median(engine.seconds) / engine.points
        pairs = zip(engine.seconds, ours.seconds, strict=True)
        slower = statistics.median(a / b for a, b in pairs) * ours.points / engine.points
        share = statistics.median(b / a for a, b in zip(each, bare, strict=True))
        cells = [engine.name, str(engine.passes), _spread(each)]
        if engine is rows[-1]:
            cells += ["0", "", "100.0%", f"{1000 * point:.3f}", f"{slower:.2f}", ""]
        else:
            cells += [
                _spread(over),
                f"{statistics.median(over) / over_ours:.2f}" if told else "",
                f"{share:.1%}",
                f"{1000 * point:.3f}",
                f"{slower:.2f}",
                f"{engine.difference:.0e}",
            ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _each(engine: Engine) -> list[float]:
    """Milliseconds a pass, one entry a repeat."""
    return [1000 * seconds / engine.passes for seconds in engine.seconds]


def _overheads(engine: Engine, bare: list[float]) -> list[float]:
    return [a - b for a, b in zip(_each(engine), bare, strict=True)]


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.3f} ({min(values):.3f}..{max(values):.3f})"


def environment(device: torch.device) -> str:
    """Versions, device, threads and command, as Markdown."""
    made = provenance(device)
    found = []
    for package in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return "\n".join(
        [
            f"- command: `python {' '.join(sys.argv)}`",
            f"- device: {made['device']}, {made['threads']} threads, {os.cpu_count()} cores",
            f"- versions: python {made['python']}, {', '.join(found)}",
            f"- commit: {made['git']}",
        ]
    )


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="both", choices=("lite0", "free", "both", "resnet101"))
    parser.add_argument("--images", type=int, default=16, help="a multiple of the batch size")
    parser.add_argument("--steps", type=int, default=16, help=f"a divisor of {SIZE * SIZE}")
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="part of a peer's name, torch-cam for instance")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    given = parser.parse_args()
    if min(given.images, given.steps, given.batch_size, given.repeats) < 1:
        parser.error("--images, --steps, --batch-size and --repeats must be at least 1")
    if given.images % given.batch_size:
        parser.error("--images must be a multiple of --batch-size: some peers batch images only")
    if SIZE * SIZE % given.steps:
        parser.error(f"--steps must divide {SIZE * SIZE}: other points differ between peers")
    return given


def main() -> None:
    """Compares and prints."""
    given = parse()
    warnings.filterwarnings("ignore", message="TF is set to run eagerly")
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    keep_freed_memory()
    device = resolve_device(given.device)
    parts = [environment(device) + "\n" + NOTES]
    for name in MODELS.get(given.model, [given.model]):
        title = (
            f"{name}: {given.images} images, {given.steps} steps, batches of {given.batch_size}, "
            f"{given.repeats} repeats, {device}"
        )
        print(title, flush=True)
        model = make_model(name, device)
        task = make_task(model, given.images, given.steps, given.batch_size, device)
        rows, left_out = compare(task, given.repeats, given.only)
        parts.append("\n\n".join([f"## {title}", table(rows), *left_out]))
    report = "\n\n".join(parts)
    print(report)
    if given.output:
        given.output.write_text(report + "\n", encoding="utf-8")


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # read when TensorFlow is first imported
    main()
