"""`bench select`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console


def select_command(arguments: Sequence[str]) -> list[str]:
    """Writes the list of images that a run would use."""
    from bench.config.composing import compose_run, prepared

    sys.path.append(str(Path.cwd()))
    config = compose_run(prepared(arguments))
    from bench.config.reading import read_settings
    from bench.experiment.run import write_selection

    write_selection(read_settings(config), Console(markup=False))
    return []
