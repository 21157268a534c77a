r"""Draws what a network takes for a class: the image that maximises the class's score.

Class model visualisation of Simonyan et al. 2014, arXiv 1312.6034, section 2: gradient ascent on

    S_c(I) - regularisation * ||I||^2

from the zero image, where S_c is the network's output before any softmax and I its input, so that
zero is the colour that preprocessing maps to zero.

    python scripts/visualise_class.py --class 207 --class 130 --output classes
    python scripts/visualise_class.py --class 3 backbone=resnet101 backbone.weights=FILE
"""

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.config.building import build_backbone
from bench.config.composing import compose_run
from bench.config.reading import read_settings
from bench.device import keep_freed_memory, resolve_batch_size, resolve_device
from bench.errors import BenchError, require_integer, require_number
from bench.files import file_name, write_atomically


def main() -> None:
    """Draws each class, and tells its score before and after."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help="as of `bench run`")
    parser.add_argument(
        "--class", dest="classes", type=int, action="append", required=True, metavar="INDEX"
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--learning-rate", type=float, default=1.0)
    parser.add_argument("--regularisation", type=float, default=1e-3)
    parser.add_argument("--output", type=Path, default=Path("results/classes"), help="a folder")
    given = parser.parse_intermixed_args()
    try:
        _draw(given)
    except BenchError as error:
        sys.exit(f"visualise_class: error: {error}")


def visualise(
    scorer: Scorer,
    classes: Sequence[int],
    steps: int,
    learning_rate: float,
    regularisation: float,
    *,
    advance: Callable[[], None] = lambda: None,
) -> Tensor:
    """Gradient ascent on the score minus the squared norm, all classes at once.

    Args:
        scorer: A network and the score that is maximised.
        classes: n class indices.
        steps: Steps of the ascent.
        learning_rate: Length of a step, in units of the gradient.
        regularisation: Weight of the squared norm.
        advance: Called after each step.

    Returns:
        (n, 3, S, S) float32 inputs.

    Raises:
        BenchError: An argument is out of range, or the ascent diverges.
    """
    require_integer("steps", steps, 1)
    require_number("learning_rate", learning_rate, 0, math.inf)
    require_number("regularisation", regularisation, 0, math.inf)
    for index in classes:
        if not 0 <= index < scorer.backbone.num_classes:
            raise BenchError(f"class: expected 0..{scorer.backbone.num_classes - 1}, found {index}")
    device = next((parameter.device for parameter in scorer.backbone.module.parameters()), None)
    made = scorer.backbone.preprocessing
    x = torch.zeros(len(classes), made.channels, *made.shape, device=device)
    x = x.contiguous(memory_format=torch.channels_last)
    targets = torch.tensor(classes, device=device)
    for _ in range(steps):
        x += learning_rate * (scorer.input_gradients(x, targets) - 2 * regularisation * x)
        advance()
    if not x.isfinite().all():
        raise BenchError(
            f"learning_rate: the ascent diverges at {learning_rate}; take a smaller one"
        )
    return x


def _draw(given: argparse.Namespace) -> None:
    console = Console()
    try:
        given.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BenchError(f"output: cannot write to '{given.output}': {error.strerror}") from None
    settings = read_settings(compose_run(given.settings))
    device = resolve_device(settings.device)
    keep_freed_memory()
    backbone = build_backbone(settings, device)
    if backbone.output_kind == "probabilities":
        raise BenchError(
            f"backbone: '{backbone.name}' gives probabilities; expected logits or cosines, since a "
            "probability can be raised by making the other classes less likely"
        )
    # No fill: one batch of as many as there are, if they fit.
    batch_size = min(resolve_batch_size(settings.batch_size, device), len(given.classes))
    scorer = Scorer(backbone, "output", batch_size)
    with Progress(console=console) as progress:
        task = progress.add_task("ascent", total=given.steps)
        x = visualise(
            scorer, given.classes, given.steps, given.learning_rate, given.regularisation,
            advance=lambda: progress.advance(task),
        )  # fmt: skip
    before, after = (scorer.outputs_in_batches(batch) for batch in (torch.zeros_like(x), x))
    for row, index in enumerate(given.classes):
        path = given.output / f"{file_name(backbone.name)}_class_{index}.png"
        write_atomically(path, _png(backbone, x[row]))
        top = after[row].argmax().item()
        console.print(
            f"{path}: output {before[row, index]:.2f} -> {after[row, index]:.2f}, prediction {top}",
            soft_wrap=True,
            highlight=False,
        )


def _png(backbone: Backbone, x: Tensor) -> bytes:
    """An input (3, S, S) as the photo that it would be."""
    rgb = (
        backbone.preprocessing.to_rgb(x.permute(1, 2, 0)).round().clamp(0, 255).byte().cpu().numpy()
    )
    return cv2.imencode(".png", rgb[:, :, ::-1])[1].tobytes()


if __name__ == "__main__":
    main()
