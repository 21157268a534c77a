"""`bench rerun`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.errors import BenchError


def rerun_command(arguments: Sequence[str]) -> list[str]:
    """Runs a manifest again; returns what failed."""
    from bench.experiment.rerun import rerun

    manifest, *settings = [given for given in arguments if given != "--trust"] or [""]
    if not manifest or "=" in manifest.partition("/")[0]:
        raise BenchError("rerun: expected MANIFEST [KEY=VALUE ...] [--trust], found no manifest")
    sys.argv = ["bench rerun", *arguments]
    sys.path.append(str(Path.cwd()))
    return rerun(Path(manifest), settings, "--trust" in arguments, Console(markup=False))
