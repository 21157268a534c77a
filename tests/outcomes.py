"""What a command told, and what it left on disk."""

from pathlib import Path


def files(folder):
    return {path: path.stat().st_mtime_ns for path in Path(folder).rglob("*") if path.is_file()}


def assert_bad(outcome, *expected):
    code, _, err = outcome
    assert code == 1
    assert "Traceback" not in err
    (line,) = [line for line in err.splitlines() if line.startswith("bench: error: ")]
    for text in expected:
        assert text in line
