"""A small made-up leaderboard, to try on it what reads stored rows; no network is needed."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.leaderboard.comparison import Comparison, comparisons
from bench.metrics.pixel_curve import PixelCurve
from bench.metrics.protocol import Protocol, load_protocol
from bench.storage.identity import (
    DatasetIdentity,
    ExplainedIdentity,
    Identity,
    MethodIdentity,
    NetworkIdentity,
)
from bench.storage.store import Run, open_run, stored_runs

SHAPE = (224, 224)
"""Height and width of the network's inputs."""

NAME = "example"
"""The leaderboard of the rows."""

AREAS = {
    "rise": (0.70, 0.62, 0.68, 0.60, 0.66, 0.64, 0.72, 0.58),
    "grad_cam": (0.65, 0.64, 0.60, 0.62, 0.57, 0.60, 0.61, 0.59),
    "random": (0.50, 0.51, 0.49, 0.52, 0.48, 0.50, 0.53, 0.47),
}
"""By method, the area under the curve of each image that begins at the baseline; under one that
begins at the image it is 0.9 minus this."""

_KINDS = {"rise": "Rise", "grad_cam": "GradCAM", "random": "Random"}
_PASSES = {"rise": (4000, 0), "grad_cam": (1, 1), "random": (0, 0)}


def example_runs(results_dir: str | Path, protocol: str = "xplique-probability") -> list[Run]:
    """Stores the rows of two methods and a control on eight images.

    Args:
        results_dir: The results folder; it is made where it is missing.
        protocol: The name of a shipped protocol, all of whose metrics are insertion and deletion
            curves. Rows of several protocols may lie in one folder.

    Returns:
        The runs of the leaderboard `example` in the folder, those of other protocols too, as
        `bench.storage.store.stored_runs` gives them.

    Example:
        >>> runs = example_runs("results")
        >>> sorted(run.label("example") for run in runs)
        ['grad_cam', 'random', 'rise']
        >>> len(runs[0].rows())
        8
    """
    folder, asked = Path(results_dir), load_protocol(protocol)
    for method, areas in AREAS.items():
        identity = Identity(
            DatasetIdentity("birds", num_images=len(areas)),
            NetworkIdentity("toy", preprocessing={"size": SHAPE}),
            ExplainedIdentity("probability"),
            MethodIdentity(method, version=1, settings={"kind": _KINDS[method]}),
            seed=0,
        )
        passes = dict(zip(("forward", "backward"), _PASSES[method], strict=True))
        run = open_run(folder, identity, asked, {}, {"passes": passes, "num_classes": 200})
        run.set_label(NAME, method)
        if len(run.image_ids()) < len(areas):
            run.append(_rows(np.array(areas), asked))
    return list(stored_runs(folder, NAME))


def example_comparison(protocol: str = "xplique-probability") -> Comparison:
    """The rows of `example_runs` as they are compared; nothing is left on the disk.

    Args:
        protocol: See `example_runs`.

    Returns:
        A new copy for each call, whose rows may be changed.

    Example:
        >>> comparison = example_comparison()
        >>> comparison.values("insertion").mean().round(3).to_dict()
        {'rise': 0.65, 'grad_cam': 0.61, 'random': 0.5}
        >>> comparison.controls
        {'random': None}
    """
    return deepcopy(_comparison(protocol))  # whoever changes its rows changes nobody else's


@cache
def _comparison(protocol: str) -> Comparison:
    with TemporaryDirectory() as folder:
        [comparison] = comparisons(example_runs(folder, protocol), NAME)
    return comparison


def _rows(areas: NDArray[np.float64], protocol: Protocol) -> pd.DataFrame:
    images = len(areas)
    numbers = np.arange(images)
    curves = {curve.curve: _curves(areas, curve) for curve in protocol.curves.values()}
    return pd.DataFrame(
        {
            "image_id": [f"bird_{number}.png" for number in numbers],
            "image_label": numbers % 2,
            "target": numbers % 2,
            "prediction": numbers % 2,
            "clean_score": np.float32(1),
            "baseline_score": np.float32(0),
            "tied_fraction": np.float32(0),
            "seconds": np.float32(0.1),
            **curves,
        }
    )


def _curves(areas: NDArray[np.float64], curve: PixelCurve) -> list[NDArray[np.float32]]:
    """Curves (S+1,) between 0 and 1 of these areas by the trapezoid rule, flat in between."""
    steps = len(curve.counts(*SHAPE)) - 1
    first, last = (1, 0) if curve.starts_from_image else (0, 1)
    areas = 0.9 - areas if curve.starts_from_image else areas
    heights = (areas * steps - 0.5) / (steps - 1)
    return [np.array([first, *[height] * (steps - 1), last], np.float32) for height in heights]
