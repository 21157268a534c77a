"""What a run will take, printed before it starts: passes, time and disk."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from bench.attribution.method import Method, Passes
from bench.backbones.backbone import Backbone
from bench.datasets.dataset import Sample
from bench.evaluation.explain import now
from bench.evaluation.method_run import MethodRun
from bench.metrics.protocol import Protocol
from bench.metrics.registry import SIZE
from bench.storage.map_store import DTYPES


@dataclass(frozen=True)
class Cost:
    """What is still to be done; end points of curves are left out.

    Attributes:
        curves: Forward passes of the network that scores.
        forward: Forward passes of the methods.
        backward: Backward passes of the methods.
        map_bytes: What the maps will take on the disk.
        seconds: What metrics take beside passes.
    """

    curves: int
    forward: int
    backward: int
    map_bytes: int
    seconds: float = 0.0

    @property
    def passes(self) -> int:
        """All of them, forward and backward."""
        return self.curves + self.forward + self.backward


def count_cost(
    samples: Sequence[Sample],
    runs: Sequence[MethodRun],
    protocol: Protocol,
    size: tuple[int, int],
    explained: Backbone | None = None,
) -> Cost:
    """Counts what `evaluate_runs` will do; methods whose passes nobody knows count none.

    Args:
        samples: The images.
        runs: The methods.
        protocol: How maps become curves.
        size: Height and width of the networks' inputs.
        explained: The network that methods explain, on which it may depend how often metrics ask
            them again; None: one as is usual.
    """
    curves = forward = backward = map_bytes = 0
    seconds = 0.0
    images: dict[str, set[int]] = {name: set() for name in protocol.metrics}
    for run in runs:
        lacking = run.missing(samples, protocol.metrics)
        curves += _map_passes(lacking, protocol, size)
        for name, positions in lacking.items():
            images[name] |= set(positions)
            share = math.prod(size) / math.prod(SIZE)
            seconds += protocol.metrics[name].seconds_per_map * len(positions) * share
        missing = {samples[i].image_id for positions in lacking.values() for i in positions}
        if run.maps is not None:
            missing = {image_id for image_id in missing if image_id not in run.maps}
            pixel = np.dtype(DTYPES[run.maps.dtype]).itemsize
            pixel *= map_channels(run.method, explained)
            map_bytes += len(missing) * math.prod(size) * pixel
        explanations = len(missing)
        if run.method.can_explain_again:
            explanations += sum(
                protocol.metrics[name].explanations_per_map(explained) * len(positions)
                for name, positions in lacking.items()
            )
        passes = run.passes or Passes()
        forward += passes.forward * explanations
        backward += passes.backward * explanations
    for name, metric in protocol.metrics.items():
        curves += metric.passes_per_image(size) * len(images[name])
    return Cost(int(curves), forward, backward, map_bytes, seconds)


def map_channels(method: Method, explained: Backbone | None = None) -> int:
    """How many numbers a pixel a method's maps have.

    Args:
        method: The method.
        explained: The network; None: one that takes colours.
    """
    if not method.keeps_channels:
        return 1
    return 3 if explained is None else explained.preprocessing.channels


def _map_passes(
    lacking: Mapping[str, Sequence[int]], protocol: Protocol, size: tuple[int, int]
) -> int:
    """Forward passes for the maps of one method, by metric the images that lack its row."""
    passes = 0
    shared: dict[str, tuple[int, set[int]]] = {}
    for name, positions in lacking.items():
        metric = protocol.metrics[name]
        if metric.shared_passes:
            _, before = shared.get(metric.shared_passes, (0, set()))
            shared[metric.shared_passes] = metric.passes_per_map(size), before | set(positions)
        else:
            passes += metric.passes_per_map(size) * len(positions)
    return passes + sum(each * len(positions) for each, positions in shared.values())


def estimate_seconds(
    cost: Cost, backbone: Backbone, explained: Backbone, *, batch_size: int, device: torch.device
) -> float | None:
    """About how long a run takes; a few batches are timed.

    Args:
        cost: See `count_cost`.
        backbone: The network that scores.
        explained: The network that methods explain; it may be the same.
        batch_size: Inputs in a batch.
        device: Where the networks live.

    Returns:
        Seconds; None if such a batch does not fit in memory.
    """
    try:
        forward = explained_forward = _seconds_a_pass(backbone, batch_size, device, backward=False)
        if explained is not backbone and cost.forward:
            explained_forward = _seconds_a_pass(explained, batch_size, device, backward=False)
        backward = 0.0
        if cost.backward:
            both = _seconds_a_pass(explained, batch_size, device, backward=True)
            backward = max(both - explained_forward, 0)
    except torch.OutOfMemoryError:
        return None
    passes = cost.curves * forward + cost.forward * explained_forward + cost.backward * backward
    return passes + cost.seconds


def _seconds_a_pass(
    backbone: Backbone, batch_size: int, device: torch.device, backward: bool
) -> float:
    """Seconds for one image of a batch, with or without the gradient of its outputs."""
    times = [_time_batch(backbone, batch_size, device, backward) for _ in range(3)]
    return min(times[1:]) / batch_size  # the first one warms up


def _time_batch(backbone: Backbone, batch_size: int, device: torch.device, backward: bool) -> float:
    made = backbone.preprocessing
    x = torch.zeros(batch_size, made.channels, *made.shape, device=device)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_(backward)
    started = now(device)
    with torch.inference_mode(not backward):
        outputs = backbone.outputs(x)
        if backward:
            torch.autograd.grad(outputs.sum(), x)
    return now(device) - started
