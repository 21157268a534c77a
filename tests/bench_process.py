"""`bench` as a process of its own, which can be killed, without importing torch for each anew."""

import multiprocessing
import os
import signal
import sys
from pathlib import Path

from bench.cli import main

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["bench.experiment.run", "bench.experiment.jobs"])


class BenchProcess:
    """A fork of a process that has imported what a run needs and done nothing else.

    Args:
        arguments: Of the command line.
        folder: Where it works; its output goes into a file beside.
    """

    def __init__(self, arguments: list[str], folder: Path) -> None:
        self._said = folder / f"said {os.urandom(4).hex()}.txt"
        self._process = FORKS.Process(target=_run, args=(arguments, folder, self._said))
        self._process.start()

    def wait(self) -> int:
        """Its exit code, minus the signal's number if one has ended it."""
        self._process.join()
        return self._process.exitcode

    def ended(self) -> bool:
        return self._process.exitcode is not None

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid, number)

    def said(self) -> str:
        """What it has written to standard output and error so far."""
        return self._said.read_text()


def _run(arguments: list[str], folder: Path, said: Path) -> None:
    # Tests that run in the background may ignore interrupts, which children inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(folder)
    with said.open("wb") as file:
        os.dup2(file.fileno(), sys.stdout.fileno())
        os.dup2(file.fileno(), sys.stderr.fileno())
    main(arguments)
