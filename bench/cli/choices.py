"""`bench list`."""

import sys
from pathlib import Path

from rich.console import Console

from bench.errors import BenchError


def list_command(group: str, config_dir: str | None) -> None:
    """Prints what there is to choose from in a group."""
    from bench.cli.listing import print_choices

    sys.path.append(str(Path.cwd()))
    folders = [Path(config_dir)] if config_dir else []
    for folder in folders:
        if not folder.is_dir():
            raise BenchError(f"configuration folder '{folder}' is missing")
    print_choices(group, folders, Console(markup=False))
