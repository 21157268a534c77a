"""Runs the published experiments on the stand-ins and compares them with real Xplique.

    .venv/bin/python scripts/rehearsal/compare.py FOLDER EXPECTED RESULTS [--full] [--only NAME ...]

FOLDER is what assets.py has written, EXPECTED what reference.py has; RESULTS is for our own.
Every experiment is run as its user runs it, `bench run experiment=paper/...`, with nothing but
paths, methods and, at full size, numbers of samples given. A line of the table says

    maps        largest deviation of our map from Xplique's, over its largest value; for methods
                that draw at random the mean rank correlation instead, which nothing is asked of
    own AUC     how far the areas are from Xplique's, by our maps; the larger of insertion and
                deletion
    its AUC     the same by its maps (of SMDL: its regions), through the method `stored`
    confidence  the same of the average highest confidence, of our maps and of its
    float32     at full size, how far rounding moves our map of a gradient method; maps and areas
                of these methods are compared in float64 there, and nothing is asked of this

Then come deliberate mistakes, each of which the comparison must see. Exits with 1 if anything is
out of tolerance, or a mistake is not seen.
"""

import argparse
import contextlib
import io
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from plan import EXPERIMENTS, GRADIENTS, Experiment, methods, settings
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

import bench
from bench.cli import main as command_line
from bench.metrics.confidence import HighestConfidence
from bench.storage.store import stored_runs

MAP_TOLERANCE, CUBIC_TOLERANCE, AUC_TOLERANCE = 1e-4, 1e-3, 1e-4
CUBIC = ("grad_cam", "grad_cam_pp", "sobol", "hsic", "hsic_vggface2")
"""Their maps are enlarged by a cubic kernel, which rounds differently."""
FLIP_FREE, FLIP_TOLERANCE = 0.95, 1e-2
"""Of a gradient method's map (`plan.GRADIENTS`) so many pixels must be within the tolerance of
maps, the others within this one."""
SCALED = ("score_cam_paper",)
"""Whose maps are compared with their largest value made 1: the record's script divides by it."""
ROUNDING = 5e-5
"""Of the largest value; values that agree so far are the same but for rounding."""
MIN_RANGE = 0.05
"""Of a mean curve: scores that hardly move prove nothing."""
SMOOTH = dict.fromkeys(("smdl_celeba", "smdl_cub", "smdl_cub_misclassified"))
SMOOTH |= {"smdl_vggface2": 28}
"""Of SMDL's methods, whose reference keeps regions."""
REFERENCE, SETTLED = "reference_", "settled_"
"""Prefixes of methods that read maps: Xplique's, and ours."""
EXACT = "exact_"
"""Prefix of methods in float64."""
Maps = dict[str, NDArray[np.float32]]


@dataclass
class Finding:
    """What a method's comparison found.

    Attributes:
        experiment: Name.
        method: Name.
        figures: Column -> deviation.
        problems: What is out of tolerance, in words.
    """

    experiment: str
    method: str
    figures: dict[str, float] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def check(self, column: str, deviation: float, tolerance: float, what: str) -> None:
        """Notes a deviation, the largest of its column, and whether it is too large."""
        self.figures[column] = max(deviation, self.figures.get(column, 0.0))
        if not deviation <= tolerance:  # NaN is a problem, too
            self.problems.append(f"{what} deviates by {deviation:.2g}")


class Rehearsal:
    """One experiment on its stand-ins.

    Args:
        experiment: Which.
        assets: What assets.py has written.
        expected: What reference.py has written.
        results: Folder for our own.
        full: Whether at full size.
    """

    def __init__(
        self, experiment: Experiment, assets: Path, expected: Path, results: Path, full: bool
    ) -> None:
        self.experiment = experiment
        self.assets = assets
        self.expected = expected / experiment.name
        self.results = results
        self.full = full
        content = (self.expected / "results.json").read_text(encoding="utf-8")
        self.figures: dict[str, Any] = json.loads(content)

    def arguments(self) -> list[str]:
        """What names the experiment and its assets."""
        data = self.experiment.data
        root = "CUB_200_2011" if data == "cub" else data
        paths = {f"{data}_root": root, "lists": "lists", "weights": "weights"}
        given = [f'assets.{key}="{self.assets / path}"' for key, path in paths.items()]
        more = (each.replace("{assets}", str(self.assets)) for each in self.experiment.overrides)
        return [f"experiment={self.experiment.config}", *given, *more]

    def searched(self, method: str) -> list[str]:
        """What SMDL is told: the reference has no uncertainty network and cuts at the input's size.

        Its cells are in the order of the reference's prior: at an enlarged map's border rounding
        alone orders them.
        """
        prior = f'{{method:stored,root:"{self.expected / method / "priors"}"}}'
        told = ("confidence=0", "uncertainty=null", "cut_size=null", f"prior={prior}")
        return [f"method.{method}.{each}" for each in told]

    def is_exact(self, method: str) -> bool:
        """Whether a method's map is compared in float64."""
        return self.full and method in GRADIENTS

    def run(self, methods: Sequence[str], stored: Mapping[str, Path], *more: str) -> pd.DataFrame:
        """Runs methods and others that read maps, name -> folder; returns all rows so far.

        Raises:
            RuntimeError: `bench run` has failed.
        """
        conf = self.results / "conf"
        for name, root in stored.items():
            file = conf / "method" / f"{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            node = {name: {"_target_": "bench.attribution.stored.Stored", "root": str(root)}}
            if root.name == "regions":
                smooth = SMOOTH[root.parent.name]
                node[name] |= {"layout": "regions", "smooth": smooth}
            file.write_text(json.dumps(node), encoding="utf-8")  # JSON is YAML
        exact = [name for name in methods if self.is_exact(name)]
        for name in exact:
            file = conf / "method" / f"{EXACT}{name}.yaml"
            file.parent.mkdir(parents=True, exist_ok=True)
            of = {"method": name, **settings(name, True)}
            node = {f"{EXACT}{name}": {"_target_": "exact.Exact", "of": of}}
            file.write_text(json.dumps(node), encoding="utf-8")  # JSON is YAML
        sizes = {name: settings(name, True) for name in methods} if self.full else {}
        arguments = [
            "run",
            *self.arguments(),
            f"method=[{','.join([*methods, *(EXACT + name for name in exact), *stored])}]",
            *(f"method.{name}.{k}={v}" for name, each in sizes.items() for k, v in each.items()),
            *(setting for name in methods if name in SMOOTH for setting in self.searched(name)),
            f'results_dir="{self.results}"',
            "gallery=1000",
            "device=cpu",
            *(["--config-dir", str(conf)] if stored or exact else []),
            *more,
        ]
        log = io.StringIO()
        try:
            with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
                command_line(arguments)
        except SystemExit as stop:
            if stop.code:
                message = f"bench {' '.join(arguments)} failed:\n{log.getvalue()[-3000:]}"
                raise RuntimeError(message) from None
        return bench.load_rows(self.results)

    def maps(self, method: str) -> Maps:
        """Our maps by image, as `bench run` has kept them."""
        (run,) = (each for each in stored_runs(self.results) if each.identity.method.name == method)
        return {image_id: run.load_map(image_id) for image_id in run.rows()["image_id"]}

    def reference(self, method: str) -> Maps:
        """Xplique's maps by image."""
        folder = self.expected / method / "maps"
        return {
            path.relative_to(folder).with_suffix(".jpg").as_posix(): np.load(path)
            for path in sorted(folder.rglob("*.npy"))
        }

    def settle(self, method: str) -> Path:
        """Writes our maps for `stored`; returns the folder.

        Values that agree with Xplique's but for rounding become its values: enlarged maps have many
        that rounding alone puts in an order.
        """
        folder, references = self.results / "settled" / method, self.reference(method)
        for image_id, ours in self.maps(f"{EXACT * self.is_exact(method)}{method}").items():
            theirs = references[image_id]
            ours, theirs = (_scaled(each) if method in SCALED else each for each in (ours, theirs))
            same = np.abs(ours - theirs) <= ROUNDING * np.abs(theirs).max()
            path = (folder / image_id).with_suffix(".npy")
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, np.where(same, theirs, ours))
        return folder

    def compare(self, methods: Sequence[str], *more: str) -> list[Finding]:
        """Runs and compares some methods."""
        references = {
            f"{REFERENCE}{name}": self.expected / name / ("regions" if name in SMOOTH else "maps")
            for name in methods
        }
        self.run(methods, references, *more)
        settled = {f"{SETTLED}{name}": self.settle(name) for name in methods}
        rows = self.run([], settled, *more)
        return [self._finding(name, rows) for name in methods]

    def _finding(self, method: str, rows: pd.DataFrame) -> Finding:
        finding = Finding(self.experiment.name, method)
        pairs = self._pairs(method)
        is_drawn = method in self.experiment.drawn
        if is_drawn:
            ranks = [spearmanr(ours.ravel(), ref.ravel())[0] for ours, ref in pairs]
            finding.figures["maps"] = float(np.mean(ranks))
        else:
            tolerance = CUBIC_TOLERANCE if method in CUBIC else MAP_TOLERANCE
            for ours, ref in pairs:
                deviations = _deviations(ours, ref)
                most = np.quantile(deviations, FLIP_FREE) if method in GRADIENTS else 0.0
                finding.check("maps", float(most), tolerance, "most of a map")
                largest = FLIP_TOLERANCE if method in GRADIENTS else tolerance
                finding.check("maps", float(deviations.max()), largest, "a map")
            if self.is_exact(method):
                rounded = self.maps(method)
                moved = (
                    _deviations(rounded[i], exact).max()
                    for i, exact in self.maps(EXACT + method).items()
                )
                finding.figures["float32"] = float(max(moved))
        expected = self.figures[method]
        for column, prefix in (("own AUC", SETTLED), ("its AUC", REFERENCE)):
            found = rows[rows["method"] == prefix + method]
            if found.empty:  # our maps agree to the bit, and the same maps are the same run
                found = rows[rows["method"] == REFERENCE + method]
            tolerance = AUC_TOLERANCE
            if prefix == SETTLED and is_drawn:
                tolerance = np.inf
            for key in ("insertion_auc", "deletion_auc"):
                deviation = abs(found[key].mean() - expected[key])
                finding.check(column, deviation, tolerance, f"{key} by {prefix[:-1]} maps")
            if self.experiment.shows_on_black:
                highest = HighestConfidence().highest(np.stack([*found["confidence_curve"]]), 100)
                deviation = abs(highest.mean() - expected["highest_confidence"])
                finding.check("confidence", deviation, tolerance, f"{prefix[:-1]} confidence")
        reach = np.ptp(expected["insertion_curve"])
        if reach < MIN_RANGE:
            finding.problems.append(f"the mean insertion curve ranges over {reach:.2g} only")
        return finding

    def _pairs(self, method: str) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
        ours = self.maps(f"{EXACT * self.is_exact(method)}{method}")
        theirs = self.reference(method)
        if ours.keys() != theirs.keys():
            raise RuntimeError(f"{method}: maps of {[*ours]}, expected those of {[*theirs]}")
        pairs = [(ours[image_id], theirs[image_id]) for image_id in theirs]
        if method in SCALED:
            pairs = [(_scaled(ours), _scaled(ref)) for ours, ref in pairs]
        return pairs


def _scaled(saliency: NDArray[np.float32]) -> NDArray[np.float32]:
    return saliency / (saliency.max() or 1)


def _deviations(ours: NDArray[np.float32], ref: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.abs(ours - ref) / (np.abs(ref).max() or 1)


@dataclass(frozen=True)
class Mistake:
    """Something that the comparison must see.

    Attributes:
        what: In words.
        experiment: Name.
        overrides: That make the mistake; `{assets}` is filled in.
    """

    what: str
    experiment: str
    overrides: tuple[str, ...]


def _caffe(mistake: str) -> str:
    return f"{{mean:[123.68,116.779,103.939],std:[1,1,1],{mistake}}}"


_BLACK = "{kind:constant,rgb:[0,0,0]}"
MISTAKES = (
    Mistake(
        "the scored network's red and blue swapped",
        "paper/cub",
        (f"backbone.preprocessing={_caffe('channel_order:rgb')}",),
    ),
    Mistake(
        "the explained network's red and blue swapped",
        "paper/cub",
        (f"explain.backbone.preprocessing={_caffe('channel_order:rgb')}",),
    ),
    Mistake(
        "images resized over areas",
        "paper/cub",
        (f"backbone.preprocessing={_caffe('channel_order:bgr,resize:cv2_area')}",),
    ),
    Mistake(
        "the network that scores is explained",
        "paper/cub",
        ('explain.backbone.weights="{assets}/weights/keras_model/cub-resnet101.h5"',),
    ),
    Mistake(
        "the network that is explained scores",
        "paper/cub",
        ('backbone.weights="{assets}/weights/keras_model/cub-resnet101-new.h5"',),
    ),
    Mistake(
        "a black baseline",
        "paper/cub",
        (
            "protocol.name=mistake",
            f"++protocol.metrics.insertion.baseline={_BLACK}",
            f"++protocol.metrics.deletion.baseline={_BLACK}",
        ),
    ),
    Mistake(
        "ten steps of insertion",
        "paper/cub",
        ("protocol.name=mistake", "protocol.metrics.insertion.steps=10"),
    ),
    Mistake("faces over 127.5 in place of 128", "paper/celeba", ("backbone.preprocessing=tf",)),
    Mistake("other labels", "paper/vggface2", ('dataset.list="{assets}/lists/mistaken.txt"',)),
    Mistake(
        "confidence from the mean colour",
        "paper/cub_errors_resnet101",
        (
            "protocol.name=mistake",
            "protocol.metrics.confidence.baseline.rgb=[123.68,116.779,103.939]",
        ),
    ),
)


def write_mistaken_list(assets: Path) -> None:
    """Writes VGGFace2's list with the labels of the next lines."""
    lines = (assets / "lists" / "VGGFace2" / "eval.txt").read_text(encoding="utf-8").split("\n")
    ids, labels = zip(*(line.split(" ") for line in lines), strict=True)
    shifted = zip(ids, (*labels[1:], labels[0]), strict=True)
    text = "\n".join(f"{image_id} {label}" for image_id, label in shifted)
    (assets / "lists" / "mistaken.txt").write_text(text, encoding="utf-8")


COLUMNS = ("maps", "own AUC", "its AUC", "confidence", "float32")


def table_of(findings: Sequence[Finding]) -> Table:
    """The findings, one a line."""
    table = Table("experiment", "method", *COLUMNS, "")
    for each in findings:
        figures = [f"{each.figures[key]:.1e}" if key in each.figures else "" for key in COLUMNS]
        table.add_row(each.experiment, each.method, *figures, "; ".join(each.problems) or "ok")
    return table


def table_of_mistakes(seen: Mapping[str, Finding]) -> Table:
    """Mistakes, and how far the figures were off."""
    table = Table("deliberate mistake", "experiment", *COLUMNS, "")
    for what, each in seen.items():
        figures = [f"{each.figures[key]:.1e}" if key in each.figures else "" for key in COLUMNS]
        table.add_row(what, each.experiment, *figures, "seen" if each.problems else "NOT SEEN")
    return table


def main() -> None:
    """Compares everything; exits with 1 if something deviates."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("assets", type=Path)
    parser.add_argument("expected", type=Path)
    parser.add_argument("results", type=Path)
    parser.add_argument("--full", action="store_true", help="what the others were told")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of experiments; default: all")
    given = parser.parse_args()
    assets, expected, results = (
        path.resolve() for path in (given.assets, given.expected, given.results)
    )
    if not given.full:
        torch.set_num_threads(1)  # on networks as small as these, two wait for each other
    console = Console(width=150)
    chosen = {each.name: each for each in EXPERIMENTS if not given.only or each.name in given.only}
    findings: list[Finding] = []
    for name, experiment in chosen.items():
        started = time.perf_counter()
        rehearsal = Rehearsal(experiment, assets, expected, results / name, given.full)
        findings += rehearsal.compare(methods(experiment, given.full))
        console.print(f"{name}: {time.perf_counter() - started:.0f} s", highlight=False)
    console.print(table_of(findings))
    seen: dict[str, Finding] = {}
    if not given.full:
        write_mistaken_list(assets)
        for number, mistake in enumerate(MISTAKES):
            if mistake.experiment in chosen:
                folder = results / "mistakes" / str(number)
                experiment = chosen[mistake.experiment]
                rehearsal = Rehearsal(experiment, assets, expected, folder, full=False)
                overrides = [each.replace("{assets}", str(assets)) for each in mistake.overrides]
                (seen[mistake.what],) = rehearsal.compare(["saliency"], *overrides)
        console.print(table_of_mistakes(seen))
    unseen = any(not each.problems for each in seen.values())
    sys.exit(unseen or any(each.problems for each in findings))


if __name__ == "__main__":
    main()
