"""The sections of the page, one for each comparison of a leaderboard."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from bench.files import file_name
from bench.leaderboard.audit import is_audited
from bench.leaderboard.columns import number_in
from bench.leaderboard.comparison import Comparison, comparisons
from bench.leaderboard.controls import constant_map_warnings, control_warnings, guard_warnings
from bench.leaderboard.reference import reference_remarks
from bench.leaderboard.robustness import Robustness, comparable, robustness, shared_statistics
from bench.leaderboard.sanity import sanity_warnings, undefined_areas
from bench.leaderboard.significance import Significance, against_reference, significance
from bench.leaderboard.table import Leaderboard, leaderboard
from bench.metrics.statistic import Statistic
from bench.report.audit import AnswerInWords, audit_in_words
from bench.report.citations import bibliography
from bench.report.figures import (
    CaptionedFigure,
    diagrams,
    draw_agreement,
    photographs,
    ranks_over_benchmarks,
    to_jpeg,
    to_svg,
)
from bench.report.figures.style import marks_of
from bench.report.provenance import (
    Citation,
    MethodFacts,
    MissingImages,
    cited_by_all,
    method_facts,
    missing_images,
    provenance_facts,
    without_folders,
)
from bench.report.robustness import summary, tables
from bench.report.tables.significance import (
    pair_table,
    reference_table,
    text_table,
    win_rate_table,
)
from bench.report.tables.table import Table, leaderboard_tables, title_of, to_csv, what_counts
from bench.report.texts import protocol_in_words, significance_in_words
from bench.report.writer import citations, unverified
from bench.storage.row_names import comparison_key, row_names
from bench.storage.store import Run, stored_runs

MOST_FINDINGS = 4
"""Statistics whose best row is told above the table."""


@dataclass(frozen=True)
class EmbeddedFigure:
    """A figure as the page holds it.

    Attributes:
        title: Its title.
        caption: What it shows, and how to read it.
        source: A data URI.
        method: The row that it is about, where it is about one.
    """

    title: str
    caption: str
    source: str
    method: str | None = None


@dataclass(frozen=True)
class Swatch:
    """A method's colour and dashes, as SVG has them."""

    colour: str
    dashes: str


@dataclass(frozen=True)
class Places:
    """Where the page has more on a row of the table: ids, or empty.

    Attributes:
        row: The row.
        figure: The figure of its images.
        settings: Its settings and citations.
        paper: The address of its paper.
    """

    row: str
    figure: str
    settings: str
    paper: str


@dataclass(frozen=True)
class TestResult:
    """What tests say of one statistic.

    Attributes:
        name: The statistic's name, as places on the page have it.
        title: Its title.
        sentences: In words.
        win_rates: Each method against each.
        pairs: Each pair, with all that is known.
        against: Each method against the reference; None: none was named, or it is not complete.
    """

    name: str
    title: str
    sentences: list[str]
    win_rates: Table
    pairs: Table
    against: Table | None = None


@dataclass(frozen=True)
class RobustnessResult:
    """How far the order by one statistic depends on the protocol.

    Attributes:
        name: The statistic's name, as places on the page have it.
        title: Its title.
        sentences: In words.
        tables: What there is to look up.
        figures: Figures.
    """

    name: str
    title: str
    sentences: list[str]
    tables: list[Table]
    figures: list[EmbeddedFigure]


@dataclass(frozen=True)
class RobustnessSection:
    """How far the order of methods depends on the protocol, for one data set and network.

    Attributes:
        id: The id of its place on the page.
        name: The leaderboard's.
        title: Data set and network.
        marks: The marks of the methods.
        statistics: A result each.
    """

    id: str
    name: str
    title: str
    marks: Mapping[str, Swatch]
    statistics: list[RobustnessResult]


@dataclass
class Section:
    """What the page says of one comparison."""

    id: str
    name: str
    title: str
    facts: list[str]
    table: Table
    csv: tuple[str, str]
    marks: Mapping[str, Swatch]
    methods: list[MethodFacts]
    protocol: list[str]
    cited: list[tuple[str, list[Citation]]]
    bibliography: tuple[str, str]
    provenance: list[tuple[str, list[str]]]
    missing: list[MissingImages]
    comparison: Comparison | None
    results_dir: Path
    remarks: list[str]
    findings: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    figures: list[EmbeddedFigure] = field(default_factory=list)
    tests: list[TestResult] = field(default_factory=list)
    audit: Mapping[str, list[AnswerInWords]] = field(default_factory=dict)
    explorer: dict[str, Any] | None = None

    @property
    def places(self) -> dict[str, Places]:
        """By name, where there is more on each row of the table; of rows of one name the first."""
        figures = {one.method: number for number, one in enumerate(self.figures, start=1)}
        facts = {one.name: (number, one) for number, one in enumerate(self.methods, start=1)}
        found: dict[str, Places] = {}
        for number, row in enumerate(self.table.rows, start=1):
            place, fact = facts.get(row.name, (0, None))
            links = [cited.link for cited in fact.cited if cited.link] if fact else []
            figure = figures.get(row.name)
            found.setdefault(
                row.name,
                Places(
                    f"{self.id}-row-{number}",
                    f"{self.id}-figure-{figure}" if figure else "",
                    f"{self.id}-method-{place}" if fact else "",
                    links[0] if links else "",
                ),
            )
        return found


def sections_of(
    results_dir: Path,
    name: str,
    *,
    title: str,
    auc: str | None,
    test: str,
    first: int,
    reference: str | None = None,
    runs: Sequence[Run] | None = None,
) -> list[Section]:
    """A section for each set of rows of a leaderboard that may be compared.

    Args:
        results_dir: The results folder.
        name: The leaderboard.
        title: What the page calls it.
        auc: An AUC rule other than the protocols' own.
        test: A key of `bench.leaderboard.significance.TESTS`.
        first: Number of the first section.
        reference: The name of a row that the others are compared with.
        runs: Those of its runs that are shown; None: all.
    """
    runs = stored_runs(results_dir, name) if runs is None else runs
    board = _without_folders(leaderboard(runs, name, auc, test, reference), runs)
    shown, labels = leaderboard_tables(board), row_names(runs, name)
    complete = {comparison.key: comparison for comparison in comparisons(runs, name, auc)}
    sections = []
    for number, (key, table) in enumerate(shown.items(), start=first):
        of_key = [run for run in runs if comparison_key(run) == key]
        section = _section(
            board.rows[board.rows["comparison"] == key],
            table.for_format("page"),
            {labels[run.key]: run for run in of_key},
            name=name,
            results_dir=results_dir,
        )
        section = replace(section, id=f"p{number}", name=title)
        found = [complete[key]] if key in complete else []
        if reference is not None:
            section.remarks += reference_remarks(of_key, name, found, reference)
        if found:
            _add_comparison(section, complete[key], board, test)
        sections.append(section)
    pictured = next((one for one in sections if one.comparison is not None), None)
    if pictured is not None:  # under other protocols stand the same maps: once is enough
        pictured.figures += _photographs(pictured)
    return sections


def _without_folders(board: Leaderboard, runs: Sequence[Run]) -> Leaderboard:
    """The same, its notes without the folders of whoever ran it."""
    by_key = {run.key: run for run in runs}
    notes = [
        without_folders(note, by_key[key]) if isinstance(note, str) and key in by_key else note
        for note, key in zip(board.rows["notes"], board.rows["run_key"], strict=True)
    ]
    return replace(board, rows=board.rows.assign(notes=notes))


def _section(
    rows: pd.DataFrame, table: Table, runs: Mapping[str, Run], *, name: str, results_dir: Path
) -> Section:
    """A section without what takes complete rows."""
    row, several = rows.iloc[0], list(runs.values())
    bibtex = bibliography(citations(several, name), f"What the leaderboard {name} cites")
    missing = [missing_images(*item) for item in runs.items()]
    return Section(
        id="",
        name=name,
        title=title_of(dict(row)),
        facts=_facts(rows),
        table=table,
        csv=(f"{file_name(name)}.csv", _uri("text/csv", to_csv(rows).encode())),
        marks={},
        methods=[method_facts(method, runs[method]) for method in rows["method"] if method in runs],
        protocol=protocol_in_words(several[0].protocol, row["auc"]),
        cited=cited_by_all(runs),
        bibliography=(f"{file_name(name)}.bib", _uri("application/x-bibtex", bibtex.encode())),
        provenance=provenance_facts(runs),
        missing=[one for one in missing if one.count],
        comparison=None,
        results_dir=results_dir,
        remarks=unverified(several, name),
        doubts=sanity_warnings(several, name),
    )


def _add_comparison(
    section: Section, comparison: Comparison, board: Leaderboard, test: str
) -> None:
    """Adds what complete rows say: findings, tests, figures."""
    section.comparison = comparison
    section.marks = _swatches(comparison)
    section.doubts += undefined_areas([comparison])
    section.findings = _findings(board.rows[board.rows["comparison"] == comparison.key], comparison)
    section.warnings = [
        *control_warnings(comparison),
        *guard_warnings(comparison),
        *constant_map_warnings(comparison),
    ]
    has_several = len(comparison.runs) > 1
    found = [significance(comparison, one, test) for one in comparison.tested if has_several]
    section.tests = [_test_result(comparison, one, board.reference) for one in found]
    section.figures = _embedded(diagrams(comparison, found))
    if is_audited(comparison):
        section.audit = audit_in_words(comparison)


def _facts(rows: pd.DataFrame) -> list[str]:
    complete = rows[rows["n_missing"] == 0]
    facts = []
    if len(complete):
        one = complete.iloc[0]
        accuracy = f"accuracy {one['clean_accuracy']:.1%}{what_counts(dict(one))}"
        facts += [f"{one['n_images']} images", accuracy]
    ran, controls = int(rows["run_key"].notna().sum()), int(rows["control"].sum())
    counted = f"{ran} method{'s'[: ran != 1]}"
    facts.append(counted + (f", {controls} of them controls" if controls else ""))
    if rows["auc"].iloc[0] != "trapezoid":
        facts.append(f"AUC: {rows['auc'].iloc[0]}")
    return facts


def _findings(rows: pd.DataFrame, comparison: Comparison) -> list[str]:
    """The best rows in words, by the first statistics that have a direction."""
    return [
        _finding(rows, statistic)
        for statistic in comparison.tested[:MOST_FINDINGS]
        if rows[statistic.column].notna().any()
    ]


def _finding(rows: pd.DataFrame, statistic: Statistic) -> str:
    means = rows[statistic.column].astype(float).to_numpy()
    best = np.nanargmax(means) if statistic.higher_is_better else np.nanargmin(means)
    row = {str(name): value for name, value in rows.iloc[int(best)].items()}
    low, high = (number_in(row, f"{statistic.name}_ci_{end}") for end in ("low", "high"))
    interval = "" if np.isnan(low) else f" (95 % interval {low:.3f} to {high:.3f})"
    word = "highest" if statistic.higher_is_better else "lowest"
    value = f"{row[statistic.column]:.3f}{interval}"
    return f"{row['method']} has the {word} mean {statistic.quantity}, {value}."


def _swatches(comparison: Comparison) -> dict[str, Swatch]:
    """As figures have them; black is the page's ink, which is light in the dark."""
    return {
        name: Swatch(
            "currentColor" if mark.colour == "#000000" else mark.colour,
            " ".join(f"{2 * length:g}" for length in mark.dashes),
        )
        for name, mark in marks_of(comparison).items()
    }


def _embedded(figures: Iterable[CaptionedFigure]) -> list[EmbeddedFigure]:
    """Diagrams, which stay sharp however large they are shown."""
    return [
        EmbeddedFigure(
            one.title, one.caption, _uri("image/svg+xml", to_svg(one.figure)), one.method
        )
        for one in figures
    ]


def _photographs(section: Section) -> list[EmbeddedFigure]:
    """Figures of photos, as JPEG: a tenth of the bytes."""
    assert section.comparison is not None
    return [
        EmbeddedFigure(
            one.title, one.caption, _uri("image/jpeg", to_jpeg(one.figure, one.dpi)), one.method
        )
        for one in photographs(section.comparison, section.results_dir)
    ]


def _test_result(comparison: Comparison, found: Significance, reference: str | None) -> TestResult:
    against = None
    if reference is not None and reference in comparison.runs:
        compared = against_reference(comparison, found.statistic, reference, found.test)
        against = reference_table(compared, reference)
    return TestResult(
        file_name(found.statistic.name),
        found.statistic.title,
        significance_in_words(found, len(comparison.image_ids)),
        win_rate_table(found, comparison.controls),
        pair_table(found, comparison.controls),
        against,
    )


def overview_of(sections: Sequence[Section]) -> list[EmbeddedFigure]:
    """Figures of several benchmarks, networks or protocols together.

    Args:
        sections: All of the page.
    """
    compared = [one.comparison for one in sections if one.comparison is not None]
    return _embedded(ranks_over_benchmarks(compared))


def robustness_sections(
    results_dir: Path, name: str, title: str, first: int
) -> list[RobustnessSection]:
    """What a leaderboard's protocols agree on, where it has several of the same images.

    Args:
        results_dir: The results folder.
        name: The leaderboard.
        title: What the page calls it.
        first: Number of the first section.
    """
    sections = []
    compared = comparable(comparisons(stored_runs(results_dir, name), name))
    for number, several in enumerate(compared, start=first):
        found = [robustness(several, statistic) for statistic in shared_statistics(several)]
        results = [_robustness_result(one, several[0]) for one in found]
        if found:
            swatches = _swatches(several[0])
            sections.append(
                RobustnessSection(f"r{number}", title, found[0].title, swatches, results)
            )
    return sections


def _robustness_result(found: Robustness, reference: Comparison) -> RobustnessResult:
    shown = [
        text_table(table, _names_of_rows(table, found), reference.controls, heading)
        for heading, table in tables(found).items()
    ]
    figures = []
    if shown:
        caption = "1: the same order of methods, 0: unrelated, -1: turned round."
        drawing = draw_agreement(found.tau)
        figures = [CaptionedFigure("agreement", "Agreement of settings", caption, drawing)]
    statistic = found.statistic
    return RobustnessResult(
        file_name(statistic.name), statistic.title, summary(found), shown, _embedded(figures)
    )


def _names_of_rows(table: pd.DataFrame, found: Robustness) -> str:
    return "Method" if table.index.isin(found.means.index).all() else "Protocol"


def _uri(mime: str, content: bytes) -> str:
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"
