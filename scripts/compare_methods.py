"""Speed of attribution methods next to other packages that have them.

Each package is asked for the same method with as many samples, on the same images and model, with
the same batch size, in one process; ours and theirs take turns. How much the maps agree is told as
Spearman's correlation: packages upsample, fill and draw in ways of their own. Runs in the
environment of scripts/peers/requirements.txt; a package that is not installed is skipped:

    .venv-peers/bin/python scripts/compare_methods.py --output methods_peers.md

Not timed, in favour of the peers: making their arrays, one-hot targets and model wrappers.
"""

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from compare_peers import counted, environment
from numpy.typing import NDArray
from scipy.stats import spearmanr
from torch import Tensor, nn
from torch.nn import functional

from bench.attribution import cam, gradient, masking, sensitivity, surrogate
from bench.attribution.method import Batch, Method
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import Backbone
from bench.backbones.efficientnet_lite import efficientnet_lite0
from bench.datasets.photos import Photos
from bench.device import keep_freed_memory, resolve_device

Maps = Callable[[], NDArray[np.float32] | Tensor]
"""Makes maps (N, H, W)."""


@dataclass(frozen=True)
class Task:
    """What every package is asked for.

    Attributes:
        backbone: The network.
        batch: N images.
        batch_size: Passes in one batch.
    """

    backbone: Backbone
    batch: Batch
    batch_size: int

    @property
    def model(self) -> nn.Module:
        """Inputs to probabilities."""
        return nn.Sequential(self.backbone.module, nn.Softmax(dim=1)).eval()

    @property
    def samples_at_once(self) -> int:
        """Samples of each image that fill a batch, for packages that count so."""
        return max(self.batch_size // len(self.batch.x), 1)


@dataclass(frozen=True)
class Work:
    """One of our methods, and who else has it.

    Attributes:
        method: Ours.
        peers: Package -> what makes its maps.
        images: How many images are explained.
    """

    method: Method
    peers: Mapping[str, Callable[[Task], Maps]]
    images: int = 2


def ours(task: Task, method: Method) -> Maps:
    """Our own maps."""
    scorer = Scorer(task.backbone, "probability", task.batch_size)
    return lambda: method(scorer, task.batch)


def captum(task: Task, name: str, reduce: str = "mean", noise: str = "", **settings: Any) -> Maps:
    """Captum's, its channels reduced.

    Args:
        task: What is asked for.
        name: The name of its class.
        reduce: `mean` or `amax` over the channels.
        noise: A kind of its NoiseTunnel, around the class.
        settings: The settings of `attribute`.
    """
    from captum import attr

    method = getattr(attr, name)(task.model)
    if noise:
        method = attr.NoiseTunnel(method)
        settings |= {"nt_type": noise, "nt_samples_batch_size": task.samples_at_once}
    x, targets = task.batch.x, task.batch.targets

    def run() -> Tensor:
        attributions = method.attribute(x, target=targets, **settings)
        return getattr(attributions, reduce)(dim=1).detach()

    return run


def captum_cam(task: Task) -> Maps:
    """Captum's Grad-CAM at the same layer."""
    from captum.attr import LayerGradCam

    method = LayerGradCam(task.model, task.backbone.layer())
    x, targets = task.batch.x, task.batch.targets

    def run() -> Tensor:
        maps = method.attribute(x, target=targets, relu_attributions=True)
        return functional.interpolate(maps, x.shape[2:], mode="bicubic")[:, 0].detach()

    return run


def captum_segments(task: Task, name: str, method: Any, **settings: Any) -> Maps:
    """Captum's surrogates, on our segments, image by image as it wants them."""
    from captum import attr

    peer = getattr(attr, name)(task.model)
    x, targets = task.batch.x, task.batch.targets

    def run() -> Tensor:
        maps = []
        for image, target in zip(x.split(1), targets, strict=True):
            segments = method._segments(image[0])  # so that both divide the image, and alike
            maps.append(
                peer.attribute(
                    image,
                    target=target,
                    feature_mask=segments[None, None].expand_as(image),
                    baselines=method.fill,
                    n_samples=method.num_samples,
                    perturbations_per_eval=task.batch_size,
                    **settings,
                )[:, 0]
            )
        return torch.cat(maps).detach()

    return run


def grad_cam(task: Task, name: str) -> Maps:
    """pytorch-grad-cam's at the same layer."""
    import pytorch_grad_cam
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    method = getattr(pytorch_grad_cam, name)(task.model, [task.backbone.layer()])
    method.batch_size = task.batch_size
    wanted = [ClassifierOutputTarget(target) for target in task.batch.targets.tolist()]
    x = task.batch.x.clone().requires_grad_()  # the weights are frozen
    return lambda: method(input_tensor=x, targets=wanted)


def xplique(task: Task, name: str, **settings: Any) -> Maps:
    """Xplique's, on the network in its TorchWrapper; methods that need Keras layers cannot."""
    from xplique import attributions
    from xplique.wrappers import TorchWrapper

    wrapper = TorchWrapper(task.model, task.batch.x.device, is_channel_first=True)
    method = getattr(attributions, name)(wrapper, batch_size=task.batch_size, **settings)
    pixels = np.ascontiguousarray(task.batch.x.permute(0, 2, 3, 1).cpu().numpy())
    hot = np.eye(task.backbone.num_classes, dtype=np.float32)[task.batch.targets.cpu().numpy()]

    def run() -> NDArray[np.float32]:
        maps = np.asarray(method(pixels, hot))
        return maps.mean(axis=-1) if maps.ndim == 4 else maps

    return run


@cache
def works(num_samples: int) -> dict[str, Work]:
    """What is compared, by our method's name.

    Args:
        num_samples: Samples of the methods that may be asked for any number.
    """
    noisy = {"nt_samples": 80, "stdevs": 0.2}
    occluded = {"sliding_window_shapes": (3, 10, 10), "strides": (3, 10, 10), "baselines": 0}
    riemann = {"n_steps": 80, "method": "riemann_trapezoid", "internal_batch_size": 16}
    lime, shap = surrogate.Lime(num_samples), surrogate.KernelShap(num_samples)
    return {
        "saliency": Work(
            gradient.Saliency(),
            {"Captum": partial(captum, name="Saliency", reduce="amax"),
             "Xplique": partial(xplique, name="Saliency")},
            images=16,
        ),
        "gradient_input": Work(
            gradient.GradientInput(),
            {"Captum": partial(captum, name="InputXGradient"),
             "Xplique": partial(xplique, name="GradientInput")},
            images=16,
        ),
        "integrated_gradients": Work(
            gradient.IntegratedGradients(80),
            {"Captum": partial(captum, name="IntegratedGradients", **riemann),
             "Xplique": partial(xplique, name="IntegratedGradients", steps=80)},
        ),
        **{
            name: Work(
                method(80),
                {"Captum": partial(captum, name="Saliency",
                                   noise=noise, abs=False, **noisy),
                 "Xplique": partial(xplique, name=theirs, nb_samples=80)},
            )
            for name, method, noise, theirs in (
                ("smooth_grad", gradient.SmoothGrad, "smoothgrad", "SmoothGrad"),
                ("square_grad", gradient.SquareGrad, "smoothgrad_sq", "SquareGrad"),
                ("var_grad", gradient.VarGrad, "vargrad", "VarGrad"),
            )
        },
        "grad_cam": Work(
            cam.GradCAM(),
            {"Captum": captum_cam, "pytorch-grad-cam": partial(grad_cam, name="GradCAM")},
            images=16,
        ),
        "grad_cam_pp": Work(
            cam.GradCAMPlusPlus(),
            {"pytorch-grad-cam": partial(grad_cam, name="GradCAMPlusPlus")},
            images=16,
        ),
        "score_cam": Work(
            cam.ScoreCAM(), {"pytorch-grad-cam": partial(grad_cam, name="ScoreCAM")}, images=1
        ),
        "occlusion": Work(
            masking.Occlusion(10, 10),
            {"Captum": partial(captum, name="Occlusion", perturbations_per_eval=8, **occluded),
             "Xplique": partial(xplique, name="Occlusion", patch_size=10, patch_stride=10)},
        ),
        "rise": Work(
            masking.Rise(num_samples),
            {"Xplique": partial(xplique, name="Rise", nb_samples=num_samples, grid_size=7)},
        ),
        "sobol": Work(
            sensitivity.Sobol(8, 8),
            {"Xplique": partial(xplique, name="SobolAttributionMethod", grid_size=8, nb_design=8)},
        ),
        "hsic": Work(
            sensitivity.Hsic(8, num_samples),
            {"Xplique": partial(
                xplique, name="HsicAttributionMethod", grid_size=8, nb_design=num_samples)},
        ),
        "lime": Work(
            lime,
            {"Captum": partial(captum_segments, name="Lime", method=lime),
             "Xplique": partial(xplique, name="Lime", nb_samples=num_samples)},
        ),
        "kernel_shap": Work(
            shap,
            {"Captum": partial(captum_segments, name="KernelShap", method=shap),
             "Xplique": partial(xplique, name="KernelShap", nb_samples=num_samples)},
        ),
    }  # fmt: skip


def main() -> None:
    """Compares and prints."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="names of methods")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--output", type=Path, help="Markdown file to write")
    given = parser.parse_args()
    warnings.filterwarnings("ignore")  # of the peers, about themselves
    keep_freed_memory()
    device = resolve_device(given.device)
    backbone = efficientnet_lite0().to(device)
    lines = [
        environment(device),
        "- times are medians of repeats in which ours and theirs take turns, and so are the ratios",
        f"- {backbone.name}, batches of {given.batch_size}, {given.repeats} repeats",
        "",
        "| method | images | who | forward an image | s an image | time : ours | agreement |",
        "|---|--:|---|--:|--:|--:|--:|",
    ]
    print("\n".join(lines), flush=True)
    for name, work in works(given.samples).items():
        if given.only and name not in given.only:
            continue
        task = Task(backbone, photos(backbone, work.images, device), given.batch_size)
        for line in compare(name, work, task, given.repeats):
            lines.append(line)
            print(line, flush=True)
    if given.output:
        given.output.write_text("\n".join(lines) + "\n")


def compare(name: str, work: Work, task: Task, repeats: int) -> list[str]:
    """Times one method and its peers; returns a table's lines."""
    images, lines, runs, passes = len(task.batch.x), [], {}, {}
    peers = {"bench": partial(ours, method=work.method), **work.peers}
    first_maps = None
    agreement = {}
    for who, prepare in peers.items():
        try:
            run = prepare(task)
            with counted(task.backbone.module) as sizes:
                maps = _numpy(run())
        except ImportError as error:
            lines.append(f"| {name} | {images} | {who} | not installed: {error} | | | |")
            continue
        except Exception as error:  # a peer's own failure is a result, too
            if who == "bench":
                raise
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            lines.append(f"| {name} | {images} | {who} | fails: {reason} | | | |")
            continue
        runs[who], passes[who] = run, sum(sizes)
        first_maps = maps if first_maps is None else first_maps
        agreement[who] = np.mean([_spearman(a, b) for a, b in zip(first_maps, maps, strict=True)])
    seconds: dict[str, list[float]] = {who: [] for who in runs}
    for _ in range(repeats):
        for who, run in runs.items():
            seconds[who].append(_seconds(run, task.batch.x.device))
    for who, times in seconds.items():
        ratio = statistics.median(a / b for a, b in zip(times, seconds["bench"], strict=True))
        lines.append(
            f"| {name} | {images} | {who} | {passes[who] / images:.4g} "
            f"| {statistics.median(times) / images:.3g} | {ratio:.2f} | {agreement[who]:.3f} |"
        )
    return lines


def photos(backbone: Backbone, count: int, device: torch.device) -> Batch:
    """The first packaged photos, as the network wants them."""
    samples = Photos(max_images=count).samples
    images = [sample.read() for sample in samples]
    targets = torch.tensor([sample.target for sample in samples], device=device)
    x = backbone.preprocess(images).to(device)
    return Batch(x, targets, [sample.image_id for sample in samples], images)


def _numpy(maps: NDArray[np.float32] | Tensor) -> NDArray[np.float32]:
    return maps.detach().cpu().numpy() if isinstance(maps, Tensor) else np.asarray(maps)


def _spearman(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    return float(spearmanr(first.ravel(), second.ravel()).statistic)


def _seconds(run: Maps, device: torch.device) -> float:
    started = time.perf_counter()
    run()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
