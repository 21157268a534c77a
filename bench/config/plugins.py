"""Configuration of installed packages: the entry-point group `bench.configs`.

An entry point names, with dots, a folder of a package that holds `method/*.yaml` and so on:

    [project.entry-points."bench.configs"]
    birdlib = "birdlib.conf"
"""

from dataclasses import dataclass
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

ENTRY_POINTS = "bench.configs"


@dataclass(frozen=True)
class ConfigPackage:
    """A folder of configuration, and who ships it.

    Attributes:
        origin: Name and version of the distribution, as "birdlib 1.2".
        folder: Holds the groups, as `method/NAME.yaml`.
        problem: What is wrong with the entry point, in one line; its folder is then of no use.
    """

    origin: str
    folder: Path
    problem: str = ""


@cache
def _entry_points() -> tuple[ConfigPackage, ...]:
    return tuple(map(_read, sorted(metadata.entry_points(group=ENTRY_POINTS))))


def config_packages() -> list[ConfigPackage]:
    """The configuration of installed packages, in the order of their entry points' names."""
    return [package for package in _entry_points() if not package.problem]


def plugin_problems() -> list[str]:
    """One line for each entry point that leads nowhere; the others work all the same."""
    return [package.problem for package in _entry_points() if package.problem]


def _read(entry: metadata.EntryPoint) -> ConfigPackage:
    """Finds the folder without importing the package: nobody asked for its code yet."""
    origin = f"{entry.dist.name} {entry.dist.version}" if entry.dist else entry.name
    top, *rest = entry.value.split(".")
    spec = find_spec(top) if top.isidentifier() else None
    places = (spec.submodule_search_locations if spec else None) or []
    for folder in (Path(place, *rest) for place in places):
        if folder.is_dir():
            return ConfigPackage(origin, folder)
    problem = (
        f"{ENTRY_POINTS}: '{entry.value}' of {origin} is no folder of an installed package: what "
        "it configures is left out"
    )
    return ConfigPackage(origin, Path(), problem)
