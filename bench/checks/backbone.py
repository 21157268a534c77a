"""`bench check backbone=...`: what a loaded network is, and how fast it is."""

import statistics
import time

import numpy as np
import torch
from rich.console import Console
from torch import Tensor

from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone, Preprocessing
from bench.device import synchronize
from bench.errors import BenchError
from bench.evaluation.repeatability import repeatability, warning
from bench.score import check_outputs

_REPEATS = 5


def check_backbone(
    backbone: Backbone, score: str, device: torch.device, batch_size: int, console: Console
) -> None:
    """Prints what a loaded network is and how fast.

    Args:
        backbone: On `device`, at its precision.
        score: What the protocol at hand reads off the outputs.
        device: Where the network lives.
        batch_size: Inputs in one forward pass.
        console: Where the findings go.

    Raises:
        BenchError: The outputs are not what the backbone states, or cannot give the score.
    """
    scorer = Scorer(backbone, score, batch_size)
    draws = np.random.default_rng(0)
    noise = draws.integers(0, 256, (batch_size, 32, 32, 3), dtype=np.uint8)
    x = backbone.preprocess(list(noise)).to(device)
    outputs = scorer.outputs_in_batches(x)
    check_outputs(outputs, score, backbone.output_kind, backbone.dtype)
    zero = backbone.preprocessing.to_rgb(torch.zeros(backbone.preprocessing.channels)).tolist()
    findings = {
        "input": _input(backbone.preprocessing),
        "zero baseline": f"RGB ({', '.join(f'{value:.6g}' for value in zero)})",
        "outputs": f"{backbone.num_classes:,} {backbone.output_kind}; score: {score}",
        "CAM layer": _cam_layer(backbone),
        "feature layer": _layer(backbone, backbone.feature_layer),
        "parameters": f"{sum(p.numel() for p in backbone.module.parameters()):,}",
        "weights sha256": str(backbone.identity()["weights_sha256"]),
        "file sha256": backbone.file_sha256 or "not from a file of yours",
        "speed": f"{_images_per_second(backbone, x, device):.1f} images/s in batches of "
        f"{batch_size}, {backbone.precision}{', compiled' if backbone.is_compiled else ''}, "
        f"{device}",
    }
    width = max(map(len, findings))
    for note in backbone.notes:
        console.print(note, soft_wrap=True, highlight=False, markup=False)
    console.print(f"backbone {backbone.name}", highlight=False)
    for name, finding in findings.items():
        console.print(f"  {name:{width}}  {finding}", highlight=False, soft_wrap=True)
    broken = int((~outputs.isfinite()).any(dim=1).sum())
    if broken:
        told = f"outputs are NaN or infinite for {broken} of {len(outputs)} noise images: look at "
        told += "the weights and the precision; a run keeps no row of such an image"
        console.print(f"Warning: {told}", highlight=False, soft_wrap=True)
    differences = repeatability(scorer, x).differences
    if differences:
        told = warning(backbone.name, differences)
        console.print(f"Warning: {told}", highlight=False, soft_wrap=True)


def _input(made: Preprocessing) -> str:
    """Size, order and making of the network's inputs."""
    resized = made.resize if made.crop is None else f"{made.resize}, centre crop {made.crop}"
    order = "grey" if made.channels == 1 else made.channel_order
    return f"{made.shape[0]} x {made.shape[1]}, {order}, {resized}"


def _layer(backbone: Backbone, name: str | None, reason: str = "") -> str:
    """A layer's name and the shape of what it gives for one image; or why there is none."""
    if name is None:
        return f"none: {reason}" if reason else "none"
    return f"{name} {backbone.output_shape(name)}"


def _cam_layer(backbone: Backbone) -> str:
    """The CAM layer, its shape and its layout; or why there is none."""
    if backbone.cam_layer is None:
        return _layer(backbone, None, backbone.no_cam_layer)
    try:
        layout = f", {backbone.layout()}"
    except BenchError as error:
        layout = f": {error}"
    return f"{_layer(backbone, backbone.cam_layer)}{layout}"


@torch.inference_mode()
def _images_per_second(backbone: Backbone, x: Tensor, device: torch.device) -> float:
    backbone.outputs(x)  # a compiled network is compiled now
    seconds = []
    for _ in range(_REPEATS):
        started = time.perf_counter()
        backbone.outputs(x)
        synchronize(device)
        seconds.append(time.perf_counter() - started)
    return len(x) / statistics.median(seconds)
