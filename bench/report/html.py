"""The report: leaderboards, figures and an explorer of images in one HTML file.

The page asks nothing of the network, and a content security policy forbids it to. What it says of
a run is what people may pass on: no folders, but for those that the command names.
"""

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console

from bench.citations import bibliography, entries
from bench.errors import BenchError
from bench.files import file_name, write_atomically
from bench.leaderboard.comparison import (
    Comparison,
    comparison_key,
    comparisons,
    extremes,
    row_names,
)
from bench.leaderboard.controls import control_warnings
from bench.leaderboard.robustness import comparable, robustness
from bench.leaderboard.significance import significance
from bench.leaderboard.table import leaderboard
from bench.report.board import Board, leaderboard_board, pair_board, text_board, win_rate_board
from bench.report.explorer import explorer
from bench.report.figures import draw_curves
from bench.report.prose import protocol_in_words, significance_in_words
from bench.report.robustness import summary, tables
from bench.report.tables import WITHIN_A_BACKBONE, to_csv
from bench.report.writer import citations, unverified
from bench.store import Run, leaderboard_names, stored_runs

LARGEST = 9_500_000
"""Bytes of a page; pictures are left out before it grows larger."""

_PACKAGES = ("insdel-bench", "torch", "torchvision", "timm", "numpy", "opencv-python-headless")
_FOLDER = re.compile(r"(/(?:home|Users)/[^/\s'\"]+|/root|[A-Z]:\\Users\\[^\\\s'\"]+)")


@dataclass(frozen=True)
class Drawn:
    """A figure.

    Attributes:
        title: Its title.
        caption: What it shows, and how to read it.
        source: A data URI.
    """

    title: str
    caption: str
    source: str


@dataclass(frozen=True)
class Mark:
    """A method's colour and dashes, as SVG has them."""

    colour: str
    dashes: str


@dataclass(frozen=True)
class Cited:
    """A citation.

    Attributes:
        text: As the run was told.
        link: Where it leads to, or empty.
    """

    text: str
    link: str


@dataclass(frozen=True)
class MethodFacts:
    """What a method is.

    Attributes:
        name: Its row's.
        cited: Where it comes from.
        settings: `key = value`, one a setting.
        seed: Its seed.
        key: The run's, shortened.
    """

    name: str
    cited: list[Cited]
    settings: list[str]
    seed: int
    key: str


@dataclass(frozen=True)
class Missing:
    """A method that lacks images.

    Attributes:
        name: Its row's.
        count: How many images it lacks.
        of: How many there are.
        failures: Reason -> the images that failed for it.
    """

    name: str
    count: int
    of: int
    failures: Mapping[str, list[str]]


@dataclass(frozen=True)
class Tested:
    """What tests say of one metric.

    Attributes:
        metric: Its name.
        sentences: In words.
        win_rates: Each method against each.
        pairs: Each pair, with all that is known.
    """

    metric: str
    sentences: list[str]
    win_rates: Board
    pairs: Board


@dataclass(frozen=True)
class Robust:
    """How far the order of methods depends on the protocol, for one data set and network.

    Attributes:
        id: Of its place on the page.
        name: The leaderboard's.
        title: Data set and network.
        marks: Of the methods.
        metrics: Metric -> sentences, and tables by their titles.
    """

    id: str
    name: str
    title: str
    marks: Mapping[str, Mark]
    metrics: Mapping[str, tuple[list[str], Mapping[str, Board]]]


@dataclass
class Part:
    """What the page says of one comparison."""

    id: str
    name: str
    title: str
    facts: list[str]
    board: Board
    csv: tuple[str, str]
    marks: Mapping[str, Mark]
    methods: list[MethodFacts]
    protocol: list[str]
    cited: list[tuple[str, list[Cited]]]
    bibliography: tuple[str, str]
    provenance: list[tuple[str, list[str]]]
    missing: list[Missing]
    comparison: Comparison | None
    results_dir: Path
    remarks: list[str]
    findings: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[Drawn] = field(default_factory=list)
    tests: list[Tested] = field(default_factory=list)
    explorer: dict[str, Any] | None = None


def write_report(
    results_dirs: Sequence[Path],
    output: Path,
    console: Console,
    auc: str | None = None,
    test: str = "wilcoxon",
) -> None:
    """Writes one page on all leaderboards of results folders.

    Args:
        results_dirs: The results folders, in the order of the page.
        output: The file.
        console: Where it is named.
        auc: An AUC rule other than the protocols' own.
        test: A key of `bench.leaderboard.significance.TESTS`.

    Raises:
        BenchError: A folder holds no runs, or something in it cannot be read.
    """
    boards = []
    for results_dir in results_dirs:
        names = leaderboard_names(results_dir)
        if not names:
            raise BenchError(f"no runs in '{results_dir}': expected its runs/ folder to hold some")
        boards += [(results_dir, name) for name in names]
    times, parts, robust = Counter(name for _, name in boards), [], []
    for results_dir, name in boards:
        title = f"{name} ({results_dir.resolve().name})" if times[name] > 1 else name
        parts += _parts(results_dir, name, title, auc, test, first=len(parts) + 1)
        robust += _robust(results_dir, name, title, first=len(robust) + 1)
    page = render(parts, robust)
    write_atomically(output, page.encode())
    shown = [len(own.explorer["images"]) for own in parts if own.explorer]
    console.print(f"Report: {output} ({len(page.encode()) / 1e6:.1f} MB, {sum(shown)} images)",
                  soft_wrap=True, highlight=False)  # fmt: skip


def render(parts: Sequence[Part], robust: Sequence[Robust]) -> str:
    """The page; fills the parts' explorers with as many images as it may hold."""
    bare = len(_page(parts, robust).encode())
    shows = [own for own in parts if own.comparison is not None]
    for part in shows:
        share = max(0, LARGEST - bare) // len(shows)
        part.explorer = _explorer(part, share)
    return _page(parts, robust)


def _page(parts: Sequence[Part], robust: Sequence[Robust]) -> str:
    environment = Environment(
        loader=PackageLoader("bench.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = list(dict.fromkeys(part.name for part in parts))
    style, script = _file("style.css"), _file("script.js")
    several = len({own.comparison.identity["backbone"]["name"] for own in parts if own.comparison})
    return environment.get_template("page.html.j2").render(
        title=names[0] if len(names) == 1 else f"{len(names)} leaderboards",
        names=names,
        parts=parts,
        robust=robust,
        style=Markup(style),
        script=Markup(script),
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        remark=WITHIN_A_BACKBONE if several > 1 else "",
    )


def _parts(
    results_dir: Path, name: str, title: str, auc: str | None, test: str, first: int
) -> list[Part]:
    """One part for each set of rows of a leaderboard that may be compared."""
    runs = stored_runs(results_dir, name)
    table, labels = leaderboard(runs, name, auc, test), row_names(runs, name)
    origins = {run.manifest["key"]: run for run in runs}
    table["notes"] = [
        _without_folders(note, origins[key]) if isinstance(note, str) and key in origins else note
        for note, key in zip(table["notes"], table["run_key"], strict=True)
    ]
    complete = {own.key: own for own in comparisons(runs, name, auc)}
    parts = []
    for key, group in table.groupby("comparison", sort=False):
        own = {
            labels[run.manifest["key"]]: run for run in runs if comparison_key(run.identity) == key
        }
        part_id = f"p{first + len(parts)}"
        part = _part(part_id, name, results_dir, group, own, complete.get(key), test)
        parts.append(replace(part, name=title))
    return parts


def _part(
    part_id: str,
    name: str,
    results_dir: Path,
    group: pd.DataFrame,
    runs: Mapping[str, Run],
    comparison: Comparison | None,
    test: str,
) -> Part:
    row = group.iloc[0]
    controls = group.loc[group["control"], "method"].tolist()
    protocol = next(iter(runs.values())).identity["protocol"]
    csv = to_csv(group)
    bibtex = bibliography(
        citations(list(runs.values()), name), f"What the leaderboard {name} cites"
    )
    part = Part(
        id=part_id,
        name=name,
        title=f"{row['benchmark']} · {row['backbone']} · {row['protocol']}",
        facts=_facts(group, controls),
        board=leaderboard_board(group),
        csv=(f"{file_name(name)}.csv", _uri("text/csv", csv.encode())),
        marks={} if comparison is None else _marks(comparison),
        methods=[_method(own, runs[own]) for own in group["method"] if own in runs],
        protocol=protocol_in_words(protocol, row["auc"]),
        cited=_cited_by_all(runs),
        bibliography=(f"{file_name(name)}.bib", _uri("application/x-bibtex", bibtex.encode())),
        provenance=_provenance(runs),
        missing=[own for own in (_missing(*item) for item in runs.items()) if own.count],
        comparison=comparison,
        results_dir=results_dir,
        remarks=unverified(list(runs.values()), name),
    )
    if comparison is not None:
        part.findings = _findings(group)
        part.warnings = control_warnings(comparison)
        part.figures = _figures(comparison)
        part.tests = _tests(comparison, test)
    return part


def _facts(group: pd.DataFrame, controls: Sequence[str]) -> list[str]:
    complete = group[group["n_missing"] == 0]
    facts = []
    if len(complete):
        one = complete.iloc[0]
        facts += [f"{one['n_images']} images", f"accuracy {one['clean_accuracy']:.1%}"]
    facts.append(
        f"{len(group)} methods" + (f", {len(controls)} of them controls" if controls else "")
    )
    if group["auc"].iloc[0] != "trapezoid":
        facts.append(f"AUC: {group['auc'].iloc[0]}")
    return facts


def _findings(group: pd.DataFrame) -> list[str]:
    """The best rows in words."""
    said = []
    for metric, word, best in (
        ("insertion", "highest", "idxmax"),
        ("deletion", "lowest", "idxmin"),
    ):
        row = group.loc[getattr(group[f"{metric}_auc"], best)()]
        ends = row[f"{metric}_ci_low"], row[f"{metric}_ci_high"]
        interval = "" if pd.isna(ends[0]) else " (95 % interval {:.3f} to {:.3f})".format(*ends)
        value = f"{row[f'{metric}_auc']:.3f}{interval}"
        said.append(f"{row['method']} has the {word} mean {metric} score, {value}.")
    return said


def _marks(comparison: Comparison) -> dict[str, Mark]:
    colours = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "currentColor")
    marks, used = {}, 0
    for name in comparison.runs:
        if name in comparison.controls:
            marks[name] = Mark("#767676", "4 3")
        else:
            marks[name] = Mark(colours[used % len(colours)], "")
            used += 1
    return marks


def _figures(comparison: Comparison) -> list[Drawn]:
    curves = {
        own: (comparison.curves(own, "insertion"), comparison.curves(own, "deletion"))
        for own in comparison.runs
    }
    png = draw_curves(curves, comparison.identity["protocol"]["score"])
    return [
        Drawn(
            "Mean curves",
            "Mean score over images against the share of pixels inserted or deleted. Bands are "
            "pointwise 95 % intervals of the mean.",
            _uri("image/png", png),
        )
    ]


def _tests(comparison: Comparison, test: str) -> list[Tested]:
    """What tests say of each metric; nothing of a single method."""
    tested, controls = [], comparison.controls
    for metric in comparison.metrics if len(comparison.runs) > 1 else ():
        found = significance(comparison, metric, test)
        sentences = significance_in_words(found, len(comparison.image_ids))
        boards = win_rate_board(found, controls), pair_board(found, controls)
        tested.append(Tested(metric, sentences, *boards))
    return tested


def _robust(results_dir: Path, name: str, title: str, first: int) -> list[Robust]:
    """What a leaderboard's protocols agree on, where it has several of the same images."""
    found = []
    for own in comparable(comparisons(stored_runs(results_dir, name), name)):
        reference = own[0]
        metrics = {}
        for metric in ("insertion", "deletion"):
            of = robustness(own, metric)
            boards = {
                heading: text_board(table, "", reference.controls)
                for heading, table in tables(of).items()
            }
            metrics[metric] = (summary(of), boards)
        part_id = f"r{first + len(found)}"
        found.append(Robust(part_id, title, of.title, _marks(reference), metrics))
    return found


def _explorer(part: Part, budget: int) -> dict[str, Any] | None:
    comparison = part.comparison
    found = explorer(comparison, part.results_dir, _extremes(comparison), budget)
    if found is None:
        return None
    methods = [
        {"name": own, "control": own in comparison.controls} | vars(part.marks[own])
        for own in comparison.runs
    ]
    return found | {"methods": methods}


def _extremes(comparison: Comparison) -> dict[str, str]:
    """Images that methods do best, typically and worst on -> which ones do."""
    found: dict[str, list[str]] = {}
    for method in comparison.runs:
        if method not in comparison.controls:
            for place, image_id in extremes(comparison, method).items():
                found.setdefault(image_id, []).append(f"{place} of {method}")
    return {image_id: ", ".join(own) for image_id, own in found.items()}


def _method(name: str, run: Run) -> MethodFacts:
    settings = run.identity["method"].get("settings", {})
    return MethodFacts(
        name,
        _cited(run.citations.get("method", "")),
        [f"{key} = {json.dumps(own)}" for key, own in settings.items() if key != "_target_"],
        run.identity["seed"],
        run.manifest["key"][:12],
    )


def _cited(citation: str) -> list[Cited]:
    """Citations, with links to where the record says they are."""
    texts = [own.strip() for own in citation.split(";") if own.strip()]
    return [Cited(text, _link(entry.fields)) for text in texts for entry in entries(text)]


def _cited_by_all(runs: Mapping[str, Run]) -> list[tuple[str, list[Cited]]]:
    """What data set, network and protocol cite."""
    found = []
    for part, term in (("dataset", "Data set"), ("backbone", "Network"), ("protocol", "Protocol")):
        told = next(filter(None, (run.citations.get(part) for run in runs.values())), "")
        found += [(term, _cited(told))] if told else []
    return found


def _link(fields: Mapping[str, str]) -> str:
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url", "") if fields.get("url", "").startswith("https://") else ""


def _missing(name: str, run: Run) -> Missing:
    rows = run.rows()
    failures: dict[str, list[str]] = {}
    for image_id, reason in run.failures(rows).items():
        failures.setdefault(_without_folders(reason, run), []).append(image_id)
    return Missing(name, run.num_images - len(rows), run.num_images, failures)


def _provenance(runs: Mapping[str, Run]) -> list[tuple[str, list[str]]]:
    """Where the numbers come from: terms, and what the runs say of them, each once."""
    found: dict[str, dict[str, None]] = {}

    def tell(term: str, value: Any) -> None:
        if value:
            found.setdefault(term, {})[str(value)] = None

    for run in runs.values():
        origin, identity = run.manifest.get("provenance", {}), run.identity
        packages, git = origin.get("packages", {}), origin.get("git") or {}
        tell("Command", _without_folders(" ".join(origin.get("command", [])), run))
        tell("Begun", origin.get("created"))
        tell("Device", origin.get("device"))
        tell("Commit", git.get("commit", "") + (" and changes" if git.get("dirty") else ""))
        tell("Python", origin.get("python"))
        tell(
            "Packages", ", ".join(f"{own} {packages[own]}" for own in _PACKAGES if own in packages)
        )
        tell("CUDA", origin.get("cuda") if origin.get("cudnn") else None)
        tell("Precision", identity.get("precision"))
        tell("Weights", _hash(identity["backbone"].get("weights_sha256")))
        tell("List of images", _hash(identity["dataset"].get("list_sha256")))
        tell("Pixels", _hash(identity["dataset"].get("pixels_sha256")))
        tell("Protocol", _hash(identity["protocol"].get("hash")))
    return [(term, list(values)) for term, values in found.items()]


def _hash(digest: str | None) -> str | None:
    return digest and f"sha256 {digest}"


def _without_folders(text: str, run: Run) -> str:
    """Text without the folder that the run was begun in, and without home folders."""
    folder = run.manifest.get("provenance", {}).get("directory")
    if folder and folder != "/":
        text = text.replace(folder, ".")
    return _FOLDER.sub("~", text)


def _file(name: str) -> str:
    return resources.files("bench.report").joinpath("page", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
