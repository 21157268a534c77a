"""Which modules are installed packages, known by their versions, and which are a user's code."""

import sys
import sysconfig
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path


@cache
def is_installed(module: str | None) -> bool:
    """Whether a module is of Python, of an installed package, or ours: known by its version.

    A user's file that is called as a module of Python counts as the user's: where it lies decides.

    Args:
        module: Its name, with dots; None or empty: unknown.

    Example:
        >>> is_installed("json.decoder"), is_installed("torch.nn"), is_installed("__main__")
        (True, True, False)
    """
    top = package_of(module)
    if top in ("", "__main__"):
        return False
    if is_ours(module):
        return True
    file = _file_of(module) or _file_of(top)
    if file is None:  # compiled into Python, or a user's package that has no __init__.py
        return top in sys.stdlib_module_names
    paths = sysconfig.get_paths()
    folders = [Path(paths[key]) for key in ("stdlib", "platstdlib", "purelib", "platlib")]
    is_there = any(Path(file).is_relative_to(folder) for folder in folders)
    return is_there or bool({"site-packages", "dist-packages"} & {*Path(file).parts})


def is_ours(module: str | None) -> bool:
    """Whether a module is one of bench.

    Example:
        >>> is_ours("bench.seeding"), is_ours("benchmark"), is_ours(None)
        (True, False, False)
    """
    return package_of(module) == "bench"


def package_of(module: str | None) -> str:
    """The top-level package of a module.

    Args:
        module: Its name, with dots; None: unknown.

    Returns:
        Empty where the module is unknown.

    Example:
        >>> package_of("torch.nn.functional")
        'torch'
    """
    return (module or "").partition(".")[0]


@cache
def version_of(package: str) -> str:
    """The version of a top-level package; Python's of those that come with it.

    Args:
        package: The top-level package that is imported.

    Returns:
        Names of distributions with their versions; empty if no distribution has it.

    Example:
        >>> version_of("json") == version_of("builtins")  # of Python
        True
        >>> version_of("numpy") == f"numpy {np.__version__}"
        True
    """
    if package in ("", "builtins") or package in sys.stdlib_module_names:
        return ".".join(map(str, sys.version_info[:2]))
    owners: Mapping[str, list[str]] = _owners()
    return " ".join(f"{name} {metadata.version(name)}" for name in sorted(owners.get(package, [])))


def _file_of(module: str | None) -> str | None:
    """The file of a module that is loaded, or of a top-level one that could be."""
    if module in sys.modules:
        file: str | None = getattr(sys.modules[module], "__file__", None)
        return file
    spec = find_spec(module) if module and "." not in module else None
    return spec.origin if spec is not None and spec.has_location else None


@cache
def _owners() -> Mapping[str, list[str]]:
    return metadata.packages_distributions()
