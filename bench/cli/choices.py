"""`bench list`."""

import sys
from pathlib import Path

from rich.console import Console


def list_command(group: str, config_dir: str | None) -> None:
    """Prints what there is to choose from in a group."""
    from bench.cli.listing import print_choices
    from bench.config.composing import user_folders

    sys.path.append(str(Path.cwd()))
    folders = user_folders(["--config-dir", config_dir] if config_dir else [])
    print_choices(group, folders, Console(markup=False))
