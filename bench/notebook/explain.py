"""`bench.explain`: maps of any method on any network."""

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from bench.arrays import as_integer
from bench.attribution.maps import in_one_channel
from bench.attribution.method import Batch
from bench.attribution.scorer import Scorer
from bench.backbones.backbone import AUTO, Backbone
from bench.config.building import check_methods
from bench.device import resolve_batch_size
from bench.errors import BenchError, require_integer
from bench.evaluation.explain import Explainer
from bench.evaluation.method_run import MethodRun
from bench.notebook.data import Given, as_data
from bench.notebook.methods import as_method
from bench.notebook.network import Colours, NetworkSettings, as_network, home_of
from bench.target import LABEL, PREDICTION

_BLOCK = 32
"""Images that a method is given at once, as in a run."""


def explain(
    method: Any,
    model: nn.Module | Backbone | str,
    x: ArrayLike,
    targets: ArrayLike | None = None,
    *,
    score: str = "output",
    output_kind: str = "logits",
    preprocessing: Any = None,
    mean: Colours | None = None,
    std: Colours | None = None,
    cam_layer: str | None = AUTO,
    cam_layout: Any = AUTO,
    feature_layer: str | None = None,
    batch_size: int | str = "auto",
    seed: int = 0,
    **settings: Any,
) -> NDArray[np.floating]:
    """Saliency maps of a shipped method, or of yours, on any torch module.

    Args:
        method: A name of `bench list methods`, a `bench.attribution.method.Method`, or a function
            `f(model, x, targets)`.
        model: A torch module in eval mode, inputs (B, C, H, W) to outputs (B, K); a `Backbone`; or
            a name for `bench.load_backbone`. A module is left as it is.
        x: (N, C, H, W) floating point inputs, preprocessed; or photos (N, H, W, 3) uint8, which a
            backbone prepares itself and a module by `preprocessing`.
        targets: (N,) integer classes; None: the model's predictions.
        score: What is explained, a key of `bench.score.SCORES`: the outputs as they are, which is
            what the protocol of `bench.insertion_deletion` scores, or `probability`, as runs do by
            default.
        output_kind: What a module's outputs are: `logits`, `probabilities`, `cosines` or
            `multilabel`.
        preprocessing: Of a module and photos: `bench.backbones.backbone.Preprocessing`, or its
            settings.
        mean: What was taken off inputs in 0..1, one number or one a channel, for methods that look
            at photos. None: they see inputs stretched from the least to the largest value.
        std: What inputs were divided by, as mean.
        cam_layer: Of a module: the submodule of class activation maps, `auto` or None.
        cam_layout: How its output holds maps; see `bench.backbones.backbone.Backbone`.
        feature_layer: The submodule that gives embeddings, for methods that ask for them.
        batch_size: Inputs in one forward pass; `auto`: 16 on a CPU, 64 elsewhere, halved when
            memory runs out.
        seed: Of all draws.
        **settings: Of the method, as `num_masks=500`: those in its file in `conf/method`.

    Returns:
        Maps (N, H, W), higher = more important, float32; float64 of a method that gives that. They
        are those that `bench.evaluate` judges, for the same score and seed.

    Raises:
        BenchError: A name or a setting is unknown, shapes do not fit, the model fails, or the
            method cannot explain it or fails on an image.

    Example:
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(144, 5)).eval()
        >>> explain("rise", net, torch.rand(2, 3, 8, 8), [0, 3], num_masks=20).shape
        (2, 8, 8)
    """
    seed = as_integer(seed)
    require_integer("seed", seed, 0)
    if settings and not isinstance(method, str):
        raise BenchError(
            f"{next(iter(settings))}: settings go with the name of a method; an object or a "
            "function has its settings already"
        )
    label = method if isinstance(method, str) else getattr(method, "__name__", "method")
    chosen = as_method(label, {"method": method, **settings} if settings else method).method
    given = as_data((x, targets))
    said = NetworkSettings(
        None, output_kind, preprocessing, mean, std, cam_layer, cam_layout, feature_layer
    )
    with as_network(model, given, said) as backbone:
        check_methods({label: chosen}, backbone, score)
        if given.is_labelled:
            given.dataset.check_targets(backbone.num_classes)
        scorer = Scorer(
            backbone,
            score,
            resolve_batch_size(batch_size, home_of(backbone)),
            may_shrink=batch_size == "auto",
        )
        run = MethodRun(label, chosen, chosen.passes(backbone))
        explainer = Explainer(scorer, {}, target=LABEL if given.is_labelled else PREDICTION)
        return _maps(explainer, run, given, seed)


def _maps(explainer: Explainer, run: MethodRun, given: Given, seed: int) -> NDArray[np.floating]:
    """Maps of all images, block by block."""
    backbone, maps = explainer.scorer.backbone, []
    device = home_of(backbone)
    samples = given.dataset.samples
    for start in range(0, len(samples), _BLOCK):
        block = samples[start : start + _BLOCK]
        images = [sample.read() for sample in block]
        x = backbone.preprocess(images).to(device)
        labels = torch.tensor([sample.target for sample in block], device=device)
        with torch.no_grad():
            classes = explainer.classes(labels, x)
        photos = [backbone.preprocessing.to_photo(image) for image in images]
        ids = [sample.image_id for sample in block]
        found = explainer(run, Batch(x, classes, ids, photos, seed))
        if found.failures or found.maps is None:
            failure = found.failures[0]
            error = BenchError(f"image {failure.image_id}: {failure.reason}")
            if failure.trace:
                error.add_note(failure.trace)
            raise error
        maps.append(in_one_channel(found.maps).cpu().numpy())
    return np.concatenate(maps)
