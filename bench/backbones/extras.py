"""Packages that only some networks need."""

from importlib import import_module
from typing import Any

from bench.errors import BenchError


def import_extra(package: str, backbone: str, extra: str) -> Any:
    """A package that an extra brings.

    Args:
        package: What is imported.
        backbone: What needs it, as `backbone=` names it.
        extra: The extra in pyproject.toml that brings it.

    Returns:
        The module.

    Raises:
        BenchError: It is not installed.

    Example:
        >>> import_extra("json", "huggingface", "hf").dumps([1])
        '[1]'
        >>> import_extra("quux", "hf", "hf")
        Traceback (most recent call last):
            ...
        bench.errors.BenchError: backbone=hf needs the package quux: pip install 'insdel-bench[hf]'
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise BenchError(
            f"backbone={backbone} needs the package {error.name}: "
            f"pip install 'insdel-bench[{extra}]'"
        ) from None
