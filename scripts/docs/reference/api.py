"""Pages of the Python API, one a package, and the check that nothing there is without a word."""

from collections.abc import Iterator

import griffe

from reference.docstrings import ROOT, fields_of, of
from reference.markdown import code, page, table

PACKAGES = {
    "attribution": "Methods, the score that they explain, and the contract of a method",
    "metrics": "Metrics, their statistics, protocols and the curve engine",
    "backbones": "Networks with their preprocessing",
    "datasets": "Images with labels and annotations; selections and shards of them",
    "leaderboard": "Rows to tables: statistics, tests, controls, published cells",
}
"""Packages that have a page each, with what they hold."""

GROUND = (
    "arrays", "batching", "device", "errors", "files", "score", "seeding", "target", "ties",
)  # fmt: skip
"""Modules at the top of the package, on one page."""

NAMES = (
    "bench.notebook.explain.explain",
    "bench.notebook.evaluate.evaluate",
    "bench.notebook.network.load_backbone",
    "bench.metrics.insertion_deletion.insertion_deletion",
    "bench.storage.load.load_rows",
    "bench.notebook.result.Result",
)
"""What `import bench` offers, and what it returns, by where it is defined."""


def api_pages() -> dict[str, str]:
    """By path below `reference/api/`, the page of each package, of the ground, and the index."""
    pages = {"index.md": _index(), "ground.md": _ground()}
    for package, what in PACKAGES.items():
        modules = modules_of(f"bench.{package}")
        pages[f"{package}.md"] = page(
            f"# {code(f'bench.{package}')}", f"{what}.", *map(_module, modules)
        )
    return pages


def modules_of(package: str) -> list[str]:
    """Dotted paths of a package's modules, in the order of their names."""
    folder = ROOT / package.replace(".", "/")
    return [f"{package}.{path.stem}" for path in sorted(folder.glob("[!_]*.py"))]


def public_names() -> list[str]:
    """Dotted paths of what the pages show: modules, and what `import bench` offers."""
    packages = [module for package in PACKAGES for module in modules_of(f"bench.{package}")]
    return [*NAMES, *packages, *(f"bench.{module}" for module in GROUND)]


def _index() -> str:
    rows = [[f"[`bench.{name}`]({name}.md)", what] for name, what in PACKAGES.items()]
    rows.append(["[The ground](ground.md)", "Small modules that know none of the above"])
    return page(
        "# Python API",
        "What `import bench` offers, and the packages that it is made of. Modules that are not "
        "here (`cli`, `config`, `checks`, `experiment`, `evaluation`, `notebook`, `report`, "
        "`storage`) are internal and may change, but for the names on this page.",
        table(["Package", "What it holds"], rows),
        "## What `import bench` offers",
        *(f"::: {name}\n    options: {{heading_level: 3}}" for name in NAMES),
    )


def _ground() -> str:
    return page(
        "# The ground",
        "Modules at the top of the package: small things that each have one reason.",
        *(_module(f"bench.{name}") for name in GROUND),
    )


def _module(path: str) -> str:
    return f"::: {path}"


def undocumented(names: list[str] | None = None) -> list[str]:
    """Public names that have no docstring, by dotted path.

    A method that repeats one of a base class, and a field that its class or a base class tells of
    under `Attributes` or `Args`, are documented there.

    Args:
        names: Dotted paths to begin at; all that the pages show, if None.
    """
    found = []
    for name in names if names is not None else public_names():
        start = of(name)
        found += [each.path for each in [start, *_public(start)] if not _is_told(each)]
    return found


def _public(inside: griffe.Object) -> Iterator[griffe.Object]:
    """What a module or class defines for others, and what that defines in turn."""
    for name, member in inside.members.items():
        if name.startswith("_") or member.is_alias:
            continue
        if member.is_attribute and inside.is_class and member.annotation is None:
            continue  # what `__init__` keeps, and what a contract's class says of itself
        yield member
        if member.is_class:
            yield from _public(member)


def _is_told(member: griffe.Object) -> bool:
    if member.has_docstring:
        return True
    owner = member.parent
    if owner is None or not owner.is_class:
        return False
    told = [owner, *owner.mro()]
    return any(
        (member.name in each.members and each[member.name].has_docstring)
        or member.name in dict(fields_of(each))
        for each in told
    )
