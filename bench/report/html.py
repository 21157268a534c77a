"""The report: leaderboards, figures and an explorer of images in one HTML file.

The page loads nothing from the network, and a content security policy forbids it to.
"""

import base64
import hashlib
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from rich.console import Console

from bench.errors import BenchError
from bench.files import write_atomically
from bench.leaderboard.comparison import Comparison, extremes
from bench.leaderboard.reference import require_reference
from bench.report.audit import HOW_TO_READ
from bench.report.explorer import explorer
from bench.report.front import FrontMatter
from bench.report.sections import (
    EmbeddedFigure,
    RobustnessSection,
    Section,
    overview_of,
    robustness_sections,
    sections_of,
)
from bench.report.tables.table import WITHIN_A_BACKBONE
from bench.storage.store import leaderboard_names, stored_runs

LARGEST = 9.5
"""Megabytes of a page; images are left out of its explorers before it grows larger."""


def write_report(
    results_dirs: Sequence[Path],
    output: Path,
    console: Console,
    *,
    auc: str | None = None,
    test: str = "wilcoxon",
    reference: str | None = None,
    max_mb: float = LARGEST,
    front: FrontMatter | None = None,
) -> None:
    """Writes one page on all leaderboards of results folders.

    Args:
        results_dirs: The results folders, in the order of the page.
        output: The file.
        console: Where it is named.
        auc: An AUC rule other than the protocols' own.
        test: A key of `bench.leaderboard.significance.TESTS`.
        reference: The name of a row that the others are compared with.
        max_mb: Megabytes that the page may have; each explorer holds one image at least.
        front: Title, authors and introduction; None: the leaderboard's name alone.

    Raises:
        BenchError: A folder holds no runs, or something in it cannot be read; no row is called as
            the reference.
    """
    named = [(folder, name) for folder in results_dirs for name in _names_in(folder)]
    if reference is not None:
        require_reference(reference, [(stored_runs(folder, name), name) for folder, name in named])
    times = Counter(name for _, name in named)
    sections: list[Section] = []
    robustness: list[RobustnessSection] = []
    for results_dir, name in named:
        title = f"{name} ({results_dir.resolve().name})" if times[name] > 1 else name
        first = len(sections) + 1
        sections += sections_of(
            results_dir, name, title=title, auc=auc, test=test, first=first, reference=reference
        )
        robustness += robustness_sections(results_dir, name, title, first=len(robustness) + 1)
    page = render(sections, robustness, overview_of(sections), round(max_mb * 1e6), front)
    write_atomically(output, page.encode())
    shown = [len(section.explorer["images"]) for section in sections if section.explorer]
    told = f"Report: {output} ({len(page.encode()) / 1e6:.1f} MB, {sum(shown)} images)"
    console.print(told, soft_wrap=True, highlight=False)


def _names_in(results_dir: Path) -> list[str]:
    names = leaderboard_names(results_dir)
    if not names:
        raise BenchError(f"no runs in '{results_dir}': expected its runs/ folder to hold some")
    return names


def render(
    sections: Sequence[Section],
    robustness: Sequence[RobustnessSection],
    overview: Sequence[EmbeddedFigure],
    largest: int,
    front: FrontMatter | None = None,
) -> str:
    """The page; fills the sections' explorers with as many images as it may hold.

    Args:
        sections: The sections of leaderboards.
        robustness: Sections on how far the protocol decides.
        overview: Figures of all leaderboards together.
        largest: Bytes that it may have.
        front: Title, authors and introduction; None: the leaderboard's name alone.
    """
    front = front or FrontMatter()
    bare = len(_page(sections, robustness, overview, front).encode())
    explorable = [section for section in sections if section.comparison is not None]
    for section in explorable:
        share = max(0, largest - bare) // len(explorable)
        section.explorer = _explorer(section, share)
    return _page(sections, robustness, overview, front)


def _page(
    sections: Sequence[Section],
    robustness: Sequence[RobustnessSection],
    overview: Sequence[EmbeddedFigure],
    front: FrontMatter,
) -> str:
    environment = Environment(
        loader=PackageLoader("bench.report", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}  # in the protocol's order
    names = list(dict.fromkeys(section.name for section in sections))
    style, script = _file("style.css"), _file("script.js")
    compared = [section.comparison for section in sections if section.comparison is not None]
    backbones = {comparison.identity.backbone.name for comparison in compared}
    return environment.get_template("page.html.j2").render(
        front=front,
        title=front.title or (names[0] if len(names) == 1 else f"{len(names)} leaderboards"),
        names=names,
        sections=sections,
        robustness=robustness,
        overview=overview,
        audit_hint=HOW_TO_READ,
        style=Markup(style),
        script=Markup(script),
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        remark=WITHIN_A_BACKBONE if len(backbones) > 1 else "",
    )


def _explorer(section: Section, budget: int) -> dict[str, Any] | None:
    comparison = section.comparison
    assert comparison is not None
    found = explorer(comparison, section.results_dir, _extremes(comparison), budget)
    if found is None:
        return None
    methods = [
        {"name": name, "control": name in comparison.controls} | vars(section.marks[name])
        for name in comparison.runs
    ]
    return found | {"methods": methods}


def _extremes(comparison: Comparison) -> dict[str, str]:
    """Images that methods do best, typically and worst on -> which ones do."""
    found: dict[str, list[str]] = {}
    for method in comparison.runs:
        if method not in comparison.controls:
            for place, image_id in extremes(comparison, method).items():
                found.setdefault(image_id, []).append(f"{place} of {method}")
    return {image_id: ", ".join(best_of) for image_id, best_of in found.items()}


def _file(name: str) -> str:
    return resources.files("bench.report").joinpath("page", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
