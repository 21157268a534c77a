"""What the page says of each comparison of a leaderboard."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd

from bench.citations import bibliography
from bench.files import file_name
from bench.leaderboard.comparison import Comparison, comparison_key, comparisons, row_names
from bench.leaderboard.controls import constant_map_warnings, control_warnings
from bench.leaderboard.robustness import Robustness, comparable, robustness
from bench.leaderboard.sanity import sanity_warnings, undefined_areas
from bench.leaderboard.significance import Significance, significance
from bench.leaderboard.table import leaderboard
from bench.report.board import Board, leaderboard_board, pair_board, text_board, win_rate_board
from bench.report.figures import (
    Plate,
    diagrams,
    draw_agreement,
    photographs,
    ranks_over_benchmarks,
    to_jpeg,
    to_svg,
)
from bench.report.figures.style import marks_of
from bench.report.origin import (
    Cited,
    MethodFacts,
    Missing,
    cited_by_all,
    method_facts,
    missing_images,
    provenance_facts,
    without_folders,
)
from bench.report.prose import protocol_in_words, significance_in_words
from bench.report.robustness import summary, tables
from bench.report.tables import to_csv, what_counts
from bench.report.writer import citations, unverified
from bench.store import Run, stored_runs


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
        metrics: By metric.
    """

    id: str
    name: str
    title: str
    marks: Mapping[str, Mark]
    metrics: Mapping[str, "RobustMetric"]


@dataclass(frozen=True)
class RobustMetric:
    """How far the order by one metric depends on the protocol.

    Attributes:
        sentences: In words.
        boards: Tables by their titles.
        figures: Figures.
    """

    sentences: list[str]
    boards: Mapping[str, Board]
    figures: list[Drawn]


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
    doubts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[Drawn] = field(default_factory=list)
    tests: list[Tested] = field(default_factory=list)
    explorer: dict[str, Any] | None = None


def parts_of(
    results_dir: Path, name: str, title: str, auc: str | None, test: str, first: int
) -> list[Part]:
    """One part for each set of rows of a leaderboard that may be compared.

    Args:
        results_dir: The results folder.
        name: The leaderboard.
        title: What the page calls it.
        auc: An AUC rule other than the protocols' own.
        test: A key of `bench.leaderboard.significance.TESTS`.
        first: Number of the first part.
    """
    runs = stored_runs(results_dir, name)
    table, labels = leaderboard(runs, name, auc, test), row_names(runs, name)
    origins = {run.manifest["key"]: run for run in runs}
    table["notes"] = [
        without_folders(note, origins[key]) if isinstance(note, str) and key in origins else note
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
    drawn = [own for own in parts if own.comparison is not None]
    if drawn:  # under other protocols stand the same maps: once is enough
        drawn[0].figures += _photographed(photographs(drawn[0].comparison, results_dir))
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
    doubts = sanity_warnings(list(runs.values()), name)
    doubts += undefined_areas([comparison]) if comparison is not None else []
    part = Part(
        id=part_id,
        name=name,
        title=f"{row['benchmark']} · {row['backbone']} · {row['protocol']}",
        facts=_facts(group, controls),
        board=leaderboard_board(group),
        csv=(f"{file_name(name)}.csv", _uri("text/csv", csv.encode())),
        marks={} if comparison is None else _marks(comparison),
        methods=[method_facts(own, runs[own]) for own in group["method"] if own in runs],
        protocol=protocol_in_words(protocol, row["auc"]),
        cited=cited_by_all(runs),
        bibliography=(f"{file_name(name)}.bib", _uri("application/x-bibtex", bibtex.encode())),
        provenance=provenance_facts(runs),
        missing=[own for own in (missing_images(*item) for item in runs.items()) if own.count],
        comparison=comparison,
        results_dir=results_dir,
        remarks=unverified(list(runs.values()), name),
        doubts=doubts,
    )
    if comparison is not None:
        part.findings = _findings(group)
        part.warnings = [*control_warnings(comparison), *constant_map_warnings(comparison)]
        several = len(comparison.runs) > 1
        found = [significance(comparison, own, test) for own in comparison.metrics if several]
        part.tests = [_tested(comparison, own) for own in found]
        part.figures = _drawn(diagrams(comparison, found))
    return part


def _facts(group: pd.DataFrame, controls: Sequence[str]) -> list[str]:
    complete = group[group["n_missing"] == 0]
    facts = []
    if len(complete):
        one = complete.iloc[0]
        accuracy = f"accuracy {one['clean_accuracy']:.1%}{what_counts(one)}"
        facts += [f"{one['n_images']} images", accuracy]
    ran = int(group["run_key"].notna().sum())
    counted = f"{ran} method{'s'[: ran != 1]}"
    facts.append(counted + (f", {len(controls)} of them controls" if controls else ""))
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
    """As figures have them; black is the page's ink, which is light in the dark."""
    return {
        name: Mark(
            "currentColor" if own.colour == "#000000" else own.colour,
            " ".join(f"{2 * length:g}" for length in own.dashes),
        )
        for name, own in marks_of(comparison).items()
    }


def _drawn(plates: Iterable[Plate]) -> list[Drawn]:
    """Diagrams, which stay sharp however large they are shown."""
    return [
        Drawn(own.title, own.caption, _uri("image/svg+xml", to_svg(own.figure))) for own in plates
    ]


def _photographed(plates: Iterable[Plate]) -> list[Drawn]:
    """Figures of photos, as JPEG: a tenth of the bytes."""
    return [
        Drawn(own.title, own.caption, _uri("image/jpeg", to_jpeg(own.figure, own.dpi)))
        for own in plates
    ]


def _tested(comparison: Comparison, found: Significance) -> Tested:
    sentences = significance_in_words(found, len(comparison.image_ids))
    boards = (own(found, comparison.controls) for own in (win_rate_board, pair_board))
    return Tested(found.metric, sentences, *boards)


def overview_of(parts: Sequence[Part]) -> list[Drawn]:
    """Figures of several benchmarks, networks or protocols together.

    Args:
        parts: All of the page.
    """
    return _drawn(ranks_over_benchmarks([own.comparison for own in parts if own.comparison]))


def robust_of(results_dir: Path, name: str, title: str, first: int) -> list[Robust]:
    """What a leaderboard's protocols agree on, where it has several of the same images.

    Args:
        results_dir: The results folder.
        name: The leaderboard.
        title: What the page calls it.
        first: Number of the first one.
    """
    found = []
    for own in comparable(comparisons(stored_runs(results_dir, name), name)):
        reference = own[0]
        metrics = {}
        for metric in ("insertion", "deletion"):
            of = robustness(own, metric)
            boards = {
                heading: text_board(table, _rows_are(table, of), reference.controls)
                for heading, table in tables(of).items()
            }
            figures = []
            if boards:
                caption = "1: the same order of methods, 0: unrelated, -1: turned round."
                agreement = draw_agreement(of.tau)
                plate = Plate("agreement", "Agreement of settings", caption, agreement)
                figures = _drawn([plate])
            metrics[metric] = RobustMetric(summary(of), boards, figures)
        part_id = f"r{first + len(found)}"
        found.append(Robust(part_id, title, of.title, _marks(reference), metrics))
    return found


def _rows_are(table: pd.DataFrame, found: Robustness) -> str:
    return "Method" if table.index.isin(found.means.index).all() else "Protocol"


def _uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
