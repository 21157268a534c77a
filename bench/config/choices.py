"""The names there are to choose from, and who brings them; nothing is imported to know them."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench.config.plugins import config_packages

GROUPS = {
    "methods": "method",
    "backbones": "backbone",
    "datasets": "dataset",
    "protocols": "protocol",
    "metrics": "metric",
    "experiments": "experiment",
}
"""What `bench list` lists -> the configuration group."""

SHIPPED = Path(str(resources.files("bench.conf")))
"""The folder of the shipped configuration."""

OTHER_METHODS = ("of", "prior")
"""The settings of methods that name another one."""


@dataclass(frozen=True)
class Choice:
    """One name in a configuration group.

    Attributes:
        origin: Who brings it: `bench`, an installed package with its version, or a folder.
        path: Its file.
    """

    origin: str
    path: Path

    @property
    def description(self) -> str:
        """What the first comment of the file says."""
        return _description(self.path)


def choices(group: str, folders: Sequence[Path] = ()) -> dict[str, Choice]:
    """What there is in a configuration group, by name.

    Args:
        group: `method`, `backbone`, `dataset`, `protocol`, `metric` or `experiment`.
        folders: Configuration folders beside the shipped one and those of installed packages.
    """
    places = [
        ("bench", SHIPPED),
        *((package.origin, package.folder) for package in config_packages()),
        *((str(folder), folder) for folder in folders),
    ]
    found: dict[str, Choice] = {}
    for origin, folder in places:
        for path in sorted((folder / group).rglob("*.yaml")):
            name = path.relative_to(folder / group).with_suffix("").as_posix()
            found.setdefault(name, Choice(origin, path))  # Hydra, too, takes the first
    return found


def known_names(group: str, folders: Sequence[Path] = ()) -> dict[str, str]:
    """Names in a configuration group and what each is; see `choices`."""
    return {name: choice.description for name, choice in choices(group, folders).items()}


def _description(path: Path) -> str:
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith("# @package"):
            return line.removeprefix("#").strip()
    return ""
