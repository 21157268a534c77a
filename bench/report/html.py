"""The report: leaderboards, figures and an explorer of images in one HTML file.

The page asks nothing of the network, and a content security policy forbids it to.
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
from bench.report.explorer import explorer
from bench.report.parts import Drawn, Part, Robust, overview_of, parts_of, robust_of
from bench.report.tables import WITHIN_A_BACKBONE
from bench.store import leaderboard_names

LARGEST = 9.5
"""Megabytes of a page; images are left out of its explorers before it grows larger."""


def write_report(
    results_dirs: Sequence[Path],
    output: Path,
    console: Console,
    auc: str | None = None,
    test: str = "wilcoxon",
    max_mb: float = LARGEST,
) -> None:
    """Writes one page on all leaderboards of results folders.

    Args:
        results_dirs: The results folders, in the order of the page.
        output: The file.
        console: Where it is named.
        auc: An AUC rule other than the protocols' own.
        test: A key of `bench.leaderboard.significance.TESTS`.
        max_mb: Megabytes that the page may have; each explorer holds one image at least.

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
        parts += parts_of(results_dir, name, title, auc, test, first=len(parts) + 1)
        robust += robust_of(results_dir, name, title, first=len(robust) + 1)
    page = render(parts, robust, overview_of(parts), round(max_mb * 1e6))
    write_atomically(output, page.encode())
    shown = [len(own.explorer["images"]) for own in parts if own.explorer]
    told = f"Report: {output} ({len(page.encode()) / 1e6:.1f} MB, {sum(shown)} images)"
    console.print(told, soft_wrap=True, highlight=False)


def render(
    parts: Sequence[Part], robust: Sequence[Robust], overview: Sequence[Drawn], largest: int
) -> str:
    """The page; fills the parts' explorers with as many images as it may hold.

    Args:
        parts: Of the page.
        robust: Likewise.
        overview: Figures of all parts together.
        largest: Bytes that it may have.
    """
    bare = len(_page(parts, robust, overview).encode())
    shows = [own for own in parts if own.comparison is not None]
    for part in shows:
        share = max(0, largest - bare) // len(shows)
        part.explorer = _explorer(part, share)
    return _page(parts, robust, overview)


def _page(parts: Sequence[Part], robust: Sequence[Robust], overview: Sequence[Drawn]) -> str:
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
        overview=overview,
        style=Markup(style),
        script=Markup(script),
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        remark=WITHIN_A_BACKBONE if several > 1 else "",
    )


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


def _file(name: str) -> str:
    return resources.files("bench.report").joinpath("page", name).read_text(encoding="utf-8")


def _csp_hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
