"""Leaderboards and figures as files under `results_dir/leaderboards`."""

import os
import textwrap
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from bench.errors import BenchError
from bench.files import SIDE_BY_SIDE, file_name, write_atomically
from bench.leaderboard.audit import is_audited
from bench.leaderboard.comparison import Comparison, comparisons
from bench.leaderboard.controls import constant_map_warnings, control_warnings, guard_warnings
from bench.leaderboard.groups import Grouping, group_means, without_group
from bench.leaderboard.reference import reference_remarks
from bench.leaderboard.robustness import comparable, robustness, shared_statistics
from bench.leaderboard.sanity import sanity_warnings, undefined_areas
from bench.leaderboard.significance import against_reference, significance
from bench.leaderboard.table import leaderboard
from bench.report import groups as groups_report
from bench.report import robustness as robustness_report
from bench.report import side_by_side, statistics
from bench.report.audit import audit_in_words
from bench.report.audit import to_markdown as audit_to_markdown
from bench.report.citations import bibliography, cited_keys
from bench.report.figures import (
    CaptionedFigure,
    diagrams,
    photographs,
    ranks_over_benchmarks,
    to_png,
    to_svg,
)
from bench.report.kept import kept_files, record_files, sources_sha256
from bench.report.tables import to_csv, to_latex, to_markdown, to_text
from bench.report.tables.markdown import markdown
from bench.storage.claims import locked
from bench.storage.row_names import comparison_key, row_names
from bench.storage.store import Run, leaderboard_names, stored_runs

_KINDS = {"png": to_png, "svg": to_svg}
"""What figures are written as."""


def write_leaderboard(
    results_dir: Path,
    name: str,
    console: Console,
    auc: str | None = None,
    test: str = "wilcoxon",
    *,
    reference: str | None = None,
    by: Grouping | None = None,
) -> None:
    """Writes one leaderboard from stored rows, as CSV, Markdown and LaTeX, and prints it.

    Beside them go a file of BibTeX with whatever its rows cite; which methods differ, and all
    pairs, of each comparison of several methods; how far the order depends on protocol and AUC
    rule, if the same images were judged by several protocols; and an audit of each method, if its
    metrics answer more than one question.

    Args:
        results_dir: The results folder.
        name: The leaderboard.
        console: Where it is printed.
        auc: An AUC rule other than the protocols' own; its name joins the files' names.
        test: A key of `bench.leaderboard.significance.TESTS`; its name joins the files' names, too,
            unless it is Wilcoxon's.
        reference: The name of a row that the others are compared with, where it is complete; then
            the file of pairs holds these pairs alone.
        by: How images are grouped; then there are files of the means of each group.
    """
    variant = "".join(f"_{choice}" for choice in (auc, test) if choice not in (None, "wilcoxon"))
    with locked(results_dir / "runs"):  # of runs that end at once the last has read all rows
        runs = stored_runs(results_dir, name)
        board, found = leaderboard(runs, name, auc, test, reference), comparisons(runs, name, auc)
        remarks = remarks_of(runs, name, found)
        if reference is not None:
            remarks += reference_remarks(runs, name, found, reference)
        cited = citations(runs, name)
        files = {
            _path(results_dir, name, variant + ending): content.encode()
            for ending, content in (
                (".csv", to_csv(board.rows)),
                (".md", to_markdown(board, remarks)),
                (".tex", to_latex(board, [*remarks, *cited_keys(cited)])),
                (".bib", bibliography(cited, f"What the leaderboard {name} cites")),
                *_statistics(found, name, test, reference),
                *(
                    _groups(found, name, by, leaderboard_names(results_dir))
                    if by is not None
                    else ()
                ),
                *(_robustness(found, name) if auc is None else ()),
                *(_audit(found, name) if auc is None else ()),
            )
        }
        failure = _write(files)
    for part in to_text(board, remarks, _room(console)):
        _print_whole(part, console)
    if failure is not None:
        raise failure
    console.print("Leaderboard: " + "\n             ".join(map(str, files)), soft_wrap=True)


def remarks_of(runs: Sequence[Run], name: str, found: Sequence[Comparison]) -> list[str]:
    """The lines under a leaderboard: what makes a reader doubt it, and files without a record.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard.
        found: Its comparisons.
    """
    doubts = [*sanity_warnings(runs, name), *undefined_areas(found)]
    told = [f"Warning: {doubt}" for doubt in doubts]
    return [*told, *_warnings(found), *unverified(runs, name)]


def _write(files: Mapping[Path, bytes]) -> BenchError | None:
    """Writes files; returns why one could not be, so that the table can be shown first."""
    try:
        for path, content in files.items():
            write_atomically(path, content)
    except BenchError as error:  # of another user's results, say
        return error
    return None


def write_side_by_side(
    results_dirs: Sequence[Path], console: Console, auc: str | None = None
) -> None:
    """Writes one table of all benchmarks and networks in results folders, if there are several.

    It goes beside the leaderboards of the first folder, as CSV, Markdown and LaTeX, and with it
    figures of the methods' ranks.

    Args:
        results_dirs: The results folders.
        console: Where the files are named.
        auc: An AUC rule other than the protocols' own; its name joins the files' names.
    """
    found = []
    for folder in results_dirs:
        for name in leaderboard_names(folder):
            found += comparisons(stored_runs(folder, name), name, auc)
    if not side_by_side.are_several(found):
        return
    table, variant = side_by_side.side_by_side(found), f"_{auc}" if auc else ""
    paths = []
    for ending, content in (
        (".csv", side_by_side.to_csv(table)),
        (".md", side_by_side.to_markdown(table)),
        (".tex", side_by_side.to_latex(table)),
    ):
        paths.append(_path(results_dirs[0], SIDE_BY_SIDE, variant + ending))
        write_atomically(paths[-1], content.encode())
    _write_all(results_dirs[0], SIDE_BY_SIDE, ranks_over_benchmarks(found), variant)
    console.print("Side by side: " + "\n              ".join(map(str, paths)), soft_wrap=True)


def write_figures(results_dir: Path, name: str, like: Run, console: Console) -> None:
    """Draws all that can be drawn of a leaderboard's complete rows, as PNG and SVG.

    Figures that would show the same are kept; see `bench.report.kept`.

    Args:
        results_dir: The results folder.
        name: The leaderboard.
        like: The rows drawn are those that may be compared with this one.
        console: Where the folder is named.

    Raises:
        BenchError: A picture or a map that was kept cannot be read.
    """
    record, like_key = _path(results_dir, name, "_figures.json"), comparison_key(like)
    settings = {"name": name, "comparison": like_key}
    sources = sources_sha256([results_dir], settings)
    kept = kept_files(record, sources)
    if kept is not None:
        _tell_figures(results_dir, name, f"{len(kept) // 2}, as they are", console)
        return
    runs = stored_runs(results_dir, name)
    found = comparisons(runs, name)
    drawn: list[Iterable[CaptionedFigure]] = []
    for comparison in found:
        if comparison.key == like_key:
            drawn = [diagrams(comparison), photographs(comparison, results_dir, found)]
            drawn.append(ranks_over_benchmarks(found))
    names = _write_all(results_dir, name, chain(*drawn))
    if not names:
        return
    _tell_figures(results_dir, name, str(len(names)), console)
    is_shipped = all(run.protocol.is_shipped for run in runs)  # other code may change unseen
    if is_shipped and sources == sources_sha256([results_dir], settings):
        files = [_figure(results_dir, name, each, kind) for each in names for kind in _KINDS]
        record_files(record, sources, [path.name for path in files])


def _tell_figures(results_dir: Path, name: str, how_many: str, console: Console) -> None:
    figures = _path(results_dir, name, "_*.png, .svg")
    console.print(f"Figures:     {figures} ({how_many})", soft_wrap=True, highlight=False)


def _write_all(
    results_dir: Path, name: str, figures: Iterable[CaptionedFigure], variant: str = ""
) -> list[str]:
    """Writes figures as PNG and SVG; returns their names."""
    names = []
    for one in figures:
        for kind, rendered in _KINDS.items():
            path = _figure(results_dir, name, one.name, kind, variant)
            write_atomically(path, rendered(one.figure, one.dpi))
        names.append(one.name)
    return names


def _warnings(found: Sequence[Comparison]) -> list[str]:
    """What a reader must know of single methods; see `bench.leaderboard.controls`."""
    several = len(found) > 1
    return [
        f"Warning: {f'{comparison.title}: ' * several}{line}"
        for comparison in found
        for line in (
            *control_warnings(comparison),
            *guard_warnings(comparison),
            *constant_map_warnings(comparison),
        )
    ]


def _statistics(
    found: Sequence[Comparison], name: str, test: str, reference: str | None
) -> list[tuple[str, str]]:
    """Endings and contents of the files that say which methods differ significantly."""
    compared = [comparison for comparison in found if len(comparison.runs) > 1]
    if not compared:
        return []
    tested = {
        comparison.key: [significance(comparison, one, test) for one in comparison.tested]
        for comparison in compared
    }
    against = {
        comparison.key: {
            one: against_reference(comparison, one, reference, test) for one in comparison.tested
        }
        for comparison in compared
        if reference is not None and reference in comparison.runs
    }
    parts = (
        statistics.to_markdown(
            tested[comparison.key],
            f"{comparison.title} · {len(comparison.image_ids)} images",
            reference,
            against.get(comparison.key, {}),
        )
        for comparison in compared
        if comparison.tested
    )
    pairs = (
        statistics.pairs_csv(tested)
        if reference is None
        else statistics.reference_csv(against, reference, test)
    )
    return [
        ("_statistics.md", "\n".join([f"# {markdown(name)}: statistics\n", *parts])),
        ("_pairs.csv", pairs),
    ]


def _groups(
    found: Sequence[Comparison], name: str, by: Grouping, boards: Collection[str]
) -> list[tuple[str, str]]:
    """Endings and contents of the files with the means of each group of images."""
    ending = f"_by_{file_name(by.column)}"
    if f"{name}{ending}" in boards:
        raise BenchError(
            f"by: files of the leaderboard '{name}{ending}' are called as those of '{name}' by "
            f"{by.column} would be: give the column another name"
        )
    groups = {comparison.key: group_means(comparison, by) for comparison in found}
    if not groups:
        return []
    compared = {comparison.key: comparison for comparison in found}
    told = groups_report.to_markdown(groups, compared, name, by.column, without_group(found, by))
    return [
        (f"{ending}.md", told),
        (f"{ending}.csv", groups_report.to_csv(groups, by.column)),
    ]


def _robustness(found: Sequence[Comparison], name: str) -> list[tuple[str, str]]:
    """Endings and contents of the files that say how far the order depends on the protocol."""
    results = [
        robustness(several, statistic)
        for several in comparable(found)
        for statistic in shared_statistics(several)
    ]
    if not results:
        return []
    return [
        ("_robustness.md", robustness_report.to_markdown(results, name)),
        ("_robustness.csv", robustness_report.to_csv(results)),
    ]


def _audit(found: Sequence[Comparison], name: str) -> list[tuple[str, str]]:
    """Ending and content of the file that answers question by question."""
    audits = {one.title: audit_in_words(one) for one in found if is_audited(one)}
    return [("_audit.md", audit_to_markdown(audits, name))] if audits else []


def _room(console: Console) -> int:
    """Columns of characters for tables; where no terminal says how many there are, 120."""
    is_said = console.is_terminal or "COLUMNS" in os.environ
    return console.width if is_said else max(console.width, 120)


def _print_whole(part: Table | str, console: Console) -> None:
    """Prints a table as wide as it is, cells are not cut; on a terminal, text breaks at spaces."""
    if isinstance(part, str) and console.is_terminal:
        part = textwrap.fill(
            part, max(console.width, 1), break_long_words=False, break_on_hyphens=False
        )
    before, wide = console.width, Console(width=1000, markup=False)
    console.width = max(before, Measurement.get(wide, wide.options, part).maximum)
    console.print(part, highlight=False, soft_wrap=isinstance(part, str))
    console.width = before


def unverified(runs: Sequence[Run], name: str) -> list[str]:
    """At most one line, on the files whose authors' hashes are not on record.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard.
    """
    repeated = [repeats for run in runs if (repeats := run.reproduces(name)) is not None]
    files = sorted({file for repeats in repeated for file in repeats.unverified})
    if not files:
        return []
    return [f"Not verified, the record has no hashes: {', '.join(files)}"]


def citations(runs: Sequence[Run], name: str) -> list[tuple[str, str]]:
    """The rows of a leaderboard, its data sets, networks and protocols, and what each cites.

    Args:
        runs: The runs of the leaderboard.
        name: The leaderboard.
    """
    methods = row_names(runs, name)
    cited: dict[str, str] = {}
    for part in ("method", "dataset", "backbone", "protocol"):
        for run in runs:
            is_row = part == "method"
            names = {
                "dataset": run.identity.dataset.name,
                "backbone": run.identity.backbone.name,
                "protocol": run.protocol.name,
            }
            row = methods[run.key] if is_row else f"{part} {names[part]}"
            cited[row] = cited.get(row) or run.citations.get(part, "")
    return list(cited.items())


def _figure(results_dir: Path, name: str, figure: str, kind: str, variant: str = "") -> Path:
    return _path(results_dir, name, f"{variant}_{file_name(figure)}.{kind}")


def _path(results_dir: Path, name: str, ending: str) -> Path:
    return results_dir / "leaderboards" / (file_name(name) + ending)
