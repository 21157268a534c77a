"""`bench run`."""

from collections.abc import Sequence


def run_command(arguments: Sequence[str]) -> list[str]:
    """Runs what the arguments ask for; returns what failed in any of the jobs."""
    from bench.config.composing import check_arguments, prepared
    from bench.experiment.jobs import run_jobs

    arguments = prepared(arguments)
    check_arguments(arguments)
    return run_jobs(arguments)
