"""What stored rows were measured by: metrics, and the statistics that tables show of them.

The one place outside `bench.metrics` that names a metric: all else goes by what is declared here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.metrics.auc import auc as areas_under
from bench.metrics.baseline import ZeroBaseline
from bench.metrics.confidence import Confidence
from bench.metrics.mufidelity import MuFidelity
from bench.metrics.protocol import Perturbation


@dataclass(frozen=True)
class Statistic:
    """A number that tables show of a metric.

    Attributes:
        name: Unique within a protocol. Columns that belong to it begin with it:
            `<name>_ci_low`, `<name>_letters`, `<name>_delta`, ...
        title: In tables and figures, as "Insertion".
        higher_is_better: None where neither is: then nothing is marked, tested or ranked by it.
        column: Of the number itself; `name` by default.
        short: In tables of a terminal, as "ins"; `title` by default.
        quantity: On axes, as "insertion AUC"; `title` in lower case by default.
        digits: After the decimal point.
        is_main: Whether it has an interval, tests and figures; others are a number alone.
        published: Its column in the published tables, if there is one.
        is_area: Whether it depends on the rule for areas under curves.
    """

    name: str
    title: str
    higher_is_better: bool | None
    column: str = ""
    short: str = ""
    quantity: str = ""
    digits: int = 4
    is_main: bool = True
    published: str = ""
    is_area: bool = False

    def __post_init__(self) -> None:
        defaults = {"column": self.name, "short": self.title, "quantity": self.title.lower()}
        for attribute, default in defaults.items():
            if not getattr(self, attribute):
                object.__setattr__(self, attribute, default)


INSERTION = Statistic(
    "insertion", "Insertion", True, "insertion_auc", "ins", "insertion AUC",
    published="insertion_auc", is_area=True,
)  # fmt: skip
DELETION = Statistic(
    "deletion", "Deletion", False, "deletion_auc", "del", "deletion AUC",
    published="deletion_auc", is_area=True,
)  # fmt: skip
SRG = Statistic("srg", "SRG", higher_is_better=True, is_main=False)
MUFIDELITY = Statistic(
    "mufidelity", "MuFidelity", True, MuFidelity.column, short="µF", quantity="MuFidelity"
)
CONFIDENCES = tuple(
    Statistic(
        "confidence" if share == 100 else f"confidence_{share}",
        "Confidence" if share == 100 else f"Confidence {share} %",
        higher_is_better=True,
        column=f"confidence_{share}",
        short="conf" if share == 100 else f"conf {share} %",
        quantity="highest confidence",
        is_main=share == 100,
        published="avg_highest_conf" if share == 100 else "",
    )
    for share in Confidence.shares
)


@dataclass(frozen=True)
class Curve:
    """A curve that a metric stores: scores while pixels are replaced in a map's order.

    Attributes:
        name: The metric's.
        title: Of a panel.
        pixels_are: What happens to pixels along it, as "inserted".
        higher_is_better: Of its area, or of what else is read off it.
        starts_from_image: Else from the baseline.
        max_fraction: Share of the pixels that its last point has replaced.
        settings: Of the metric; steps and rows are in it.
    """

    name: str
    title: str
    pixels_are: str
    higher_is_better: bool
    starts_from_image: bool
    settings: Mapping[str, Any]

    @property
    def curve(self) -> str:
        """The column of its curve."""
        return f"{self.name}_curve"

    @property
    def max_fraction(self) -> float:
        """Share of the pixels that its last point has replaced."""
        return float(self.settings.get("max_fraction", 1))

    def counts(self, height: int, width: int) -> NDArray[np.int32]:
        """Number of changed pixels at each point of the curve, from 0 on."""
        if self.name == "confidence":
            return Confidence(self.settings["steps"]).counts(height, width)
        settings = {key: value for key, value in self.settings.items() if key != "baseline"}
        return Perturbation(ZeroBaseline(), **settings).counts(height, width)


@dataclass(frozen=True)
class StoredProtocol:
    """A protocol as stored rows have it.

    Attributes:
        settings: `identity["protocol"]` of a run.
    """

    settings: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.settings["name"])

    @property
    def score(self) -> str:
        """What is read off the network for the target."""
        return str(self.settings["score"])

    @property
    def ties(self) -> str:
        """How equal values of a map are ordered."""
        rule = str(self.settings["ties"])
        return "running_numpy" if rule == "numpy_legacy" else rule  # as rows of before have it

    @property
    def auc(self) -> str:
        """Its own rule for areas under curves."""
        return str(self.settings["auc"])

    @cached_property
    def statistics(self) -> list[Statistic]:
        """What tables show, metric by metric; the first one ranks methods."""
        found = [INSERTION, DELETION]
        if "confidence" in self.settings:
            found.extend(CONFIDENCES)
        if "mufidelity" in self.settings:
            found.append(MUFIDELITY)
        return [*found, SRG]

    @cached_property
    def curves(self) -> dict[str, Curve]:
        """The metrics that store a curve of replaced pixels, by name."""
        shown = {
            "insertion": ("Insertion", "inserted", True, False),
            "deletion": ("Deletion", "deleted", False, True),
            "confidence": ("Confidence", "revealed", True, False),
        }
        return {
            name: Curve(name, *facts, self.settings[name])
            for name, facts in shown.items()
            if name in self.settings
        }

    def values(
        self, statistic: Statistic, rows: pd.DataFrame, auc: str | None = None
    ) -> NDArray[np.float64]:
        """A statistic's value (n,) of each image; NaN where it does not apply.

        Args:
            statistic: One of `statistics`.
            rows: n stored rows.
            auc: A key of `bench.metrics.auc.AUC_RULES`; its own rule if None.
        """
        if not len(rows):
            return np.empty(0)
        if statistic == SRG:
            if self.settings["insertion"] != self.settings["deletion"]:
                return np.full(len(rows), np.nan)
            return self.quality(rows, auc)
        if statistic == MUFIDELITY:
            return rows[MuFidelity.column].to_numpy(np.float64)
        if statistic in CONFIDENCES:
            settings = self.settings["confidence"]
            share = int(statistic.column.rpartition("_")[2])
            curves = np.stack(rows[Confidence.column].tolist())
            return Confidence(settings["steps"], settings["whole_image"]).highest(curves, share)
        stored = np.stack(rows[f"{statistic.name}_curve"].tolist())
        return areas_under(stored, auc or self.auc, rows["clean_score"].to_numpy())

    def summary(self, statistic: Statistic, rows: pd.DataFrame, auc: str | None = None) -> float:
        """A statistic of a set of images: the mean of their finite values; NaN without any.

        Args:
            statistic: One of `statistics`.
            rows: The images' stored rows.
            auc: See `values`.
        """
        if statistic == SRG and self.settings["insertion"] == self.settings["deletion"]:
            return self.summary(INSERTION, rows, auc) - self.summary(DELETION, rows, auc)
        values = self.values(statistic, rows, auc)
        finite = values[np.isfinite(values)]
        return float(finite.mean()) if len(finite) else float("nan")

    def quality(self, rows: pd.DataFrame, auc: str | None = None) -> NDArray[np.float64]:
        """How well a map does on an image (n,), to find the best and the worst ones.

        Args:
            rows: n stored rows.
            auc: See `values`.
        """
        return self.values(INSERTION, rows, auc) - self.values(DELETION, rows, auc)

    @property
    def quality_in_words(self) -> str:
        """What `quality` is, as in "images on which it is highest"."""
        return "insertion minus deletion"

    def metrics_in_words(self) -> list[str]:
        """Sentences on what each metric asks."""
        starts = {
            "insertion": "Insertion starts without pixels and reveals them",
            "deletion": "Deletion starts from the whole image and removes its pixels",
        }
        sentences = []
        for name, words in starts.items():
            settings = self.settings[name]
            end = "a removed pixel is "
            if name == "insertion":
                end = "a pixel that is not revealed is "
            sentences.append(
                f"{words} in the order of the map, the most important first, {_steps(settings)}; "
                f"{end}{_baseline(settings['baseline'])}."
            )
        if "confidence" in self.settings:
            settings = self.settings["confidence"]
            counted = "counts" if settings["whole_image"] else "does not count"
            sentences.append(
                "Confidence is the highest score while pixels are revealed on "
                f"{_baseline(settings['baseline'])}, in {settings['steps']} steps; the whole image "
                f"{counted}."
            )
        if "mufidelity" in self.settings:
            settings = self.settings["mufidelity"]
            side = settings["grid_size"]
            sentences.append(
                f"MuFidelity is the rank correlation, over {settings['num_masks']} random subsets "
                f"of a grid of {side} by {side} cells, of the drop in score with the sum of the "
                "map over what was replaced."
            )
        return sentences


def _steps(settings: Mapping[str, Any]) -> str:
    words = f"in {settings['steps']} equal steps"
    if settings["steps"] == -1:
        words = "one pixel a step"
    elif settings["steps"] is None:
        count = settings["rows_per_step"]
        words = f"by the pixels of {count} image row{'s' * (count != 1)} a step"
    if settings.get("max_fraction", 1) < 1:
        words += f", up to {settings['max_fraction']:.0%} of the pixels"
    return words


def _baseline(settings: Mapping[str, Any]) -> str:
    words = {
        "ZeroBaseline": "zero in the network's input space",
        "ConstantBaseline": "the colour RGB ({rgb})",
        "MeanBaseline": "the image's own mean colour",
        "BlurBaseline": "the image blurred by a {kernel_size} by {kernel_size} kernel "
        "(sigma {sigma})",
        "UniformBaseline": "uniform noise, the same for all methods",
    }
    shown = {key: value for key, value in settings.items() if key != "kind"}
    if "rgb" in shown:
        shown["rgb"] = ", ".join(f"{value:g}" for value in shown["rgb"])
    return words[settings["kind"]].format(**shown)
